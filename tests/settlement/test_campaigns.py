"""Goal: the plans' campaigns give their numbers: check-ins, referrals, birthdays, rankings, rebates, perks, draws, vouchers (C03, C15,
E09-E12, E14, K01-K04, L08, R03, R04, R08, R11, T04, T05). Method: golden figures from the plans' text, never from the packs."""

from __future__ import annotations

import pytest

from cardcore import settlement as core
from cardcore.errors import Declined
from cardcore.settlement import Line
from tests.settlement.cards import Card, shipped


def happens(card: Card, name: str, amount_fen: int = 0) -> int:
    """Points of an event."""
    return card.do(core.Event(name, amount_fen=amount_fen)).points_earned


def refused(card: Card, command: core.Command) -> str:
    with pytest.raises(Declined) as declined:
        card.do(command)
    return declined.value.declined_code


@pytest.mark.parametrize("name", ["mall-plan-a", "e-commerce"])
def test_e09_check_ins_and_streaks(name: str) -> None:
    """5 a day, 50 more at each seven days in a row: 14 days are 70 + 100; a gap begins anew."""
    card = Card(shipped(name))
    total = sum(happens(card.on(f"2026-03-{day:02d} 09:00"), "check-in") for day in range(1, 15))
    assert total == 170
    assert refused(card, core.Event("check-in")) == "nothing_to_do"  # once a day
    assert sum(happens(card.on(f"2026-03-{day:02d} 09:00"), "check-in") for day in range(16, 23)) == 7 * 5 + 50


def test_e10_referrals() -> None:
    """E-commerce: 100 for the first friend, rising to 500; the mall: 100 for both sides, or 10 % of what a friend spends."""
    card = Card(shipped("e-commerce"))
    assert [happens(card, "referral") for _ in range(7)] == [100, 200, 300, 400, 500, 500, 500]
    mall = Card(shipped("mall-plan-a"))
    assert (happens(mall, "referral"), happens(mall, "referred")) == (100, 100)
    assert happens(Card(shipped("mall-plan-b")), "friend-spent", amount_fen=559_00) == 55


def test_e11_birthdays_of_both_plans() -> None:
    assert happens(Card(shipped("mall-plan-a")), "birthday") == 100
    tiers = ("ordinary", "silver", "gold", "diamond")
    assert [happens(Card(shipped("mall-plan-b"), tier=tier), "birthday") for tier in tiers] == [500, 1000, 1500, 2000]
    assert happens(Card(shipped("mall-plan-b")), "check-in") == 10


def test_l08_t04_e05_and_e12() -> None:
    card = Card(shipped("e-commerce"))
    assert happens(card, "registration") == 100
    assert card.on("2026-10-31 12:00").buy(999_99).points_earned == 999
    assert card.programme.tiers[card.account.tier] == "registered"
    assert card.on("2026-11-01 00:00").buy(100_50).points_earned == 200
    assert card.programme.tiers[card.account.tier] == "silver"
    card.on("2026-11-12 00:00").buy(3899_51)
    assert card.programme.tiers[card.account.tier] == "gold"


def test_e14_ranking_and_r04_ladder() -> None:
    programme = shipped("annual-plan")
    assert [ranking["top"] for ranking in programme.rankings] == [3]
    assert [happens(Card(programme), f"top-{place}") for place in (1, 2, 3)] == [2000, 1000, 500]
    for points, fen in ((1000, 5_00), (2000, 10_00), (5000, 50_00)):
        card = Card(programme).has_points(points)
        card.do(core.Redeem(f"voucher-{fen // 100}"))
        assert card.purse("points") == 0
        assert card.buy(100_00, coupons=[f"off-{fen // 100}"]).net_fen == 100_00 - fen


def test_r03_the_other_ladder() -> None:
    for points, fen in ((200, 50_00), (500, 80_00), (800, 120_00)):
        card = Card(shipped("cash-off")).has_points(points)
        card.do(core.Redeem(f"voucher-{fen // 100}"))
        assert (card.purse("points"), card.buy(200_00, coupons=[f"off-{fen // 100}"]).net_fen) == (0, 200_00 - fen)


def test_r11_a_coupon_for_points() -> None:
    card = Card(shipped("food-company")).has_points(200)
    card.do(core.Redeem("off-10-for-200"))
    assert refused(card, core.Redeem("off-10-for-200")) == "insufficient_points"
    assert card.buy(50_00, coupons=["off-10"]).net_fen == 40_00


def test_c03_rebates_at_once_and_after_the_quarter() -> None:
    card = Card(shipped("rebate-card")).on("2026-02-10 12:00")
    assert card.buy(1000_00).net_fen == 1000_00
    assert card.purse("rebate") == 20_00
    card.buy(3000_00, stored_max_fen=0)
    assert card.purse("rebate") == 70_00  # at most 50 yuan a ticket
    card.on("2026-04-01 01:00").do(core.Event("quarter"))
    assert card.purse("rebate") == 110_00  # 1 % of 4000
    card.refund(0)
    assert card.purse("rebate") == 80_00  # 20 and 1 % of 1000 go back


def test_c15_coupons_usable_at_once() -> None:
    card = Card(shipped("offer-card"))
    for name in ("off-20", "half-coffee", "free-dessert"):
        card.do(core.Give(name))
    assert card.buy(100_00, coupons=["off-20"]).net_fen == 80_00
    assert card.buy(Line(36_00, category="coffee"), Line(20_00), coupons=["half-coffee"]).net_fen == 38_00
    assert card.buy(Line(60_00, 2, category="dessert"), coupons=["free-dessert"]).net_fen == 30_00


def test_k01_to_k03_perks_of_the_four_tiers() -> None:
    found = {}
    for tier in ("ordinary", "silver", "gold", "platinum", "diamond"):
        card = Card(shipped("four-tiers"), tier=tier).on("2026-05-01 00:05")
        try:
            done = card.do(core.Event("month"))
        except Declined:
            continue
        names = card.programme.awards
        found[tier] = [(names[award.award]["name"], award.quantity) for award in done.awards()], card.purse("packet")
    assert found == {
        "gold": ([("return-14", 1)], 3_00), "platinum": ([("return-21", 2)], 5_00),
        "diamond": ([("vip-service", 1), ("return-30", 3)], 10_00),
    }  # fmt: skip
    card = Card(shipped("four-tiers"))
    for day in (24, 25, 26):
        card.on(f"2026-05-{day} 12:00").buy(1_00)
    assert card.purse("stamps") == 2
    assert card.visit("stamp-gift", 2).net_fen == 0


def test_k02_a_coupon_of_each_member_day_and_none_for_the_first_tier() -> None:
    given = []
    for tier, days in (("ordinary", ("25",)), ("silver", ("24", "25", "25", "26"))):
        card = Card(shipped("four-tiers"), tier=tier)
        given += [[award.quantity for award in card.on(f"2026-05-{day} 12:00").buy(1_00).awards()] for day in days]
    assert given == [[], [], [1], [], [1]]


def test_k03_the_yearly_party_and_k05_what_is_limited_comes_to_diamond_first() -> None:
    names = [award["name"] for award in shipped("four-tiers").awards]
    for tier in ("ordinary", "platinum", "diamond"):
        card = Card(shipped("four-tiers"), tier=tier).on("2026-04-01 00:05")
        brought = []
        for event, stock in (("year", ()), ("quarter", ()), ("quarter", ("limited-goods",))):
            snapshot = core.Snapshot(card.programme, card.account, facts=core.Facts(stock=stock))
            try:
                done = core.decide(snapshot, core.Event(event), card.at * 1_000_000)
            except Declined:
                continue
            brought.append([names[award.award] for award in done.awards()])
        assert brought == ([["yearly-party"], ["quarter-gift"], ["priority", "quarter-gift"]] if tier == "diamond" else [])
    card = Card(shipped("four-tiers"), tier="diamond")
    card.do(core.Give("limited-goods"))
    two = Line(999_00, 2, category="limited")  # one of them at 199.00, the other at 499.50 less a tenth (D01)
    assert card.buy(two, coupons=["limited-goods"]).net_fen == 199_00 + 449_55


def test_k04_a_drink_on_the_birthday() -> None:
    card = Card(shipped("bar")).on("2026-05-11 00:05")
    card.do(core.Event("birthday"))
    assert card.on("2026-05-18 23:00").visit("drink").net_fen == 0
    card.top_up(500_00)
    assert (card.purse("bonus"), card.buy(100_00).points_earned) == (50_00, 50)


def test_r08_draws() -> None:
    """500 points a draw, a balance that ends in 8 qualifies, lapsed points may still buy draws."""
    programme = shipped("lottery-shop")
    for number, prize in ((0, 100_00), (1, 5_00), (10, 5_00), (11, 0), (99, 0)):
        card = Card(programme).has_points(508)
        card.do(core.Event("draw", random=number))
        assert (card.purse("points"), card.purse("bonus")) == (8, prize)
    assert refused(Card(programme).has_points(507), core.Event("draw", random=0)) == "nothing_to_do"
    assert refused(Card(programme).has_points(8), core.Event("draw", random=0)) == "insufficient_points"
    old = Card(programme).on("2026-01-05 12:00")
    old.buy(500_00)
    old.on("2027-06-01 12:00").has_points(8)  # the 500 have lapsed in January
    assert old.do(core.Event("draw", random=99)).points_used == 500
    assert old.purse("points") == 8


def test_t05_keep_or_fall() -> None:
    card = Card(shipped("multi-store")).on("2026-05-01 12:00")
    card.buy(8000_00)
    assert card.programme.tiers[card.account.tier] == "gold"
    card.on("2027-01-01 12:00").do(core.Review())
    assert card.programme.tiers[card.account.tier] == "gold"  # reached in 2026
    card.on("2028-01-01 12:00").do(core.Review())
    assert card.programme.tiers[card.account.tier] == "silver"  # not in 2027
