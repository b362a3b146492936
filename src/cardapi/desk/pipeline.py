"""A desk on a server store: the next batch is decided while the last one is on its way.

A server takes as long to write a batch as the desk to decide one, and each would wait for the other. So a batch that changes nothing
but accounts is launched and not waited for; behind it only plain settles go, which are decided on rows that the desk holds and on
nothing that a question to the store would answer (what is on its way is not there yet). Everything else waits until all have landed. A
batch is answered when it has landed (O3); if it did not, none behind it was written either, and all of them are decided again.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from time import monotonic, perf_counter_ns

from cardapi.desk.settles import settles
from cardapi.desk.work import Work
from cardapi.desk.writer import BATCH_MAX, PART, Answer, Desk, Parts, _Item
from cardapi.store.port import DecideAgain, Head, Pipelined, Record

SERIAL = 8  # batches that are done one after the other when one could not go behind another


class _Flight:
    """A batch from its launch to its landing."""

    __slots__ = ("answers", "began_ns", "entries", "heads", "items", "requests", "since")

    def __init__(self, items: Sequence[_Item]) -> None:
        self.items = items
        self.requests = [request for item in items for request in item.requests]
        self.answers: list[Answer] = []  # of the first of these: those after them are decided when it has landed
        self.heads: list[Head] = []  # where it leaves the journal; none: it was not launched
        self.entries = 0
        self.since = monotonic()
        self.began_ns = 0


class Pipeline(Desk):
    """The doorways are those of any desk. The thread that writes holds `_writing` from a first launch to the last landing."""

    def __init__(self, store: Pipelined, parts: Parts) -> None:
        super().__init__(store, parts)
        self._server = store
        self._flying: deque[_Flight] = deque()
        self._first: _Flight | None = None  # a batch that may be launched instead of committed
        self._ready: deque[_Item] = deque()  # the first of what queues: nothing is left to be read ahead for it
        self._seeking: list[_Item] = []  # what comes after: its cards are being read
        self._sought_at = 0.0  # monotonic; 0: they are not
        self._strange = False  # what was last looked at had cards that had to be read
        self._alone = True  # the last one that landed left nothing behind that was on its way, read or ready
        self._turn = threading.Lock()  # held by who wants the store for himself: nothing more is launched
        self._aloft = False  # the writer thread waits for the store rather than for the bell
        self._serial = 0  # batches to come that nothing follows before they have landed
        self._wake = -1

    # ------------------------------------------------------------ life
    def start(self) -> None:
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        super().start()

    def stop(self) -> None:
        super().stop()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def keep(self, records: Sequence[Record]) -> None:
        with self._turn:
            super().keep(records)

    # ------------------------------------------------------------ inside
    def _ring(self) -> None:
        if self._aloft:
            os.eventfd_write(self._wake, 1)
        else:
            self._bell.put(None)

    def _run(self) -> None:
        while self._running or self._items:
            if self._bell.empty() and self._read_on():
                continue
            self._bell.get()
            self._rung_in = None
            while self._items:
                self._taking = True
                with self._turn:  # whoever waits to keep something is before us
                    pass
                with self._writing:
                    self._taking = False
                    self._aloft = True
                    self._stream()
                    self._aloft = False

    def _read_on(self) -> bool:
        """Remember a few more cards while nobody wants anything; False when there is nothing more to remember, or to do first."""
        with self._turn:  # whoever waits to keep something is before us
            pass
        with self._writing:
            if self._items or self.failed is not None:
                return False
            self._working_since = monotonic()
            try:
                return self._sides.read_on(self._server)
            except Exception:  # as of a server that is away: nothing depends on this, and whoever wants something is told
                return False
            finally:
                self._working_since = 0.0

    def _stream(self) -> None:
        """Read cards ahead for what queues, launch it and answer what lands, until there is nothing of these."""
        flying, server = self._flying, self._server
        while True:
            turn = self._turn.locked()
            if self._seeking:
                self._found()
            if not (turn or self._seeking):
                self._look()
            full = turn or self._halted or len(flying) >= (1 if self._serial else server.flights)
            # Few behind many would make two commits of one: those of the last landing are about to come back.
            if self._ready and not full and (not flying or len(self._ready) >= len(flying[-1].items)):
                if not self._launch():
                    self._land()
            elif flying and ((full and not self._seeking and not self._strange) or server.landed()):
                self._land()
            elif not flying and not self._seeking:
                break
            elif server.wait(None if self._seeking else self._wake):
                os.eventfd_read(self._wake)
        self._items.extendleft(reversed(self._ready))  # whoever has the turn is before them
        self._ready.clear()

    def _look(self) -> None:
        """Have the cards read that what queues wants, or let it be decided."""
        self._rung_in = None  # before looking: who puts something in from here on rings again
        items = self._take(self._items)
        if not items:
            return
        looking, self._strange = self._strange or self._sides.missed, False  # not where every card is remembered
        if looking and self._server.trusts(()):  # where somebody else writes, too, a batch begins with a question that reads them as well
            with suppress(Exception):  # of what cannot be asked for: the batch meets the same, and says what it means
                unread = self._sides.unread([request for item in items for request in item.requests])
                self._strange = bool(unread) and self._server.read_ahead(unread)
        if self._strange:
            self._seeking, self._sought_at = items, monotonic()
            self._count_from()
        else:
            self._ready.extend(items)

    def _found(self) -> None:
        """What was looked for may be decided, once it is there."""
        if self._server.came():
            with suppress(Exception):  # as of a row that is damaged
                self._sides.admit(self._server.take_ahead())
            self._ready.extend(self._seeking)
            self._seeking, self._sought_at = [], 0.0
            self._count_from()

    def _count_from(self) -> None:
        """Since when the store has been asked for what comes next (`stalled_s`)."""
        self._working_since = self._flying[0].since if self._flying else self._sought_at

    @property
    def _halted(self) -> bool:
        """Whether what follows the last launch has to wait until it has landed."""
        return bool(self._flying) and len(self._flying[-1].answers) < len(self._flying[-1].requests)

    def _launch(self) -> bool:
        """Decide what is next and send it on its way, or do it at once. False: it has to wait until all have landed."""
        if not self._flying:
            # The other half is decided while the server writes this one, unless nothing goes behind it, or other callers come after it.
            whole = self._serial or not self._alone
            flight = _Flight(self._take(self._ready, BATCH_MAX if whole else min(BATCH_MAX, len(self._ready) + 1 >> 1)))
            self._serial = max(0, self._serial - 1)
            self._first = flight
            self._working_since = flight.since
            answers = self._done(flight.requests)
            self._first = None
            if flight.heads:
                self._rise(flight, answers)
            else:
                self._end(flight, answers)
            return True
        flight = _Flight(self._take(self._ready))
        try:
            if self.failed is None and self._behind(flight):
                return True
        except Exception as error:
            self._crash(error, flight)
            return True
        self._ready.extendleft(reversed(flight.items))
        self._serial = SERIAL
        return False

    def _behind(self, flight: _Flight) -> bool:
        """Launch the plain settles that come first behind what is on its way; False when there is none, or all has to land before it."""
        requests, answers = flight.requests, flight.answers
        flight.began_ns = perf_counter_ns()
        works = self._sides.open(requests, self._clock(), behind=self._server)
        place, count = 0, len(works)
        while place < count:
            end = min(count, place + PART)
            place += settles(works, requests, place, end, answers)
            if place < end:
                break
            if place < count:
                self._sides.feed(works[0].works.values())
        if not answers:
            if works:
                self._server.abandon()
            return False
        self._send(flight, works[0].works.values())
        self._rise(flight, answers)
        return True

    def _commit(self, works: Collection[Work]) -> None:
        """Of the first batch: launched, if what is decided behind it will see all of it."""
        flight = self._first
        if flight is None or any(work.asked or not work.light for work in works):
            super()._commit(works)
        else:
            flight.began_ns = perf_counter_ns()
            self._send(flight, works)

    def _send(self, flight: _Flight, works: Collection[Work]) -> None:
        flight.heads = self._sides.launch(self._server, works)
        flight.entries = sum([len(work.entries) for work in works])

    def _rise(self, flight: _Flight, answers: list[Answer]) -> None:
        flight.answers = answers
        self._flying.append(flight)
        self._count_from()

    def _land(self) -> None:
        """Wait for the batch that was launched first, and answer it."""
        flight = self._flying[0]
        try:
            self._server.land()
        except DecideAgain:
            self._commits.tried_again += 1
            self._sides.crashed()
            while self._flying:
                flight = self._flying.popleft()
                self._end(flight, self._done(flight.requests))
            return
        except Exception as error:
            self._crash(error)
            return
        self._flying.popleft()
        self._alone = not (self._flying or self._seeking or self._ready)
        self._sides.landed(flight.heads)
        self._note(flight.heads, flight.entries, flight.began_ns)
        rest = flight.requests[len(flight.answers) :]
        self._end(flight, flight.answers + self._done(rest) if rest else flight.answers)

    def _crash(self, error: Exception, *further: _Flight) -> None:
        """What is on its way is written or not: nobody knows (F2)."""
        for flight in (*self._flying, *further):
            flight.answers = self._unknown(error, len(flight.requests))
        lost = [*self._flying, *further]
        self._flying.clear()
        for flight in lost:
            self._end(flight, flight.answers)

    def _end(self, flight: _Flight, answers: list[Answer]) -> None:
        self._count_from()
        with self._lock:
            self._waiting -= len(flight.requests)
        self._answer(list(flight.items), answers)
