"""Readers that come and go, and cards in them: one worker thread for each reader, one that looks for readers, one queue of events.

A worker sleeps inside the PC/SC service until something changes. What is done with a card is done by the worker of its reader, so a
card that never answers holds up its own reader only, and whoever reads the queue can still be interrupted. Times are monotonic.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from cardapi.pcsc.context import PNP_READER, Context, ReaderState
from cardapi.pcsc.errors import CardLocked, CardRemoved, CardSilent, MuteCard, NoCard, NoService, OutcomeUnknown, PcscError, ReaderUnplugged

RELIST_S = 2.0
"""A reader that comes between listing and waiting is found after this long at the latest."""
SERVICE_S = 0.5
"""Between attempts to find a service that went away."""
AGAIN_S = 0.3
"""Between attempts with a card that was not done: it may be back before the service noticed that it was gone."""
ENDING_S = 2.0
_AGAIN = (CardLocked, CardRemoved, CardSilent, MuteCard, NoCard, OutcomeUnknown)

SERVICE_LOST, SERVICE_FOUND = "service_lost", "service_found"
READER_ADDED, READER_GONE = "reader_added", "reader_gone"
CARD, CARD_GONE = "card", "card_gone"

OnCard = Callable[[Context, str], Any]
"""What to do with a card: called in its reader's thread with that thread's context and the reader's name."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened. `result` is what was found out or done with a card, `error` why not."""

    what: str
    reader: str = ""
    result: Any = None
    error: Exception | None = None


class _Worker:
    """One thread with a context of its own, made by `work`, that `stop` can wake."""

    def __init__(self, name: str, report: Callable[[Event], None]) -> None:
        self.report = report
        self.stopping = threading.Event()
        self.context: Context | None = None
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                with Context() as context:
                    self.context = context
                    if not self.work(context):
                        return
            except PcscError as error:
                self.failed(error)
                self.stopping.wait(SERVICE_S)
            finally:
                self.context = None

    def work(self, context: Context) -> bool:
        """Until stopped; False when there is nothing left to do."""
        raise NotImplementedError

    def failed(self, error: PcscError) -> None:
        """The service went away under us; `work` will be called again."""

    def stop(self) -> None:
        """Ask the thread to end. It may be waiting, or just about to, so this is repeated until it has."""
        self.stopping.set()
        if self.context is not None:
            self.context.cancel()


class _Reader(_Worker):
    """The worker of one reader."""

    def __init__(self, name: str, report: Callable[[Event], None], on_card: OnCard) -> None:
        super().__init__(f"reader {name}", report)
        self.name, self.on_card = name, on_card
        self.busy = False
        self._present, self._events = False, 0
        self._last = ""  # code of the last failure told, so that it is told once
        self._again = False

    def work(self, context: Context) -> bool:
        # After the service went away nobody knows what the card did meanwhile: it is a new one.
        self._left()
        known = 0
        while not self.stopping.is_set():
            states = context.wait({self.name: known}, AGAIN_S if self._again else math.inf)
            if states is None and not self._again:
                continue
            state = states[self.name] if states is not None else context.state(self.name)
            if state.gone:
                self._left()
                return False
            known = state.raw
            self._look(context, state)
        return True

    def _look(self, context: Context, state: ReaderState) -> None:
        changed = state.present != self._present or state.events != self._events
        if changed and self._present:
            self._left()
        self._present, self._events = state.present, state.events
        if not state.present:
            self._again = False
        elif changed or self._again:
            self._try(context, state)

    def _left(self) -> None:
        if self._present:
            self._present = False
            self._last = ""
            self.report(Event(CARD_GONE, self.name))

    def _try(self, context: Context, state: ReaderState) -> None:
        self.busy = True
        try:
            if state.mute:
                raise MuteCard(f"the card in the reader {self.name} does not answer")
            result = self.on_card(context, self.name)
        except Exception as error:
            self._again = isinstance(error, _AGAIN)
            code = getattr(error, "code", type(error).__name__)
            if code != self._last:
                self._last = code
                self.report(Event(CARD, self.name, error=error))
            if isinstance(error, NoService):
                raise
            if isinstance(error, ReaderUnplugged):
                self._again = True
        else:
            self._again, self._last = False, ""
            self.report(Event(CARD, self.name, result))
        finally:
            self.busy = False


class Watcher(_Worker):
    """Watches all readers, or the one named `only`, and calls `on_card` for every card. Ends with `close` or its with block.

    Raises NoPyscard, NoService, NoPermission when there is nothing to watch with; a service that goes later is waited for.
    """

    def __init__(self, on_card: OnCard, *, only: str = "") -> None:
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()
        super().__init__("readers", self._queue.put)
        self._on_card, self._only = on_card, only
        self._workers: dict[str, _Reader] = {}
        self._lost = False
        Context().close()
        self.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def next(self, timeout_s: float = math.inf) -> Event | None:
        """The next event; None after timeout_s without one."""
        try:
            return self._queue.get(timeout=None if math.isinf(timeout_s) else max(0.0, timeout_s))
        except queue.Empty:
            return None

    @property
    def busy(self) -> bool:
        """Whether something is being done with a card now."""
        return any(worker.busy for worker in self._workers.values())

    def work(self, context: Context) -> bool:
        if self._lost:
            self._lost = False
            self.report(Event(SERVICE_FOUND))
        while not self.stopping.is_set():
            names = [name for name in context.readers() if self._only in ("", name)]
            for name in [name for name, worker in self._workers.items() if name not in names or not worker.thread.is_alive()]:
                self._workers.pop(name).stop()
                self.report(Event(READER_GONE, name))
            for name in names:
                if name not in self._workers:
                    self.report(Event(READER_ADDED, name))
                    self._workers[name] = _Reader(name, self.report, self._on_card)
                    self._workers[name].thread.start()
            context.wait({PNP_READER: 0}, RELIST_S)
        return True

    def failed(self, error: PcscError) -> None:
        if not self._lost:
            self._lost = True
            self.report(Event(SERVICE_LOST, error=error))

    def close(self) -> None:
        """End all threads. One that a card keeps from answering is left behind; it holds nothing of ours."""
        deadline = time.monotonic() + ENDING_S
        workers: list[_Worker] = [self, *self._workers.values()]
        while any(worker.thread.is_alive() for worker in workers) and time.monotonic() < deadline:
            workers = [self, *list(self._workers.values())]
            for worker in workers:
                worker.stop()
            for worker in workers:
                worker.thread.join(0.02)
