"""Goal: each condition that a rule may ask for is answered through the desk as the pack's text says, met and not met.
Method: one pack with one rule for each condition, through a till with a clock of its own; the list is held against the program's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from cardapi.http.sales import memo
from cardapi.members.profile import Profile
from cardapi.plans.conditions import PREDICATES
from cardcore.settlement import MEMBER_ONLY, Adjust, Event, Line, Sale, Settlement
from tests.desk.till import PLAIN
from tests.jobs.conftest import Timed
from tests.jobs.test_periods import POINTS, at
from tests.members.till import enrol, person
from tests.settlement.test_counters import counter
from tests.settlement.test_grants import rule

OFF, GIVE = 'discount = "9/10"', 'grant = "points", amount = 7'
PLACES = (("s1", "store", "issuer"), ("s2", "store", "issuer"), ("c1", "counter", "s1"))
NEVER = "999_999_00"


class Deed(NamedTuple):
    """What the card does. Without `event`: it pays 100 yuan in cash, `before` times before."""

    time: str = "2026-03-02 12:00"  # a Monday
    line: Line = Line(100_00)
    tender: str = "cash"
    unit: str = "issuer"
    channel: str = "store"
    who: Profile | None = None
    event: str = ""
    before: int = 0
    points: int = 0


CASES: dict[str, tuple[str, str, Deed, Deed]] = {
    "amount_min_fen": ("amount_min_fen = 100_00", OFF, Deed(), Deed(line=Line(99_99))),
    "amount_max_fen": ("amount_max_fen = 100_00", OFF, Deed(), Deed(line=Line(100_01))),
    "category": ('category = ["tea"]', OFF, Deed(line=Line(100_00, category="tea")), Deed(line=Line(100_00, category="milk"))),
    "flag": ('flag = ["member-only"]', OFF, Deed(line=Line(100_00, flags=MEMBER_ONLY)), Deed()),
    "flag_not": ('flag_not = ["member-only"]', OFF, Deed(), Deed(line=Line(100_00, flags=MEMBER_ONLY))),
    "tier": ('tier = ["second"]', OFF, Deed(before=1), Deed()),
    "earned_min": ("earned_min = 100", GIVE, Deed(), Deed(line=Line(99_99))),
    "weekday": ('weekday = ["mon"]', OFF, Deed(), Deed("2026-03-03 00:00")),
    "day": ("day = [2]", OFF, Deed("2026-03-02 00:00"), Deed("2026-03-01 23:59:59")),
    "month": ("month = [3]", OFF, Deed("2026-03-31 23:59:59"), Deed("2026-04-01 00:00")),
    "hour": ("hour = [12]", OFF, Deed("2026-03-02 12:59:59"), Deed("2026-03-02 13:00")),
    "from": ('from = "2026-03-02"', OFF, Deed("2026-03-02 00:00"), Deed("2026-03-01 23:59:59")),
    "until": ('until = "2026-03-02"', OFF, Deed("2026-03-02 23:59:59"), Deed("2026-03-03 00:00")),
    "birthday": ('birthday = "month"', OFF, Deed(who=person(birthday="1990-03-31")), Deed(who=person(birthday="1990-04-01"))),
    "store": ('store = ["s1"]', OFF, Deed(unit="c1"), Deed(unit="s2")),
    "unit": ('unit = ["c1"]', OFF, Deed(unit="c1"), Deed(unit="s1")),
    "channel": ('channel = ["web"]', OFF, Deed(channel="web"), Deed()),
    "tender": ('tender = ["bank"]', OFF, Deed(tender="bank"), Deed()),
    "tag": ('tag = ["vip"]', OFF, Deed(who=person(tags=("vip",))), Deed(who=person(tags=("new",)))),
    "tag_not": ('tag_not = ["vip"]', OFF, Deed(who=person(tags=("new",))), Deed(who=person(tags=("vip",)))),
    "stock": ('stock = ["mug"]', OFF, Deed(), Deed(before=1)),  # a purchase gives the one mug away
    "before": ('before = [{ counter = "visits", min = 2, max = 2 }]', OFF, Deed(before=2), Deed(before=3)),
    "reached": ('reached = [{ counter = "visits", min = 2, max = 2 }]', GIVE, Deed(before=1), Deed(before=2)),
    "nth": ('nth = { counter = "visits", every = 3 }', OFF, Deed(before=5), Deed(before=4)),
    "event": ('event = ["task"]', GIVE, Deed(event="task"), Deed(event="visit")),
    "points_end": ('event = ["task"], points_end = 8', GIVE, Deed(event="task", points=108), Deed(event="task", points=107)),
}  # fmt: skip
OWN = {"amount_min_fen", "amount_max_fen", "category", "flag", "flag_not", "tier", "earned_min"}
"""Conditions that are no predicates of the whole ticket."""


def pack(name: str, condition: str, then: str) -> str:
    """One rule; where the condition asks for them also tiers, points that are earned, a gift of which there is one."""
    parts = [POINTS, counter("visits", "tickets", "life"), rule("asked", then, condition)]
    parts.append(rule("other event", 'grant = "points", amount = 1', 'event = ["visit"]'))
    parts.append(f'[[tier]]\nname = "first"\n[[tier]]\nname = "second"\norders_min = 1\nspend_min_fen = {NEVER}\n')
    if name == "earned_min":
        parts.append(rule("earn", 'accrue = "points", amount = 1, per_fen = 1_00, base = ["outside"]'))
    if name == "stock":
        parts.append('[[coupon]]\nname = "mug"\ntitle = { zh = "杯", en = "mug" }\noff_fen = 1_00\nstock = 1\n')
        parts.append('[[award]]\nname = "one-mug"\nid = "mug"\n' + rule("mug", 'grant = "one-mug", amount = 1'))
    return PLAIN.replace('"plain"', f'"{name.replace("_", "-")}"') + "".join(parts)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Timed]:
    till = Timed(tmp_path_factory.mktemp("conditions") / "shop")
    for name, kind, parent in PLACES:
        till.done("change", payload={"kind": "unit", "id": name, "document": {"name": name, "kind": kind, "parent": parent}})
    yield till
    till.sound()
    till.shop.close()


def acts(till: Timed, programme: str, then: str, deed: Deed) -> bool:
    """Whether the rule acted in the deed's last step."""
    at(till, deed.time)
    card = till.card(0, programme)
    if deed.who is not None:
        enrol(till, deed.who, card=card)
    if deed.points:
        till.done("adjust", card=card, command=Adjust("points", deed.points), approver="boss")
    sale = Sale("settle", [deed.line], shortfall_tender=deed.tender, memo=memo(deed.channel, ""))
    for _ in range(deed.before):
        till.done("settle", card=card, command=sale)
    verb, command = ("event", Event(deed.event)) if deed.event else ("settle", sale)
    request = till.request(verb, card=card, command=command)
    request.unit = deed.unit
    entry = till.shop.desk.call(request)
    if entry.outcome == "refused":
        assert entry.code == "nothing_to_do", "no rule acts on the event"
        return False
    settlement = Settlement.unpack(entry.body)
    return settlement.discount_fen > 0 if then == OFF else settlement.points_earned % 10 == 7


@pytest.mark.parametrize("name", CASES)
def test_a_condition_is_met_or_not(shop: Timed, name: str) -> None:
    condition, then, meets, misses = CASES[name]
    programme = name.replace("_", "-")
    document = {"valid_from": 0, "pack": pack(name, condition, then)}
    shop.done("change", payload={"kind": "programme", "id": f"{programme}@1", "document": document})
    assert [acts(shop, programme, then, deed) for deed in (meets, misses)] == [True, False]


def test_no_condition_is_left_out() -> None:
    assert set(CASES) == set(PREDICATES) | OWN
