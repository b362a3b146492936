"""Pools of threads with a bound on what waits for them (B, F4): what fills one does not hold up another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cardapi.desk.request import Problem
from cardapi.store.port import Store

T = TypeVar("T")
GRACE_S = 3.0


class Pool:
    """A few threads for work that an event loop must not wait for."""

    def __init__(self, name: str, threads: int, waiting_max: int) -> None:
        """`waiting_max`: calls waiting or running before `busy`."""
        self._threads = ThreadPoolExecutor(threads, f"cardcore-{name}")
        self._waiting_max = waiting_max
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Calls waiting or running now."""
        return self._waiting

    async def run(self, work: Callable[[], T]) -> T:
        """Do this in one of the threads. Raises Problem busy, and what the work raises."""
        if self._waiting >= self._waiting_max:
            raise Problem("busy", "too much work of this kind is waiting; try again")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def close(self, *, wait: bool = True) -> None:
        """End the threads once what runs is done; what still waits is given up."""
        self._threads.shutdown(wait=wait, cancel_futures=True)


class Readers(Pool):
    """Threads that read, each over a view of the store of its own."""

    def __init__(self, store: Store, name: str, threads: int, waiting_max: int) -> None:
        super().__init__(name, threads, waiting_max)
        self._store = store
        self._mine = threading.local()
        self._open: list[Store] = []
        self._running = 0
        self._quiet = threading.Condition()

    @property
    def running(self) -> int:
        """Reads under way now."""
        return self._running

    async def ask(self, question: Callable[[Store], T]) -> T:
        """A read off the event loop. Raises Problem busy, and what the question raises."""
        return await self.run(lambda: self.here(question))

    def here(self, question: Callable[[Store], T]) -> T:
        """The same in the calling thread, which is one of a bounded pool."""
        store = getattr(self._mine, "store", None)
        if store is None:
            store = self._mine.store = self._store.reader()
            self._open.append(store)
        with self._quiet:
            self._running += 1
        try:
            return question(store)
        finally:
            with self._quiet:
                self._running -= 1
                self._quiet.notify_all()

    def close(self, *, wait: bool = True, grace_s: float = GRACE_S) -> None:
        """As of any pool, but a read that lasts longer than `grace_s` is not waited for: it changes nothing. Its store stays open."""
        super().close(wait=False)
        with self._quiet:
            if wait and not self._quiet.wait_for(lambda: not self._running, grace_s):
                return
        while self._open:
            self._open.pop().close()
