"""`verify` finds every single-column change of a 300-entry ledger, in every table, and names the place (A2, M3, M8, M10).

Whoever can write the database drops the triggers and constraints first; each cell is then changed inside a transaction
that is rolled back after the check, so one copy serves thousands of damages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from cardapi.store.verify import rebuild, verify_tail
from tests.store.conftest import Copy
from tests.store.ledger import ENTRIES
from tests.support import sized

STRIDE = sized(13, 1)  # rows between two damaged ones
# Facts about the machine, not the shop: Alembic's own row is held to the release's number.
TABLES = ("entry", "card", "account", "medium", "document", "partition", "alembic_version")


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value + "~"
    return bytes([value[0] ^ 1]) + value[1:] if value else bytes(16)


def open_to_damage(store: Any) -> sqlite3.Connection:
    connection: sqlite3.Connection = store._connection
    for pragma in ("ignore_check_constraints = ON", "foreign_keys = OFF"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("DROP TRIGGER entry_no_update")
    connection.execute("DROP TRIGGER entry_no_delete")
    return connection


def cells(connection: sqlite3.Connection, table: str) -> Iterator[tuple[list[str], str, tuple[Any, ...], Any]]:
    """(key columns, column, key, value) of every cell to change."""
    info = connection.execute(f"PRAGMA table_info({table})").fetchall()
    names = [row[1] for row in info]
    keys = [row[1] for row in info if row[5]] or names
    rows = connection.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY {keys[0]}").fetchall()
    for row in rows[:: STRIDE if len(rows) > 20 else 1] + rows[-1:]:
        key = tuple(row[names.index(name)] for name in keys)
        for name, value in zip(names, row, strict=True):
            yield keys, name, key, value


@pytest.mark.parametrize("table", TABLES)
def test_every_changed_cell_is_found(copy: Copy, table: str) -> None:
    connection = open_to_damage(copy.store)
    assert copy.verify().ok
    tried = 0
    for keys, column, key, value in cells(connection, table):
        changed = value + ENTRIES * 2 if isinstance(value, int) and column in keys else other(value)
        where = " AND ".join(f"{name} = ?" for name in keys)
        connection.execute("BEGIN")
        touched = connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (changed, *key)).rowcount
        report = copy.verify(checkpoints=False)
        connection.execute("ROLLBACK")
        assert touched == 1
        assert not report.ok, f"{table}.{column} of {key}: {value!r} -> {changed!r} was not found"
        bad = report.first_bad
        assert bad is not None
        if table == "entry" and column != "id":
            assert (bad.table, bad.position) == ("entry", key[0] & (1 << 48) - 1), f"{table}.{column} of {key}: {bad}"
        elif table in ("card", "account", "medium", "document") and column not in keys:
            assert (bad.table, bad.key) == (table, "/".join(map(str, key))), f"{table}.{column} of {key}: {bad}"
        tried += 1
    assert tried >= 1
    assert copy.verify().ok, "the ledger itself must be sound again"


@pytest.mark.parametrize("position", [1, 2, 150, ENTRIES - 1, ENTRIES])
def test_removed_entries_are_found(copy: Copy, position: int) -> None:
    connection = open_to_damage(copy.store)
    connection.execute("DELETE FROM entry WHERE id = ?", (position,))
    report = copy.verify()
    assert report.first_bad is not None
    assert report.first_bad.position == position


def test_swapped_entries_are_found(copy: Copy) -> None:
    connection = open_to_damage(copy.store)
    for old, new in ((100, 9_999), (101, 100), (9_999, 101)):
        connection.execute("UPDATE entry SET id = ? WHERE id = ?", (new, old))
    report = copy.verify()
    assert report.first_bad is not None
    assert report.first_bad.position == 100


@pytest.mark.parametrize("table", ["card", "account", "medium", "document"])
def test_rows_from_nowhere_and_missing_rows_are_found(copy: Copy, table: str) -> None:
    connection = open_to_damage(copy.store)
    key = {"card": "number", "account": "account_id", "medium": "medium", "document": "id"}[table]
    connection.execute("BEGIN")
    connection.execute(f"DELETE FROM {table} WHERE {key} = (SELECT max({key}) FROM {table})")
    assert not copy.verify().ok
    connection.execute("ROLLBACK")
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    new = {"card": "'99999999'", "account": "77777", "medium": "'uid:99'", "document": "'ghost'"}[table]
    values = ", ".join(new if name == key else name for name in names)
    connection.execute(f"INSERT INTO {table} SELECT {values} FROM {table} LIMIT 1")
    report = copy.verify()
    assert report.first_bad is not None
    assert report.first_bad.key.endswith(new.strip("'"))


def test_a_broken_index_is_found(copy: Copy) -> None:
    """Rows hidden from the unique index would let a key be used twice."""
    connection = open_to_damage(copy.store)
    connection.execute("PRAGMA writable_schema = ON")
    wrong = "CREATE UNIQUE INDEX entry_client_key ON entry (client, card)"
    connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'entry_client_key'", (wrong,))
    connection.execute("PRAGMA writable_schema = RESET")
    assert copy.verify().first_bad is not None


def test_the_tail_is_checked_at_start(copy: Copy) -> None:
    connection = open_to_damage(copy.store)
    assert verify_tail(copy.store, copy.custody.chain_key, 50) is None
    connection.execute("UPDATE entry SET reason = 'x' WHERE id = ?", (ENTRIES - 10,))
    bad = verify_tail(copy.store, copy.custody.chain_key, 50)
    assert bad is not None
    assert bad.position == ENTRIES - 10
    assert verify_tail(copy.store, copy.custody.chain_key, 5) is None


def test_rebuild_makes_every_projection_again(copy: Copy) -> None:
    connection = open_to_damage(copy.store)
    before = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("card", "account", "medium", "document")]
    for table in ("card", "account", "medium", "document"):
        connection.execute(f"DELETE FROM {table}")
    assert not copy.verify().ok
    report = rebuild(copy.store, copy.custody.chain_key, checkpoints=copy.checkpoints.read())
    assert report.ok, report.first_bad
    assert [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("card", "account", "medium", "document")] == before


def test_rebuild_refuses_a_bad_journal(copy: Copy) -> None:
    connection = open_to_damage(copy.store)
    connection.execute("UPDATE entry SET reason = 'x' WHERE id = 20")
    connection.execute("DELETE FROM card")
    report = rebuild(copy.store, copy.custody.chain_key)
    assert report.first_bad is not None
    assert report.first_bad.position == 20
    assert connection.execute("SELECT count(*) FROM card").fetchone() == (0,)


def test_progress_is_told(copy: Copy) -> None:
    from cardapi.store.verify import verify

    told: list[tuple[int, int]] = []
    verify(copy.store, copy.custody.chain_key, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (ENTRIES, ENTRIES)


def test_the_journal_itself_refuses_change(copy: Copy) -> None:
    for statement in ("UPDATE entry SET reason = 'x'", "DELETE FROM entry"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            copy.store._connection.execute(statement)
