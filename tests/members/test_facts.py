"""Goal: what a pack asks of member and place reaches the decision: birthday, tags, attributes, state, store, unit, channel; a pack that
asks for nothing is told nothing.

Method: one pack with one discount for each condition; what a sale of 100 costs tells which fired. A quote says the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cardapi.http.sales import memo
from cardapi.members.profile import Profile
from cardapi.people.policy import read
from cardcore.settlement import Sale, Settlement
from tests.desk.till import PLAIN
from tests.jobs.conftest import DAY_S, Timed
from tests.members.till import enrol, person

RULES = (
    ('birthday = "day"', "99/100"), ('birthday = "month"', "98/100"), ('tag = ["vip"]', "97/100"), ('tag = ["size:xl"]', "96/100"),
    ('tag = ["member"], tag_not = ["vip", "size:xl", "none"]', "95/100"), ('store = ["s1"]', "94/100"), ('unit = ["c1"]', "93/100"),
    ('channel = ["web"]', "92/100"),
)  # fmt: skip


def pack(name: str, condition: str, rate: str) -> str:
    rule = f'[[benefit]]\nname = "r"\nwhen = {{ {condition} }}\nthen = {{ discount = "{rate}" }}\n'
    return PLAIN.replace('"plain"', f'"{name}"') + rule


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Timed]:
    till = Timed(tmp_path / "shop")
    for number, (condition, rate) in enumerate(RULES):
        document = {"valid_from": 0, "pack": pack(f"p{number}", condition, rate)}
        till.done("change", payload={"kind": "programme", "id": f"p{number}@1", "document": document})
    for name, kind, parent in (("s1", "store", "issuer"), ("c1", "counter", "s1"), ("s2", "store", "issuer")):
        till.done("change", payload={"kind": "unit", "id": name, "document": {"name": name, "kind": kind, "parent": parent}})
    yield till
    till.shop.close()


def paid(till: Timed, number: int, who: Profile | None, *, unit: str = "issuer", channel: str = "store", state: str = "") -> int:
    """What 100 yuan cost on a card of pack `number`; the quote must agree."""
    card = till.card(200_00, f"p{number}")
    member = enrol(till, who, card=card) if who is not None else ""
    if state:
        till.done("member_state", payload={"member": member, "state": state})
    command = Sale("settle", [(100_00, 1)], memo=memo(channel, ""))
    request = replace(till.request("settle", card=card, command=command), unit=unit)
    quoted = asyncio.run(till.shop.desk.quote(request)).net_fen
    entry = till.shop.desk.call(request)
    assert entry.outcome == "applied"
    assert Settlement.unpack(entry.body).net_fen == quoted
    return quoted


@pytest.mark.parametrize(("number", "who", "expected"), [
    (0, person(birthday="1990-01-01"), 99_00), (0, person(birthday="1990-01-02"), 100_00), (0, person(), 100_00), (0, None, 100_00),
    (1, person(birthday="1990-01-31"), 98_00), (1, person(birthday="1990-02-01"), 100_00),
    (2, person(tags=("vip", "x")), 97_00), (2, person(tags=("x",)), 100_00), (2, None, 100_00),
    (3, person(attributes={"size": "xl"}), 96_00), (3, person(attributes={"size": "l"}), 100_00),
    (4, person(), 95_00), (4, person(tags=("vip",)), 100_00), (4, None, 100_00),
])  # fmt: skip
def test_facts_of_the_member(shop: Timed, number: int, who: Profile | None, expected: int) -> None:
    assert paid(shop, number, who) == expected
    shop.sound()


def test_benefits_of_a_suspended_member_sleep(shop: Timed) -> None:
    """L10: tags, attributes and birthday count no more until the member is active again."""
    assert paid(shop, 2, person(tags=("vip",)), state="suspended") == 100_00
    assert paid(shop, 4, person(), state="suspended") == 100_00


def test_facts_of_the_place(shop: Timed) -> None:
    assert [paid(shop, 5, None, unit=unit) for unit in ("s1", "c1", "s2", "issuer")] == [94_00, 94_00, 100_00, 100_00]
    assert [paid(shop, 6, None, unit=unit) for unit in ("s1", "c1")] == [100_00, 93_00]
    assert [paid(shop, 7, None, channel=channel) for channel in ("web", "store")] == [92_00, 100_00]


def test_an_erased_member_is_nobody(shop: Timed) -> None:
    card = shop.card(200_00, "p2")
    member = enrol(shop, person(tags=("vip",)), card=card)
    shop.done("erase", payload={"member": member})
    entry = shop.ask("settle", card=card, command=Sale("settle", [(100_00, 1)]))
    assert Settlement.unpack(entry.body).net_fen == 100_00
    shop.clock.at_s += DAY_S
    shop.sound()


def test_what_a_pack_asks_for() -> None:
    assert read(PLAIN)[2] == frozenset()
    asked = [read(pack("p", condition, rate))[2] for condition, rate in RULES]
    assert asked[0] == {"birthday"}
    assert asked[4] == {"tag", "tag_not"}
    assert asked[6] == {"unit"}, "the unit of a purse is another word"
