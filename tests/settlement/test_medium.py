"""Goal: value that crosses to and from the card's memory is in exactly one place at any time, and ends once, by proof (M5, M6).

Method: a random workload of loads, unloads, purchases and their ends from a seed; a plain count of where the money is must
agree with the account after every step, and refusals must change nothing.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from cardcore.errors import Declined
from cardcore.settlement import (
    Account,
    Arrive,
    Clear,
    Load,
    Pay,
    Return,
    Settlement,
    Snapshot,
    TopUp,
    Unload,
    decide,
)
from tests.settlement.test_batch import AT_US, programme

RULES = programme()


class Shop:
    """An account and its journal."""

    def __init__(self) -> None:
        self.account = Account(1)
        self.journal: list[Settlement] = []
        self.liability_fen = 0

    def do(self, command: Any, ticket: int = 0, followers: tuple[Settlement, ...] = ()) -> int:
        """Decide and fold; the position of the new entry."""
        named = self.journal[ticket - 1] if ticket else None
        snapshot = Snapshot(RULES, self.account, ticket=named, ticket_position=ticket, followers=followers)
        settlement = decide(snapshot, command, AT_US)
        self.journal.append(Settlement.unpack(settlement.pack()))
        self.account.apply(settlement, len(self.journal))
        self.account = Account.unpack(self.account.pack())
        self.liability_fen += settlement.liability_delta_fen
        return len(self.journal)

    def refused(self, command: Any, ticket: int = 0, followers: tuple[Settlement, ...] = ()) -> str:
        """The code of a refusal that must change nothing."""
        before = self.account.pack()
        with pytest.raises(Declined) as caught:
            self.do(command, ticket, followers)
        assert self.account.pack() == before
        return caught.value.declined_code


def test_a_load_is_spendable_nowhere_until_it_arrived_and_then_only_on_the_card() -> None:
    shop = Shop()
    shop.do(TopUp(100_00))
    intent = shop.do(Load(60_00))
    assert (shop.account.money_fen(RULES, 0), shop.account.on_card_fen) == (40_00, 0)
    assert [(flight.amount_fen, flight.kind) for flight in shop.account.flights()] == [(60_00, "load")]
    assert shop.refused(Load(1_00)) == "in_flight_open"
    assert shop.refused(Unload(1_00)) == "in_flight_open"
    assert shop.refused(Clear(1)) == "card_overdrawn"
    shop.do(Arrive(), intent)
    assert (shop.account.money_fen(RULES, 0), shop.account.on_card_fen, shop.account.flights()) == (40_00, 60_00, [])
    assert shop.refused(Arrive(), intent) == "not_in_flight"
    assert shop.refused(Return(), intent) == "not_in_flight"
    assert shop.refused(Clear(60_01)) == "card_overdrawn"
    shop.do(Clear(12_50))
    assert (shop.account.on_card_fen, shop.liability_fen) == (47_50, 87_50)


def test_a_load_that_never_happened_returns_to_its_lots_or_to_the_till() -> None:
    shop = Shop()
    shop.do(TopUp(1000_00))
    lots = shop.account.lots()
    shop.do(Return(), shop.do(Load(60_00)))
    assert shop.account.lots() == lots
    cash = shop.do(Load(60_00, tender="cash"))
    back = shop.do(Return(), cash)
    assert (shop.journal[back - 1].outside_fen, shop.journal[back - 1].outside_tender) == (60_00, "cash")
    assert (shop.account.lots(), shop.liability_fen) == (lots, 1200_00)


def test_bonus_does_not_go_on_the_card() -> None:
    shop = Shop()
    shop.do(TopUp(1000_00))
    assert shop.refused(Load(1000_01)) == "insufficient_funds"
    shop.do(Load(1000_00))
    assert shop.account.money_fen(RULES, 0) == 200_00


def test_a_payment_on_line_is_the_stores_sale_once_the_card_has_proved_it() -> None:
    shop = Shop()
    shop.do(TopUp(100_00))
    assert shop.refused(Pay(1)) == "card_overdrawn"
    shop.do(Arrive(), shop.do(Load(60_00)))
    intent = shop.do(Pay(12_50))
    assert [(flight.amount_fen, flight.kind) for flight in shop.account.flights()] == [(12_50, "pay")]
    assert (shop.account.on_card_fen, shop.liability_fen) == (60_00, 100_00)
    assert Account.unpack(shop.account.pack()) == shop.account
    assert shop.refused(Load(1)) == shop.refused(Pay(1)) == "in_flight_open"
    shop.do(Return(), intent)
    assert (shop.account.on_card_fen, shop.account.flights(), shop.liability_fen) == (60_00, [], 100_00)
    done = shop.journal[shop.do(Arrive(), shop.do(Pay(12_50))) - 1]
    assert [(posting.source, posting.target, posting.amount) for posting in done.postings()] == [("on_card", "sales", 12_50)]
    assert (shop.account.on_card_fen, shop.account.flights(), shop.liability_fen) == (47_50, [], 87_50)


@pytest.mark.parametrize("seed", range(20))
def test_money_is_in_one_place_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    shop = Shop()
    shop.do(TopUp(500_00))
    account_fen, card_fen, put_in_fen, sold_fen = 500_00, 0, 500_00, 0
    flight: tuple[int, str, int, str] | None = None
    for _ in range(200):
        amount = rng.randrange(1, 120_00)
        kind = rng.choice(["load", "cash", "unload", "pay", "clear", "arrive", "return"])
        try:
            if kind in ("load", "cash"):
                flight = (shop.do(Load(amount, tender="cash" if kind == "cash" else "")), "load", amount, kind)
                account_fen -= amount if kind == "load" else 0
                put_in_fen += amount if kind == "cash" else 0
            elif kind == "unload":
                flight = (shop.do(Unload(amount)), "unload", amount, kind)
            elif kind == "pay":
                flight = (shop.do(Pay(amount)), "pay", amount, kind)
            elif kind == "clear":
                shop.do(Clear(amount))
                card_fen, sold_fen = card_fen - amount, sold_fen + amount
            elif flight is not None:
                position, way, moved, source = flight
                shop.do(Arrive() if kind == "arrive" else Return(), position)
                flight = None
                if way == "load":
                    card_fen += moved if kind == "arrive" else 0
                    account_fen += moved if kind == "return" and source == "load" else 0
                    put_in_fen -= moved if kind == "return" and source == "cash" else 0
                elif way == "pay":
                    card_fen -= moved if kind == "arrive" else 0
                    sold_fen += moved if kind == "arrive" else 0
                elif kind == "arrive":
                    card_fen, account_fen = card_fen - moved, account_fen + moved
        except Declined:
            pass
        in_flight = flight[2] if flight and flight[1] == "load" else 0
        assert (shop.account.money_fen(RULES, 0), shop.account.on_card_fen) == (account_fen, card_fen), f"seed {seed}"
        assert account_fen + card_fen + in_flight == put_in_fen - sold_fen == shop.liability_fen, f"seed {seed}"
    assert sold_fen > 0
