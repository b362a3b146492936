"""Bare SQLite: as many rows as a settlement writes, of about the same size, and nothing decided.

The same durability (WAL, synchronous=FULL), the same two rows (a journal entry with its client's key under a unique
index, the account's new state), but no reading, no deciding, no chain and no answer to build.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

ENTRY_BYTES = 320
"""About what the entry of the benchmark's settlement takes in the product's journal, chain and columns included."""

STATE_BYTES = 60
"""About what the account of the benchmark's card takes."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (position INTEGER PRIMARY KEY, client_key TEXT NOT NULL, body BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS entry_key ON entry (client_key);
CREATE TABLE IF NOT EXISTS account (account_id INTEGER PRIMARY KEY, state BLOB NOT NULL, changed_at INTEGER NOT NULL);
"""

INSERT_ENTRY = "INSERT INTO entry (position, client_key, body) VALUES (?, ?, ?)"
UPDATE_ACCOUNT = "UPDATE account SET state = ?, changed_at = ? WHERE account_id = ?"


def connect(path: Path, *, any_thread: bool = False) -> sqlite3.Connection:
    """A connection that is durable at each commit."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=not any_thread, cached_statements=64)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -65536")
    connection.execute("PRAGMA mmap_size = 268435456")
    connection.executescript(SCHEMA)
    return connection


def fill(connection: sqlite3.Connection, accounts: int) -> None:
    """Give it `accounts` accounts, numbered from 0."""
    state = bytes(STATE_BYTES)
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO account VALUES (?, ?, 0)", ((number, state) for number in range(accounts)))
    connection.execute("COMMIT")


class Rows:
    """Writes journal rows and account rows, many a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._position = itertools.count(1 + (connection.execute("SELECT max(position) FROM entry").fetchone()[0] or 0))
        self._filler = os.urandom(ENTRY_BYTES)
        self._state = os.urandom(STATE_BYTES)

    def write(self, items: Iterable[tuple[str, int]]) -> None:
        """One durable transaction for (client key, account) pairs."""
        filler, state = self._filler, self._state
        numbered = [(next(self._position), key, account) for key, account in items]
        execute = self._connection
        execute.execute("BEGIN IMMEDIATE")
        execute.executemany(INSERT_ENTRY, [(position, key, filler) for position, key, _ in numbered])
        execute.executemany(UPDATE_ACCOUNT, [(state, position, account) for position, _, account in numbered])
        execute.execute("COMMIT")
