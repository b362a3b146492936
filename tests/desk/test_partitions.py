"""An embedded shop with several partitions, as one is made that is to grow: the same books, whatever partition a card lives in.

The suite of the server store (`tests/postgres/test_partitions.py`) has the same on PostgreSQL; here is what needs no server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cardapi.app import create_shop
from cardapi.ids import home
from cardapi.reports.trial import trial_balance
from cardcore.settlement import Refund, Reverse, Transfer
from tests.desk.till import PLAIN, Till
from tests.members.till import referrals_are_paid_once

PARTITIONS = 4
REBATE = """
[[purse]]
name = "rebates"
unit = "fen"
role = "bonus"
[[benefit]]
name = "10 % back"
then = { rebate = "rebates", share = "1/10", base = ["principal", "outside"] }
"""


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    create_shop(tmp_path / "shop", password="correct horse", partitions=PARTITIONS)
    till = Till(tmp_path / "shop")
    yield till
    till.shop.close()


def test_money_moves_between_partitions(till: Till) -> None:
    cards: dict[int, str] = {}
    while len(cards) < PARTITIONS:
        number = till.card(20_00)
        cards[home(number, PARTITIONS)] = number
    issued = len(list(till.shop.store.reader().cards()))
    one, two, three = (cards[partition] for partition in (2, 0, 3))
    moved = till.done("transfer", card=one, further=(two,), command=Transfer(5_00))
    sale = till.sale(one, 50_00, further=(two, three))
    assert sale.outcome == "applied"
    assert [till.balance(card) for card in (one, two, three)] == [0, 0, 10_00]
    till.done("refund", card=one, ref=sale.position, partition=sale.partition, command=Refund())
    till.done("reverse", card=one, ref=moved.position, partition=moved.partition, command=Reverse())
    assert [till.balance(card) for card in (one, two, three)] == [20_00, 20_00, 20_00]
    till.reopen()
    till.sound()
    trial = trial_balance(till.shop.store.reader())
    assert trial["ok"]
    assert trial["liability_fen"] == issued * 20_00


def test_what_a_customer_owes_is_no_liability(till: Till) -> None:
    """A rebate that was spent before its ticket came back: who owes it, owes it, and customers' money is what lies on the cards (M10)."""
    pack = PLAIN.replace('"plain"', '"back"') + REBATE
    till.done("change", payload={"kind": "programme", "id": "back@1", "document": {"valid_from": 0, "pack": pack}})
    cards: dict[int, str] = {}
    while len(cards) < 2:
        number = till.card(100_00, "back")
        cards.setdefault(home(number, PARTITIONS), number)
    one, two = cards.values()
    alone = till.sale(one, 40_00)
    both = till.sale(one, 100_00, further=(two,))
    till.sale(one, till.balance(one))
    assert till.balance(one) == 0, "what came back is spent"
    for sale in (both, alone):
        till.done("refund", card=one, ref=sale.position, partition=sale.partition, command=Refund())
    till.sound()
    assert trial_balance(till.shop.store.reader())["ok"]


def test_a_referral_is_paid_once_whatever_partitions_the_friends_live_in(till: Till) -> None:
    referrals_are_paid_once(till, [till.shop.desk])
    till.sound()
