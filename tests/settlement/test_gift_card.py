"""Goal: a gift card earns nothing, gives no member benefit and always has a validity (C11, E16). Method: the shipped pack, and what the
validator refuses when somebody adds benefits to it."""

from __future__ import annotations

import pytest

from cardcore import settlement as core
from cardcore.errors import Declined
from cardcore.settlement import pack
from tests.settlement.cards import SCHEMES, Card, second, shipped

GIFT = shipped("gift-card")
TEXT = (SCHEMES / "gift-card.toml").read_text(encoding="utf-8")


def test_c11_pays_the_full_price_and_earns_nothing() -> None:
    card = Card(GIFT)
    card.top_up(500_00)
    sale = card.buy(300_00)
    assert (sale.net_fen, sale.discount_fen, sale.principal_fen, sale.points_earned, sale.after_points) == (300_00, 0, 300_00, 0, 0)


def test_c11_validity_is_three_years_of_each_load() -> None:
    card = Card(GIFT).on("2026-05-01 12:00:00")
    card.top_up(100_00)
    assert [lot.expires_at for lot in card.account.lots()] == [second("2029-05-02 00:00:00")]
    card.on("2029-05-01 23:59:59")
    assert card.account.money_fen(GIFT, card.at) == 100_00
    card.on("2029-05-02 00:00:00")
    assert card.buy(100_00).outside_fen == 100_00
    expired = card.do(core.Expire())
    assert (expired.net_fen, expired.liability_delta_fen) == (100_00, -100_00)


def test_w1_an_unnamed_card_holds_at_most_1000() -> None:
    card = Card(GIFT)
    card.top_up(900_00)
    with pytest.raises(Declined) as declined:
        card.top_up(110_00)
    assert declined.value.declined_code == "limit_exceeded"
    assert card.top_up(100_00).after_money_fen == 1000_00


def test_points_cannot_pay_and_value_cannot_move() -> None:
    card, other = Card(GIFT), Card(GIFT, 2)
    card.top_up(100_00)
    with pytest.raises(Declined) as declined:
        card.buy(10_00, points=100)
    assert declined.value.declined_code == "points_not_allowed"
    assert card.buy(10_00, points=core.ALL_POINTS).points_used == 0
    with pytest.raises(Declined) as declined:
        card.do(core.Transfer(10_00), other)
    assert declined.value.declined_code == "transfer_not_allowed"


def test_c11_a_gift_card_lends_no_benefit_to_a_member_sale() -> None:
    """As a further card it only pays: the member's own discount and points stay, and nothing is earned for the gift card."""
    member, gift = Card(shipped("mall-vip")), Card(GIFT, 2)
    gift.top_up(100_00)
    sale = member.buy(100_00, further=(gift,))
    assert (sale.net_fen, sale.further_fen, sale.points_earned) == (88_00, 88_00, 8)
    assert gift.account.points_earned == 0


@pytest.mark.parametrize(
    ("added", "reason"),
    [
        ('[[tier]]\nname = "gold"\n', "no tiers (C11)"),
        ('[[benefit]]\nname = "b"\nthen = { discount = "9/10" }\n', "no benefits (C11)"),
        ('[[purse]]\nname = "points"\nunit = "points"\nrole = "points"\nexpires_after = "P1Y"\n', "no points purse (C11)"),
        ('[[purse]]\nname = "bonus"\nunit = "fen"\nrole = "bonus"\n', "validity is mandatory"),
    ],
)
def test_c11_the_validator_refuses_member_things(added: str, reason: str) -> None:
    assert any(reason in problem.reason for problem in pack.check(TEXT + added))
