"""Goal: the mall's plan, number by number (features D04, E04, E07, E08, R01, R05, T03, X01, X03). Method: expectations worked out by
hand from the feature list, decided by the shipped pack."""

from __future__ import annotations

import pytest

from cardcore import settlement as core
from cardcore.errors import Declined, InvalidCommand
from tests.settlement.cards import Card, second, shipped

MALL = shipped("mall-vip")


@pytest.fixture
def gold() -> Card:
    return Card(MALL)


@pytest.fixture
def diamond() -> Card:
    return Card(MALL, tier="diamond")


# ---------------------------------------------------------------- discounts
@pytest.mark.parametrize(
    ("list_fen", "net_fen"),
    [
        (100_00, 70_40),  # 7.04折
        (1, 1),  # 0.704 -> 1
        (2, 1),  # 1.408 -> 1
        (99, 70),  # 69.696 -> 70
        (125, 88),  # exactly 88
        (1_99, 1_40),  # 140.096 -> 140
        (8_88, 6_25),  # 625.152 -> 625
        (19_99, 14_07),  # 1407.296 -> 1407
        (999_99, 703_99),  # 70399.296 -> 70399
        (0, 0),
    ],
)
def test_d04_counter_promotion_times_gold(gold: Card, list_fen: int, net_fen: int) -> None:
    """8折 x 8.8折 = 7.04折, exact, rounded half up once."""
    sale = gold.buy(core.Line(list_fen, counter_pay=8, counter_of=10))
    assert sale.net_fen == net_fen
    assert sale.discount_fen == list_fen - net_fen


@pytest.mark.parametrize(("list_fen", "net_fen"), [(125_00, 100_00), (12_34, 9_87), (63, 50), (3, 2), (1, 1)])
def test_d04_diamond_pays_eight_tenths(diamond: Card, list_fen: int, net_fen: int) -> None:
    assert diamond.buy(list_fen).net_fen == net_fen


@pytest.mark.parametrize(("list_fen", "net_fen"), [(6_25, 5_50), (62, 55), (63, 55), (5, 4), (19, 17), (4_38, 3_85), (56, 49)])
def test_d04_gold_rounds_half_up(gold: Card, list_fen: int, net_fen: int) -> None:
    assert gold.buy(list_fen).net_fen == net_fen


def test_a_half_fen_goes_up(gold: Card) -> None:
    """6.25折 x 8.8折 of 10 fen is exactly 5.5 fen."""
    assert gold.buy(core.Line(10, counter_pay=5, counter_of=8)).net_fen == 6


def test_rounding_is_per_line_and_the_ticket_is_their_sum(gold: Card) -> None:
    sale = gold.buy(2, 2, 2)  # 1.76 each -> 2 each; the sum 5.28 would have been 5
    assert sale.net_fen == 6
    assert sum(line.net_fen for line in sale.lines()) == 6


def test_e08_special_price_has_no_member_discount_but_earns(gold: Card) -> None:
    sale = gold.buy(core.Line(100_00, flags=core.SPECIAL_PRICE))
    assert (sale.net_fen, sale.points_earned) == (100_00, 10)


def test_e08_a_counter_may_opt_out_of_discounts_and_keep_points(gold: Card) -> None:
    sale = gold.buy(core.Line(100_00, flags=core.NO_DISCOUNT, counter_pay=8, counter_of=10))
    assert (sale.net_fen, sale.points_earned) == (80_00, 8)  # its own promotion still applies


def test_terminal_discount_then_coupon_after_the_rates(gold: Card) -> None:
    sale = gold.buy(core.Line(100_00, discount_fen=8_00, coupon_fen=30_00))
    assert (sale.discount_fen, sale.coupon_fen, sale.net_fen) == (20_00, 30_00, 50_00)
    with pytest.raises(InvalidCommand):
        gold.buy(core.Line(100_00, discount_fen=88_01))
    with pytest.raises(InvalidCommand):
        gold.buy(core.Line(100_00, discount_fen=8_00, coupon_fen=80_01))
    assert gold.buy(core.Line(100_00, discount_fen=8_00, coupon_fen=80_00)).net_fen == 0


# ---------------------------------------------------------------- earning
def special(fen: int) -> core.Line:
    """A line that is charged its list price, so that points can be read off it."""
    return core.Line(fen, flags=core.SPECIAL_PRICE)


@pytest.mark.parametrize(
    ("fen", "points"), [(500_00, 50), (550_00, 55), (559_00, 55), (559_99, 55), (560_00, 56), (9_99, 0), (10_00, 1), (0, 0)]
)
def test_e04_floor_to_tens_of_yuan(gold: Card, fen: int, points: int) -> None:
    sale = gold.buy(special(fen))
    assert sale.points_earned == points
    assert gold.purse("points") == points


@pytest.mark.parametrize(("fen", "points"), [(1990_00, 199), (1999_99, 199), (2000_00, 210), (2010_00, 211)])
def test_e07_a_ticket_that_earns_200_gets_ten_more(gold: Card, fen: int, points: int) -> None:
    assert gold.buy(special(fen)).points_earned == points


def test_p3_splitting_a_ticket_gains_nothing(gold: Card) -> None:
    whole = Card(MALL).buy(special(2000_00)).points_earned
    assert sum(gold.buy(special(500_00)).points_earned for _ in range(4)) <= whole


def test_e16_paying_with_points_earns_nothing(gold: Card) -> None:
    gold.has_points(5000)
    sale = gold.buy(special(100_00), points=5000)
    assert (sale.points_fen, sale.outside_fen, sale.points_earned) == (50_00, 50_00, 5)
    assert gold.has_points(10_000).buy(special(100_00), points=10_000).points_earned == 0


def test_p4_topping_up_earns_nothing(gold: Card) -> None:
    assert gold.top_up(1000_00).points_earned == 0
    assert gold.purse("points") == 0


# ---------------------------------------------------------------- points as money and gifts
@pytest.mark.parametrize(("points", "fen"), [(100, 1_00), (200, 2_00), (10_000, 100_00)])
def test_r01_a_hundred_points_are_one_yuan(gold: Card, points: int, fen: int) -> None:
    gold.has_points(20_000)
    sale = gold.buy(special(100_00), points=points)
    assert (sale.points_fen, sale.points_used, sale.outside_fen) == (fen, points, 100_00 - fen)


@pytest.mark.parametrize(
    ("points", "code"),
    [(50, "points_not_allowed"), (101, "points_not_allowed"), (10_100, "points_not_allowed"), (900, "insufficient_points")],
)
def test_r01_only_whole_steps_within_the_ticket_and_the_balance(gold: Card, points: int, code: str) -> None:
    gold.has_points(850)
    with pytest.raises(Declined) as declined:
        gold.buy(special(100_00), points=points)
    assert declined.value.declined_code == code
    assert gold.purse("points") == 850


def test_r01_all_points_means_as_many_whole_steps_as_fit(gold: Card) -> None:
    gold.has_points(1250)
    assert gold.buy(special(5_50), points=core.ALL_POINTS).points_used == 500  # 5 yuan of 5.50
    assert gold.buy(special(100_00), points=core.ALL_POINTS).points_used == 700  # 750 left, seven steps


@pytest.mark.parametrize(
    ("price_fen", "points"),
    [
        (1, 1000),
        (200_00, 1000),
        (200_01, 1500),
        (400_00, 1500),
        (400_01, 2000),
        (600_00, 2000),
        (600_01, 2500),
        (800_00, 2500),
        (5000_00, 13_000),
    ],
)
def test_r05_the_item_ladder_by_list_price(gold: Card, price_fen: int, points: int) -> None:
    gold.has_points(20_000)
    sale = gold.buy(core.Line(price_fen, flags=core.REDEEM))
    assert (sale.points_used, sale.covered_fen, sale.net_fen, sale.points_earned) == (points, price_fen, 0, 0)


def test_r05_the_mall_bears_the_cost_and_the_counter_is_paid_the_list_price(gold: Card) -> None:
    gold.has_points(1000)
    sale = gold.buy(core.Line(150_00, flags=core.REDEEM))
    [paid] = [posting for posting in sale.postings() if posting.unit == "fen"]
    assert (paid.source, paid.target, paid.amount) == ("gift_cost", "sales", 150_00)


@pytest.mark.parametrize("line", [core.Line(100_00, 2, flags=core.REDEEM), core.Line(100_00, flags=core.REDEEM | core.SPECIAL_PRICE)])
def test_r05_one_item_and_no_special_price_goods(gold: Card, line: core.Line) -> None:
    gold.has_points(20_000)
    with pytest.raises(InvalidCommand):
        gold.buy(line)


def test_r05_not_enough_points(gold: Card) -> None:
    gold.has_points(999)
    with pytest.raises(Declined) as declined:
        gold.buy(core.Line(1, flags=core.REDEEM))
    assert declined.value.declined_code == "insufficient_points"
    assert gold.purse("points") == 999


# ---------------------------------------------------------------- tiers
def test_t03_diamond_at_8000_points_earned(gold: Card) -> None:
    gold.buy(special(79_990_00))  # 7999 and ten for E07: already there
    assert gold.account.tier == 1
    other = Card(MALL)
    for _ in range(41):
        other.buy(special(1950_00))  # 195 each, no bonus: 7995
    assert (other.account.points_earned, other.account.tier) == (7995, 0)
    sale = other.buy(special(50_00))
    assert (other.account.points_earned, sale.tier_before, sale.tier_after) == (8000, 0, 1)


def test_t03_a_new_tier_counts_from_the_next_ticket(gold: Card) -> None:
    sale = gold.buy(special(80_000_00), 100_00)
    assert (sale.tier_after, sale.lines()[1].net_fen) == (1, 88_00)
    assert gold.buy(100_00).net_fen == 80_00


def test_t07_a_return_lowers_the_tier_again(gold: Card) -> None:
    gold.buy(special(80_000_00))
    assert gold.account.tier == 1
    assert gold.refund(0).tier_after == 0
    assert (gold.account.tier, gold.account.orders, gold.account.spend_fen, gold.account.points_earned) == (0, 0, 0, 0)


def test_a_tier_the_card_was_issued_with_is_never_lost(diamond: Card) -> None:
    diamond.buy(100_00)
    diamond.refund(0)
    assert diamond.account.tier == 1


# ---------------------------------------------------------------- expiry
def test_x01_points_live_three_years_from_each_accrual_to_the_end_of_the_day(gold: Card) -> None:
    gold.on("2026-03-10 12:00:00").buy(special(100_00))
    gold.on("2026-09-01 09:30:00").buy(special(200_00))
    gold.on("2029-03-10 23:59:59")
    assert gold.purse("points") == 30
    gold.on("2029-03-11 00:00:00")
    assert gold.purse("points") == 20
    gold.on("2029-09-01 23:59:59")
    assert gold.purse("points") == 20
    gold.on("2029-09-02 00:00:00")
    assert gold.purse("points") == 0


def test_x01_a_leap_day_ends_with_february(gold: Card) -> None:
    gold.on("2028-02-29 08:00:00").buy(special(10_00))
    assert [lot.expires_at for lot in gold.account.lots()] == [second("2031-03-01 00:00:00")]


def test_x01_expiry_is_a_posting(gold: Card) -> None:
    gold.on("2026-03-10 12:00:00").buy(special(100_00))
    gold.on("2029-03-11 00:00:00")
    expired = gold.do(core.Expire())
    assert [(posting.amount, posting.unit, posting.target) for posting in expired.postings()] == [(10, "points", "expired")]
    assert gold.account.lots() == []
    with pytest.raises(Declined) as declined:
        gold.do(core.Expire())
    assert declined.value.declined_code == "nothing_to_do"


def test_the_points_of_one_day_are_one_lot(gold: Card) -> None:
    """A card's lots are bounded by days, not by tickets: else a busy card would outgrow what a decision may look at."""
    for hour in range(24):
        gold.on(f"2026-03-10 {hour:02d}:00:00").buy(special(100_00))
    assert [lot.amount for lot in gold.account.lots()] == [240]
    gold.on("2026-03-11 00:00:00").buy(special(100_00))
    assert [lot.amount for lot in gold.account.lots()] == [240, 10]


def test_points_are_spent_soonest_expiry_first(gold: Card) -> None:
    gold.on("2026-03-10 12:00:00").buy(special(1500_00))
    gold.on("2026-09-01 09:30:00").buy(special(1500_00))
    gold.buy(special(100_00), points=200)
    assert [lot.amount for lot in gold.account.lots()] == [150 - 50 + 9]  # the older 150 went first; 98 yuan earned 9 more


# ---------------------------------------------------------------- the ticket backwards
def test_x03_a_return_takes_back_what_it_earned_and_gives_back_what_it_spent(gold: Card) -> None:
    gold.has_points(1000)
    gold.top_up(1000_00)
    before = gold.account.pack()
    sale = gold.buy(special(500_00), points=1000)
    assert (sale.points_fen, sale.bonus_fen, sale.principal_fen, sale.points_earned) == (10_00, 200_00, 290_00, 49)
    back = gold.refund(2)
    assert (back.net_fen, back.points_fen, back.bonus_fen, back.principal_fen) == (500_00, 10_00, 200_00, 290_00)
    assert (back.points_used, back.points_earned) == (1000, 49)
    assert core.Account.unpack(before).lots() == gold.account.lots()


def test_x03_partial_returns_add_up_to_the_whole(gold: Card) -> None:
    gold.top_up(1000_00)
    before = gold.account.lots()
    gold.buy(special(999_99))
    for fen in (1, 333_33, 333_33, 33, 332_99):
        gold.refund(1, amount_fen=fen)
    assert gold.account.lots() == before
    with pytest.raises(Declined) as declined:
        gold.refund(1, amount_fen=1)
    assert declined.value.declined_code == "over_refund"


def test_x03_points_that_are_gone_are_owed_and_paid_from_the_next(gold: Card) -> None:
    gold.buy(special(1000_00))  # 100 points
    gold.buy(special(1_00), points=100)  # spent
    gold.refund(0)
    assert (gold.account.owed_points, gold.purse("points")) == (100, 0)
    sale = gold.buy(special(1500_00))
    assert sale.points_earned == 150
    assert (gold.account.owed_points, gold.purse("points")) == (0, 50)


def test_m8_a_refund_by_line(gold: Card) -> None:
    gold.buy(100_00, 200_00)
    back = gold.refund(0, lines=(1,))
    assert (back.net_fen, back.outside_fen) == (176_00, 176_00)
    with pytest.raises(Declined) as declined:
        gold.refund(0, lines=(1,))
    assert declined.value.declined_code == "over_refund"
    assert gold.refund(0).net_fen == 88_00


# ---------------------------------------------------------------- tenders
def test_l03_second_card_then_cash_in_one_ticket(gold: Card) -> None:
    second_card = Card(MALL, 2)
    gold.top_up(100_00)
    second_card.top_up(50_00)
    sale = gold.buy(special(200_00), further=(second_card,))
    assert (sale.principal_fen, sale.further_fen, sale.outside_fen, sale.outside_tender) == (100_00, 50_00, 50_00, "cash")
    assert sale.further_accounts == (2,)
    assert second_card.purse("principal") == 0


def test_l03_without_another_tender_the_shortfall_is_told(gold: Card) -> None:
    gold.top_up(100_00)
    with pytest.raises(Declined) as declined:
        gold.buy(special(100_01), shortfall_tender="")
    assert (declined.value.declined_code, declined.value.facts["shortfall_fen"]) == ("insufficient_funds", 1)
    assert gold.buy(special(100_00), shortfall_tender="").outside_fen == 0


def test_a_hold_captured_in_part_returns_the_rest_to_its_lots(gold: Card) -> None:
    gold.top_up(1000_00)
    gold.do(core.Sale("hold", [special(600_00)], hold_seconds=3600))
    assert (gold.purse("bonus"), gold.purse("principal")) == (0, 600_00)  # M4: held money is not available
    captured = gold.do(core.Capture(250_00), entry=1)
    assert (captured.bonus_fen, captured.principal_fen, captured.points_earned) == (200_00, 50_00, 25)
    assert (gold.purse("bonus"), gold.purse("principal")) == (0, 950_00)
    with pytest.raises(Declined) as declined:
        gold.do(core.Capture(), entry=1)
    assert declined.value.declined_code == "hold_not_open"
