"""Every hot statement touches the keys of its own partitions and nothing else, by index (growth; docs/scaling.md).

Method: each statement of `postgres_sql.HOT` is read for a condition or column on the partition of every table it names, and
explained with the settings of a serving connection on tables that are filled: no table is read whole, and the index that finds
rows starts with the partition (but for client keys, whose index spans partitions on purpose and is filtered by them).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cardapi.store import postgres_arrays as arrays
from cardapi.store import postgres_rows as rows
from cardapi.store import postgres_sql as sql
from cardapi.store.port import AccountRow, Batch
from tests.postgres.server import Database, fresh, server
from tests.store.test_contract import make_card, make_entry

NUMBERS = ["8801000000000013", "8801000000000021"]


@pytest.fixture(scope="module")
def filled() -> Iterator[Database]:
    database = fresh(4)
    store = database.open()
    for partition in range(4):
        entries = [make_entry(n, partition=partition, client_key=f"{partition}-{n}") for n in range(1, 800)]
        accounts = [AccountRow(partition << 40 | n, b"x" * 80, 1) for n in range(1, 400)]
        cards = [make_card(f"{partition}8010000{n:08d}", partition << 40 | n) for n in range(1, 400)]
        store.commit(Batch(entries, cards, accounts, []))
    store.close()
    server().sql("VACUUM ANALYZE", database.name)
    yield database
    database.drop()


def parameters(name: str) -> Any:
    batch = Batch([make_entry(900, partition=2, client_key="new")], [], [AccountRow(2 << 40 | 5, b"y", 2)], [])
    written = dict(rows.columns_of(batch))
    keys = (arrays.texts(["terminal:t1", "terminal:t1"]), arrays.texts(["2-7", "absent"]), arrays.int8s([2]))
    return {
        "lock": (arrays.int8s([2]),), "hold": (arrays.int8s([2]), arrays.int8s([2]), arrays.int8s([0])),
        "find_keys": keys, "read_cards": (arrays.int8s([2, 2]), arrays.texts(NUMBERS)),
        "insert_entries": written.get(sql.INSERT_ENTRIES), "upsert_accounts": written.get(sql.UPSERT_ACCOUNTS),
    }[name]  # fmt: skip


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


@pytest.mark.parametrize("name", list(sql.HOT))
def test_a_hot_statement_names_its_partitions(name: str) -> None:
    text = sql.HOT[name]
    if text.startswith("INSERT"):
        assert re.match(r"INSERT INTO \w+ \(partition, ", text)
        assert "ON CONFLICT" not in text or "ON CONFLICT (partition, " in text
        return
    for table in re.findall(r"(?:FROM|JOIN) (entry|account|card|medium|partition)\b", text):
        column = "number" if table == "partition" else "partition"
        bound = re.search(rf"\b{column} = (any\(%b\)|[kca]\.partition|k\.number)", text)
        assert bound, f"{table} is not bound to partitions"


@pytest.mark.parametrize("name", list(sql.HOT))
def test_a_hot_statement_finds_its_rows_by_index(filled: Database, name: str) -> None:
    store = filled.open()
    connection = store._connection
    connection.execute("BEGIN")
    found = connection.execute("EXPLAIN (FORMAT JSON) " + sql.HOT[name], parameters(name)).fetchone()  # type: ignore[arg-type]
    connection.execute("ROLLBACK")
    store.close()
    assert found is not None
    plan = found[0] if not isinstance(found[0], str) else json.loads(found[0])
    kinds = list(nodes(plan[0]["Plan"]))
    assert not [node for node in kinds if node["Node Type"] == "Seq Scan"], "a table is read whole"
    for node in kinds:
        if "Index Name" in node and node["Index Name"] not in ("partition_pkey", "entry_client_key"):
            assert node["Index Cond"].startswith(("(partition", "((partition")), f"{node['Index Name']} is not entered by the partition"
    if name not in ("insert_entries", "upsert_accounts"):
        assert [node for node in kinds if "Index Name" in node], "no index is used"


def test_no_table_shares_rows_or_keys_across_partitions(filled: Database) -> None:
    """Every primary and foreign key of a hot table starts with the partition, and there is no sequence."""
    found = server().sql(
        "SELECT conrelid::regclass::text, contype, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype IN ('p', 'f') "
        "AND connamespace = 'public'::regnamespace AND conrelid::regclass::text IN ('entry', 'account', 'card', 'medium', 'document')",
        filled.name,
    )
    assert len(found) >= 6
    for table, _, definition in found:
        assert re.match(r"(PRIMARY|FOREIGN) KEY \(partition, ", str(definition)), f"{table}: {definition}"
    assert server().sql("SELECT count(*) FROM pg_sequences", filled.name) == [(0,)]
