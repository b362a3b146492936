"""Many rows a statement, for reads and writes of a whole batch.

Python's sqlite3 lets go of the interpreter lock for each step of a statement and then waits to get it back. Beside a busy
event loop that wait dwarfs the work: a row a step made a batch of 1,000 inserts 3 times slower, and reads 20 times
(`docs/performance.md`). So a batch is one statement of many rows, and a read of many cards answers with one row.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec

from cardapi.store import statements as sql
from cardapi.store.port import AccountRow, CardRow, Found, MediumRow

EXACT = 64  # up to this many rows a statement of its own for each count, so that the prepared ones are found again
CHUNK = 256  # rows of one statement beyond that

_Cells = tuple[str, int, str, str, int, str, str, int, int, str, int, int, str, int]
_MediumCells = tuple[str, int, str, str, str, str, int, int, int, int, int, int]
_cells = msgspec.json.Decoder(list[_Cells]).decode
_medium_cells = msgspec.json.Decoder(list[_MediumCells]).decode


class Insert:
    """An INSERT of any number of rows."""

    def __init__(self, head: str, columns: int, tail: str = "") -> None:
        self._head, self._tail = head, tail
        self._row = "(" + ",".join("?" * columns) + ")"
        self._columns = columns
        self._statements: dict[int, str] = {}

    def __call__(self, connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write the rows in order. Raises sqlite3.Error."""
        first, count = 0, len(rows)
        most = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // self._columns
        while first < count:
            left = count - first
            size = min(CHUNK if left >= CHUNK else min(EXACT, left), most)
            part = rows if size == count else rows[first : first + size]
            connection.execute(self._statement(size), list(chain.from_iterable(part)))
            first += size

    def _statement(self, size: int) -> str:
        text = self._statements.get(size)
        if text is None:
            text = self._statements[size] = f"{self._head} {','.join([self._row] * size)} {self._tail}"
        return text


def read_cards(connection: sqlite3.Connection, numbers: Sequence[str]) -> list[Found]:
    """Cards with their accounts; unknown numbers are left out. Raises sqlite3.Error."""
    text = connection.execute(sql.READ_CARDS, (json.dumps(numbers),)).fetchone()[0]
    unhex = bytes.fromhex
    return [
        Found(CardRow(*cells[:9], unhex(cells[9]), cells[10], cells[11]), AccountRow(cells[1], unhex(cells[12]), cells[13]))
        for cells in _cells(text)
    ]


def read_media(connection: sqlite3.Connection, media: Sequence[str]) -> list[MediumRow]:
    """Media by id; unknown ones are left out. Raises sqlite3.Error."""
    text = connection.execute(sql.READ_MEDIA, (json.dumps(media),)).fetchone()[0]
    return [MediumRow(*cells[:5], bytes.fromhex(cells[5]), *cells[6:]) for cells in _medium_cells(text)]
