"""Every hot statement touches the keys of its own partitions and nothing else, by index (growth; docs/scaling.md).

Method: what two processes send to the server while every money verb runs is written down, and must be in `postgres_sql.HOT`. Each
statement there is read for a condition or column on the partition of every table it names, and explained with the settings of a
serving connection on tables that are filled: no table is read whole, and the index that finds rows starts with the partition (but
for client keys, whose index spans partitions on purpose and is filtered by them). Canaries are statements without the partition.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cardapi.store import postgres_arrays as arrays
from cardapi.store import postgres_rows as rows
from cardapi.store import postgres_sql as sql
from cardapi.store.port import AccountRow, Batch
from cardapi.store.postgres_reads import PostgresReads
from cardapi.store.postgres_wire import Wire
from cardcore.settlement import Capture, Refund, Sale, TopUp, Transfer
from tests.postgres.server import Database, fresh, server
from tests.postgres.till import ServerTill
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
    two = arrays.int8s([2])
    return {
        "take_over": ("me", two), "heads_of": (two,), "entry_at": (2, 7), "followers": (2, 7), "journal": (2, 7, 20, 100),
        "read_on": (2, 2 << 40 | 5, 100),
        "read_accounts": (two, arrays.int8s([2 << 40 | 5])),
        "follow": (arrays.text("0"), arrays.text("1")),
        "lock": (arrays.int8s([2]),), "hold": (arrays.int8s([2]), arrays.int8s([2]), arrays.int8s([0])),
        "find_keys": keys, "read_cards": (arrays.int8s([2, 2]), arrays.texts(NUMBERS)),
        "insert_entries": written.get(sql.INSERT_ENTRIES), "upsert_accounts": written.get(sql.UPSERT_ACCOUNTS),
    }[name]  # fmt: skip


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def unbound(text: str) -> list[str]:
    """The tables that a statement reads or writes without naming the partitions of their rows."""
    if text.startswith("INSERT"):
        named = re.match(r"INSERT INTO \w+ \(partition, ", text) and ("ON CONFLICT" not in text or "ON CONFLICT (partition, " in text)
        return [] if named else text.split()[2:3]
    found = []
    for table, alias in re.findall(r"(?:FROM|JOIN|UPDATE|USING) (entry|account|card|medium|document|record|partition)\b ?(\w?)\b", text):
        column = "number" if table == "partition" else "partition"
        own = rf"\b{alias}\." if alias else r"(?<![.\w])"
        if not re.search(rf"{own}{column} = (?:any\(%b\)|%s|[kcap]\.(?:partition|number))", text):
            found.append(table)
    return found


@pytest.mark.parametrize("name", list(sql.HOT))
def test_a_hot_statement_names_its_partitions(name: str) -> None:
    assert unbound(sql.HOT[name]) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (sql.READ_CARDS.replace("a.partition = c.partition AND ", ""), ["account"]),
        (sql.READ_CARDS.replace("c.partition = k.partition AND ", ""), ["card"]),
        (sql.FIND_KEYS.replace(" AND partition = any(%b)", ""), ["entry"]),
        (sql.FIND_KEYS_EVERYWHERE, ["entry"]),
        (sql.HEADS_ALL, ["partition"]),
        (sql.LOCK.replace("WHERE number = any(%b) ", ""), ["partition"]),
        (sql.ENTRY_AT.replace("partition = %s AND ", ""), ["entry"]),
        (sql.READ_MEDIA, ["medium"]),
        (sql.UPSERT_ACCOUNTS.replace("ON CONFLICT (partition, account_id)", "ON CONFLICT (account_id)"), ["account"]),
        ("INSERT INTO entry (position, partition) SELECT * FROM unnest(%b, %b)", ["entry"]),
    ],
)
def test_a_statement_without_its_partition_is_found(text: str, found: list[str]) -> None:
    assert text not in sql.HOT.values()
    assert unbound(text) == found


def test_money_verbs_run_hot_statements_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that is not listed would not be looked at by the other tests."""
    till = ServerTill(tmp_path / "shop", 4)
    other = till.beside()
    cards = [till.card(100_00) for _ in range(6)]
    ran: set[str] = set()
    send, execute = Wire.send, PostgresReads._rows

    def send_noted(self: Wire, steps: Any) -> Any:
        ran.update(statement for statement, _ in steps)
        return send(self, steps)

    def rows_noted(self: PostgresReads, statement: str, parameters: Any = ()) -> Any:
        ran.add(statement)
        return execute(self, statement, parameters)

    with monkeypatch.context() as patch:
        patch.setattr(Wire, "send", send_noted)
        patch.setattr(PostgresReads, "_rows", rows_noted)
        for desk in (till.shop.desk, other.desk):  # in turn, so that each finds what the other wrote
            for verb, card in (("settle", cards[0]), ("hold", cards[1])):
                request = till.request(verb, card=card, meaning=verb, command=Sale(verb, [(1_00, 1)], hold_seconds=600))
                sold = desk.call(request)
                undo = Refund() if verb == "settle" else Capture()
                name = "refund" if verb == "settle" else "capture"
                request = till.request(name, of=sold, command=undo)
                assert desk.call(request).outcome == "applied"
            assert desk.call(till.request("topup", card=cards[2], command=TopUp(1_00))).outcome == "applied"
            move = till.request("transfer", card=cards[3], further=(cards[4],), command=Transfer(1_00))
            assert desk.call(move).outcome == "applied"
            for _ in range(2):
                requests = [till.request("settle", card=card, meaning=card, command=Sale("settle", [(1, 1)])) for card in cards]
                desk.begin(requests).result()
    till.end()
    assert {sql.INSERT_ENTRIES, sql.LOCK, sql.HOLD, sql.FOLLOW} <= ran
    assert ran - {"BEGIN", "COMMIT", "ROLLBACK"} <= set(sql.HOT.values()), "a statement that money verbs run is not listed"


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
    if name not in ("insert_entries", "upsert_accounts", "take_over", "follow"):
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
