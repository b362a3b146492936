"""Migrations (V): an empty and an older database come to the newest schema, keep their rows, and unknown ones are refused.

The schema that migrations lead to is compared between a new database and one that was made at the first revision.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from cardapi.store import schema, sqlite, statements
from cardapi.store.port import StoreError
from cardapi.store.schema import SchemaError
from cardapi.store.verify import rebuild
from tests.store.conftest import Copy


def described(path: Path) -> set[tuple[str, ...]]:
    with sqlite3.connect(path) as connection:
        return set(connection.execute("SELECT type, name, sql FROM sqlite_master"))


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_an_empty_and_an_older_database_meet(tmp_path: Path) -> None:
    sqlite.create(tmp_path / "new.db")
    schema.upgrade(tmp_path / "old.db", "0001")
    assert described(tmp_path / "old.db") != described(tmp_path / "new.db")
    schema.upgrade(tmp_path / "old.db")
    assert described(tmp_path / "old.db") == described(tmp_path / "new.db")
    schema.upgrade(tmp_path / "old.db")


def test_an_older_database_is_migrated_at_open_with_its_rows(copy: Copy) -> None:
    path = copy.directory / "cardcore.db"
    before = list(copy.store.journal(0))
    copy.store.close()
    with sqlite3.connect(path) as connection:
        for table in ("clearing_record", "medium", "record_key", "record"):
            connection.execute(f"DROP TABLE {table}")
        for index in ("card_account", "card_out_of_use"):
            connection.execute(f"DROP INDEX {index}")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    with pytest.raises(SchemaError):
        sqlite.SqliteStore(path, read_only=True)
    copy.store = sqlite.SqliteStore(path)
    assert list(copy.store.journal(0)) == before
    bad = copy.verify().first_bad
    assert bad is not None
    assert bad.table == "medium", "the one table that the older release did not write"
    assert rebuild(copy.store, copy.custody.chain_key, checkpoints=copy.checkpoints.read()).ok


def test_a_newer_or_unknown_database_is_refused(copy: Copy) -> None:
    copy.store.close()
    path = copy.directory / "cardcore.db"
    kept = path.with_name("kept.db")
    shutil.copyfile(path, kept)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(SchemaError, match="cannot migrate"):
        sqlite.SqliteStore(path)
    copy.store = sqlite.SqliteStore(kept)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "cardcore.db"
    with pytest.raises(StoreError, match="no database"):
        sqlite.SqliteStore(path)
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 50)
    with pytest.raises(StoreError):
        sqlite.SqliteStore(path)
    with pytest.raises(StoreError, match="exists"):
        sqlite.create(path)


def test_settings_of_every_connection(tmp_path: Path) -> None:
    sqlite.create(tmp_path / "cardcore.db")
    store = sqlite.SqliteStore(tmp_path / "cardcore.db")
    for view in (store, store.reader()):
        values = {
            name: view._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "foreign_keys", "journal_mode")
        }
        assert values == {"synchronous": 2, "foreign_keys": 1, "journal_mode": "wal"}
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store.reader()._connection.execute("DELETE FROM document")
    store.close()


def steps_taken(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> int:
    """How many steps of SQLite's machine these take, commit included: the same on every machine."""
    taken = [0]

    def count() -> int:
        taken[0] += 1
        return 0

    connection.set_progress_handler(count, 1)
    connection.executemany(statement, rows)
    connection.commit()
    connection.set_progress_handler(None, 1)
    return taken[0]


def test_a_record_is_changed_and_removed_at_the_same_cost_among_many(tmp_path: Path) -> None:
    """A night changes each of a million members: each may cost what it costs among few, foreign keys included."""
    sqlite.create(tmp_path / "cardcore.db")
    connection = sqlite3.connect(tmp_path / "cardcore.db")
    connection.execute("PRAGMA foreign_keys = ON")
    costs = []
    for first, last in ((0, 100), (100, 10_000)):
        names = [f"{number:08d}" for number in range(first, last)]
        steps_taken(connection, statements.UPSERT_RECORD, [("member", name, b"as it was", "[]", 1) for name in names])
        steps_taken(connection, statements.INSERT_RECORD_KEY, [("member", "tag", "vip", name) for name in names])
        mine = [("member", "tag", "vip", name) for name in names[50:60]]
        changed = steps_taken(connection, statements.UPSERT_RECORD, [("member", key[-1], b"changed", "[]", 2) for key in mine])
        steps_taken(connection, statements.DELETE_RECORD_KEY, mine)
        removed = steps_taken(connection, statements.DELETE_RECORD, [("member", key[-1]) for key in mine])
        costs.append((changed, removed))
    assert connection.execute("SELECT count(*) FROM record WHERE changed_at = 2").fetchone() == (0,), "they were changed, then removed"
    connection.close()
    assert costs[0] == costs[1]
