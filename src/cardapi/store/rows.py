"""The rows of a whole batch, written in one transaction and read in few statements, by one of two ways with one meaning.

`Direct` speaks to SQLite's C interface and lets go of the interpreter lock once for a whole commit (`direct.pyx`). `Plain` uses
Python's sqlite3, which lets go of it for each step of a statement and then waits to get it back. Beside a busy event loop
that wait dwarfs the work: a row a step made a batch of 1,000 inserts 3 times slower, and reads 20 times (`docs/performance.md`).
So there a batch is one statement of many rows, and a read of many cards answers with one row.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Protocol

import msgspec

from cardapi.store import direct
from cardapi.store import statements as sql
from cardapi.store.port import AccountRow, CardRow, Found, MediumRow, found_of

EXACT = 64  # up to this many rows a statement of its own for each count, so that the prepared ones are found again
CHUNK = 256  # rows of one statement beyond that

Row = tuple[Any, ...]
Rowlike = Row | msgspec.Struct
"""A struct stands for the row of its fields."""

_astuple = msgspec.structs.astuple
_Cells = tuple[str, int, str, str, int, str, str, int, int, str, int, int, str, int]
_MediumCells = tuple[str, int, str, str, str, str, int, int, int, int, int, int]
_cells = msgspec.json.Decoder(list[_Cells]).decode
_medium_cells = msgspec.json.Decoder(list[_MediumCells]).decode

Failed = (sqlite3.Error, direct.DirectError)
"""What either way raises when SQLite says no."""


class Insert:
    """An INSERT into one table, of one row or of many."""

    def __init__(self, head: str, values: int, tail: str = "", *, first: str = "?") -> None:
        """`values` of a row; `first`: the expression of the first column, made of one value or more."""
        self._head, self._tail = head, tail
        self._row = "(" + ",".join([first, *"?" * (values - first.count("?"))]) + ")"
        self._statements: dict[int, str] = {}
        self.values = values
        self.one = self.many(1)

    def many(self, count: int) -> str:
        """The statement for this many rows."""
        text = self._statements.get(count)
        if text is None:
            text = self._statements[count] = f"{self._head} {','.join([self._row] * count)} {self._tail}"
        return text


Step = tuple[Insert | str, Sequence[Rowlike]]
"""A statement and the rows it is run for, once each."""


class Rows(Protocol):
    """What the store's writing side needs of SQLite. Errors are of `Failed`."""

    @property
    def sync_ns(self) -> int:
        """What the COMMIT of the last `write` took, with its sync."""
        ...

    def begin(self, keys: Sequence[tuple[str, str]], numbers: Sequence[str]) -> tuple[list[Row], list[Found]]:
        """`find_keys` and `read_cards`; whatever is begun for it, `write` or `abandon` ends."""
        ...

    def feed(self, steps: Sequence[Step]) -> bool:
        """Begin to write these in the transaction of `begin`, while the caller goes on; `write` ends it. False: not done, and never is."""
        ...

    def abandon(self) -> None:
        """End what `begin` began."""
        ...

    def write(self, steps: Sequence[Step]) -> None:
        """All rows in one transaction, in order; durable when it returns."""
        ...

    def find_keys(self, keys: Sequence[tuple[str, str]]) -> list[Row]:
        """Rows of the journal by (client, client key)."""
        ...

    def read_cards(self, numbers: Sequence[str]) -> list[Found]:
        """Cards with their accounts; unknown numbers are left out."""
        ...

    def read_media(self, media: Sequence[str]) -> list[MediumRow]:
        """Media by id; unknown ones are left out."""
        ...

    def read_cleared(self, keys: Sequence[bytes]) -> list[Row]:
        """Off-line purchases by key; unknown ones are left out."""
        ...

    def close(self) -> None: ...


def _values(row: Rowlike) -> Row:
    return row if isinstance(row, tuple) else _astuple(row)


def _texts(steps: Sequence[Step]) -> list[tuple[str, Sequence[Rowlike]]]:
    return [(what if isinstance(what, str) else what.one, rows) for what, rows in steps]


class Direct:
    """Over a connection of its own, which should be the only one that writes: its page cache then stays good."""

    def __init__(self, path: Path, setup: Sequence[str]) -> None:
        """Raises DirectError."""
        self._connection = direct.Connection(os.fsencode(path), setup)

    @property
    def sync_ns(self) -> int:
        return self._connection.sync_ns

    def begin(self, keys: Sequence[tuple[str, str]], numbers: Sequence[str]) -> tuple[list[Row], list[Found]]:
        """One transaction from the first read of a batch to its commit: begun, locked and ended once."""
        if not numbers:
            return self._connection.begin([(sql.FIND_KEY, keys)])[0], []
        rows, cards = self._connection.begin([(sql.FIND_KEY, keys), (sql.READ_CARD, [(number,) for number in numbers])])
        return rows, [found_of(row) for row in cards]

    def feed(self, steps: Sequence[Step]) -> bool:
        self._connection.feed(_texts(steps))
        return True

    def abandon(self) -> None:
        self._connection.abandon()

    def write(self, steps: Sequence[Step]) -> None:
        self._connection.write(_texts(steps))

    def find_keys(self, keys: Sequence[tuple[str, str]]) -> list[Row]:
        return self._connection.read(sql.FIND_KEY, keys)

    def read_cards(self, numbers: Sequence[str]) -> list[Found]:
        return [found_of(row) for row in self._connection.read(sql.READ_CARD, [(number,) for number in numbers])]

    def read_media(self, media: Sequence[str]) -> list[MediumRow]:
        return [MediumRow(*row) for row in self._connection.read(sql.READ_MEDIUM, [(medium,) for medium in media])]

    def read_cleared(self, keys: Sequence[bytes]) -> list[Row]:
        return self._connection.read(sql.READ_CLEARED, [(key,) for key in keys])

    def single(self, entries: Insert, accounts: Insert, tell: Callable[[int, int], None]) -> direct.Single:
        """The way of one entry alone, over the same connection."""
        return direct.Single(self._connection, sql.READ_CARD, entries.one, accounts.one, tell)

    def close(self) -> None:
        self._connection.close()


class Plain:
    """Over Python's sqlite3; the connection belongs to the store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.sync_ns = 0

    def begin(self, keys: Sequence[tuple[str, str]], numbers: Sequence[str]) -> tuple[list[Row], list[Found]]:
        """No transaction: nobody else writes, so what is read stays true until it is written."""
        return self.find_keys(keys), self.read_cards(numbers) if numbers else []

    def feed(self, steps: Sequence[Step]) -> bool:
        """Each step would take the interpreter lock from the caller who goes on."""
        return False

    def abandon(self) -> None:
        """Nothing was begun."""

    def write(self, steps: Sequence[Step]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for what, rows in steps:
                if isinstance(what, str):
                    connection.executemany(what, map(_values, rows))
                else:
                    self._insert(what, rows)
            began = perf_counter_ns()
            connection.execute("COMMIT")
            self.sync_ns = perf_counter_ns() - began
        except sqlite3.Error:
            if connection.in_transaction:
                try:
                    connection.execute("ROLLBACK")
                except sqlite3.Error:  # the desk stops in any case; the first error is the one to report
                    pass
            raise

    def _insert(self, table: Insert, rows: Sequence[Rowlike]) -> None:
        first, count = 0, len(rows)
        most = self._connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // table.values
        while first < count:
            left = count - first
            size = min(CHUNK if left >= CHUNK else min(EXACT, left), most)
            part = rows if size == count else rows[first : first + size]
            self._connection.execute(table.many(size), [value for row in part for value in _values(row)])
            first += size

    def find_keys(self, keys: Sequence[tuple[str, str]]) -> list[Row]:
        execute = self._connection.execute
        rows: list[Row] = []
        if len(keys) == 1:
            return execute(sql.FIND_KEY, keys[0]).fetchall()
        by_client: dict[str, list[str]] = {}
        for client, client_key in keys:
            by_client.setdefault(client, []).append(client_key)
        for client, wanted in by_client.items():
            if len(wanted) == 1:
                rows += execute(sql.FIND_KEY, (client, wanted[0]))
            else:
                rows += execute(sql.FIND_KEYS, (client, json.dumps(wanted)))
        return rows

    def read_cards(self, numbers: Sequence[str]) -> list[Found]:
        execute = self._connection.execute
        if len(numbers) == 1:
            return [found_of(row) for row in execute(sql.READ_CARD, (numbers[0],))]
        unhex = bytes.fromhex
        return [
            Found(CardRow(*cells[:9], unhex(cells[9]), cells[10], cells[11]), AccountRow(cells[1], unhex(cells[12]), cells[13]))
            for cells in _cells(execute(sql.READ_CARDS, (json.dumps(numbers),)).fetchone()[0])
        ]

    def read_media(self, media: Sequence[str]) -> list[MediumRow]:
        execute = self._connection.execute
        if len(media) == 1:
            return [MediumRow(*row) for row in execute(sql.READ_MEDIUM, (media[0],))]
        text = execute(sql.READ_MEDIA, (json.dumps(media),)).fetchone()[0]
        return [MediumRow(*cells[:5], bytes.fromhex(cells[5]), *cells[6:]) for cells in _medium_cells(text)]

    def read_cleared(self, keys: Sequence[bytes]) -> list[Row]:
        execute = self._connection.execute
        return [row for key in keys for row in execute(sql.READ_CLEARED, (key,))]

    def close(self) -> None:
        """Nothing of its own."""
