"""Members on a server: what goes with a step of one reaches cards in other partitions, once, whichever process is asked (L06, L10, O1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cardapi.ids import home
from cardapi.members.model import member_id
from tests.members.till import CLUB, benefits_follow_the_member, fees_are_taken_once, person, referrals_are_paid_once, request
from tests.postgres.till import ServerTill

WELCOME = """
[[benefit]]
name = "welcome"
when = { event = ["registration"] }
then = { grant = "points", amount = 1 }
"""


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop", 4)
    yield till
    till.end()


def test_a_referral_is_paid_once_by_two_processes(till: ServerTill) -> None:
    referrals_are_paid_once(till, [till.shop.desk, till.beside().desk])
    till.sound()


def test_a_fee_is_taken_once_by_two_processes(till: ServerTill) -> None:
    fees_are_taken_once(till, [till.shop.desk, till.beside().desk])
    till.sound()


def test_benefits_follow_a_member_into_every_partition(till: ServerTill) -> None:
    benefits_follow_the_member(till, [till.shop.desk, till.beside().desk])
    till.sound()


def test_who_is_enrolled_by_another_process_gets_what_joining_gives(till: ServerTill) -> None:
    """The process that enrols has never seen the card, nor the account that the gift goes to."""
    till.done("change", payload={"kind": "programme", "id": "club@1", "document": {"valid_from": 0, "pack": CLUB + WELCOME}})
    beside, member = till.beside().desk, ""
    cards = [till.card(0, "club") for _ in range(12)]
    assert {home(card, 4) for card in cards} == {0, 1, 2, 3}
    for card in cards:
        entry = beside.call(request(till, person(), card=card, **({"referrer": member} if member else {})))
        member = member or member_id(entry.partition, entry.position)
    assert [till.balance(card) for card in cards] == [1 + 100 * 11, *[51] * 11]
    till.sound()
