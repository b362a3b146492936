"""The layer that writes a transaction into the log at once (S, O3): others see every commit, a crash keeps it, a failed write fails it.

Method: the layer under Python's sqlite3, with a cache so small that SQLite writes pages before the commit, reads them back and writes
them again. After each commit a connection without the layer, and a copy of the files as a crash leaves them, are compared with a model.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cardapi.store import direct
from tests.desk import preload
from tests.support import sized

pytestmark = pytest.mark.skipif(not direct.gathers, reason="SQLite's library is not within reach: nothing uses the layer")

NAME = "cardcore.db"  # the fault library watches files of this name
Rows = dict[int, bytes]


def layered(path: Path, synchronous: str) -> sqlite3.Connection:
    """A connection over the layer that keeps ten pages in memory."""
    connection = sqlite3.connect(f"{path.as_uri()}?vfs=cardcore", uri=True, isolation_level=None)
    pages = ("cache_size = 10", "wal_autocheckpoint = 60")
    for setting in ("journal_mode = WAL", f"synchronous = {synchronous}", *pages, "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute("CREATE TABLE IF NOT EXISTS item (number INTEGER PRIMARY KEY, data BLOB NOT NULL, size INTEGER UNIQUE) STRICT")
    return connection


def stored(path: Path) -> Rows:
    """What a connection without the layer sees, whole and sound."""
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return dict(plain.execute("SELECT number, data FROM item"))


def after_a_crash(path: Path, room: Path) -> Rows:
    """What is there of the files alone, without the shared memory."""
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    for end in ("", "-wal"):
        shutil.copy(path.with_name(NAME + end), room)
    return stored(room / NAME)


def change(connection: sqlite3.Connection, rows: Rows, rng: random.Random) -> None:
    """One statement of one row or of very many."""
    kind, number = rng.randrange(4), rng.randrange(400)
    if kind == 0:
        connection.execute("UPDATE item SET data = CAST(data || x'00' AS BLOB) WHERE number < ?", (number,))
        rows |= {other: data + b"\0" for other, data in rows.items() if other < number}
    elif kind == 1:
        connection.execute("DELETE FROM item WHERE number % 7 = ?", (number % 7,))
        for other in [other for other in rows if other % 7 == number % 7]:
            del rows[other]
    else:
        data = rng.randbytes(rng.choice((10, 900, 5_000)))
        connection.execute("REPLACE INTO item (number, data) VALUES (?, ?)", (number, data))
        rows[number] = data


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL", "OFF"])
def test_every_commit_is_seen_and_kept(tmp_path: Path, synchronous: str) -> None:
    rng = random.Random(synchronous)
    path = tmp_path / NAME
    connection = layered(path, synchronous)
    rows: Rows = {}
    for turn in range(sized(40, 1_000)):
        ours = dict(rows)
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(rng.choice((1, 3, 60))):
            change(connection, ours, rng)
            if rng.random() < 0.05:
                seen = connection.execute("SELECT count(*), total(length(data)) FROM item").fetchone()
                assert seen == (len(ours), sum(map(len, ours.values())))
        if rng.random() < 0.2:
            connection.execute("ROLLBACK")
        else:
            connection.execute("COMMIT")
            rows = ours
        if turn % 3 == 0:
            assert after_a_crash(path, tmp_path / "crash") == rows
        assert stored(path) == rows
        if rng.random() < 0.1:
            connection.execute(f"PRAGMA wal_checkpoint({rng.choice(('PASSIVE', 'RESTART', 'TRUNCATE'))})")
    connection.close()
    assert stored(path) == rows


@preload.on_linux
@pytest.mark.parametrize("reason", ["EIO", "ENOSPC"])
def test_a_write_that_fails_is_of_no_transaction_that_succeeds(tmp_path: Path, reason: str) -> None:
    """Each call of a transaction of several statements fails once, and the transaction goes on with the statements that it may still do."""
    library = preload.compiled("fault", tmp_path)
    shown = preload.run(library, "tests.store.wal_child", str(tmp_path / NAME), reason, seconds=300)
    lines = [json.loads(line) for line in shown.splitlines()]
    assert len([line for line in lines if line["fired"]]) > 10, "the transaction was never written in parts"
    assert not lines[-1]["fired"], "not every call was failed"
    for line in lines:
        assert line["right"], line
        assert line["next"], line
    assert {line["told"] for line in lines} >= {"committed", "failed"}
    if reason == "ENOSPC":
        assert any(line["went_on"] for line in lines), "a full disk gave up whole transactions only"
