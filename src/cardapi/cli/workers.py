"""`cardcore serve --workers N`: several processes on one port, and one that watches them.

Each worker is a process of its own that opens the shop and listens on the same port; the system shares connections out among
them. A worker that ends because its store failed is started anew, after a pause that grows. Needs a server store.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

ENDS = (signal.SIGTERM, signal.SIGINT)
POLL_S = 0.1
PAUSE_S = 0.5
PAUSE_MAX_S = 10.0
STEADY_S = 60.0  # a worker that ran as long starts anew without a pause

log = logging.getLogger("cardapi.serve")

Work = Callable[[int, Callable[[], None]], int]
"""What a worker does: its number, and whom to tell once it accepts. Returns its exit code."""


class Workers:
    """The processes. Made and run on the main thread, before any other thread or event loop is there."""

    def __init__(self, count: int, work: Work) -> None:
        self._count = count
        self._work = work
        self._running: dict[int, tuple[int, float]] = {}  # pid -> (number, since)
        self._pauses: dict[int, float] = {}
        self._due: dict[int, float] = {}  # number -> when to start it
        self._ending = False

    def run(self, ready: Callable[[], None]) -> int:
        """Until SIGTERM or SIGINT; `ready` is called once every worker accepts. Returns the exit code.

        1 when a worker could not even start: then nothing is tried again.
        """
        for signum in ENDS:
            signal.signal(signum, self._end)
        reading, writing = os.pipe()
        for number in range(self._count):
            self._start(number, (reading, writing))
        os.close(writing)
        accepting = 0
        while accepting < self._count and not self._ending:
            if select.select([reading], [], [], POLL_S)[0]:
                more = os.read(reading, self._count)
                if not more:  # one ended before it accepted
                    break
                accepting += len(more)
        os.close(reading)
        failed = accepting < self._count and not self._ending
        if accepting == self._count:
            ready()
            self._watch()
        self._stop()
        return int(failed)

    def _start(self, number: int, pipe: tuple[int, int] | None = None) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)  # a child that is not yet known, or still has our handler, would miss it
        pid = os.fork()
        if pid:
            self._running[pid] = (number, time.monotonic())
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            if pipe is not None:
                os.close(pipe[0])
            code = self._work(number, lambda: None if pipe is None else _tell(pipe[1]))
        except BaseException as error:  # the last frame of this process: say why, and end here whatever it is
            log.error("worker %d: %s", number, getattr(error, "detail", "") or repr(error))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _end(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        self._ending = True  # no more than that: we may be in the middle of anything

    def _watch(self) -> None:
        while not self._ending:
            pid, status = os.waitpid(-1, os.WNOHANG) if self._running else (0, 0)  # none, when the store failed under all of them
            if pid in self._running:
                number, since = self._running.pop(pid)
                steady = time.monotonic() - since > STEADY_S
                pause = self._pauses[number] = PAUSE_S if steady else min(PAUSE_MAX_S, 2 * self._pauses.get(number, PAUSE_S / 2))
                log.warning("worker %d ended with %s; starting it again in %g s", number, _said(status), pause)
                self._due[number] = time.monotonic() + pause
            for number, due in list(self._due.items()):
                if time.monotonic() >= due:
                    del self._due[number]
                    self._start(number)
            if not pid:
                time.sleep(POLL_S)

    def _stop(self) -> None:
        for pid in self._running:
            os.kill(pid, signal.SIGTERM)  # one that ended already is still ours to wait for
        while self._running:
            pid, _ = os.waitpid(-1, 0)
            self._running.pop(pid, None)


def _tell(handle: int) -> None:
    os.write(handle, b"+")
    os.close(handle)


def _said(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"code {code}" if code >= 0 else f"signal {-code}"
