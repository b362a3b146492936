"""Several partitions: cards live in one each, movements between them are one commit, and the books are those of one shop.

Method: a shop with four partitions; the same things done to cards of different partitions, by one process and by two; then
everything `verify` proves, the trial balance, and the sum of all money.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import psycopg
import pytest

from cardapi.app import Shop
from cardapi.desk import Problem, Request
from cardapi.ids import card_number, home, is_card_number, leg_key
from cardapi.reports.trial import trial_balance
from cardapi.store.verify import verify
from cardcore.errors import CardcoreError
from cardcore.settlement import Refund, Reverse, Sale, TopUp, Transfer, Void
from tests.postgres.till import ServerTill, server
from tests.support import sized

PARTITIONS = 4


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop", PARTITIONS)
    yield till
    till.end()


def apart(till: ServerTill, *money_fen: int) -> list[str]:
    """Cards of different partitions, with this much on them."""
    cards: list[str] = []
    while len(cards) < len(money_fen):
        number = till.card()
        if home(number, PARTITIONS) not in {home(card, PARTITIONS) for card in cards}:
            till.topup(number, money_fen[len(cards)])
            cards.append(number)
    return cards


def books(till: ServerTill) -> int:
    """Customers' money over all partitions; the trial balance agrees and everything verifies."""
    till.sound()
    trial = trial_balance(till.shop.store.reader())
    assert trial["ok"], trial["sums"]
    assert isinstance(trial["liability_fen"], int)
    return trial["liability_fen"]


def test_cards_are_spread_and_found(till: ServerTill) -> None:
    cards = [till.card(1_00) for _ in range(40)]
    assert all(map(is_card_number, cards))
    assert len(set(cards)) == 40
    assert {home(card, PARTITIONS) for card in cards} == set(range(PARTITIONS))
    for card in cards:
        found = till.shop.store.reader().read([card])[card]
        assert found.account.account_id >> 40 == home(card, PARTITIONS)
    assert [till.balance(card) for card in cards] == [1_00] * 40
    assert books(till) == 40_00
    till.reopen()
    assert till.sale(cards[0], 1_00).outcome == "applied"


def test_a_given_number_is_issued_once_where_it_belongs(till: ServerTill) -> None:
    number = card_number("8801", 7)
    payload = {"programme": "plain", "prefix": "8801"}
    assert till.done("issue", card=number, payload=payload).partition == home(number, PARTITIONS)
    assert till.problem("issue", card=number, payload=payload) == "number_taken"


def test_a_number_that_nobody_can_have_is_unknown_and_costs_nothing(till: ServerTill) -> None:
    """5,000 digits are more than Python makes a number of."""
    card = till.card(7_00)
    assert till.problem("lost", card="6" * 5_000, payload={"effective_at": 0}) == "unknown_card"
    assert till.sale(card, 1_00).outcome == "applied"


def test_an_exchange_stays_in_its_partition(till: ServerTill) -> None:
    for _ in range(6):
        card = till.card(7_00)
        swapped = till.done("swap", card=card, payload={"prefix": "8801"})
        new = [row.number for row in till.shop.store.reader().cards() if row.kind == "replacement" and row.changed_at == swapped.position]
        assert any(home(number, PARTITIONS) == home(card, PARTITIONS) and till.balance(number) == 7_00 for number in new)
    one, two = apart(till, 1_00, 1_00)
    del one
    stock = next(number for number in (till.issued() for _ in range(50)) if home(number, PARTITIONS) != home(two, PARTITIONS))
    assert till.problem("swap", card=two, payload={"to": stock}) == "number_taken"
    till.sound()


def test_transfer_and_its_reversal(till: ServerTill) -> None:
    one, two = apart(till, 100_00, 5_00)
    moved = till.done("transfer", card=one, further=(two,), command=Transfer(30_00), key="move")
    assert till.ask("transfer", card=one, further=(two,), command=Transfer(30_00), key="move") == moved
    assert (till.balance(one), till.balance(two)) == (70_00, 35_00)
    assert books(till) == 105_00
    reader = till.shop.store.reader()
    account = reader.read([two])[two].account.account_id
    newest = reader.statement(account, None, 1)[0]
    assert (newest.partition, newest.body) == (home(two, PARTITIONS), moved.body)
    assert (newest.client, newest.client_key) == leg_key(moved.partition, moved.position, newest.partition)
    assert till.problem("reverse", card=one, of=newest, command=Reverse()) == "unknown_ticket"
    till.done("reverse", card=one, of=moved, command=Reverse())
    assert (till.balance(one), till.balance(two)) == (100_00, 5_00)
    assert books(till) == 105_00
    refused = till.ask("transfer", card=two, further=(one,), command=Transfer(6_00))
    assert refused.code == "insufficient_funds"
    assert books(till) == 105_00


def test_a_sale_paid_with_cards_of_three_partitions(till: ServerTill) -> None:
    one, two, three = apart(till, 10_00, 20_00, 30_00)
    sale = till.sale(one, 45_00, further=(two, three), key="sale")
    assert sale.outcome == "applied"
    assert [till.balance(card) for card in (one, two, three)] == [0, 0, 15_00]
    assert books(till) == 15_00
    part = till.ask("refund", card=one, of=sale, command=Refund(amount_fen=20_00))
    assert part.outcome == "applied"
    assert sum(map(till.balance, (one, two, three))) == 35_00
    assert books(till) == 35_00
    rest = till.ask("refund", ref_key=("terminal:t1", "sale"), command=Refund())
    assert rest.outcome == "applied"
    assert [till.balance(card) for card in (one, two, three)] == [10_00, 20_00, 30_00]
    again = till.ask("refund", ref_key=("terminal:t1", "sale"), command=Refund())
    assert again.outcome == "refused"
    assert books(till) == 60_00


def test_a_hold_over_two_partitions(till: ServerTill) -> None:
    one, two = apart(till, 10_00, 20_00)
    hold = till.sale(one, 25_00, further=(two,), verb="hold")
    assert hold.outcome == "applied"
    books(till)
    till.done("void", of=hold, card=one, command=Void())
    assert [till.balance(card) for card in (one, two)] == [10_00, 20_00]
    assert books(till) == 30_00


def test_a_lost_leg_is_found(till: ServerTill) -> None:
    one, two = apart(till, 10_00, 1_00)
    moved = till.done("transfer", card=one, further=(two,), command=Transfer(3_00))
    books(till)
    leg = till.shop.store.reader().find_keys([leg_key(moved.partition, moved.position, home(two, PARTITIONS))])
    ((_, entry),) = leg.items()
    till.shop.close()
    with psycopg.connect(till.database.superuser, autocommit=True) as connection:
        connection.execute("ALTER TABLE entry DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM entry WHERE partition = %s AND position >= %s", (entry.partition, entry.position))
        connection.execute("ALTER TABLE entry ENABLE TRIGGER ALL")
    store = till.database.open(read_only=True)
    bad = verify(store, till.shop.custody.chain_key).first_bad
    store.close()
    assert bad is not None
    assert (bad.partition, bad.key) == (entry.partition, entry.client_key)


# ---------------------------------------------------------------- keys
def test_a_key_has_one_effect_whatever_card_it_names(till: ServerTill) -> None:
    one, two = apart(till, 10_00, 10_00)
    first = till.sale(one, 1_00, key="once")
    assert till.problem("settle", card=two, key="once", meaning="other", command=Sale("settle", [(1_00, 1)])) == "key_reused"
    assert till.sale(one, 1_00, key="once") == first
    same = [till.request("settle", card=card, key="twice", meaning=card, command=Sale("settle", [(1_00, 1)])) for card in (one, two)]
    answers = till.shop.desk.call_many(same)
    assert [getattr(answer, "code", "") for answer in answers] == ["", "key_reused"]
    assert isinstance(answers[1], Problem)
    assert books(till) == 18_00


def test_a_void_that_comes_first_stops_its_sale_in_any_partition(till: ServerTill) -> None:
    cards = apart(till, 10_00, 10_00, 10_00, 10_00)
    for number, card in enumerate(cards):
        till.done("void", ref_key=("terminal:t1", f"slow-{number}"), command=Void())
        late = till.sale(card, 3_00, key=f"slow-{number}")
        assert (late.outcome, late.code) == ("refused", "key_voided")
    assert books(till) == 40_00


# ---------------------------------------------------------------- two processes
def test_two_processes_take_turns(till: ServerTill) -> None:
    """What one wrote the other sees before it decides, whatever it remembered."""
    other = till.beside()
    card = till.card(100_00)
    for turn in range(6):
        desk = (till.shop, other)[turn % 2].desk
        entry = desk.call(till.request("settle", card=card, command=Sale("settle", [(10_00, 1)])))
        assert entry.outcome == "applied"
    assert till.balance(card) == 40_00
    key = till.request("settle", card=card, key="shared", meaning="m", command=Sale("settle", [(10_00, 1)]))
    assert other.desk.call(key) == till.shop.desk.call(key)
    assert other.desk.call(till.request("settle", card=card, command=Sale("settle", [(30_01, 1)]))).code == "insufficient_funds"
    assert till.balance(card) == 30_00
    till.sound()


def test_two_processes_share_the_registry(till: ServerTill) -> None:
    other = till.beside()
    document = {"id": "branch", "name": "Branch", "kind": "store", "parent": "issuer"}
    till.done("change", payload={"kind": "unit", "id": "branch", "document": document})
    # Decided by the other process at once, on what the first one wrote.
    below = {"id": "desk-1", "name": "Desk", "kind": "counter", "parent": "branch"}
    assert other.desk.call(till.request("change", payload={"kind": "unit", "id": "desk-1", "document": below})).outcome == "applied"
    assert other.follower is not None
    assert till.shop.follower is not None
    till.shop.follower.poll()
    unit = till.shop.registry.unit("desk-1")
    assert unit is not None
    assert unit.path == ("issuer", "branch", "desk-1")
    till.sound()


def test_a_change_is_not_made_on_what_another_process_replaced(till: ServerTill) -> None:
    """Two people at two processes read the same document and write it back changed: the second is told to look again."""
    other = till.beside()
    first = {"id": "branch", "name": "Branch", "kind": "store", "parent": "issuer"}
    till.done("change", payload={"kind": "unit", "id": "branch", "document": first})
    seen = msgspec.json.encode(first, order="sorted")

    def renamed(name: str) -> Request:
        return till.request("change", payload={"kind": "unit", "id": "branch", "document": {**first, "name": name}, "seen": seen})

    assert other.desk.call(renamed("One")).outcome == "applied"
    with pytest.raises(Problem) as raised:
        till.shop.desk.call(renamed("Two"))
    assert raised.value.code == "busy"
    unit = till.shop.registry.unit("branch")
    assert unit is not None
    assert unit.name == "One"
    till.sound()


def test_text_that_the_server_cannot_keep_is_refused_and_stops_nobody(till: ServerTill) -> None:
    card = till.card(1_00)
    for text in ("a\0b", "\ud800"):
        assert till.problem("freeze", card=card, reason=text) == "invalid_payload"
        assert till.problem("issue", payload={"programme": "plain", "prefix": "8801", "kind": text}) == "invalid_payload"
    assert till.done("freeze", card=card, reason="Verdacht \U0001f4b3").outcome == "applied"
    till.sound()


def test_one_card_from_two_processes_and_many_threads(till: ServerTill) -> None:
    """No money is made or spent twice: the balance never goes below zero, and what was sold is what is gone."""
    other = till.beside()
    card = till.card(100_00)
    requests = [till.request("settle", card=card, command=Sale("settle", [(1_00, 1)])) for _ in range(sized(160, 1_600))]
    with ThreadPoolExecutor(16) as pool:
        entries = list(pool.map(lambda pair: (till.shop, other)[pair[0] % 2].desk.call(pair[1]), enumerate(requests)))
    assert sum(entry.outcome == "applied" for entry in entries) == min(100, len(requests))
    assert {entry.code for entry in entries if entry.outcome == "refused"} == {"insufficient_funds"}
    assert till.balance(card) == max(0, 100_00 - len(requests) * 1_00)
    assert books(till) == till.balance(card)


def test_the_sum_of_all_money_is_the_same_in_every_snapshot(till: ServerTill) -> None:
    """Transfers at random between cards of all partitions, by two processes; a third looks at the heads of the journal meanwhile."""
    other = till.beside()
    cards = [till.card(50_00) for _ in range(8)]
    rng = random.Random(5)
    requests = []
    for _ in range(sized(120, 2_000)):
        one, two = rng.sample(cards, 2)
        requests.append(till.request("transfer", card=one, further=(two,), command=Transfer(rng.randrange(1, 20_00))))
    reader = till.shop.store.reader()
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit((till.shop, other)[n % 2].desk.call, request) for n, request in enumerate(requests)]
        seen = 0
        while not all(future.done() for future in running):
            assert sum(head.liability_fen for head in reader.heads()) == 400_00
            seen += 1
    reader.close()
    outcomes = [future.result().outcome for future in running]
    assert outcomes.count("applied") > len(requests) // 3
    assert seen > 3, "nobody looked while money moved"
    assert sum(map(till.balance, cards)) == 400_00
    assert books(till) == 400_00


def test_a_key_raced_in_two_partitions_by_two_processes(till: ServerTill) -> None:
    """The same client key at the same time for two cards: one effect, the other is told that the key was used."""
    other = till.beside()
    one, two = apart(till, 1_000_00, 1_000_00)

    def ask(shop: object, card: str, key: str) -> str:
        request = till.request("settle", card=card, key=key, meaning=[key, card], command=Sale("settle", [(1_00, 1)]))
        try:
            return shop.desk.call(request).outcome  # type: ignore[attr-defined,no-any-return]
        except CardcoreError as problem:
            return problem.code

    with ThreadPoolExecutor(8) as pool:
        for turn in range(sized(40, 400)):
            key = f"raced-{turn}"
            pair = [pool.submit(ask, shop, card, key) for shop, card in ((till.shop, one), (other, two))]
            assert sorted(future.result() for future in pair) == ["applied", "key_reused"]
    assert till.balance(one) + till.balance(two) == 2_000_00 - sized(40, 400) * 1_00
    books(till)


def test_a_medium_is_registered_once_in_all_partitions(till: ServerTill) -> None:
    """One chip on cards of two partitions: one after the other, in one batch, and raced by two processes. No desk stops for it."""
    other = till.beside()
    one, two = apart(till, 1_00, 1_00)

    def wish(card: str, name: str) -> Request:
        return till.request("register_medium", card=card, payload={"medium": name}, meaning=["register", card, name])

    def ask(shop: Shop, request: Request) -> str:
        try:
            return shop.desk.call(request).outcome
        except CardcoreError as problem:
            return problem.code

    assert ask(till.shop, wish(one, "uid:01")) == "applied"
    assert [ask(shop, wish(two, "uid:01")) for shop in (till.shop, other)] == ["medium_taken"] * 2
    till.done("retire_medium", payload={"medium": "uid:01"})
    together = till.shop.desk.call_many([wish(one, "uid:02"), wish(two, "uid:02")])
    assert [answer.code for answer in together] == ["", "medium_taken"]
    till.done("retire_medium", payload={"medium": "uid:02"})
    with ThreadPoolExecutor(2) as pool:
        for turn in range(sized(20, 200)):
            name = f"uid:raced-{turn}"
            pair = [pool.submit(ask, shop, wish(card, name)) for shop, card in ((till.shop, one), (other, two))]
            assert sorted(future.result() for future in pair) == ["applied", "medium_taken"]
            till.done("retire_medium", payload={"medium": name})
    assert (till.shop.desk.failed, other.desk.failed) == (None, None)
    till.sound()


def test_a_topup_beyond_what_a_partition_may_owe_changes_nothing(till: ServerTill) -> None:
    card = till.card(1_00)
    head = till.shop.desk.heads
    assert till.problem("topup", card="8801000000000009", command=TopUp(1)) == "unknown_card"
    assert till.shop.desk.heads == head
    assert till.balance(card) == 1_00


__all__ = ["server"]
