"""An embedded shop with several partitions, as one is made that is to grow: the same books, whatever partition a card lives in.

The suite of the server store (`tests/postgres/test_partitions.py`) has the same on PostgreSQL; here is what needs no server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cardapi.ids import home
from cardapi.reports.trial import trial_balance
from cardcore.settlement import Capture, Refund, Reverse, Sale, Transfer, Void
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
    till = Till(tmp_path / "shop", partitions=PARTITIONS)
    yield till
    till.shop.close()


def cards_of(till: Till, count: int, programme: str = "plain", money_fen: int = 20_00) -> dict[int, str]:
    """Rich cards, one in each of `count` partitions."""
    cards: dict[int, str] = {}
    while len(cards) < count:
        number = till.card(money_fen, programme)
        cards[home(number, PARTITIONS)] = number
    return cards


def test_money_moves_between_partitions(till: Till) -> None:
    cards = cards_of(till, PARTITIONS)
    issued = len(list(till.shop.store.reader().cards()))
    one, two, three = (cards[partition] for partition in (2, 0, 3))
    moved = till.done("transfer", card=one, further=(two,), command=Transfer(5_00))
    sale = till.sale(one, 50_00, further=(two, three))
    assert sale.outcome == "applied"
    assert [till.balance(card) for card in (one, two, three)] == [0, 0, 10_00]
    till.done("refund", card=one, of=sale, command=Refund())
    till.done("reverse", card=one, of=moved, command=Reverse())
    assert [till.balance(card) for card in (one, two, three)] == [20_00, 20_00, 20_00]
    till.reopen()
    till.sound()
    trial = trial_balance(till.shop.store.reader())
    assert trial["ok"]
    assert trial["liability_fen"] == issued * 20_00


def test_what_names_a_sale_of_its_own_batch_by_key_finds_it(till: Till) -> None:
    """A till that gave up on its answer asks again at once: sale and void, or hold and capture, wait in one queue (O6)."""
    for number, card in enumerate(cards_of(till, PARTITIONS).values()):
        keys = [("terminal:t1", f"{verb}-{number}") for verb in ("settle", "hold")]
        answers = till.shop.desk.call_many([
            till.request("settle", card=card, key=keys[0][1], command=Sale("settle", [(5_00, 1)])),
            till.request("void", ref_key=keys[0], command=Void()),
            till.request("hold", card=card, key=keys[1][1], command=Sale("hold", [(5_00, 1)], hold_seconds=60)),
            till.request("capture", ref_key=keys[1], command=Capture(3_00)),
        ])  # fmt: skip
        assert [getattr(answer, "code", answer) for answer in answers] == [""] * 4, card
        assert till.balance(card) == 17_00
    till.sound()


def test_a_key_and_a_card_of_another_partition_name_nothing(till: Till) -> None:
    """Positions count in each partition: one of another partition would name whatever stands there, or nothing."""
    one, two = cards_of(till, 2).values()
    for _ in range(5):
        till.sale(one, 1_00)
    sale = till.sale(one, 1_00, key="named")
    named = (sale.client, sale.client_key)
    for verb, command in (("refund", Refund(amount_fen=1)), ("void", Void())):
        assert till.problem(verb, card=two, ref_key=named, command=command) == "unknown_card"
    till.done("void", card=one, ref_key=named, command=Void())
    till.done("void", card=one, ref_key=("terminal:t1", "unseen"), command=Void())
    assert till.problem("void", card=two, ref_key=("terminal:t1", "unseen"), command=Void()) == "unknown_card"
    till.sound()


def test_what_a_customer_owes_is_no_liability(till: Till) -> None:
    """A rebate that was spent before its ticket came back: who owes it, owes it, and customers' money is what lies on the cards (M10)."""
    pack = PLAIN.replace('"plain"', '"back"') + REBATE
    till.done("change", payload={"kind": "programme", "id": "back@1", "document": {"valid_from": 0, "pack": pack}})
    one, two = cards_of(till, 2, "back", 100_00).values()
    alone = till.sale(one, 40_00)
    both = till.sale(one, 100_00, further=(two,))
    till.sale(one, till.balance(one))
    assert till.balance(one) == 0, "what came back is spent"
    for sale in (both, alone):
        till.done("refund", card=one, of=sale, command=Refund())
    till.sound()
    assert trial_balance(till.shop.store.reader())["ok"]


def test_a_referral_is_paid_once_whatever_partitions_the_friends_live_in(till: Till) -> None:
    referrals_are_paid_once(till, [till.shop.desk])
    till.sound()
