"""Copies of the embedded database: taken beside a running service, put back only after they were compared (U).

A backup directory holds `cardcore.db` and `checkpoints.jsonl`. It never holds the root secret (A6): keep that elsewhere.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from cardapi.store.port import StoreError

DATABASE = "cardcore.db"
CHECKPOINTS = "checkpoints.jsonl"
STEP_PAGES = 1_000

Progress = Callable[[int, int], None]


def sync_directory(directory: Path) -> None:
    """Make names created or renamed in a directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def copy_database(source: Path, target: Path, progress: Progress | None = None) -> None:
    """A consistent copy of a database that may be in use (SQLite online backup). Raises StoreError; then there is no target."""
    partial = target.with_name(target.name + ".partial")
    for name in (partial, target):  # a log left by a copy that was killed would be read into this one
        for suffix in ("", "-wal", "-shm", "-journal"):
            name.with_name(name.name + suffix).unlink(missing_ok=True)
    reading = writing = None
    try:
        reading = sqlite3.connect(source.absolute().as_uri() + "?mode=ro", uri=True, isolation_level=None)
        reading.execute("BEGIN")  # one snapshot for the whole copy, whatever is committed meanwhile
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        writing = sqlite3.connect(partial)
        writing.execute("PRAGMA synchronous = FULL")
        tell = (lambda _status, left, total: progress(total - left, total)) if progress else None
        reading.backup(writing, pages=STEP_PAGES, progress=tell, sleep=0)
        complaint = writing.execute("PRAGMA quick_check(1)").fetchone()[0]
        if complaint != "ok":
            raise StoreError(f"the copy of {source} is not sound: {complaint}")
        writing.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
    except sqlite3.Error as error:
        raise StoreError(f"cannot copy {source}: {error}") from error
    finally:
        for connection in (writing, reading):
            if connection is not None:
                connection.close()
    partial.chmod(0o600)
    partial.rename(target)
    sync_directory(target.parent)


def copy_file(source: Path, target: Path) -> None:
    """Copy a small file durably."""
    partial = target.with_name(target.name + ".partial")
    shutil.copyfile(source, partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.rename(target)
    sync_directory(target.parent)


def set_aside(database: Path) -> Path | None:
    """Move a database with its log out of the way, for evidence. Returns its new place, None if there was none.

    The database goes first: killed in between, there is none to serve without its log, and the next call moves the log that
    would otherwise be read into the database put in its place.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (database.with_name(f"{database.name}.replaced-{stamp}{again}") for again in ("", *(f"-{n}" for n in range(2, 100))))
    aside = next(name for name in names if not name.exists())
    moved = False
    for suffix in ("", "-wal", "-shm"):
        file = database.with_name(database.name + suffix)
        if file.exists():
            file.rename(aside.with_name(aside.name + suffix))
            moved = True
    if moved:
        sync_directory(database.parent)
    return aside if moved else None
