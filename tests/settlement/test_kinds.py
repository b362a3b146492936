"""Goal: there is a pack for each card kind of the field (C01-C19) and it does what its rule says. Method: figures written from the rules of
the kinds and of L04 and C16, one card each, never from the packs' own text."""

from __future__ import annotations

import tomllib

import pytest

from cardapi.people.policy import membership_policy
from cardcore import settlement as core
from cardcore.errors import Declined
from cardcore.settlement import Facts, Line, pack
from tests.settlement.cards import SCHEMES, Card, second, shipped

MEMBER = Facts(tags=("member",))


def paid(
    name: str, *lines: Line, at: str = "2026-05-11 10:00", tier: str = "", facts: Facts | None = None, card: Card | None = None
) -> int:
    """What a ticket costs; on a card of its own, or on one that has a history."""
    card = card or Card(shipped(name), tier=tier)
    snapshot = core.Snapshot(card.programme, card.account, facts=facts)
    done = core.decide(snapshot, core.Sale("settle", lines, shortfall_tender="cash"), second(at) * 1_000_000)
    card.account.apply(done, len(card.entries) + 1)
    card.entries.append(done)
    return done.net_fen


def refused(card: Card, category: str, quantity: int = 1) -> str:
    with pytest.raises(Declined) as declined:
        card.visit(category, quantity)
    return declined.value.declined_code


def test_c02_rates_by_tier_category_hour_and_size() -> None:
    """P05: 95 % and 90 % by tier; tea at 80 % on a Monday afternoon, in which hour 17 is not; tickets of 500 yuan at 98 %."""
    tea = Line(100_00, category="tea")
    assert [paid("discount-card", Line(100_00), tier=tier) for tier in ("silver", "gold")] == [95_00, 90_00]
    assert paid("discount-card", tea, at="2026-05-11 16:59") == 76_00
    assert paid("discount-card", tea, at="2026-05-11 17:00") == paid("discount-card", tea, at="2026-05-10 15:00") == 95_00
    assert paid("discount-card", Line(500_00)) == 465_50
    assert paid("discount-card", Line(499_99)) == 474_99


def test_c04_principal_and_bonus_apart() -> None:
    card = Card(shipped("stored-value"))
    card.top_up(1000_00)
    assert (card.purse("principal"), card.purse("bonus")) == (1000_00, 200_00)
    sold = card.buy(250_00)
    assert (sold.bonus_fen, sold.principal_fen) == (200_00, 50_00)
    with pytest.raises(Declined):
        card.top_up(4500_00)  # W1: 5000 on a named card, bonus included


def test_c05_visits_of_two_services() -> None:
    card = Card(shipped("count-card"))
    card.top_up(280_00, "haircut-10")
    card.top_up(150_00, "care-5")
    card.visit("haircut", 2)
    assert refused(card, "haircut") == "used_up_today"
    card.visit("colouring")
    card.visit("treatment", 4)
    assert refused(card, "treatment") == "not_covered"
    assert (card.purse("haircut"), card.purse("care")) == (8, 0)


def test_c06_from_purchase_and_from_first_use() -> None:
    month = Card(shipped("time-card")).on("2026-01-31 09:00")
    month.top_up(260_00, "month")
    month.on("2026-02-28 22:00").visit("gym")
    assert refused(month.on("2026-03-01 00:00"), "gym") == "not_covered"
    week = Card(shipped("time-card")).on("2026-01-05 09:00")
    week.top_up(99_00, "seven-days")
    week.on("2026-06-01 09:00").visit("gym")
    week.on("2026-06-08 22:00").visit("gym")
    assert refused(week.on("2026-06-09 00:00"), "gym") == "not_covered"


def test_c07_services_and_goods_at_one_price() -> None:
    card = Card(shipped("package-card")).on("2026-01-05 09:00")
    card.top_up(998_00, "spring-package")
    assert [card.purse(name) for name in ("facial", "massage", "gift-box")] == [3, 2, 1]
    assert refused(card.on("2026-02-06 09:00"), "gift-box") == "not_covered"
    assert card.visit("facial", 3).net_fen == 0


def test_c08_one_trial_for_each_member() -> None:
    card = Card(shipped("trial-card"))
    trial = Line(99_00, category="trial")
    assert [paid("trial-card", trial, facts=MEMBER, card=card) for _ in range(3)] == [0, 99_00, 99_00]
    assert paid("trial-card", trial) == 99_00  # nobody's card


def test_c09_a_week_between_sessions_and_a_named_therapist() -> None:
    card = Card(shipped("course-card")).on("2026-01-05 09:00")
    card.top_up(3000_00, "back-12-li")
    card.visit("back-treatment-li")
    assert refused(card.on("2026-01-11 09:00"), "back-treatment-li") == "too_soon"
    assert refused(card.on("2026-01-12 09:00"), "back-treatment") == "not_covered"  # another therapist
    card.visit("back-treatment-li")


def test_c10_in_proportion_and_fixed_with_thresholds() -> None:
    card = Card(shipped("deduction-card"))
    assert card.buy(499_99).net_fen == 499_99
    assert card.buy(500_00).net_fen == 450_00
    assert card.purse("vouchers") == 8
    sold = card.buy(400_00, points=2)
    assert (sold.points_fen, sold.outside_fen) == (40_00, 360_00)
    with pytest.raises(Declined):
        card.buy(199_99, points=1)


def test_c13_off_until_somebody_switches_it_on() -> None:
    assert paid("special-card", Line(100_00), facts=MEMBER) == 100_00
    assert paid("special-card", Line(100_00), facts=Facts(tags=("member", "special"))) == 85_00


def test_c14_gives_nothing() -> None:
    card = Card(shipped("staff-card"))
    sold = card.buy(100_00)
    assert (sold.net_fen, sold.points_earned) == (100_00, 0)


def test_c16_points_of_several_trades_and_no_money() -> None:
    card = Card(shipped("alliance"))
    assert card.buy(Line(100_00, category="meal"), Line(30_00, category="hotel")).points_earned == 230
    assert card.buy(10_00, points=200).points_fen == 2_00
    with pytest.raises(Declined):
        card.top_up(100_00)


def test_c17_and_c18_media_and_value_without_an_end() -> None:
    assert shipped("media-card").card["media_max"] == 3
    normal = pack.normalise((SCHEMES / "purse-card.toml").read_text(encoding="utf-8"))
    [principal] = [purse for purse in normal["purses"] if purse["role"] == "principal"]
    assert (principal["months"], principal["days"], normal["limits"]["balance_max_fen"]) == (0, 0, 1000_00)
    card = Card(shipped("purse-card"))
    card.top_up(300_00)
    load = card.do(core.Load(200_00))
    card.do(core.Arrive(), entry=card.entries.index(load))
    assert (card.account.on_card_fen, card.purse("principal")) == (200_00, 100_00)


def test_c19_dealers_are_left_out() -> None:
    dealer = Facts(tags=("member", "dealer"))
    assert paid("no-dealers", Line(100_00), facts=MEMBER) == 95_00
    assert paid("no-dealers", Line(100_00), facts=dealer) == 100_00


def test_l04_enrolment_by_purchase_and_e08() -> None:
    told = membership_policy(tomllib.loads((SCHEMES / "appliance-chain.toml").read_text(encoding="utf-8")))
    assert (told.single_fen, told.cumulative_fen, told.age_min) == (100_00, 300_00, 18)
    assert set(told.routes) == {"purchase", "group"}
    card = Card(shipped("appliance-chain"))
    assert card.buy(Line(2_999_00, flags=core.SPECIAL_PRICE)).points_earned == 290
    assert card.buy(Line(100_00, category="accessories")).net_fen == 95_00
