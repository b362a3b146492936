"""The adapters that the contract suite runs over: one line for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cardapi.store import sqlite
from cardapi.store.port import Store


def open_sqlite(directory: Path) -> Store:
    """An empty store with one partition, or the one that is there."""
    path = directory / "cardcore.db"
    if not path.exists():
        sqlite.create(path)
    return sqlite.SqliteStore(path)


ADAPTERS: dict[str, Callable[[Path], Store]] = {"sqlite": open_sqlite}
