"""The threads that card sessions run in: they read, use keys and commit, which an event loop must not wait for."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from cardapi.desk.pool import Pool
from cardapi.http.problems import HttpProblem
from cardapi.keys.errors import KeyStoreError
from cardapi.media.sessions import CardSessions
from cardapi.media.tap import Room

if TYPE_CHECKING:
    from cardapi.app import Shop

T = TypeVar("T")
THREADS = 4
WAITING_MAX = 200  # calls in the pool before `busy` (F4)


class TapPool:
    """The sessions of one service, made when the first is opened: a shop without chips needs no card keys."""

    def __init__(self, shop: Shop, clock: Callable[[], int]) -> None:
        self._shop = shop
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: CardSessions | None = None
        self._pool = Pool("card", THREADS, WAITING_MAX)

    @property
    def waiting(self) -> int:
        """Calls waiting or running now."""
        return self._pool.waiting

    def _made(self) -> CardSessions:
        with self._lock:
            if self._sessions is None:
                shop = self._shop
                system = shop.settings.card_system.encode()
                self._sessions = CardSessions(Room(shop.desk, shop.registry, shop.keys, self._clock, secrets.token_bytes, system))
            return self._sessions

    async def run(self, work: Callable[[CardSessions], T]) -> T:
        """Do this in the pool. Raises Problem busy; HttpProblem keys_unavailable; SessionProblem."""
        try:
            return await self._pool.run(lambda: work(self._made()))
        except KeyStoreError as error:
            raise HttpProblem("keys_unavailable", error.detail) from error

    def close(self) -> None:
        """End the pool; what sessions intended is in the journal."""
        self._pool.close()
