"""Goal: `cardcore migrate` of a shop on a server looks before and after, and can be killed at any point and run again (V, F6).

Method: as in `tests.store.test_migrate`. Compared are also what the serving role may do: rights are given last.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cardapi.app import ShopError, migrate_shop
from cardapi.store import schema
from cardapi.store.postgres_local import ROLE
from tests.postgres.server import Database, server
from tests.postgres.till import ServerTill
from tests.store.migrate_child import SET_BACK, migrated
from tests.support import LONG

KILLS = 3
CHECKED = (  # what the first release had for the policy, by its first and last constraint
    "DROP POLICY entry_sound ON entry", "ALTER TABLE entry ADD CONSTRAINT entry_partition_check CHECK (partition BETWEEN 0 AND 255)",
    "ALTER TABLE entry ADD CONSTRAINT entry_check1 CHECK (prior BETWEEN 0 AND position - 1)",
)  # fmt: skip
SHAPE = f"""
    SELECT 'column', table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'policy', tablename, policyname, with_check FROM pg_policies WHERE schemaname = 'public'
    UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, '' FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'type', typname, '', '' FROM pg_type WHERE typname = 'entry_row'
    UNION ALL SELECT 'right', table_name, column_name, privilege_type FROM information_schema.column_privileges WHERE grantee = '{ROLE}'
    UNION ALL SELECT 'right', table_name, '', privilege_type FROM information_schema.table_privileges WHERE grantee = '{ROLE}'
"""


@pytest.fixture
def old(tmp_path: Path) -> Iterator[ServerTill]:
    """A shop as the first release left it; whoever uses its tables has no rights on those that are new."""
    till = ServerTill(tmp_path / "shop", 4)
    for _ in range(3):
        till.card(10_00)
    till.shop.close()
    for statement in (*SET_BACK, *CHECKED, "DROP TYPE entry_row", f"REVOKE ALL ON card FROM {ROLE}"):
        server().sql(statement, till.database.name)
    yield till
    till.database.drop()


def content(database: Database) -> tuple[object, set[tuple[Any, ...]], list[list[tuple[Any, ...]]]]:
    """The revision, the schema with rights, and every row of the tables that the first release had."""
    ask = server().sql
    tables = ("partition", "entry", "account", "card", "document")
    rows = [sorted(ask(f"SELECT t::text FROM {table} t", database.name)) for table in tables]
    return ask("SELECT version_num FROM alembic_version", database.name)[0][0], set(ask(SHAPE, database.name)), rows


def test_killed_at_any_point_it_is_run_again(old: ServerTill) -> None:
    directory, settings = old.directory, (old.directory / "settings.toml")
    steps, expected = 0, None
    done: list[Database] = []
    seen = set()

    def fresh() -> Database:
        database = Database.copy_of(old.database)
        settings.write_text(f'store = "{database.url}"\n')
        done.append(database)
        return database

    try:
        whole = fresh()
        steps, expected = migrated(directory, whole.owner, 0), content(whole)
        assert steps > 30
        assert expected[0] == schema.HEAD
        for step in range(1, steps + 1) if LONG else random.Random(20_261_122).sample(range(1, steps + 1), KILLS):
            database = fresh()
            assert migrated(directory, database.owner, step) == 0
            revision, _, rows = content(database)
            assert rows == expected[2], step
            seen.add(revision)
            assert migrate_shop(directory, database.owner) == schema.HEAD
            assert content(database) == expected, step
            done.pop().drop()
    finally:
        for database in done:
            database.drop()
    assert len(seen) > 1, "it was always killed at the same place"


def test_an_older_copy_is_refused_before_it_is_touched(old: ServerTill) -> None:
    server().sql("ALTER TABLE entry DISABLE TRIGGER ALL", old.database.name)
    server().sql("DELETE FROM entry e WHERE position = (SELECT max(position) FROM entry WHERE partition = e.partition)", old.database.name)
    with pytest.raises(ShopError, match="an older copy") as refused:
        migrate_shop(old.directory, old.database.owner)
    assert refused.value.code == "behind_checkpoint"
    assert content(old.database)[0] == "0001"
