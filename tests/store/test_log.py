"""The write-ahead log stays at one size under load, and its zeros mean nothing to recovery (S, O3).

Commits run past several lengths of the log; a copy of the files as a crash leaves them is opened and compared.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from cardapi.store import log, sqlite
from cardapi.store.port import AccountRow, Batch
from tests.store.test_contract import make_entry


def test_the_log_is_used_again_from_its_start(tmp_path: Path) -> None:
    sqlite.create(tmp_path / "cardcore.db")
    store = sqlite.SqliteStore(tmp_path / "cardcore.db")
    file = tmp_path / "cardcore.db-wal"
    position = 0
    for turn in range(log.LENGTHEN_AFTER + 60):
        if turn <= log.LENGTHEN_AFTER:
            assert file.stat().st_size < log.LOG_BYTES
            position += 1
            store.commit(Batch([make_entry(position)], [], [], []))
            continue
        entries = [make_entry(position + n, body=bytes(900)) for n in range(1, 1_001)]
        position += 1_000
        store.commit(Batch(entries, [], [AccountRow(turn + 1, b"x", position)], []))
        assert file.stat().st_size >= log.LOG_BYTES
    written = 59 * 1_000 * 900
    assert written > 3 * log.LOG_BYTES
    assert file.stat().st_size < 2 * log.LOG_BYTES, "the log grew with what was written"
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
    assert (tmp_path / "live" / "cardcore.db-wal").stat().st_size >= log.LOG_BYTES, "the log was never made long"
    store.close()


def test_large_commits_share_a_copy_and_small_ones_do_not_wait_for_it() -> None:
    assert not log.due(log.PAGES_COPIED - 1, 6)
    assert log.due(log.PAGES_COPIED, 6), "small commits are to stay within the log's size"
    assert not log.due(15 * 1_000, 1_000)
    assert log.due(16 * 1_000, 1_000)
    assert log.due(log.COPIED_MAX, 8_000), "the largest commits are to leave the log bounded"
    assert log.COPIED_MAX < log.PAGES_MAX, "SQLite would copy within a commit"
    assert log.COPIED_MAX * log.PAGE < 100_000_000
