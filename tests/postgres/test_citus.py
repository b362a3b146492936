"""The statements of docs/scaling.md that put a shop on Citus, run against the present schema (growth).

Citus is not installable everywhere, so `create_distributed_table` is a stand-in that refuses what Citus documents it refuses; it
knows the catalogue of a real PostgreSQL. Afterwards the shop sells, transfers and verifies on the changed tables. The canaries
leave out one statement each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cardcore.settlement import Transfer
from tests.postgres.till import ServerTill

DOCUMENT = Path(__file__).parents[2] / "docs" / "scaling.md"
# https://docs.citusdata.com/en/v11.3/develop/reference_ddl.html and reference_workarounds.html
STAND_IN = """
CREATE TABLE distributed (name regclass PRIMARY KEY, kind oid NOT NULL, leader regclass NOT NULL);
CREATE FUNCTION create_distributed_table(name regclass, col text, colocate_with text DEFAULT 'default') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    place smallint; kind oid; first regclass := CASE colocate_with WHEN 'default' THEN name ELSE colocate_with::regclass END;
BEGIN
    SELECT attnum, atttypid INTO place, kind FROM pg_attribute WHERE attrelid = name AND attname = col;
    IF place IS NULL THEN RAISE 'column % of % does not exist', col, name; END IF;
    IF first <> name AND kind IS DISTINCT FROM (SELECT d.kind FROM distributed d WHERE d.name = first) THEN
        RAISE 'cannot colocate % with %: it is not distributed by that type', name, first;
    END IF;
    IF EXISTS (SELECT FROM pg_index WHERE indrelid = name AND indisunique AND place <> ALL (indkey::smallint[])) THEN
        RAISE 'a unique index of % lacks the distribution column', name;
    END IF;
    IF EXISTS (
        SELECT FROM pg_constraint c WHERE c.contype = 'f' AND c.conrelid = name AND (place <> ALL (c.conkey)
            OR NOT EXISTS (SELECT FROM distributed d WHERE d.name = c.confrelid AND d.leader = first))
    ) THEN RAISE 'a foreign key of % leaves its shard', name; END IF;
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = name AND NOT tgisinternal)
        AND coalesce(current_setting('citus.enable_unsafe_triggers', true), 'off') <> 'on'
    THEN RAISE 'triggers are not supported on distributed tables'; END IF;
    INSERT INTO distributed VALUES (name, kind, first);
END $$
"""


def statements() -> list[str]:
    """Those of the document, one by one."""
    block = re.search(r"### Citus.*?```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert block is not None
    bare = "\n".join(line for line in block[1].splitlines() if not line.startswith("--"))
    return [statement.strip() for statement in bare.split(";") if statement.strip()]


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop", 4)
    till.shop.close()
    yield till
    till.end()


def distribute(till: ServerTill, *, without: str = "no such text") -> set[str]:
    """Run them as the tables' owner; the tables that are distributed afterwards."""
    with psycopg.connect(till.database.owner, autocommit=True) as connection:
        connection.execute(STAND_IN)
        for statement in statements():
            if without not in statement:
                connection.execute(statement.encode())
        found = {str(name) for (name,) in connection.execute("SELECT name::text FROM distributed").fetchall()}
        connection.execute("DROP TABLE distributed")
    return found


def test_every_table_is_distributed_and_the_shop_sells_on(till: ServerTill) -> None:
    with psycopg.connect(till.database.owner) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    tables = {str(name) for (name,) in rows} - {"alembic_version"}
    assert distribute(till) == tables, "a table of the schema is not in the document's statements"
    till.reopen()
    cards = [till.card(10_00) for _ in range(6)]
    sale = till.sale(cards[0], 1_00, key="once")
    assert till.sale(cards[0], 1_00, key="once") == sale
    till.done("transfer", card=cards[1], further=(cards[2],), command=Transfer(5_00))
    assert [till.balance(card) for card in cards[:3]] == [9_00, 5_00, 15_00]
    till.sound()


@pytest.mark.parametrize(
    ("without", "found"),
    [
        ("entry_client_key", "a unique index of entry lacks the distribution column"),
        ("medium_name", "a unique index of medium lacks the distribution column"),
        ("enable_unsafe_triggers", "triggers are not supported"),
        ("'account'", "a foreign key of card leaves its shard"),
        ("'partition', 'number'", "cannot colocate entry"),
    ],
)
def test_no_statement_can_be_left_out(till: ServerTill, without: str, found: str) -> None:
    with pytest.raises(psycopg.Error, match=found):
        distribute(till, without=without)
