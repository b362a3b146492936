"""SQLite's write-ahead log, kept at one size and out of the way of commits.

A commit that makes the log longer costs a second disk write for the file's new size: on ext4 such commits ran at half the
rate of those that write into a log of the same size (0.52 against 0.93 of a raw append and sync). So a process that goes on
committing makes the log long once, and it is used again from its start: a thread copies it back into the database while
commits go on, and the committing thread copies the few pages that are left, after which SQLite begins the log anew.

What commits write is mostly the same pages of the account table over and over. Copied back after a few commits they are many
scattered writes; after many, each page is copied once for all of them and beside its neighbours. So the log of a process that
goes on committing is made longer each time it was copied, in steps that no commit waits long for; and where commits are of many
rows it may grow by some dozen of them.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

PAGE = 4_096
STEP_BYTES = 16 << 20  # by which the log is made longer
LOG_BYTES = 4 * STEP_BYTES
COMMITS_COPIED = 16  # of the size of the last one, where these are more pages than that
COPIED_MAX = 24_000  # pages in the log before the copier runs, however large the commits: under 100 MB
LENGTHEN_AFTER = 50  # commits of one process, for the first time
COPIES_MAX = 8  # in a row, of what came in during the last one
LEFT_PAGES = 64  # that the committing thread may be left with
PAGES_MAX = 50_000  # pages before SQLite itself copies within a commit (bound on the file)


def lengthen(database: Path, size: int) -> bool:
    """Fill the log with zeros up to this size; False, and nothing is changed, where there is no room for it. Raises OSError.

    SQLite reads a log up to the first frame whose salt and checksum do not fit its header, so zeros after the last frame
    mean nothing to it, whether the log is in use or recovered after a crash. Nobody may be committing meanwhile.
    They are written page by page: Linux keeps what one large write brought in large pieces of its cache, and then walks
    through such a piece for every small write into it, which was a sixth of the processor time of a single commit.
    """
    handle = os.open(database.with_name(database.name + "-wal"), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        length = os.fstat(handle).st_size
        if length < size:
            if not _filled(handle, size - length, length):
                os.ftruncate(handle, length)
                return False
            os.fsync(handle)
        return True
    finally:
        os.close(handle)


def _filled(handle: int, count: int, at: int) -> bool:
    """Write so many zeros, page by page; False where the disk, or what we may have of it, is full."""
    page = bytes(PAGE)
    try:
        for start in range(at, at + count, PAGE):
            part = page[: at + count - start]
            if os.pwrite(handle, part, start) != len(part):
                return False
        return True
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return False


def due(pages: int, last: int, size: int) -> bool:
    """Whether to copy a log of so many pages back, of which the last commit wrote `last`; half of its size is room for what follows."""
    return pages >= COPIED_MAX or (pages >= size // PAGE // 2 and pages >= COMMITS_COPIED * last)


def copy(connection: sqlite3.Connection) -> None:
    """Copy the log back while others write it, until they are left with little. Raises sqlite3.Error.

    SQLite syncs the database where a copy ends with the log as it was at its start. A long one is overtaken by commits, so the sync of
    all that it wrote would be the committing thread's to wait for: after it come short ones, the last two of which found little to do.
    """
    before = short = 0
    for _ in range(COPIES_MAX):
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        short = short + 1 if pages - before < LEFT_PAGES else 0  # less than before: the log was begun anew
        before = pages
        if short == 2:
            break


class LogKeeper:
    """Lengthens the log and copies it back while commits go on (a passive checkpoint never blocks the writer)."""

    def __init__(self, database: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._database = database
        self._connect = connect
        self._commits = 0
        self._pages = 0
        self._size = STEP_BYTES
        self._long = False  # whether it was made longer, or found no room
        self._room = True  # on the disk, for a longer log: it is only quicker, so where there is none commits go on
        self._wake = threading.Event()
        self._copying = False  # from when the thread is asked to until it has
        self._copied = False
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="cardcore-wal", daemon=True)
        self._thread.start()

    def committed(self, pages: int, commits: int = 1) -> None:
        """Count so many commits and about how many pages each of them wrote."""
        self._commits += commits
        self._pages += pages * commits
        if not self._copying and due(self._pages, pages, self._size):
            self._pages = 0
            self._copying = True
            self._wake.set()

    def tend(self, connection: sqlite3.Connection) -> None:
        """By the committing thread between two commits, when nobody else writes the log. Raises sqlite3.Error, OSError."""
        if self._commits >= LENGTHEN_AFTER and not self._long:
            self._long = True
            self._room = lengthen(self._database, self._size)
        if self._copied:  # what came in since the copier ran
            self._copied = False
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            if self._room and self._long and self._size < LOG_BYTES:
                self._size += STEP_BYTES
                self._room = lengthen(self._database, self._size)

    def _run(self) -> None:
        connection = self._connect()
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._ended:
                break
            try:
                copy(connection)
                self._copied = True
            except sqlite3.Error:  # a failed copy loses nothing: the log keeps the pages, and the next commit reports a bad disk
                pass
            self._copying = False
        connection.close()

    def close(self) -> None:
        """End the thread; the log stays as it is."""
        self._ended = True
        self._wake.set()
        self._thread.join()
