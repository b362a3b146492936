"""Money verbs through the desk: what the store holds afterwards, what names what, and what a refusal leaves.

The core's arithmetic has its own suite; here it is the path: card state, named entries, further cards, back pointers, restart.
"""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cardapi.store.fold import unpack_facts
from cardcore.errors import Declined, InvalidCommand
from cardcore.settlement import Adjust, Capture, Refund, Reverse, Sale, Settlement, TopUp, Transfer, Void
from tests.desk.till import Till


def test_sixty_four_debits_race_on_one_card(till: Till) -> None:
    """Exactly the debits that the balance covers succeed, however they interleave."""
    card = till.card(10 * 7_00 + 3_00)
    with ThreadPoolExecutor(64) as pool:
        entries = list(pool.map(lambda n: till.sale(card, 7_00, key=f"race-{n}"), range(64)))
    applied = [entry for entry in entries if entry.outcome == "applied"]
    assert len(applied) == 10
    assert {entry.code for entry in entries} == {"", "insufficient_funds"}
    assert till.balance(card) == 3_00
    till.sound()


def test_the_race_on_an_event_loop(till: Till) -> None:
    card = till.card(10 * 7_00)
    requests = [till.request("settle", card=card, command=Sale("settle", [(7_00, 1)])) for _ in range(64)]

    async def race() -> list[str]:
        return [entry.code for entry in await asyncio.gather(*map(till.shop.desk.execute, requests))]

    assert sorted(asyncio.run(race())).count("") == 10
    assert till.balance(card) == 0


def test_commands_of_one_batch_see_each_other(till: Till) -> None:
    card = till.card(10_00)
    requests = [
        till.request("settle", card=card, command=Sale("settle", [(8_00, 1)])),
        till.request("settle", card=card, command=Sale("settle", [(8_00, 1)])),
        till.request("topup", card=card, command=TopUp(6_00)),
        till.request("settle", card=card, command=Sale("settle", [(8_00, 1)])),
    ]
    assert [entry.code for entry in till.shop.desk.call_many(requests)] == ["", "insufficient_funds", "", ""]
    assert till.balance(card) == 0
    till.sound()


def test_refunds_never_exceed_their_ticket(till: Till) -> None:
    card = till.card(100_00)
    sale = till.sale(card, 30_00)
    till.done("refund", of=sale, command=Refund(amount_fen=10_00))
    assert till.ask("refund", of=sale, command=Refund(amount_fen=20_01)).code == "over_refund"
    till.reopen()
    till.done("refund", of=sale, command=Refund(amount_fen=20_00))
    assert till.ask("refund", of=sale, command=Refund(amount_fen=1)).code in ("over_refund", "already_reversed", "not_refundable")
    assert till.balance(card) == 100_00
    till.sound()


def test_refunds_race(till: Till) -> None:
    card = till.card(100_00)
    sale = till.sale(card, 30_00)
    with ThreadPoolExecutor(16) as pool:
        entries = list(pool.map(lambda n: till.ask("refund", key=f"r{n}", of=sale, command=Refund(amount_fen=4_00)), range(16)))
    assert sum(entry.outcome == "applied" for entry in entries) == 7
    assert till.balance(card) == 98_00
    till.sound()


def test_a_sale_refunded_in_the_batch_that_made_it(till: Till) -> None:
    card = till.card(100_00)
    last = till.topup(card, 10_00)
    sale: dict[str, Any] = {"partition": last.partition, "ref": last.position + 1}
    requests = [
        till.request("settle", card=card, command=Sale("settle", [(30_00, 1)])),
        till.request("refund", **sale, command=Refund(amount_fen=10_00)),
        till.request("refund", **sale, command=Refund(amount_fen=20_01)),
        till.request("refund", **sale, command=Refund()),
    ]
    assert [entry.code for entry in till.shop.desk.call_many(requests)] == ["", "", "over_refund", ""]
    assert till.balance(card) == 110_00
    till.sound()


def test_hold_capture_and_release(till: Till) -> None:
    card = till.card(100_00)
    hold = till.sale(card, 40_00, verb="hold")
    assert till.sale(card, 70_00).code == "insufficient_funds", "what is held cannot be spent"
    till.done("capture", of=hold, command=Capture(25_00))
    assert till.ask("capture", of=hold, command=Capture(1)).code == "hold_not_open"
    assert till.balance(card) == 75_00
    other = till.sale(card, 40_00, verb="hold")
    till.done("void", of=other, command=Void())
    assert till.balance(card) == 75_00
    till.sound()


def test_reverse_transfer_adjust(till: Till) -> None:
    card, other = till.card(100_00), till.card()
    topup = till.topup(card, 50_00)
    till.done("reverse", of=topup, command=Reverse())
    till.done("transfer", card=card, further=(other,), command=Transfer(30_00))
    till.done("adjust", card=other, command=Adjust("principal", -5_00))
    assert (till.balance(card), till.balance(other)) == (70_00, 25_00)
    assert till.problem("transfer", card=card, further=("8801000000000009",), command=Transfer(1)) == "unknown_card"
    till.sound()


def test_further_cards_pay_the_rest_and_get_it_back(till: Till) -> None:
    card, second, third = till.card(10_00), till.card(20_00), till.card(5_00)
    sale = till.ask("settle", card=card, further=(second, third), command=Sale("settle", [(33_00, 1)]))
    assert sale.outcome == "applied"
    assert [till.balance(number) for number in (card, second, third)] == [0, 0, 2_00]
    till.reopen()
    till.done("refund", of=sale, command=Refund())
    assert [till.balance(number) for number in (card, second, third)] == [10_00, 20_00, 5_00]
    till.sound()


def test_statements_walk_every_account_a_ticket_touched(till: Till) -> None:
    card, second = till.card(10_00), till.card(20_00)
    sale = till.ask("settle", card=card, further=(second,), command=Sale("settle", [(25_00, 1)]))
    later = till.topup(second, 1_00)
    store = till.shop.store.reader()
    accounts = {number: found.card.account_id for number, found in store.read([card, second]).items()}
    mine = [entry.position for entry in store.statement(accounts[second], None, 100)]
    assert mine[:2] == [later.position, sale.position]
    assert [entry.verb for entry in store.statement(accounts[second], None, 100)] == ["topup", "settle", "topup", "activate", "issue"]
    assert [entry.verb for entry in store.statement(accounts[card], None, 100)] == ["settle", "topup", "activate", "issue"]
    assert [entry.position for entry in store.statement(accounts[second], sale.position, 2)] == mine[2:4]


def test_named_entries_must_be_the_cards_own(lone: Till) -> None:
    card, other = lone.card(10_00), lone.card(10_00)
    sale = lone.sale(card, 5_00)
    assert lone.ask("refund", card=other, of=sale, command=Refund()).code == "not_same_card"
    entry = lone.shop.store.reader().entry(sale.partition, sale.position)
    assert entry is not None
    before = lone.ask("refund", card=card, ref=entry.prior - 1, partition=entry.partition, command=Refund())
    assert before.code in ("not_refundable", "not_same_card")
    refused = lone.sale(card, 50_00)
    assert lone.ask("refund", card=card, of=refused, command=Refund()).code == "not_refundable"
    lone.sound()


def test_a_command_that_means_nothing_records_nothing(till: Till) -> None:
    card = till.card(10_00)
    before = till.shop.desk.heads
    with pytest.raises(InvalidCommand):
        till.ask("settle", card=card, command=Sale("settle", [(5_00, 1, "", "", 0, 1, 1, 0, 6_00)]))
    assert till.problem("settle", card=card) == "invalid_payload"
    assert till.problem("fly", card=card) == "invalid_payload"
    assert till.shop.desk.heads == before


def test_facts_of_a_refusal_come_from_its_entry(till: Till) -> None:
    refused = till.sale(till.card(10_00), 12_00)
    assert unpack_facts(refused.body)["shortfall_fen"] == 2_00


def test_quote_changes_nothing(till: Till) -> None:
    card = till.card(10_00)
    before = till.shop.desk.heads
    request = till.request("quote", card=card, command=Sale("quote", [(4_00, 1)]))
    settlement = asyncio.run(till.shop.desk.quote(request))
    assert (settlement.net_fen, settlement.after_money_fen) == (4_00, 6_00)
    request.command = Sale("quote", [(40_00, 1)])
    with pytest.raises(Declined):
        asyncio.run(till.shop.desk.quote(request))
    assert till.shop.desk.heads == before


def test_rows_kept_between_batches_are_bounded(till: Till) -> None:
    """The desk's memory of rows is small and is dropped oldest first; answers and the store stay the same."""
    rows = till.shop.desk._sides._sides[0].rows
    rows.accounts_max = 3
    cards = [till.card(10_00) for _ in range(9)]
    rng = random.Random(3)
    for _ in range(40):
        till.sale(rng.choice(cards), 10)
        assert len(rows.accounts) <= 3
        assert len(rows.cards) <= len(rows.accounts)
        assert set(rows.changed) == set(rows.accounts)
    assert sum(map(till.balance, cards)) == 9 * 10_00 - 40 * 10
    till.sound()


def test_liability_runs_along(lone: Till) -> None:
    """M10: after each entry its liability is the sum of all balances."""
    rng = random.Random(5)
    cards = [lone.card() for _ in range(4)]
    for _ in range(60):
        card = rng.choice(cards)
        entry = lone.topup(card, rng.randint(1, 50_00)) if rng.random() < 0.5 else lone.sale(card, rng.randint(1, 60_00))
        assert entry.liability_fen == sum(map(lone.balance, cards))
    lone.sound()


def test_answers_are_functions_of_their_entries(till: Till) -> None:
    sale = till.sale(till.card(10_00), 4_00)
    read = till.shop.store.reader().entry(sale.partition, sale.position)
    assert read == sale
    assert Settlement.unpack(read.body).net_fen == 4_00
