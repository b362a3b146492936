"""Runs with the fault library preloaded: fails each write and sync of one transaction over the log's layer in turn.

A statement that fails may leave its transaction open; then the rest is done and committed. Prints one JSON line for each fault.
"""

from __future__ import annotations

import ctypes
import errno
import json
import sqlite3
import sys
from pathlib import Path

from tests.store.test_wal_file import Rows, layered, stored

CALLS_MAX = 400
STATEMENTS = 40
ROWS = 90


def statement(connection: sqlite3.Connection, rows: Rows, turn: int) -> None:
    """Rows that may each break a UNIQUE rule, so that SQLite can give up this statement alone: many, or few far from the last."""
    first, last = (turn * 37 % ROWS, turn * 37 % ROWS + 2) if turn % 8 else (0, ROWS)
    where = "number BETWEEN ? AND ?"
    connection.execute(f"UPDATE item SET data = randomblob(700 + {turn}), size = number + {turn * 1_000} WHERE {where}", (first, last))
    rows.update(connection.execute(f"SELECT number, data FROM item WHERE {where}", (first, last)))


def main(path: Path, reason: int) -> None:
    disk = ctypes.CDLL(None)
    disk.fault_reason(reason)
    connection = layered(path, "FULL")
    connection.executemany("INSERT INTO item (number, data) VALUES (?, zeroblob(600))", [(number,) for number in range(ROWS)])
    for call in range(1, CALLS_MAX):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = stored(path)
        rows = dict(before)
        told, went_on, failures = "committed", False, 0
        connection.execute("BEGIN IMMEDIATE")
        disk.fault_arm(call, 0)
        try:
            for turn in range(1, STATEMENTS):
                if failures and connection.in_transaction:
                    went_on = True
                try:
                    statement(connection, rows, turn)
                except sqlite3.OperationalError:
                    failures += 1
                    if not connection.in_transaction:
                        raise
            connection.execute("COMMIT")
        except sqlite3.OperationalError:
            told = "failed"
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        fired = disk.fault_fired()
        disk.fault_arm(0, 0)
        right = stored(path) == (rows if told == "committed" else before)
        connection.execute("UPDATE item SET data = x'01' WHERE number = 5")
        print(json.dumps({
            "call": call, "fired": fired, "told": told, "went_on": went_on and told == "committed", "right": right,
            "next": stored(path)[5] == b"\x01",
        }), flush=True)  # fmt: skip
        if not fired:
            break
    connection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), getattr(errno, sys.argv[2]))
