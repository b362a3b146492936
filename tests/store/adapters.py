"""The adapters that the contract suite runs over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cardapi.store import direct, sqlite
from cardapi.store.port import Store
from tests.postgres.server import Database, fresh, needs_postgres


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



_databases: dict[Path, Database] = {}


def open_postgres(directory: Path) -> Store:
    """The same, in a database of its own for each directory."""
    if directory not in _databases:
        needs_postgres()
        _databases[directory] = fresh()
    return _databases[directory].open()


def close_postgres(directory: Path) -> None:
    """Drop the database of this directory."""
    if directory in _databases:
        _databases.pop(directory).drop()


ADAPTERS: dict[str, Callable[[Path], Store]] = {"sqlite": open_sqlite, "sqlite-plain": open_sqlite_plain, "postgres": open_postgres}
