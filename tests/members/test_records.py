"""Goal: member records are as safe as cards: one batch sees itself, verify finds every change, rebuild makes them again, and look-ups
stay quick with many.

Method: the desk of a small shop; the database is then changed behind its back.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardapi.desk import Problem
from cardapi.members.enrol import Refused
from cardapi.members.model import Member, account_name, to_record
from cardapi.members.profile import seal
from cardapi.store.port import Batch, Record
from cardapi.store.sqlite import SqliteStore
from cardapi.store.verify import rebuild, verify
from tests.desk.till import Till
from tests.members.till import enrol, person, request
from tests.store.adapters import ADAPTERS
from tests.support import sized


def test_two_of_one_person_in_one_batch(till: Till) -> None:
    first, second, third = person(phone="13800000001"), person(phone="+86 138-0000-0001"), person(phone="13800000002")
    answers = till.shop.desk.call_many([request(till, first), request(till, second), request(till, third)])
    assert [isinstance(answer, Refused) for answer in answers] == [False, True, False]
    till.sound()


def test_enrol_link_merge_and_erase_in_one_batch(till: Till) -> None:
    card = till.card(10_00)
    one, two = (f"m00-{till.shop.desk.head.position + n:012x}" for n in (1, 2))
    requests = [
        request(till, person(), card=card), request(till, person()),
        till.request("merge", payload={"member": one, "into": two}),
        till.request("split", payload={"member": one}),
        till.request("erase", payload={"member": two}),
        till.request("unlink", card=card, payload={"member": one}),
        till.request("link", card=card, payload={"member": one}),
    ]  # fmt: skip
    answers = till.shop.desk.call_many(requests)
    assert [answer.outcome if not isinstance(answer, Exception) else answer for answer in answers] == ["applied"] * 7
    store = till.shop.store.reader()
    account = account_name(store.read([card])[card].account.account_id)
    assert store.records("holding", [account])[account].body.decode() == one
    assert sorted(store.records("person", [one, two])) == [one]
    till.sound()
    till.reopen()
    till.sound()


def test_a_problem_changes_nothing(till: Till) -> None:
    name = enrol(till)
    head, rows = till.shop.desk.head.position, list(till.shop.store.reader().all_records())
    for verb, payload in (
        ("link", {"member": name}), ("unlink", {"member": name}), ("merge", {"member": name, "into": name}), ("split", {"member": name}),
        ("member_state", {"member": name, "state": "active"}), ("consent", {"member": "m00-0000000000ff", "consents": ()}),
        ("disclose", {"member": ""}), ("erase", {"member": "x"}),
    ):  # fmt: skip
        with pytest.raises((Refused, Problem)):
            till.ask(verb, payload=payload, card="8801000000000000" if "link" in verb else "")
    assert till.shop.desk.head.position == head
    assert list(till.shop.store.reader().all_records()) == rows


def damaged(till: Till) -> Iterator[str]:
    """One change of the record tables after another, each undone."""
    connection = sqlite3.connect(till.directory / "cardcore.db", isolation_level=None)
    store = SqliteStore(till.directory / "cardcore.db")
    store._connection.close()
    store._connection = connection
    till.shop.store = store
    for change in (
        "UPDATE record SET body = CAST(body || x'00' AS BLOB) WHERE kind = '{kind}'",
        "UPDATE record SET id = id || '0' WHERE kind = '{kind}'",
        "UPDATE record SET keys = '[]' WHERE kind = '{kind}'",
        "UPDATE record SET keys = keys || '~' WHERE kind = '{kind}'",
        "UPDATE record SET changed_at = changed_at + 1 WHERE kind = '{kind}'",
        "UPDATE record SET kind = 'x', changed_at = 7 WHERE kind = '{kind}'",
        "DELETE FROM record WHERE kind = '{kind}'",
        "UPDATE record_key SET value = value || '0' WHERE kind = '{kind}'",
        "DELETE FROM record_key WHERE kind = '{kind}'",
    ):
        for kind in ("member", "person", "holding"):
            connection.execute("BEGIN")
            if connection.execute(change.format(kind=kind)).rowcount:
                yield change.format(kind=kind)
            connection.execute("ROLLBACK")


@pytest.mark.embedded("its tables are changed by hand")
def test_every_change_behind_the_desks_back_is_found(till: Till) -> None:
    enrol(till, card=till.card(5_00))
    till.sound()
    tried = 0
    for change in damaged(till):
        report = verify(till.shop.store, till.shop.custody.chain_key)
        assert not report.ok, f"not found: {change}"
        assert report.first_bad is not None
        tried += 1
    assert tried == 27
    assert verify(till.shop.store, till.shop.custody.chain_key).ok


def test_rebuild_makes_members_again_and_leaves_persons(till: Till) -> None:
    name = enrol(till, card=till.card(5_00))
    before = list(till.shop.store.reader().all_records())
    till.shop.store.commit(Batch([], [], [], [], [], [Record("member", name, b"")]))
    assert not till.verify().ok
    assert rebuild(till.shop.store, till.shop.custody.chain_key).ok
    assert list(till.shop.store.reader().all_records()) == before
    till.sound()


@pytest.mark.parametrize("adapter", list(ADAPTERS.values()), ids=list(ADAPTERS))
def test_the_port_keeps_and_finds_records(adapter, tmp_path: Path) -> None:
    store = adapter(tmp_path)
    rows = [Record("k", f"{n:03d}", b"x%d" % n, (("at", f"{n // 2:02d}"), ("all", ""))) for n in range(20)]
    store.commit(Batch([], [], [], [], [], [*rows, Record("other", "000", b"y", (("at", "03"),))]))
    assert store.records("k", ["003", "none"]) == {"003": rows[3]}
    assert store.find_records("k", "at", "03") == rows[6:8]
    assert store.find_records("k", "at", "02", "04", limit=3) == rows[4:7]
    assert store.find_records("k", "at", "02", "04", after=("03", "006")) == rows[7:10]
    assert store.find_records("k", "none", "03") == []
    store.commit(Batch([], [], [], [], [], [Record("k", "006", b"z", (("at", "09"),)), Record("k", "007", b"")]))
    assert store.find_records("k", "at", "03") == []
    assert [row.id for row in store.find_records("k", "at", "09")] == ["006", "018", "019"]
    assert [row.id for row in store.all_records("k", "016")] == ["017", "018", "019"]
    assert len(list(store.all_records())) == store.counts()["records"] == 20
    assert store.check() == []
    store.close()


def test_whoever_reads_all_does_not_hold_up_the_log(till: Till) -> None:
    """A job reads all accounts or members and writes meanwhile: the write-ahead log is begun anew though it is in the middle."""
    for _ in range(3):
        enrol(till, card=till.card(0))
    reader = till.shop.store.reader()
    with sqlite3.connect(till.directory / "cardcore.db", timeout=60) as other:
        for rows in (reader.accounts(), reader.all_records("member")):
            next(iter(rows))
            till.card(0)
            busy, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert busy == 0
            assert len(list(rows)) >= 2, "and it reads on where it was"
    other.close()


def test_a_look_up_does_not_slow_with_many_members(till: Till) -> None:
    """Rows as enrolment writes them, past the desk: a look-up among many costs what it costs among few."""
    custody, store = till.shop.custody, till.shop.store
    few, many = 200, sized(4_000, 1_000_000)

    def fill(start: int, count: int) -> None:
        rows = []
        for n in range(start, start + count):
            name = f"m00-{n:012x}"
            rows += [to_record(name, Member("active", "issuer", 1, "import")), seal(custody, name, person(phone=str(13_000_000_000 + n)))]
        for at in range(0, len(rows), 4_000):
            store.commit(Batch([], [], [], [], [], rows[at : at + 4_000]))

    def look_up(n: int) -> int:
        blind = custody.blind("phone", str(13_000_000_000 + n))
        best = 1 << 62
        for _ in range(50):
            started = time.perf_counter_ns()
            (found,) = store.find_records("person", "phone", blind)
            best = min(best, time.perf_counter_ns() - started)
            assert found.id == f"m00-{n:012x}"
        return best

    fill(1, few)
    quick = look_up(few // 2)
    fill(few + 1, many)
    assert look_up(many // 2) < 10 * quick + 100_000
