"""A batch that the server writes in parts while the desk decides: one commit as ever, with the answers of a batch written at once.

Method: parts at the store, looked at by a second store; then a desk that hands over every two requests, with requests that read
what their own batch wrote, and with each way in which a part can fail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cardapi.desk import Problem, Request, writer
from cardapi.ids import home
from cardapi.store.port import AccountRow, Batch, Entry, KeyTaken, Overtaken, StoreError
from cardapi.store.postgres import PostgresStore
from cardcore.settlement import Refund, Sale, TopUp, Transfer
from tests.postgres.server import Database, server
from tests.postgres.till import ServerTill
from tests.store.test_contract import make_entry

EMPTY = Batch([], [], [], [])


@pytest.fixture(params=["asked", "trusted"])
def store(request: pytest.FixtureRequest, database: Database) -> Iterator[PostgresStore]:
    """A store that has begun a batch in partitions 0 and 1: with their locks, or trusting that nobody else writes."""
    store = database.open()
    for _ in range(2):
        store.begin([0, 1], (), ())
        store.abandon()
    assert store.begin([0, 1], (), (), trusting=request.param == "trusted").asked == (request.param == "asked")
    yield store
    store.close()


def feed(store: PostgresStore, position: int, *, key: str = "", partition: int = 0) -> None:
    entry = make_entry(position, partition=partition, client_key=key or f"{partition}-{position}")
    assert store.feed([entry], [AccountRow(partition << 40 | 7, b"state %d" % position, position)])


def test_parts_are_there_together_at_the_commit(store: PostgresStore, database: Database) -> None:
    reader = database.open(read_only=True)
    feed(store, 1)
    feed(store, 2)
    feed(store, 1, partition=1)
    assert [head.position for head in reader.heads()[:2]] == [0, 0]
    store.commit(Batch([make_entry(3, client_key="0-3")], [], [], []))
    assert [head.position for head in reader.heads()[:2]] == [3, 1]
    assert {row.account_id: row.state for row in reader.accounts()} == {7: b"state 2", 1 << 40 | 7: b"state 1"}
    reader.close()
    store.begin([0], (), ())
    feed(store, 4)
    store.commit(EMPTY)
    assert [entry.client_key for entry in store.journal(0)] == ["0-1", "0-2", "0-3", "0-4"]


def test_a_question_meanwhile_sees_nothing_of_the_batch(store: PostgresStore) -> None:
    """The desk adds what its own batch did: seen twice, a ticket would seem refunded twice."""
    entries = [make_entry(1, client_key="sale"), make_entry(2, client_key="refund", ref=1)]
    assert store.feed(entries, [])
    assert (store.followers(0, 1), store.entry(0, 1), store.find_keys([("terminal:t1", "sale")])) == ([], None, {})
    store.commit(EMPTY)
    assert [entry.position for entry in store.followers(0, 1)] == [2]


def test_a_question_whose_connection_broke_is_asked_anew_the_next_time(store: PostgresStore) -> None:
    feed(store, 1)
    assert store.entry(0, 1) is None
    aside = store._aside
    assert aside is not None
    server().sql(f"SELECT pg_terminate_backend({aside._connection.info.backend_pid})")
    with pytest.raises(StoreError):
        store.entry(0, 1)
    assert store.entry(0, 1) is None
    store.commit(EMPTY)


def test_what_is_abandoned_was_never_there(store: PostgresStore, database: Database) -> None:
    feed(store, 1)
    store.abandon()
    assert store.counts() == dict.fromkeys(store.counts(), 0)
    other = database.open()
    other.commit(Batch([make_entry(1, client_key="other")], [], [], []))  # no lock is left
    other.close()


def test_a_key_that_a_part_meets_is_known_at_the_commit(store: PostgresStore, database: Database) -> None:
    other = database.open()
    other.commit(Batch([make_entry(1, partition=2, client_key="taken")], [], [], []))
    other.close()
    feed(store, 1)
    feed(store, 2, key="taken")
    feed(store, 3)
    with pytest.raises(KeyTaken):
        store.commit(Batch([make_entry(4, client_key="0-4")], [], [], []))
    assert [head.position for head in store.heads()] == [0, 0, 1, 0]
    store.begin([0], (), ())
    feed(store, 1)
    store.commit(EMPTY)


@pytest.mark.parametrize("store", ["trusted"], indirect=True)
def test_what_somebody_else_wrote_is_met_by_the_first_part(store: PostgresStore, database: Database) -> None:
    other = database.open()
    other.commit(Batch([make_entry(1, client_key="other")], [], [], []))
    other.close()
    feed(store, 1)
    feed(store, 2)
    with pytest.raises(Overtaken):
        store.commit(Batch([make_entry(3, client_key="0-3")], [], [], []))
    assert [entry.client_key for entry in store.journal(0)] == ["other"]
    assert store.begin([0, 1], (), (), trusting=True).heads[0].position == 1
    store.abandon()


def test_parts_that_the_server_rolled_back_for_others_are_written_again(
    store: PostgresStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a deadlock: the whole batch once more, those parts with it."""
    feed(store, 1)
    once = [True]
    run = store._wire.run

    def failing(steps: object) -> object:
        if once and once.pop():
            store._wire.send([("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40P01'; END $$", ())])
        return run(steps)  # type: ignore[arg-type]

    monkeypatch.setattr(store._wire, "run", failing)
    store.commit(Batch([make_entry(2, client_key="0-2")], [], [], []))
    assert not once
    assert [entry.client_key for entry in store.journal(0)] == ["0-1", "0-2"]


def test_a_part_that_cannot_be_sent_is_an_error_and_leaves_nothing(store: PostgresStore) -> None:
    feed(store, 1)
    with pytest.raises(StoreError, match="cannot be written"):
        store.feed([make_entry(2, liability_fen=1 << 64)], [])
    store.abandon()
    assert store.counts()["entries"] == 0


# ---------------------------------------------------------------- the desk
PARTITIONS = 4


@pytest.fixture
def till(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerTill]:
    """A shop whose desk hands every two requests to the server."""
    till = ServerTill(tmp_path / "shop", PARTITIONS)
    monkeypatch.setattr(writer, "PART", 2)
    yield till
    till.end()


def sale(till: ServerTill, card: str, key: str, fen: int = 1_00) -> Request:
    return till.request("settle", card=card, key=key, meaning=[key, card, fen], command=Sale("settle", [(fen, 1)]))


def codes(answers: Sequence[object]) -> list[str]:
    return [getattr(answer, "code", "") for answer in answers]


def test_requests_see_what_their_own_batch_did(till: ServerTill, monkeypatch: pytest.MonkeyPatch) -> None:
    card = till.card(100_00)
    other = next(number for number in (till.card(50_00) for _ in range(50)) if home(number, PARTITIONS) != home(card, PARTITIONS))
    sold = till.sale(card, 10_00)
    fed: list[int] = []
    taking = PostgresStore.feed

    def counted(self: PostgresStore, entries: list[Entry], accounts: list[AccountRow]) -> bool:
        fed.append(len(entries))
        return taking(self, entries, accounts)

    monkeypatch.setattr(PostgresStore, "feed", counted)

    def refund(fen: int, key: str) -> Request:
        return till.request("refund", card=card, of=sold, key=key, command=Refund(amount_fen=fen))

    answers = till.shop.desk.call_many([
        refund(4_00, "r1"), sale(till, card, "s1"), refund(4_00, "r2"), sale(till, other, "s2"), refund(4_00, "r3"), refund(2_00, "r4"),
        till.request("transfer", card=card, further=(other,), command=Transfer(5_00)), sale(till, card, "s1"),
        till.request("topup", card=other, command=TopUp(3_00)), sale(till, other, "s1", 2_00), sale(till, other, "big", 1_000_00),
    ])  # fmt: skip
    assert codes(answers)[:4] == ["", "", "", ""]
    assert codes(answers)[4], "more was given back than was paid: a part was counted twice, or not at all"
    assert codes(answers)[5:] == ["", "", "", "", "key_reused", "insufficient_funds"]
    assert answers[7] == answers[1]
    assert fed[0] == 2
    assert len(fed) >= 3
    assert (till.balance(card), till.balance(other)) == (100_00 - 1_00 - 5_00, 50_00 - 1_00 + 5_00 + 3_00)
    till.sound()


def test_a_key_used_elsewhere_is_answered_from_its_entry(till: ServerTill) -> None:
    """The batch is decided again: parts of the first try are nowhere."""
    cards = [till.card(10_00) for _ in range(6)]
    other = till.beside()
    first = other.desk.call(sale(till, cards[3], "k3"))
    till.shop.desk.call_many([sale(till, card, f"warm-{card}") for card in cards])
    answers = till.shop.desk.call_many([sale(till, card, f"k{n}") for n, card in enumerate(cards)])
    assert codes(answers) == [""] * 6
    assert answers[3] == first
    assert [till.balance(card) for card in cards] == [8_00] * 6
    till.sound()


def test_another_process_that_wrote_meanwhile(till: ServerTill) -> None:
    cards = [till.card(10_00) for _ in range(6)]
    other = till.beside()
    for turn in range(4):
        for desk in (till.shop.desk, other.desk):
            answers = desk.call_many([sale(till, card, f"{turn}-{id(desk)}-{card}") for card in cards])
            assert codes(answers) == [""] * 6
    assert [till.balance(card) for card in cards] == [2_00] * 6
    till.sound()


def test_a_lost_connection_stops_the_desk_and_nothing_of_the_batch_is_there(till: ServerTill, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [till.card(10_00) for _ in range(6)]
    till.shop.desk.call_many([sale(till, card, f"warm-{card}") for card in cards])
    taking = PostgresStore.feed

    def cut(self: PostgresStore, entries: list[Entry], accounts: list[AccountRow]) -> bool:
        taken = taking(self, entries, accounts)
        server().sql(f"SELECT pg_terminate_backend({self._connection.info.backend_pid})")
        return taken

    monkeypatch.setattr(PostgresStore, "feed", cut)
    answers = till.shop.desk.call_many([sale(till, card, f"k-{card}") for card in cards])
    assert {type(answer) for answer in answers} == {Problem}
    assert set(codes(answers)) == {"unexpected"}
    assert till.shop.desk.failed is not None
    monkeypatch.undo()
    till.reopen()
    assert [till.balance(card) for card in cards] == [9_00] * 6
    till.sound()
