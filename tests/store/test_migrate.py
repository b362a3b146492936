"""Goal: `cardcore migrate` looks before and after, and can be killed at any point and run again (V, F6): the schema, the journal and
every other row are then as an undisturbed migration leaves them.

Method: a shop with its database set back to the first release's, the migration in a process of its own that is killed at steps of a
seeded choice (in the long run at each), and run again.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cardapi.app import ShopError, migrate_shop, open_shop
from cardapi.store import schema
from tests.desk.till import Till
from tests.store.migrate_child import SET_BACK, migrated
from tests.support import LONG

KILLS = 6


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A shop as the first release left it."""
    till = Till(tmp_path / "old")
    for _ in range(3):
        till.card(10_00)
    till.shop.close()
    with sqlite3.connect(tmp_path / "old" / "cardcore.db") as connection:
        for statement in SET_BACK:
            connection.execute(statement)
    connection.close()
    return tmp_path / "old"


def content(directory: Path) -> tuple[str, set[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The revision, the schema, and every row of the tables that the first release had."""
    connection = sqlite3.connect(directory / "cardcore.db")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        tables = ("partition", "entry", "account", "card", "document")
        rows = [row for table in tables for row in connection.execute(f"SELECT * FROM {table}")]
        return schema.current(connection), set(connection.execute("SELECT type, name, sql FROM sqlite_master")), rows
    finally:
        connection.close()


def test_killed_at_any_point_it_is_run_again(old: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(old, whole)
    steps = migrated(whole, "", 0)
    assert steps > 30
    expected = content(whole)
    assert expected[0] == schema.HEAD
    seen = set()
    for step in range(1, steps + 1) if LONG else random.Random(20_261_122).sample(range(1, steps + 1), KILLS):
        shop = tmp_path / f"killed-{step}"
        shutil.copytree(old, shop)
        assert migrated(shop, "", step) == 0
        revision, _, rows = content(shop)
        assert rows == expected[2], step
        seen.add(revision)
        assert migrate_shop(shop) == schema.HEAD
        assert content(shop) == expected, step
        shutil.rmtree(shop)
    assert len(seen) > 2, "it was always killed at the same place"
    with open_shop(whole) as opened:
        assert opened.store.check() == []


def test_an_older_copy_is_refused_before_it_is_touched(old: Path) -> None:
    with sqlite3.connect(old / "cardcore.db") as connection:
        connection.execute("DROP TRIGGER entry_no_delete")
        connection.execute("DELETE FROM entry WHERE id = (SELECT max(id) FROM entry)")
    connection.close()
    with pytest.raises(ShopError, match="an older copy") as refused:
        migrate_shop(old)
    assert refused.value.code == "behind_checkpoint"
    assert content(old)[0] == "0001"


def test_what_checkpoints_do_not_reach_is_verified_afterwards(old: Path) -> None:
    with sqlite3.connect(old / "cardcore.db") as connection:
        connection.execute("DROP TRIGGER entry_no_update")
        connection.execute("UPDATE entry SET operator = 'someone else' WHERE id = (SELECT max(id) - 1 FROM entry)")
    connection.close()
    with pytest.raises(ShopError, match="damaged") as refused:
        migrate_shop(old)
    assert refused.value.code == "bad_chain"
