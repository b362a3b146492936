"""What only the server store promises: one writer of a partition among several processes, an append-only journal, safe settings.

Method: two stores on one database stand for two processes; rights are tried as the serving role and as the owner of the tables;
unsafe servers are made by the role's or the server's own settings.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.types.json import Jsonb

from cardapi.store import postgres_records as records
from cardapi.store import schema
from cardapi.store.media import pack_keys
from cardapi.store.port import AccountRow, Batch, Head, KeyTaken, MediumRow, Overtaken, Record, StoreError, asked_records
from cardapi.store.postgres import PostgresStore
from cardapi.store.postgres_local import ROLE
from cardapi.store.postgres_safety import UnsafeServer
from tests.postgres.server import Database, server
from tests.store.test_contract import make_card, make_entry


@pytest.fixture
def pair(database: Database) -> Iterator[tuple[PostgresStore, PostgresStore]]:
    one, two = database.open(), database.open()
    yield one, two
    one.close()
    two.close()


def write(store: PostgresStore, partition: int, position: int, **changes: object) -> None:
    changes.setdefault("client_key", f"{partition}-{position}")
    store.commit(Batch([make_entry(position, partition=partition, **changes)], [], [], []))


# ---------------------------------------------------------------- one writer at a time
def test_begin_tells_what_somebody_else_wrote(pair: tuple[PostgresStore, PostgresStore]) -> None:
    one, two = pair
    assert one.begin([0, 1], (), ()).heads == {0: Head(0, 0, b"", 0, 0), 1: Head(1, 0, b"", 0, 0)}
    one.commit(Batch([make_entry(1)], [], [], []))
    assert one.begin([0, 1], (), ()).heads == {}
    one.abandon()
    write(two, 1, 1)
    begun = one.begin([0, 1], (), ())
    assert begun.heads == {1: Head(1, 1, bytes(32), 10, 1_000_001)}
    one.abandon()
    assert one.begin([1], (), ()).heads == {}, "it was told"
    with pytest.raises(KeyTaken):
        one.commit(Batch([make_entry(2, partition=1, client_key="1-1", ref=0)], [], [], []))
    assert one.begin([1], (), ()).heads == {}, "nobody else wrote"
    one.abandon()


def test_a_partition_has_one_writer(pair: tuple[PostgresStore, PostgresStore]) -> None:
    one, two = pair
    one.begin([0, 2], (), ())
    order: list[str] = []

    def second() -> None:
        assert two.begin([2], (), ()).heads[2].position == 1
        order.append("second")
        two.abandon()

    thread = threading.Thread(target=second)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive(), "the second writer did not wait"
    order.append("first")
    one.commit(Batch([make_entry(1, partition=2)], [], [], []))
    thread.join(10)
    assert order == ["first", "second"]
    write(two, 3, 1)  # nobody holds this one


def trusting(store: PostgresStore, *partitions: int) -> bool:
    """Whether the store began without asking the server."""
    return not store.begin(partitions, (), (), trusting=True).asked


def test_who_writes_alone_need_not_ask(pair: tuple[PostgresStore, PostgresStore]) -> None:
    one, two = pair
    assert not trusting(one, 0, 1), "it does not know them yet"
    one.commit(Batch([make_entry(1)], [], [], []))
    assert not trusting(one, 0, 1), "when it last asked, it learned something"
    one.abandon()
    assert trusting(one, 0, 1)
    one.commit(Batch([make_entry(2, client_key="k2"), make_entry(1, partition=1, client_key="k3")], [], [], []))
    assert trusting(one, 1)
    one.abandon()
    assert not trusting(one, 1, 2), "2 was never asked for"
    one.abandon()
    assert [head.position for head in two.heads()[:2]] == [2, 1]


def test_trust_is_found_out_at_the_commit(pair: tuple[PostgresStore, PostgresStore]) -> None:
    """Whatever another process wrote since, nothing decided without it is written: neither on top of it nor beside it."""
    one, two = pair
    for _ in range(2):
        one.begin([0, 1], (), ())
        one.abandon()
    assert trusting(one, 0, 1)
    write(two, 1, 1)
    with pytest.raises(Overtaken):
        one.commit(Batch([make_entry(1)], [], [AccountRow(7, b"stale", 1)], []))
    assert [head.position for head in two.heads()[:2]] == [0, 1]
    assert two.counts()["accounts"] == 0
    assert not trusting(one, 0, 1), "it asks again after that"
    one.commit(Batch([make_entry(1)], [], [], []))


def test_a_rebuild_by_another_process_is_noticed(pair: tuple[PostgresStore, PostgresStore]) -> None:
    one, two = pair
    for _ in range(2):
        one.begin([0], (), ())
        one.abandon()
    assert trusting(one, 0)
    two.rebuild([], [], [])
    with pytest.raises(Overtaken):
        one.commit(Batch([make_entry(1)], [], [], []))


def test_a_key_that_was_not_looked_for_is_found(pair: tuple[PostgresStore, PostgresStore]) -> None:
    one, _ = pair
    write(one, 0, 1, client_key="same")
    for _ in range(2):
        one.begin([0], (), ())
        one.abandon()
    assert trusting(one, 0)
    with pytest.raises(KeyTaken):
        one.commit(Batch([make_entry(2, client_key="same")], [], [], []))
    assert one.find_keys([("terminal:t1", "same")])["terminal:t1", "same"].position == 1
    write(one, 0, 2)


def test_a_writer_that_died_holds_nothing(pair: tuple[PostgresStore, PostgresStore]) -> None:
    one, two = pair
    one.begin([0], (), ())
    server().sql(f"SELECT pg_terminate_backend({one._connection.info.backend_pid})")
    write(two, 0, 1)
    with pytest.raises(StoreError):
        one.commit(Batch([make_entry(1, client_key="late")], [], [], []))
    assert [entry.client_key for entry in two.journal(0)] == ["0-1"]


def test_a_snapshot_whose_server_is_gone_is_a_store_error(database: Database) -> None:
    reader = database.open(read_only=True)

    def look() -> None:
        with reader.snapshot():
            server().sql(f"SELECT pg_terminate_backend({reader._connection.info.backend_pid}, 60000)")
            reader.heads()

    with pytest.raises(StoreError, match="read failed"):
        look()
    with pytest.raises(StoreError, match="read failed"):
        look()


def test_a_client_key_has_one_effect_in_all_partitions(pair: tuple[PostgresStore, PostgresStore]) -> None:
    one, two = pair
    write(one, 0, 1, client_key="same")
    assert two.begin([1], [("terminal:t1", "same")], ()).keys == {}
    with pytest.raises(KeyTaken):
        two.commit(Batch([make_entry(1, partition=1, client_key="same")], [], [], []))
    assert two.find_keys([("terminal:t1", "same")])["terminal:t1", "same"].partition == 0
    assert two.heads()[1].position == 0
    write(two, 1, 1)


def test_a_medium_that_another_partition_has_is_decided_again(pair: tuple[PostgresStore, PostgresStore]) -> None:
    one, two = pair

    def medium(partition: int) -> Batch:
        row = MediumRow("uid:01", (partition << 40) + 7, "8801000000000013", "", "active", pack_keys([]), 0, 0, 0, 0, 0, 1)
        entry = make_entry(1, partition=partition, client_key=f"of {partition}")
        return Batch([entry], [], [AccountRow(row.account_id, b"x", 1)], [], [row])

    two.begin([1], (), ())
    one.commit(medium(0))
    with pytest.raises(Overtaken):
        two.commit(medium(1))
    assert two.read_media(["uid:01"])["uid:01"].account_id == 7
    assert two.heads()[1].position == 0
    write(two, 1, 1)


def test_begin_finds_keys_and_cards_of_its_partitions(database: Database) -> None:
    store = database.open()
    card = make_card("8801000000000013", (1 << 40) + 7)  # 880100000000001 modulo 4 = 1
    store.commit(Batch([make_entry(1, partition=1)], [card], [AccountRow((1 << 40) + 7, b"x", 1)], []))
    begun = store.begin([1], [("terminal:t1", "key-1"), ("terminal:t1", "other")], [card.number, "8801000000000021"])
    assert (list(begun.keys), [found.card for found in begun.found.values()]) == ([("terminal:t1", "key-1")], [card])
    store.close()


def test_an_unknown_partition(database: Database) -> None:
    store = database.open()
    with pytest.raises(StoreError, match="not there"):
        store.begin([0, 9], (), ())
    write(store, 0, 1)
    store.close()


# ---------------------------------------------------------------- rights
def test_the_serving_role_appends_and_has_no_ddl(database: Database) -> None:
    store = database.open()
    write(store, 0, 1)
    store.close()
    with psycopg.connect(database.url, autocommit=True) as connection:
        for statement in (
            "UPDATE entry SET liability_fen = 1", "DELETE FROM entry", "TRUNCATE entry", "DROP TABLE entry", "CREATE TABLE mine (a int)",
            "ALTER TABLE entry DISABLE TRIGGER ALL", "UPDATE partition SET genesis = ''", "DELETE FROM partition",
            "UPDATE alembic_version SET version_num = ''", "SET ROLE cardcore_owner",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_the_owner_is_held_to_the_journal_too(database: Database) -> None:
    store = database.open()
    write(store, 0, 1)
    store.close()
    with psycopg.connect(database.owner, autocommit=True) as connection:
        for statement in ("UPDATE entry SET liability_fen = 1", "DELETE FROM entry", "TRUNCATE entry"):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                connection.execute(statement)
        connection.execute("ALTER TABLE entry DISABLE TRIGGER entry_append_only")
        assert connection.execute("UPDATE entry SET liability_fen = 1").rowcount == 0, "row security is not forced"
        assert connection.execute("DELETE FROM entry").rowcount == 0
    store = database.open()
    assert store.check() == ["the journal's guards are off: entry"]
    store.close()


UNSOUND: tuple[dict[str, object], ...] = (
    {"partition": 256}, {"partition": -1}, {"position": 0}, {"at_us": 0}, {"verb": ""}, {"outcome": "done"}, {"outcome": "refused"},
    {"code": "limit_exceeded"}, {"account_id": -1}, {"client": ""}, {"client_key": ""}, {"client_key": "k" * 256},
    {"fingerprint": "\\x00"}, {"ref": -1}, {"prior": -1}, {"prior": 2}, {"further": "\\x00"}, {"liability_fen": -1}, {"mac": "\\x00"},
)  # fmt: skip


def test_an_entry_that_cannot_be_is_refused_whoever_adds_it(database: Database) -> None:
    store = database.open()
    write(store, 0, 1)
    store.close()
    added = "INSERT INTO entry SELECT (jsonb_populate_record(e, %s)).* FROM entry e WHERE partition = 0 AND position = 1"
    for url in (database.url, database.owner):
        with psycopg.connect(url, autocommit=True) as connection:
            for fault in UNSOUND:
                row = Jsonb({"position": 2, "client_key": "second", **fault})
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="entry_sound"):
                    connection.execute(added, (row,))
            with connection.transaction(force_rollback=True):
                assert connection.execute(added, (Jsonb({"position": 2, "client_key": "second"}),)).rowcount == 1
    server().sql("DROP POLICY entry_sound ON entry", database.name)
    store = database.open()
    assert store.check() == ["the journal's guards are off: entry"]
    store.close()


def test_whoever_owns_the_tables_or_is_superuser_does_not_serve(database: Database) -> None:
    for url in (database.owner, database.superuser):
        with pytest.raises(UnsafeServer, match=r"owns|superuser"):
            PostgresStore(url)


# ---------------------------------------------------------------- settings
@pytest.mark.parametrize("value", ["off", "local", "remote_write"])
def test_a_weak_synchronous_commit_is_refused(database: Database, value: str) -> None:
    server().sql(f"ALTER ROLE {ROLE} IN DATABASE {database.name} SET synchronous_commit = '{value}'")
    with pytest.raises(UnsafeServer, match=f"synchronous_commit is {value}"):
        database.open()


def test_a_standby_that_is_asked_for_must_be_synchronous(database: Database) -> None:
    with pytest.raises(UnsafeServer, match="synchronous_standby_names is empty"):
        database.open(standby="synchronous")


def test_a_commit_that_did_not_reach_the_standby_is_unknown(database: Database) -> None:
    """A standby is named that is not there; the wait for it is cancelled, and PostgreSQL answers with a warning, not an error."""
    store = database.open()
    write(store, 0, 1)
    local = server()
    local.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    local.sql("SELECT pg_reload_conf()")
    try:
        pid = store._connection.info.backend_pid
        for _ in range(1_000):
            if store._rows("SHOW synchronous_standby_names") == [("nobody",)]:
                break
            time.sleep(0.01)
        failed: list[StoreError] = []

        def commit() -> None:
            try:
                for position in range(2, 10_000):  # none waits before the server's checkpointer has read its settings, too
                    write(store, 0, position)
            except StoreError as error:
                failed.append(error)

        thread = threading.Thread(target=commit)
        thread.start()
        for _ in range(1_000):
            waits = local.sql(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'SyncRep'")
            if waits:
                break
            thread.join(0.01)
        else:
            pytest.fail("the commit did not wait for the standby")
        local.sql(f"SELECT pg_cancel_backend({pid})")
        thread.join(10)
        assert [error.detail for error in failed] == [
            "the outcome of a commit is unknown: canceling wait for synchronous replication due to user request"
        ]
    finally:
        local.sql("ALTER SYSTEM RESET synchronous_standby_names")
        local.sql("SELECT pg_reload_conf()")
        store.close()


# ---------------------------------------------------------------- schema
def test_another_schema_is_not_served(database: Database) -> None:
    server().sql("UPDATE alembic_version SET version_num = '9999'", database.name)
    with pytest.raises(schema.SchemaError, match="cardcore migrate"):
        database.open()


def test_migrating_again_changes_nothing(database: Database) -> None:
    schema.upgrade_postgres(database.owner, ROLE)
    store = database.open()
    assert store.check() == []
    store.close()


# ---------------------------------------------------------------- records by key
def test_a_look_up_reads_what_it_finds_and_no_more(database: Database) -> None:
    """Counted in pages of the server, before it has any statistics: neither the rows before the key nor all others of the kind are read."""
    many = 5_000
    store = database.open()
    rows = [Record("k", f"{n:06d}", b"x" * 100, (("at", f"{n:06d}"),)) for n in range(many)]
    store.commit(Batch([], [], [], [], [], rows))
    last = f"{many - 1:06d}"
    for low, high, after in ((last, last, ("", "")), ("0", "~", (f"{many - 3:06d}", f"{many - 3:06d}"))):
        asked = asked_records("k", "at", low, high, after, 100)
        assert [row.id for row in store.find_records("k", "at", low, high, after=after)][-1] == last
        found = store._connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {records.FIND}", asked).fetchone()
        assert found is not None
        (explained,) = found[0]
        assert explained["Plan"]["Shared Hit Blocks"] + explained["Plan"]["Shared Read Blocks"] < 25, explained
    store.close()
