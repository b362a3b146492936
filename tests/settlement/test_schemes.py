"""Goal: the shipped packs give the numbers of the plans they are named after. Method: golden figures written from the plans' text (T01,
D01, K01, T02, D02, D03, E01-E03, E05, E06, E12, E15, R01-R03, R06, X02), never from the packs."""

from __future__ import annotations

import tomllib

import pytest

from cardapi.people.policy import MembershipPolicy, membership_policy
from cardcore import settlement as core
from cardcore.errors import Declined
from cardcore.settlement import Facts, Line
from tests.settlement.cards import SCHEMES, Card, second, shipped


def paid(name: str, tier: str, at: str, line: Line | int = 100_00, birthday: tuple[int, int] | None = None) -> int:
    """What one line costs in cash."""
    programme = shipped(name)
    facts = Facts(birthday=birthday)
    snapshot = core.Snapshot(programme, core.Account(1, programme.tiers.index(tier)), facts=facts)
    made = core.Sale("quote", [line if isinstance(line, Line) else Line(line)], shortfall_tender="cash")
    return core.decide(snapshot, made, second(at) * 1_000_000).net_fen


def membership(name: str) -> MembershipPolicy:
    return membership_policy(tomllib.loads((SCHEMES / f"{name}.toml").read_text(encoding="utf-8")))


def earned(name: str, fen: int, at: str = "2026-03-02 12:00", tier: str = "") -> int:
    """Points of one cash ticket."""
    return Card(shipped(name), tier=tier).on(at).buy(fen).points_earned


@pytest.mark.parametrize(
    ("orders", "fen", "tier"),
    [
        (1, 79_00, "ordinary"), (1, 79_01, "silver"), (2, 1_00, "silver"), (4, 1_00, "silver"), (1, 188_00, "silver"), (1, 188_01, "gold"),
        (5, 1_00, "gold"), (14, 1_00, "gold"), (1, 688_00, "gold"), (15, 1_00, "platinum"), (1, 688_01, "platinum"), (29, 1_00, "platinum"),
        (1, 1288_00, "platinum"), (30, 1_00, "diamond"), (1, 1288_01, "diamond"),
    ],
)  # fmt: skip
def test_t01_by_orders_or_by_amount(orders: int, fen: int, tier: str) -> None:
    card = Card(shipped("four-tiers"))
    for _ in range(orders):
        card.buy(fen, shortfall_tender="cash")
    assert card.programme.tiers[card.account.tier] == tier


def test_d01_and_the_member_days() -> None:
    tiers = ("ordinary", "silver", "gold", "platinum", "diamond")
    assert [paid("four-tiers", tier, "2026-05-24 12:00") for tier in tiers] == [100_00, 98_00, 96_00, 93_00, 90_00]
    assert [paid("four-tiers", tier, "2026-05-24 12:00", Line(100_00, flags=core.SPECIAL_PRICE)) for tier in tiers] == [100_00] * 5
    assert [paid("four-tiers", tier, "2026-05-25 00:00") for tier in tiers] == [100_00, 97_02, 95_04, 92_07, 89_10]


def test_mall_plan_a_d02_and_e02() -> None:
    tiers = ("ordinary", "silver", "gold", "diamond")
    assert [paid("mall-plan-a", tier, "2026-05-07 12:00") for tier in tiers] == [90_00, 85_00, 80_00, 75_00]
    assert [paid("mall-plan-a", tier, "2026-05-08 12:00") for tier in tiers] == [90_00, 80_75, 76_00, 71_25]
    # 1000 list price: 900, 850, 800, 750 are paid, 9, 8, 8 and 7 full hundreds count; twice as much on the first Saturday.
    assert [earned("mall-plan-a", 1000_00, "2026-05-12 12:00", tier) for tier in tiers] == [90, 120, 160, 175]
    assert [earned("mall-plan-a", 1000_00, "2026-05-02 12:00", tier) for tier in tiers] == [180, 240, 320, 350]


def test_mall_plan_a_t02_and_r01() -> None:
    card = Card(shipped("mall-plan-a")).on("2026-03-02 12:00")
    card.buy(55_555_56)  # 50,000.00 paid: 500 hundreds, 5000 points
    assert (card.purse("points"), card.programme.tiers[card.account.tier]) == (5000, "silver")
    sold = card.buy(100_00, points=100)
    assert (sold.net_fen, sold.points_fen) == (85_00, 1_00)


def test_mall_plan_b_d03_and_e03() -> None:
    goods = Line(100_00, flags=core.MEMBER_ONLY)
    tiers = ("ordinary", "silver", "gold", "diamond")
    assert [paid("mall-plan-b", tier, "2026-05-07 12:00", goods) for tier in tiers] == [100_00, 90_00, 85_00, 80_00]
    assert [paid("mall-plan-b", tier, "2026-05-08 12:00") for tier in tiers] == [100_00, 85_00, 85_00, 85_00]
    assert paid("mall-plan-b", "gold", "2026-05-08 12:00", birthday=(5, 30)) == 76_50
    assert [earned("mall-plan-b", 559_00, "2026-05-12 12:00", tier) for tier in tiers] == [55, 67, 83, 111]  # 10, 12, 15, 20 %, floored


def test_annual_plan_e06() -> None:
    card = Card(shipped("annual-plan"))
    assert [card.buy(fen).points_earned for fen in (999_00, 1_00, 4000_00)] == [9_990, 110, 40_900]


def test_multi_store_double_points_on_fridays_for_a_year() -> None:
    assert earned("multi-store", 559_90, "2026-01-01 12:00") == 559
    assert earned("multi-store", 559_90, "2026-01-02 12:00") == 1118
    card = Card(shipped("multi-store")).on("2026-01-05 12:00")
    card.buy(500_00)
    assert card.on("2027-01-05 23:59:59").purse("points") == 500
    assert card.on("2027-01-06 00:00").purse("points") == 0


def test_r06_levels_on_the_first_four_days() -> None:
    for units, price, day in ((80, 5_00, "04"), (2500, 250_00, "01"), (8000, 800_00, "02")):
        card = Card(shipped("supermarket")).has_points(units).on(f"2026-06-{day} 12:00")
        card.buy(Line(price, flags=core.REDEEM))
        assert card.purse("points") == 0
    late = Card(shipped("supermarket")).has_points(8000).on("2026-06-05 00:00")
    with pytest.raises(Declined) as refused:
        late.buy(Line(5_00, flags=core.REDEEM))
    assert refused.value.declined_code == "points_not_allowed"
    # Cost of the sales that earned it: level 1 is 0.63 %, levels 7 and 8 are 1.0 %.
    assert [price * 100_000 // (units * 10_00) for units, price in ((80, 5_00), (2500, 250_00), (8000, 800_00))] == [625, 1000, 1000]


@pytest.mark.parametrize(
    ("name", "fen", "points"), [("brand-carnival", 559_00, 50), ("points-as-yuan", 559_00, 50), ("cash-off", 559_00, 559)]
)
def test_e01_e05_small_plans_earn(name: str, fen: int, points: int) -> None:
    assert earned(name, fen) == points


@pytest.mark.parametrize(
    ("name", "points", "fen"), [("brand-carnival", 200, 2_00), ("points-as-yuan", 30, 30_00), ("cash-off", 100, 10_00)]
)
def test_r01_r02_r03_points_pay(name: str, points: int, fen: int) -> None:
    card = Card(shipped(name)).has_points(1000)
    assert card.buy(100_00, points=points).points_fen == fen
    if name == "points-as-yuan":
        with pytest.raises(Declined):
            card.buy(100_00, points=31)  # more than three tenths


def test_l06_the_fee_of_the_supermarket() -> None:
    told = membership("supermarket")
    assert (told.fee_fen, told.group_rate, told.free_from_fen) == (5_00, "8/10", 288_00)


def test_l05_by_the_day_t03_and_d04() -> None:
    assert membership("mall-vip-day").day_fen == 300_00
    card = Card(shipped("mall-vip-day")).on("2026-03-02 10:00")
    card.buy(2000_00)  # 1760.00 are paid
    assert card.programme.tiers[card.account.tier] == "gold"
    card.on("2026-03-02 20:00").buy(1409_10)  # 1240.01: 3000.01 on this day
    assert card.programme.tiers[card.account.tier] == "diamond"
    assert paid("mall-vip-day", "diamond", "2026-03-02 12:00", Line(100_00, counter_pay=8, counter_of=10)) == 64_00
    slow = Card(shipped("mall-vip-day"))
    for day in range(1, 9):
        slow.on(f"2026-03-{day:02d} 12:00").buy(3000_00)  # 2640.00 a day is not 3000.00
    assert slow.programme.tiers[slow.account.tier] == "gold"
