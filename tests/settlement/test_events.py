"""Goal: what happens to a card without a sale counts and gives as the plans say (E09-E14, L08, R08, C03 at a period's end), once, and
comes off again. Method: the plans' numbers as small packs, each period at its last and first second, repeated, reversed, drawn often."""

from __future__ import annotations

from random import Random

import pytest

from cardcore import settlement as core
from cardcore.errors import Declined, InvalidCommand
from cardcore.settlement import pack, receipt
from tests.settlement.cards import Card
from tests.settlement.test_counters import EARN, counter
from tests.settlement.test_grants import BASE, COUPON, TIERS, balanced, plan, rule

E09 = (
    counter("days", "events", "day", 'event = ["check-in"]\nstreak = true'),
    rule("check-in", 'grant = "points", amount = 5', 'event = ["check-in"]', "quota = [{ times = 1, per = 'day' }]"),
    rule("seven days", 'grant = "points", amount = 50', 'event = ["check-in"], nth = { counter = "days", every = 7 }'),
    rule("month", 'cap = "points", amount = 500, per = "month"', 'event = ["check-in"]'),
)


def earned(card: Card, name: str, amount_fen: int = 0) -> int:
    """Points of one event, 0 where it gives nothing."""
    try:
        return card.event(name, amount_fen).points_earned
    except Declined:  # what it changes nothing by is for a test of its own
        return 0


def test_e09_5_a_day_50_at_each_seventh_in_a_row() -> None:
    card = Card(plan(*E09))
    days = [*range(1, 9), 9, 9, 11, 12]  # twice on the 9th, none on the 10th
    got = [earned(card.on(f"2026-03-{day:02} 08:00"), "check-in") for day in days]
    assert got == [5, 5, 5, 5, 5, 5, 55, 5, 5, 0, 5, 5]
    assert card.purse("points") == sum(got)
    balanced(*card.entries)


def test_e09_at_most_500_a_month() -> None:
    many = (E09[0], E09[1].replace("amount = 5", "amount = 30"), *E09[2:])
    card = Card(plan(*many))
    got = [earned(card.on(f"2026-03-{day:02} 23:59:59"), "check-in") for day in range(1, 32)]
    assert sum(got) == 500
    assert got[:7] == [30] * 6 + [80]
    assert earned(card.on("2026-04-01 00:00"), "check-in") == 30


def test_l08_e11_e13_once_each_and_by_tier() -> None:
    programme = plan(
        TIERS, rule("welcome", 'grant = "points", amount = 100', 'event = ["registration"]', "quota = [{ times = 1, per = 'life' }]"),
        *(rule(f"birthday {tier}", f'grant = "points", amount = {points}', f'event = ["birthday"], tier = ["{tier}"]')
          for tier, points in (("ordinary", 500), ("gold", 1500), ("diamond", 2000))),
        rule("review", 'grant = "points", amount = 20', 'event = ["review"]',
             "quota = [{ times = 3, per = 'day' }, { units = 100, per = 'month' }]"),
    )  # fmt: skip
    card = Card(programme)
    assert [earned(card, "registration") for _ in range(2)] == [100, 0]
    assert [earned(Card(programme, tier=tier), "birthday") for tier in programme.tiers] == [500, 1500, 2000]
    got = [[earned(card.on(f"2026-03-{day:02} 10:00"), "review") for _ in range(4)] for day in (1, 2, 3)]
    assert got == [[20, 20, 20, 0], [20, 20, 0, 0], [0, 0, 0, 0]]


def test_e10_a_friend_and_a_tenth_of_what_the_friend_spends() -> None:
    programme = plan(
        counter("friends", "events", "life", 'event = ["referral"]'),
        *(rule(f"friend {n}", f'grant = "points", amount = {100 * n}', f'event = ["referral"], nth = {{ counter = "friends", at = {n} }}')
          for n in (1, 2, 3, 4)),
        rule("friend 5", 'grant = "points", amount = 500', 'event = ["referral"], reached = [{ counter = "friends", min = 5 }]'),
        rule("a tenth", 'accrue = "points", amount = 1, per_fen = 10_00', 'event = ["friend-spent"]',
             "quota = [{ units = 500, per = 'month' }]"),
    )  # fmt: skip
    card = Card(programme)
    assert [earned(card, "referral") for _ in range(7)] == [100, 200, 300, 400, 500, 500, 500]
    assert [earned(card, "friend-spent", fen) for fen in (9_99, 10_00, 109_99, 4_890_00, 100_00)] == [0, 1, 10, 489, 0]


def test_e14_the_first_three_of_a_ranking() -> None:
    programme = plan(
        counter("spent", "paid", "month"), '[[ranking]]\nname = "best"\ncounter = "spent"\n',
        *(rule(f"place {place}", f'grant = "points", amount = {points}', f'event = ["best-{place}"]')
          for place, points in ((1, 2000), (2, 1000), (3, 500))),
    )  # fmt: skip
    assert programme.rankings == ({"name": "best", "counter": 0, "top": 3},)
    assert [earned(Card(programme), f"best-{place}") for place in (1, 2, 3, 4)] == [2000, 1000, 500, 0]


MONTHLY = plan(
    counter("spent", "paid", "month"),
    rule("2 % a month", 'rebate = "rebates", share = "2/100", counter = "spent", returns = 2, max_fen = 50_00'),
)


def test_c03_a_rebate_at_the_periods_end_once_and_for_that_period_only() -> None:
    card = Card(MONTHLY).on("2026-01-31 23:59:59")
    card.buy(1000_00)
    card.buy(49)
    assert card.purse("rebates") == 0
    card.on("2026-02-01 00:00").buy(500_00)
    given = card.event("month", explain=True)
    assert given.granted("fen") == 20_00  # 20.0098 floored
    assert receipt.explain(given, MONTHLY, "en") == ["Rebate (2 % a month): 20.00, for 1000.49"]
    with pytest.raises(Declined, match="nothing"):
        card.on("2026-02-28 10:00").event("month")
    assert card.on("2026-03-01 00:00").event("month").granted("fen") == 10_00
    rich = Card(MONTHLY).on("2026-01-31 10:00")
    rich.buy(9000_00)
    assert rich.on("2026-02-01 10:00").event("month").granted("fen") == 50_00
    balanced(*card.entries)


def test_c03_a_later_return_takes_the_periods_rebate_back() -> None:
    card = Card(MONTHLY).on("2026-01-31 10:00")
    card.buy(1000_00)
    card.buy(500_00)
    card.on("2026-02-01 10:00").event("month")
    assert card.purse("rebates") == 30_00
    card.refund(1)
    assert card.purse("rebates") == 20_00
    with pytest.raises(Declined, match="nothing"):
        card.event("month")
    card.on("2026-03-31 10:00").refund(0, amount_fen=999_99)
    assert (card.purse("rebates"), card.account.owed_fen) == (0, 0)
    balanced(*card.entries)


@pytest.mark.parametrize(("returned", "left"), [(0, 30_00), (500_00, 20_00), (1000_00, 10_00), (1500_00, 0)])
def test_c03_a_reversed_event_takes_back_only_what_returns_left_of_it(returned: int, left: int) -> None:
    card = Card(MONTHLY).on("2026-01-31 10:00")
    card.buy(1500_00)
    card.on("2026-02-01 10:00").do(core.Adjust("rebates", 7_00))
    card.event("month")
    if returned:
        card.refund(0, amount_fen=returned)
    assert card.purse("rebates") == 7_00 + left
    card.do(core.Reverse(), entry=2)
    assert (card.purse("rebates"), card.account.owed_fen) == (7_00, 0)
    assert earned(card, "month") == 0
    assert card.purse("rebates") == 7_00 + left  # the period is owed again what its counter says
    balanced(*card.entries)


def test_c03_a_reversal_long_after_takes_all_though_its_period_is_forgotten() -> None:
    card = Card(MONTHLY).on("2026-01-31 10:00")
    card.buy(1500_00)
    card.on("2026-02-01 10:00").event("month")
    card.on("2026-04-10 10:00").buy(100_00)  # spends the 30.00
    card.on("2026-05-01 10:00").event("month")
    assert card.purse("rebates") == 2_00
    card.do(core.Reverse(), entry=1)
    assert (card.purse("rebates"), card.account.owed_fen) == (0, 28_00)


@pytest.mark.parametrize("seed", range(20))
def test_no_order_of_buying_returning_and_periods_gains(seed: int) -> None:
    choose = Random(seed)
    card = Card(MONTHLY)
    kept: dict[int, int] = {}
    for month in (1, 2, 3):
        for day in range(1, 29, 4):
            card.on(f"2026-{month:02}-{day:02} 10:00")
            if day == 1 or choose.random() < 0.2:
                earned(card, "month")
            if kept and choose.random() < 0.5:
                entry = choose.choice(sorted(kept))
                part = choose.randint(1, kept[entry])
                card.refund(entry, amount_fen=part)
                kept[entry] -= part
                if not kept[entry]:
                    del kept[entry]
            else:
                card.buy(fen := choose.randint(1, 1500_00))
                kept[len(card.entries) - 1] = fen
    for entry in sorted(kept):
        card.refund(entry)
    assert card.purse("rebates") - card.account.owed_fen == 0


def test_a_reversed_event_takes_back_what_it_gave_and_may_happen_again() -> None:
    programme = plan(
        COUPON, TIERS, rule("points", 'grant = "points", amount = 100', 'event = ["task"]', "quota = [{ times = 1, per = 'life' }]"),
        rule("tea", 'grant = "tea", amount = 1', 'event = ["task"]'), rule("value", 'grant = "rebates", amount = 5_00', 'event = ["task"]'),
        rule("vip", 'promote = "gold"', 'event = ["task"]'),
    )  # fmt: skip
    card = Card(programme)
    done = card.event("task")
    assert (done.event, done.points_earned, done.tier_after, done.granted("fen"), len(done.awards())) == ("task", 100, 1, 5_00, 1)
    card.buy(5_00)
    back = card.do(core.Reverse(), entry=0)
    assert (back.points_earned, back.tier_after, back.awards()[0].back) == (100, 0, True)
    assert (card.purse("points"), card.account.points_earned, card.account.owed_fen) == (0, 0, 5_00)
    with pytest.raises(Declined):
        card.do(core.Reverse(), entry=0)
    assert card.event("task").points_earned == 100
    balanced(*card.entries)


def plan_text(more: str) -> str:
    """A plan whose points lapse after a month and are kept for another."""
    return BASE.replace('role = "points"\n', 'role = "points"\nexpires_after = "P1M"\ngrace = "P1M"\n') + more


R08 = (
    '[[purse]]\nname = "unused"\nunit = "visits"\nrole = "entitlement"\ncovers = ["x"]\n'
    + COUPON
    + rule("draw", 'draw = "points", units = 500, lapsed = true, prizes = [{ weight = 1, grant = "tea", amount = 1 }, '
           '{ weight = 9, grant = "rebates", amount = 1_00 }, { weight = 90 }]', 'event = ["draw"], points_end = 8')
)  # fmt: skip


def test_r08_500_points_a_draw_for_a_balance_that_ends_in_8() -> None:
    programme = pack.load(plan_text(R08))
    for points, drawn in ((508, True), (498, False), (510, False), (8, False), (1008, True)):
        card = Card(programme).has_points(points)
        if drawn:
            done = card.event("draw", random=0, explain=True)
            assert (done.points_used, card.purse("points"), done.awards()[0].quantity) == (500, points - 500, 1)
            assert receipt.explain(done, programme, "en") == ["Draw (draw): 500 points, prize 1"]
            card.do(core.Reverse(), entry=1)
            assert card.purse("points") == points
            balanced(*card.entries)
        else:
            with pytest.raises(Declined):
                card.event("draw", random=0)
            assert card.purse("points") == points


def test_r08_prizes_come_by_weight_and_the_entry_keeps_the_number() -> None:
    programme = pack.load(plan_text(R08))
    won = {"tea": 0, "value": 0, "nothing": 0}
    for number in range(100):
        card = Card(programme).has_points(508)
        done = card.event("draw", random=number + 100 * 7)
        won["tea" if done.awards() else "value" if done.granted("fen") else "nothing"] += 1
        assert [move.amount for move in done.moves()] == [number + 700]
        assert core.Settlement.unpack(done.pack()).moves() == done.moves()
    assert won == {"tea": 1, "value": 9, "nothing": 90}
    with pytest.raises(InvalidCommand):
        core.Event("draw", random=1 << 62)


@pytest.mark.parametrize("number", [0, (1 << 60) - 1, 1 << 60, (1 << 60) + 1, 1 << 61, (1 << 62) - 1])
def test_r08_the_entry_of_a_draw_reads_back_whatever_its_number(number: int) -> None:
    done = Card(pack.load(plan_text(R08))).has_points(508).event("draw", random=number)
    assert [move.amount for move in done.moves()] == [number]
    balanced(done)


def test_r08_expired_points_may_still_buy_draws_and_nothing_else() -> None:
    ten = EARN + rule("ten", 'deduct = "points", units = 10, worth_fen = 1_00')
    programme = pack.load(plan_text(R08.replace(", points_end = 8", "") + ten))
    card = Card(programme).on("2026-01-10 10:00").has_points(600)
    card.on("2026-02-11 00:00")  # lapsed, and kept for a month of grace
    assert card.purse("points") == 0
    with pytest.raises(Declined):
        card.do(core.Expire())
    with pytest.raises(Declined):
        card.buy(10_00, points=100)
    assert card.event("draw", random=99).points_used == 500
    with pytest.raises(Declined, match="fewer points"):
        card.event("draw", random=99)
    card.on("2026-03-10 23:59:59")
    with pytest.raises(Declined):
        card.do(core.Expire())
    assert card.on("2026-03-11 00:00").do(core.Expire()).points_used == 100


def test_an_event_that_no_rule_asks_for_is_refused_and_changes_nothing() -> None:
    card = Card(plan(*E09))
    before = card.account.pack()
    with pytest.raises(Declined, match="nothing"):
        card.event("dance")
    assert card.account.pack() == before
    for wrong in ("", "x" * 65, "\N{SNOWMAN}"):
        with pytest.raises(InvalidCommand):
            core.Event(wrong)
