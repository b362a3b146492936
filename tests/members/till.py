"""Members at the desk, without the edge."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from cardapi.desk import Desk, Request
from cardapi.desk.fees import enrolment_key, replacement_key
from cardapi.ids import home
from cardapi.members.enrol import Claim
from cardapi.members.model import member_id
from cardapi.members.profile import Profile
from cardapi.reports.trial import trial_balance
from cardapi.store.port import Entry
from cardcore.settlement import Account, Sale
from cardcore.settlement.lifecycle import SUSPENDED
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


MARKET = """
schema = 1
name = "market"
version = 1
currency = "CNY"
title = { zh = "超市卡", en = "Supermarket card" }
about = { zh = "入会缴费", en = "Membership for a fee" }
utc_offset = "+08:00"
[card]
replacement_fee_fen = 2_00
[membership]
routes = ["fee", "group", "registration"]
fee_fen = 5_00
group_rate = "8/10"
free_from_fen = 288_00
[[purse]]
name = "principal"
unit = "fen"
role = "principal"
[[benefit]]
name = "first replacement of a staff member"
when = { tag = ["staff"] }
then = { waive = ["replacement-fee"] }
quota = [{ per = "life", times = 1 }]
[[benefit]]
name = "staff"
when = { tag = ["staff"] }
then = { waive = ["enrolment-fee"] }
"""
"""L06 and L07 as the feature list has them: fee 5, group 20 % off, free from a purchase of 288 on, replacement 2; staff pay nothing."""


def publish(till: Till, text: str) -> None:
    name = text.split('name = "', 1)[1].split('"', 1)[0]
    till.done("change", payload={"kind": "programme", "id": f"{name}@1", "document": {"valid_from": 0, "pack": text}})


def fee_of(till: Till, key: tuple[str, str]) -> Entry | None:
    """The fee entry of an enrolment or reissue, by its key."""
    return till.shop.store.reader().find_keys([key]).get(key)


def fees_are_taken_once(till: Till, desks: Sequence[Desk]) -> None:
    """L06, L07, O1: whichever process is asked, however often, in whatever partition the card lives, a fee is one entry."""
    publish(till, MARKET)
    cards = [till.card(0, "market") for _ in range(6)]
    members = []
    for card in cards:
        asked = request(till, person(), key=f"enrol-{card}", card=card, claim=Claim("fee", fee_fen=5_00))
        (entry,) = {desk.call(asked).position: desk.call(asked) for desk in desks for _ in range(2)}.values()
        members.append(member_id(entry.partition, entry.position))
        paid = fee_of(till, enrolment_key(members[-1]))
        assert paid is not None
        assert (paid.card, paid.unit, paid.terminal) == (card, "issuer", "t1")
        till.done("lost", card=card)
        again = till.request("reissue", key=f"again-{card}", card=card, payload={"fee_fen": 2_00, "prefix": "8802"})
        (replaced,) = {desk.call(again).position: desk.call(again) for desk in desks for _ in range(2)}.values()
        paid = fee_of(till, replacement_key(replaced))
        assert paid is not None
        assert (paid.partition, paid.position) == (replaced.partition, replaced.position + 1)
    found = trial_balance(till.shop.store.reader())
    assert found["ok"]
    assert {(row["account"], row["balance"]) for row in found["accounts"]} == {("outside", -6 * 7_00), ("fees", 6 * 7_00)}
    assert (found["total"]["fees"], found["total"]["fees_fen"], found["total"]["drawer_fen"]) == (12, 42_00, {"cash": 42_00})


def suspended(till: Till, card: str) -> bool:
    """Whether a card has the flag, read past the desk."""
    return bool(till.shop.store.reader().read([card])[card].card.flags & SUSPENDED)


def benefits_follow_the_member(till: Till, desks: Sequence[Desk]) -> None:
    """L10: every card of a member loses its benefits with the member's state, wherever it lives, in one commit, once."""
    publish(till, CLUB)
    cards = [till.card(100_00, "club") for _ in range(5)]
    member = enrol(till, card=cards[0])
    for card in cards[1:]:
        till.done("link", card=card, payload={"member": member})

    def turn(state: str) -> None:
        asked = till.request("member_state", key=f"turn-{state}-{next(till.numbers)}", payload={"member": member, "state": state})
        assert len({desk.call(asked).position for desk in desks for _ in range(2)}) == 1

    for state, flag in (("suspended", True), ("active", False), ("left", True), ("active", False)):
        turn(state)
        assert [suspended(till, card) for card in cards] == [flag] * 5, state
    partitions = len(till.shop.store.reader().partitions())
    if partitions > 1:
        assert len({home(card, partitions) for card in cards}) > 1, "the cards all live in one partition: nothing was shown"
    turn("suspended")
    for card in cards:
        assert till.done("settle", card=card, command=Sale("settle", [(100_00, 1)])).outcome == "applied", "the money is the holder's"
