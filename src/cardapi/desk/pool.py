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

    def close(self) -> None:
        """Finish what runs and end the threads."""
        self._threads.shutdown()


class Readers(Pool):
    """Threads that read, each over a view of the store of its own."""

    def __init__(self, store: Store, name: str, threads: int, waiting_max: int) -> None:
        super().__init__(name, threads, waiting_max)
        self._store = store
        self._mine = threading.local()
        self._open: list[Store] = []

    async def ask(self, question: Callable[[Store], T]) -> T:
        """A read off the event loop. Raises Problem busy, and what the question raises."""
        return await self.run(lambda: self.here(question))

    def here(self, question: Callable[[Store], T]) -> T:
        """The same in the calling thread, which is one of a bounded pool."""
        store = getattr(self._mine, "store", None)
        if store is None:
            store = self._mine.store = self._store.reader()
            self._open.append(store)
        return question(store)

    def close(self) -> None:
        super().close()
        while self._open:
            self._open.pop().close()
