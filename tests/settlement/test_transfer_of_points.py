"""Goal: points move between cards where both programmes allow it, and nowhere else (R10). Method: figures by hand; what is returned later,
and a transfer that is reversed, leave nobody more than there was."""

from __future__ import annotations

import pytest

from cardcore import settlement as core
from cardcore.errors import Declined, InvalidCommand
from cardcore.settlement import pack
from tests.settlement.cards import Card
from tests.settlement.test_conditions import HEAD

EARN = '[[benefit]]\nname = "earn"\nthen = { accrue = "points", amount = 1, per_fen = 1_00, base = ["outside"] }\n'


def plan(limits: str = "transfer_points = true", name: str = "points") -> core.Programme:
    head = HEAD.replace("[[purse]]", f"[limits]\n{limits}\n[[purse]]").replace('"points"\nunit', f'"{name}"\nunit')
    return pack.load(head.replace('role = "points"\n', 'role = "points"\nexpires_after = "P1Y"\n') + EARN.replace('"points"', f'"{name}"'))


def moved(source: Card, target: Card, points: int) -> core.Settlement:
    return source.do(core.Transfer(points, unit="points"), target)


def two(source: core.Programme, target: core.Programme) -> tuple[Card, Card]:
    return Card(source), Card(target, account_id=2)


def test_what_ends_first_moves_first_and_keeps_its_end() -> None:
    card, other = two(plan(), plan(name="stars"))  # the purse of points, whatever it is called there
    card.on("2026-01-05 10:00").buy(100_00)
    card.on("2026-03-05 10:00").buy(50_00)
    done = moved(card, other, 120)
    assert (done.points_used, done.net_fen, done.after_points, done.liability_delta_fen) == (120, 0, 30, 0)
    assert (card.purse("points"), other.on("2026-03-05 10:00").purse("stars")) == (30, 120)
    assert (other.on("2027-01-05 23:59").purse("stars"), other.on("2027-01-06 00:00").purse("stars")) == (120, 20)
    assert core.Settlement.unpack(done.pack()) == done


@pytest.mark.parametrize(
    ("source", "target"), [("transfer = true", "transfer_points = true"), ("transfer_points = true", "transfer = true")]
)
def test_both_programmes_must_allow_it(source: str, target: str) -> None:
    card, other = two(plan(source), plan(target))
    card.has_points(100)
    before = card.account.pack(), other.account.pack()
    with pytest.raises(Declined) as refused:
        moved(card, other, 1)
    assert refused.value.declined_code == "transfer_not_allowed"
    assert (card.account.pack(), other.account.pack()) == before


def test_money_stays_where_only_points_may_move() -> None:
    value = '[[purse]]\nname = "principal"\nunit = "fen"\nrole = "principal"\n'
    programme = pack.load(HEAD.replace("[[purse]]", "[limits]\ntransfer_points = true\n" + value + "[[purse]]", 1))
    card, other = two(programme, programme)
    card.top_up(100_00)
    with pytest.raises(Declined) as refused:
        card.do(core.Transfer(1_00), other)
    assert refused.value.declined_code == "transfer_not_allowed"


@pytest.mark.parametrize(("points", "code"), [(99, ""), (100, ""), (101, "insufficient_points")])
def test_no_more_than_there_is(points: int, code: str) -> None:
    card, other = two(plan(), plan())
    card.has_points(100)
    if not code:
        moved(card, other, points)
        assert (card.purse("points"), other.purse("points")) == (100 - points, points)
        return
    with pytest.raises(Declined) as refused:
        moved(card, other, points)
    assert (refused.value.declined_code, refused.value.facts["shortfall"]) == (code, 1)


def test_points_that_moved_are_owed_when_their_ticket_goes_back() -> None:
    card, other = two(plan(), plan())
    card.buy(100_00)
    moved(card, other, 100)
    card.refund(0)
    assert (card.account.owed_points, other.purse("points")) == (100, 100)
    moved(other, card, 100)
    assert (card.account.owed_points, card.purse("points")) == (100, 100), "what others send pays no debt, as a top-up pays none"


def test_a_reversal_brings_them_back_to_their_lots() -> None:
    card, other = two(plan(), plan(name="stars"))
    card.buy(100_00)
    before = card.account.pack()
    moved(card, other, 60)
    back = core.decide(card.snapshot(other, entry=1), core.Reverse(), card.at * 1_000_000)
    for account in (card.account, other.account):
        account.apply(back, 3)
    assert (card.account.pack(), other.purse("stars")) == (before, 0)


def test_nothing_else_can_be_transferred() -> None:
    with pytest.raises(InvalidCommand):
        core.Transfer(1, unit="visits")
