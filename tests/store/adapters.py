"""The adapters that the contract suite runs over: one line for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cardapi.store import direct, sqlite
from cardapi.store.port import Store


def open_sqlite(directory: Path) -> Store:
    """An empty store with one partition, or the one that is there."""
    path = directory / "cardcore.db"
    if not path.exists():
        sqlite.create(path)
    return sqlite.SqliteStore(path)


def open_sqlite_plain(directory: Path) -> Store:
    """The same through Python's sqlite3 alone, as where SQLite's library is not within reach."""
    assert direct.available, "nothing else would be tested"
    direct.available = False
    try:
        return open_sqlite(directory)
    finally:
        direct.available = True


ADAPTERS: dict[str, Callable[[Path], Store]] = {"sqlite": open_sqlite, "sqlite-plain": open_sqlite_plain}
