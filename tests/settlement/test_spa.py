"""Goal: stored value with bonus, count card, year card, package and course as the spa sells them (C04-C07, C09, O02). Method:
expectations worked out by hand from the feature list, decided by the shipped pack."""

from __future__ import annotations

import pytest

from cardcore import settlement as core
from cardcore.errors import Declined
from tests.settlement.cards import Card, second, shipped

SPA = shipped("spa")


@pytest.fixture
def card() -> Card:
    return Card(SPA)


def refusal(call: object) -> str:
    with pytest.raises(Declined) as declined:
        call()  # type: ignore[operator]
    return declined.value.declined_code


# ---------------------------------------------------------------- stored value
@pytest.mark.parametrize(("paid", "bonus"), [(999_99, 0), (1000_00, 200_00), (1999_99, 200_00), (2000_00, 400_00), (5000_00, 1000_00)])
def test_c04_pay_1000_get_1200(card: Card, paid: int, bonus: int) -> None:
    topup = card.top_up(paid)
    assert (topup.principal_fen, topup.bonus_fen, topup.after_money_fen) == (paid, bonus, paid + bonus)
    assert topup.liability_delta_fen == paid + bonus


def test_o02_each_lot_keeps_its_paid_ratio(card: Card) -> None:
    card.top_up(1000_00)
    assert {(lot.paid_fen, lot.of_units) for lot in card.account.lots()} == {(5, 6)}
    sale = card.buy(120_00)
    [spent] = [posting for posting in sale.postings() if posting.source == "customer"]
    assert spent.amount * spent.paid_fen // spent.of_units == 100_00


def test_bonus_is_spent_before_principal_because_it_expires(card: Card) -> None:
    card.top_up(1000_00)
    sale = card.buy(250_00)
    assert (sale.bonus_fen, sale.principal_fen) == (200_00, 50_00)


def test_bonus_lapses_after_a_year_and_principal_never(card: Card) -> None:
    card.on("2026-02-28 18:00:00").top_up(1000_00)
    card.on("2027-02-28 23:59:59")
    assert card.account.money_fen(SPA, card.at) == 1200_00
    card.on("2027-03-01 00:00:00")
    assert card.account.money_fen(SPA, card.at) == 1000_00
    assert card.buy(1200_00).outside_fen == 200_00  # before the expiry is even posted


@pytest.mark.parametrize(("paid", "code"), [(99_99, "topup_not_allowed"), (10_000_01, "topup_not_allowed")])
def test_topup_limits(card: Card, paid: int, code: str) -> None:
    assert refusal(lambda: card.top_up(paid)) == code
    assert card.account.lots() == []


def test_the_ceiling_counts_bonus_and_is_tested_at_its_edge(card: Card) -> None:
    for _ in range(4):
        card.top_up(10_000_00)  # 12,000 each
    assert refusal(lambda: card.top_up(2000_01)) == "limit_exceeded"
    card.top_up(1666_00)  # 48,000 + 1,866
    assert refusal(lambda: card.top_up(134_01)) == "limit_exceeded"
    assert card.top_up(134_00).after_money_fen == 50_000_00


def test_m11_the_ceiling_counts_money_that_is_held_or_on_the_card_itself(card: Card) -> None:
    """Else a top-up while money is out of the account would lift the card above it when the money returns."""
    for _ in range(4):
        card.top_up(10_000_00)  # 48,000 with bonus
    card.do(core.Sale("hold", [core.Line(20_000_00)], hold_seconds=60))
    assert refusal(lambda: card.top_up(2000_00)) == "limit_exceeded"
    card.do(core.Load(5000_00))
    assert refusal(lambda: card.top_up(2000_00)) == "limit_exceeded"
    card.do(core.Arrive(), entry=5)
    assert refusal(lambda: card.top_up(2000_00)) == "limit_exceeded"
    assert refusal(lambda: card.do(core.Load(2000_01, tender="cash"))) == "limit_exceeded"
    card.do(core.Load(2000_00, tender="cash"))
    assert refusal(lambda: card.top_up(100_00)) == "limit_exceeded"


def test_a_top_up_can_be_reversed_only_while_its_value_is_there(card: Card) -> None:
    card.top_up(1000_00)
    card.do(core.Reverse(), entry=0)
    assert card.account.lots() == []
    assert refusal(lambda: card.do(core.Reverse(), entry=0)) == "already_reversed"
    card.top_up(1000_00)
    card.buy(1)
    assert refusal(lambda: card.do(core.Reverse(), entry=2)) == "value_spent"


# ---------------------------------------------------------------- count card
def test_c05_ten_visits_and_not_an_eleventh(card: Card) -> None:
    card.top_up(1280_00, "massage-10")
    for left in range(9, -1, -1):
        visit = card.visit("massage")
        assert (visit.net_fen, visit.covered_fen, card.purse("massage")) == (0, 100_00, left)
    assert refusal(lambda: card.visit("massage")) == "not_covered"


def test_c05_visits_pay_only_for_their_service(card: Card) -> None:
    card.top_up(1280_00, "massage-10")
    assert refusal(lambda: card.visit("gym")) == "not_covered"
    assert refusal(lambda: card.visit("unheard of")) == "not_covered"
    assert refusal(lambda: card.visit("massage", 11)) == "not_covered"
    assert card.visit("massage", 3).net_fen == 0
    assert card.purse("massage") == 7


def test_c05_the_oldest_card_is_used_first(card: Card) -> None:
    card.on("2026-01-05 10:00:00").top_up(1280_00, "massage-10")
    card.on("2026-03-05 10:00:00").top_up(1280_00, "massage-10")
    card.visit("massage", 12)
    assert [(lot.amount, lot.expires_at) for lot in card.account.lots()] == [(8, second("2027-03-06 00:00:00"))]


def test_income_of_a_count_card_is_earned_visit_by_visit_and_adds_up(card: Card) -> None:
    card.top_up(1280_00, "massage-10")
    income = 0
    for _ in range(10):
        income += sum(p.amount for p in card.visit("massage").postings() if p.source == "deferred")
    assert income == 1280_00


def test_a_product_costs_its_price(card: Card) -> None:
    assert refusal(lambda: card.top_up(1279_99, "massage-10")) == "topup_not_allowed"
    assert refusal(lambda: card.top_up(1, "massage-11")) == "unknown_product"


def test_a_returned_visit_is_on_the_card_again(card: Card) -> None:
    card.top_up(1280_00, "massage-10")
    card.buy(core.Line(100_00, 2, "massage", flags=core.COVER), 50_00)
    back = card.refund(1, lines=(0,))
    assert (back.net_fen, back.covered_fen, card.purse("massage")) == (0, 100_00, 10)
    assert card.refund(1).net_fen == 50_00
    assert card.purse("massage") == 10


# ---------------------------------------------------------------- year card
def test_c06_the_year_runs_from_the_first_use(card: Card) -> None:
    card.on("2026-01-05 10:00:00").top_up(2980_00, "gym-year")
    assert [lot.expires_at for lot in card.account.lots()] == [0]
    card.on("2026-06-30 08:00:00").visit("gym")
    assert [lot.expires_at for lot in card.account.lots()] == [second("2027-07-01 00:00:00")]
    card.on("2027-06-30 23:59:59").visit("gym")
    card.on("2027-07-01 00:00:00")
    assert refusal(lambda: card.visit("gym")) == "not_covered"


def test_c06_two_year_cards_are_two_years(card: Card) -> None:
    card.on("2026-01-05 10:00:00").top_up(2980_00, "gym-year")
    card.top_up(2980_00, "gym-year")
    card.on("2026-02-01 08:00:00").visit("gym")
    assert sorted(lot.expires_at for lot in card.account.lots()) == [0, second("2027-02-02 00:00:00")]
    card.on("2027-02-02 08:00:00").visit("gym")
    assert max(lot.expires_at for lot in card.account.lots()) == second("2028-02-03 00:00:00")


def test_c06_a_voided_visit_gives_no_further_year(card: Card) -> None:
    card.on("2026-01-05 10:00:00").top_up(2980_00, "gym-year")
    card.visit("gym")
    card.on("2027-01-04 10:00:00").visit("gym")
    card.do(core.Void(), entry=2)
    card.visit("gym")
    assert [lot.expires_at for lot in card.account.lots()] == [second("2027-01-06 00:00:00")]


def test_c06_twice_a_day_by_the_local_calendar(card: Card) -> None:
    card.top_up(2980_00, "gym-year")
    card.on("2026-03-10 23:00:00").visit("gym")
    card.on("2026-03-10 23:59:59").visit("gym")
    assert refusal(lambda: card.visit("gym")) == "used_up_today"
    card.on("2026-03-11 00:00:00").visit("gym")
    assert card.purse("gym-year") == 1  # a pass is shown, not used up


def test_c06_a_voided_visit_gives_the_day_back(card: Card) -> None:
    card.top_up(2980_00, "gym-year")
    card.visit("gym")
    card.visit("gym")
    card.do(core.Void(), entry=2)
    card.visit("gym")
    assert refusal(lambda: card.visit("gym")) == "used_up_today"


# ---------------------------------------------------------------- package and course
def test_c07_a_package_is_several_services_at_one_price(card: Card) -> None:
    card.on("2026-01-31 10:00:00").top_up(680_00, "care-package")
    assert (card.purse("facial"), card.purse("foot-bath")) == (3, 5)
    ends = {SPA.purses[lot.purse]: lot.expires_at for lot in card.account.lots()}
    assert ends == {"facial": second("2026-08-01 00:00:00"), "foot-bath": second("2026-05-01 00:00:00")}
    card.on("2026-05-01 00:00:00")
    assert refusal(lambda: card.visit("foot-bath")) == "not_covered"
    assert card.visit("facial").net_fen == 0


def test_c07_the_price_is_shared_by_units_and_adds_up(card: Card) -> None:
    card.top_up(680_00, "care-package")
    paid = {SPA.purses[lot.purse]: lot.paid_fen * lot.amount // lot.of_units for lot in card.account.lots()}
    assert paid == {"facial": 255_00, "foot-bath": 425_00}


def test_c09_a_week_between_two_sessions(card: Card) -> None:
    card.top_up(2400_00, "back-course-12")
    card.on("2026-03-02 18:00:00").visit("back-treatment")
    card.on("2026-03-08 23:59:59")
    assert refusal(lambda: card.visit("back-treatment")) == "too_soon"
    card.on("2026-03-09 00:00:00").visit("back-treatment")  # seven local days later
    assert card.purse("back-course") == 10


def test_c09_two_sessions_in_one_line_are_too_soon(card: Card) -> None:
    card.top_up(2400_00, "back-course-12")
    assert refusal(lambda: card.visit("back-treatment", 2)) == "too_soon"
    assert card.purse("back-course") == 12


def test_one_ticket_mixes_entitlements_and_money(card: Card) -> None:
    card.top_up(1280_00, "massage-10")
    card.top_up(1000_00)
    sale = card.buy(core.Line(150_00, 1, "massage", flags=core.COVER), core.Line(80_00, 2, "oil"), shortfall_tender="")
    assert (sale.gross_fen, sale.covered_fen, sale.net_fen, sale.bonus_fen) == (230_00, 150_00, 80_00, 80_00)


def test_a_line_that_does_not_ask_is_paid_with_money(card: Card) -> None:
    card.top_up(1280_00, "massage-10")
    sale = card.buy(core.Line(150_00, 1, "massage"))
    assert (sale.outside_fen, card.purse("massage")) == (150_00, 10)


def test_transfer_keeps_source_expiry_and_ratio(card: Card) -> None:
    other = Card(SPA, 2)
    card.top_up(1000_00)
    card.on("2026-02-01 10:00:00").do(core.Transfer(300_00), other)
    assert (card.purse("bonus"), card.purse("principal")) == (0, 900_00)
    assert [(SPA.purses[lot.purse], lot.amount, lot.expires_at, lot.paid_fen, lot.of_units) for lot in other.account.lots()] == [
        ("bonus", 200_00, second("2027-01-06 00:00:00"), 5, 6),
        ("principal", 100_00, 0, 5, 6),
    ]
