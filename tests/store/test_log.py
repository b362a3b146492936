"""The write-ahead log stays at one size under load, and its zeros mean nothing to recovery (S, O3).

Commits run past several lengths of the log; a copy of the files as a crash leaves them is opened and compared.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from itertools import pairwise
from pathlib import Path

import pytest

from cardapi.store import log, sqlite
from cardapi.store.port import AccountRow, Batch
from tests.store.test_contract import make_entry


def test_the_log_is_used_again_from_its_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made longer by steps up to its size, and then holds whatever is written. In small: a step is one megabyte here."""
    monkeypatch.setattr(log, "STEP_BYTES", 1 << 20)
    monkeypatch.setattr(log, "LOG_BYTES", 4 << 20)
    sqlite.create(tmp_path / "cardcore.db")
    store = sqlite.SqliteStore(tmp_path / "cardcore.db")
    file = tmp_path / "cardcore.db-wal"
    position = written = 0
    sizes = []
    for turn in range(log.LENGTHEN_AFTER + 200):
        if turn <= log.LENGTHEN_AFTER:
            assert file.stat().st_size < log.STEP_BYTES
            position += 1
            store.commit(Batch([make_entry(position)], [], [], []))
            continue
        store.commit(Batch([make_entry(position + n, body=bytes(900)) for n in range(1, 101)], [], [AccountRow(turn, b"x", position)], []))
        position += 100
        written += 100 * 900
        sizes.append(file.stat().st_size)
        keeper = store._keeper
        assert keeper is not None
        while keeper._copying:  # however busy the machine is
            time.sleep(0.001)
    assert written > 4 * log.LOG_BYTES
    assert sizes == sorted(sizes)
    assert log.STEP_BYTES <= sizes[0] < 2 * log.STEP_BYTES
    assert log.LOG_BYTES <= sizes[-1] < 2 * log.LOG_BYTES, "the log grew with what was written"
    assert max(after - before for before, after in pairwise(sizes)) <= log.STEP_BYTES, "a commit waited for more than a step"
    store.close()


def test_recovery_after_a_crash_ignores_the_zeros(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    sqlite.create(tmp_path / "live" / "cardcore.db")
    store = sqlite.SqliteStore(tmp_path / "live" / "cardcore.db")
    commits = log.LENGTHEN_AFTER - 2
    for crash in range(3):
        for n in range(1, commits + 1):
            store.commit(Batch([make_entry(crash * commits + n)], [], [], []))
        shutil.copytree(tmp_path / "live", tmp_path / f"crashed-{crash}")
        (tmp_path / f"crashed-{crash}" / "cardcore.db-shm").unlink()
        recovered = sqlite.SqliteStore(tmp_path / f"crashed-{crash}" / "cardcore.db")
        assert [entry.position for entry in recovered.journal(0)] == list(range(1, (crash + 1) * commits + 1))
        assert recovered.check() == []
        recovered.commit(Batch([make_entry((crash + 1) * commits + 1)], [], [], []))
        recovered.close()
        again = sqlite.SqliteStore(tmp_path / f"crashed-{crash}" / "cardcore.db")
        assert again.heads()[0].position == (crash + 1) * commits + 1
        again.close()
    assert (tmp_path / "live" / "cardcore.db-wal").stat().st_size >= log.STEP_BYTES, "the log was never made long"
    store.close()


def test_large_commits_share_a_copy_and_small_ones_do_not_wait_for_it() -> None:
    half = log.STEP_BYTES // log.PAGE // 2
    assert not log.due(half - 1, 4, log.STEP_BYTES)
    assert log.due(half, 4, log.STEP_BYTES), "small commits are to stay within the log's size"
    assert not log.due(half, 4, log.LOG_BYTES), "a longer log is to be used"
    assert not log.due(15 * 1_000, 1_000, log.STEP_BYTES)
    assert log.due(16 * 1_000, 1_000, log.STEP_BYTES)
    assert log.due(log.COPIED_MAX, 8_000, log.LOG_BYTES), "the largest commits are to leave the log bounded"
    assert log.COPIED_MAX < log.PAGES_MAX, "SQLite would copy within a commit"
    assert max(log.COPIED_MAX * log.PAGE, log.LOG_BYTES) < 100_000_000


class Copies:
    """A connection whose log has these many pages from copy to copy."""

    def __init__(self, pages: list[int]) -> None:
        self.pages = iter(pages)
        self.done = 0

    def execute(self, statement: str) -> Copies:
        assert statement == "PRAGMA wal_checkpoint(PASSIVE)"
        self.done += 1
        return self

    def fetchone(self) -> tuple[int, int, int]:
        pages = next(self.pages)
        return 0, pages, pages


@pytest.mark.parametrize(
    ("pages", "copies"),
    [
        ([7_000, 7_000, 7_000], 3),
        ([7_000, 7_200, 7_240, 7_250], 4),
        ([7_000, 7_020, 7_320, 7_330, 7_340], 5),  # the second copy synced, and many came in meanwhile
        ([7_000, 12, 30], 3),  # begun anew
        ([1_000 * n for n in range(1, 100)], log.COPIES_MAX),
    ],
)
def test_the_committing_thread_is_left_with_little(pages: list[int], copies: int) -> None:
    """Copies go on until two in a row found little: the sync of the database after a long one is not a commit's to wait for."""
    connection = Copies(pages)
    log.copy(connection)  # type: ignore[arg-type]
    assert connection.done == copies


@pytest.mark.parametrize("pages", [0, 3], ids=["nothing", "a-part"])
@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT, 0], ids=["full", "quota", "half a page"])
def test_where_there_is_no_room_for_a_longer_log_commits_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: int, reason: int
) -> None:
    """It is only quicker: a shop with some megabytes left goes on selling, and the log takes no more of them than it needs."""
    sqlite.create(tmp_path / "cardcore.db")
    store = sqlite.SqliteStore(tmp_path / "cardcore.db")
    asked = []
    write = os.pwrite

    def full(handle: int, data: bytes, at: int) -> int:
        asked.append(at)
        if len(asked) <= pages:
            return write(handle, data, at)
        if reason == 0:
            return write(handle, data[:1_000], at)
        raise OSError(reason, os.strerror(reason))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        for position in range(1, log.LENGTHEN_AFTER + 10):
            store.commit(Batch([make_entry(position)], [], [], []))
    assert len(asked) == pages + 1, "it was tried again, or never"
    assert (tmp_path / "cardcore.db-wal").stat().st_size < log.STEP_BYTES
    assert [entry.position for entry in store.journal(0)] == list(range(1, log.LENGTHEN_AFTER + 10))
    assert store.check() == []
    store.close()


def test_a_log_that_cannot_be_written_is_not_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pwrite", broken)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        log.lengthen(tmp_path / "cardcore.db", 4_096)
