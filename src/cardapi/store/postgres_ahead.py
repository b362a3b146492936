"""Cards that are read while the desk does something else: over a connection of their own, one statement at a time.

Nothing depends on it: where it fails, nothing was read ahead, and whoever needs the cards asks for them and is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg

from cardapi.store import postgres_sql as sql
from cardapi.store.port import StoreError
from cardapi.store.postgres_wire import Row, Wire


class Ahead:
    """A connection that is made when it is first needed, and again after it failed."""

    def __init__(self, connect: Callable[[], psycopg.Connection]) -> None:
        """`connect`: raises StoreError where it cannot."""
        self._connect = connect
        self._connection: psycopg.Connection | None = None
        self._wire: Wire | None = None

    @property
    def wire(self) -> Wire | None:
        """Where an answer is waited for; None when none is."""
        return self._wire if self._wire is not None and self._wire.busy else None

    def send(self, parameters: Sequence[bytes]) -> bool:
        """Ask for cards; whether that could be done."""
        try:
            if self._wire is None:
                self._connection = self._connect()
                self._wire = Wire(self._connection)
            self._wire.send([(sql.READ_CARDS, parameters)])
        except (StoreError, psycopg.Error, OSError):
            self.close()
            return False
        return True

    def arrived(self) -> bool:
        """Whether `take` has nothing to wait for."""
        try:
            return self.wire is None or self.wire.arrived(1)
        except psycopg.Error:  # which `take` meets as well
            return True

    def take(self) -> list[Row]:
        """The rows that were asked for; none when that failed."""
        if self.wire is None:
            return []
        try:
            return self.wire.rows()
        except (psycopg.Error, OSError):
            self.close()
            return []

    def close(self) -> None:
        """What was asked for is lost."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._wire = None
