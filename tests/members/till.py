"""Members at the desk, without the edge."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from cardapi.desk import Desk, Request
from cardapi.ids import home
from cardapi.members.enrol import Claim
from cardapi.members.model import member_id
from cardapi.members.profile import Profile
from cardcore.settlement import Account
from tests.desk.till import PLAIN, Till

_PHONES = itertools.count(15_000_000_000)


def person(**known: Any) -> Profile:
    return Profile(**{"name": "张伟", "phone": str(next(_PHONES)), **known})


def request(till: Till, profile: Profile, *, key: str = "", **facts: Any) -> Request:
    payload = {"profile": profile, "claim": Claim(), **facts}
    return till.request("enrol", key=key, meaning=["enrol", profile.phone, profile.name], payload=payload)


CLUB = PLAIN.replace('"plain"', '"club"') + """
[[purse]]
name = "points"
unit = "points"
role = "points"
[[benefit]]
name = "friend"
when = { event = ["referral"] }
then = { grant = "points", amount = 100 }
[[benefit]]
name = "by a friend"
when = { event = ["referred"] }
then = { grant = "points", amount = 50 }
"""


def referrals_are_paid_once(till: Till, desks: Sequence[Desk]) -> None:
    """E10, O1: friends with cards in other partitions, every request sent to every desk, count once, on both sides."""
    till.done("change", payload={"kind": "programme", "id": "club@1", "document": {"valid_from": 0, "pack": CLUB}})
    first = till.card(0, "club")
    member = enrol(till, card=first)
    friends = [till.card(0, "club") for _ in range(6)]
    requests = [request(till, person(), card=card, referrer=member, key=f"friend-{card}") for card in friends]
    answers = [{desk.call(one).position for desk in desks for _ in range(2)} for one in requests]
    assert [len(entries) for entries in answers] == [1] * 6, "a request that is sent again has the same effect"
    reader = till.shop.store.reader()
    points = {card: sum(lot.amount for lot in Account.unpack(reader.read([card])[card].account.state).lots()) for card in (first, *friends)}
    assert points == {first: 600, **dict.fromkeys(friends, 50)}
    partitions = len(reader.partitions())
    assert len({home(card, partitions) for card in friends}) > 1, "the friends all live in one partition: nothing was shown"


def enrol(till: Till, profile: Profile | None = None, **facts: Any) -> str:
    """Returns the member's id."""
    entry = till.shop.desk.call(request(till, profile or person(), **facts))
    return member_id(entry.partition, entry.position)
