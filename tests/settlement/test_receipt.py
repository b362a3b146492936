"""Goal: a receipt is right to the fen, aligned on a printer with wide characters, and shows balance and points (L02). Method: one ticket
with everything on it, printed in both languages and compared line by line with what a person would write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardcore import settlement as core
from cardcore.settlement import receipt
from tests.oracle.drive import episode
from tests.settlement.cards import Card, shipped

MALL, SPA = shipped("mall-vip"), shipped("spa")
HEADING = receipt.Heading("东方商厦 一楼", "6200123412341234", "2026-11-22 14:00:00", "00-00000000000c", 12)


@pytest.fixture
def card() -> Card:
    made = Card(MALL).has_points(3000)
    made.top_up(1000_00)
    return made


def everything(card: Card) -> core.Settlement:
    lines = [
        core.Line(300_00, 2, counter_pay=8, counter_of=10),
        core.Line(100_00, discount_fen=1_00, coupon_fen=5_00),
        core.Line(199_00, flags=core.REDEEM),
    ]
    return card.buy(*lines, points=core.ALL_POINTS, stored_max_fen=150_00, explain=True)


CHINESE = """\
             东方商厦 一楼
                  消费
卡号                    ************1234
时间                 2026-11-22 14:00:00
----------------------------------------
1. 商品 x2                        300.00
   折扣                           -88.80
   应付                           211.20
2. 商品                           100.00
   折扣                           -13.00
   优惠券                          -5.00
   应付                            82.00
3. 商品                           199.00
   积分兑换                      -199.00
   应付                             0.00
----------------------------------------
原价合计                          599.00
折扣                             -101.80
优惠券                             -5.00
权益与兑换                       -199.00
合计                              293.20
  储值赠送                        150.00
  积分抵扣                         20.00
  现金                            123.20
使用积分                            3000
获得积分                              27
等级                                gold
----------------------------------------
卡余额                           1050.00
累计积分                              27
小票号                   00-00000000000c
流水号                                12"""

ENGLISH = """\
             东方商厦 一楼
                  Sale
Card                    ************1234
Time                 2026-11-22 14:00:00
----------------------------------------
1. Item x2                        300.00
   Discount                       -88.80
   To pay                         211.20
2. Item                           100.00
   Discount                       -13.00
   Coupon                          -5.00
   To pay                          82.00
3. Item                           199.00
   Redeemed with points          -199.00
   To pay                           0.00
----------------------------------------
List price                        599.00
Discount                         -101.80
Coupon                             -5.00
Covered or redeemed              -199.00
Total                             293.20
  Bonus value                     150.00
  Paid with points                 20.00
  Cash                            123.20
Points used                         3000
Points earned                         27
Tier                                gold
----------------------------------------
Card balance                     1050.00
Accumulated points                    27
Ticket                   00-00000000000c
Journal                               12"""


@pytest.mark.parametrize(("lang", "expected"), [("zh", CHINESE), ("en", ENGLISH)])
def test_the_whole_receipt(card: Card, lang: str, expected: str) -> None:
    printed = receipt.lines(everything(card), MALL, HEADING, lang)
    assert "\n".join(printed) == expected
    assert {receipt.width(line) for line in printed[2:]} == {receipt.WIDTH}


def test_each_step_is_explained(card: Card) -> None:
    assert receipt.explain(everything(card), MALL, "en") == [
        "Line 1 Counter's promotion: 60.00, 300.00 -> 240.00",
        "Line 1 Discount (金卡 8.8 折 gold 88 %): 28.80, 240.00 -> 211.20",
        "Line 2 Discount (金卡 8.8 折 gold 88 %): 12.00, 100.00 -> 88.00",
        "Line 2 Till's discount: 1.00, 88.00 -> 87.00",
        "Line 2 Coupon: 5.00, 87.00 -> 82.00",
        "Line 3 Redeemed with points (积分换礼品 gifts for points): 1000 points, 3000 points -> 2000 points",
        "Paid with points (100 分抵 1 元 100 points pay 1 yuan): 2000 points, 293.20 -> 273.20",
        "Stored value (bonus): 150.00, 200.00 -> 50.00",
        "Other tender: 123.20, 123.20 -> 0.00",
        "Points earned (每满 10 元积 1 分 a point for each 10 yuan): 27 points, for 273.20",
    ]


def test_a_decision_that_does_not_explain_has_no_notes(card: Card) -> None:
    assert receipt.explain(card.buy(100_00), MALL) == []


def test_a_refund_says_what_went_where(card: Card) -> None:
    everything(card)
    back = card.refund(2, explain=True)
    printed = "\n".join(receipt.lines(back, MALL, receipt.Heading(), "en"))
    for line in (
        "Given back                        293.20",
        "Points given back                   3000",
        "Points taken back                     27",
    ):
        assert line in printed
    assert receipt.explain(back, MALL, "zh")[-1] == "原路退回: 293.20, 293.20 -> 0.00"


def test_a_top_up_shows_what_was_paid_and_what_was_added() -> None:
    card = Card(SPA)
    topup = card.do(core.TopUp(1000_00, explain=True))
    printed = [line.split() for line in receipt.lines(topup, SPA, receipt.Heading(), "en")]
    assert ["Cash", "1000.00"] in printed
    assert ["Value", "added", "1000.00"] in printed
    assert ["Bonus", "added", "200.00"] in printed
    assert ["Card", "balance", "1200.00"] in printed
    assert receipt.explain(topup, SPA, "zh") == ["储值赠送 (充 1000 送 200 pay 1000 get 1200): 200.00,充值 1000.00"]


def test_a_visit_names_its_purse() -> None:
    card = Card(SPA)
    bought = card.do(core.TopUp(1280_00, product="massage-10", explain=True))
    assert receipt.explain(bought, SPA, "zh") == ["发放 (massage): 10 次"]
    assert ["massage", "+10", "次"] in [line.split() for line in receipt.lines(bought, SPA, receipt.Heading(), "zh")]
    visit = card.buy(core.Line(100_00, 1, "massage", flags=core.COVER), explain=True)
    assert receipt.explain(visit, SPA, "en") == ["Line 1 Covered by entitlement (massage): 1 visit, 10 visits -> 9 visits"]


def test_flags_are_those_of_the_core() -> None:
    assert receipt._REDEEM == core.REDEEM


@pytest.mark.parametrize(
    ("fen", "text"), [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (100, "1.00"), (-12_34, "-12.34"), (10**15, "10000000000000.00")]
)
def test_yuan(fen: int, text: str) -> None:
    assert receipt.yuan(fen) == text


@given(st.integers(-(10**15), 10**15))
def test_yuan_is_exact(fen: int) -> None:
    whole, cents = receipt.yuan(fen).removeprefix("-").split(".")
    assert len(cents) == 2
    assert (int(whole) * 100 + int(cents)) * (-1 if fen < 0 else 1) == fen


@pytest.mark.parametrize(
    ("number", "shown"), [("6200123412341234", "************1234"), ("12345678", "****5678"), ("1234567", "*******"), ("", "")]
)
def test_card_numbers_are_masked(number: str, shown: str) -> None:
    assert receipt.mask(number) == shown


@pytest.mark.parametrize(("text", "columns"), [("", 0), ("abc", 3), ("储值", 4), ("A储b", 4), ("\uff0c", 2), ("e\u0301", 1)])
def test_width_counts_columns(text: str, columns: int) -> None:
    assert receipt.width(text) == columns


def test_what_does_not_fit_takes_two_lines(card: Card) -> None:
    narrow = receipt.lines(everything(card), MALL, HEADING, "en", 16)
    assert all(receipt.width(line) <= 24 for line in narrow)
    assert "Redeemed with points" in {line.strip() for line in narrow}


def test_every_settlement_of_a_day_can_be_printed_and_explained() -> None:
    """Whatever a random episode decided prints in both languages; money lines of a sale add up to its total."""
    for seed in range(20):
        pair = episode(seed, steps=40)
        for _, settlement in pair.journal:
            programme = pair.programmes[settlement.account_id - 1]
            for lang in receipt.LANGUAGES:
                assert receipt.lines(settlement, programme, HEADING, lang)
                assert all(receipt.explain(settlement, programme, lang))
