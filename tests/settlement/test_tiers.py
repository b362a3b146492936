"""Goal: buying more never gives a lower tier, under any pack; what a return takes waits for the review where the pack says so (T01, T07).
Method: every shipped pack and random packs at random tills, looked at after each purchase; a year of two cards around a review."""

from __future__ import annotations

from random import Random

import pytest

from cardcore import settlement as core
from cardcore.errors import Declined
from cardcore.settlement import Line, pack
from tests.oracle.packs import random_pack
from tests.oracle.words import CATEGORIES
from tests.settlement.cards import SCHEMES, Card, shipped
from tests.settlement.test_counters import BASE, counter

TIERED = sorted(path.stem for path in SCHEMES.glob("*.toml") if len(shipped(path.stem).tiers) > 1)


def tiers(card: Card, choose: Random, purchases: int) -> list[int]:
    """The tier before the first purchase and after each. Days go by meanwhile; nothing goes back and nobody reviews."""
    known = [card.account.tier]
    for _ in range(purchases):
        card.at += choose.choice((60, 3_600, 86_400, 40 * 86_400))
        category = choose.choice(("", *sorted(set(card.programme.categories) & set(CATEGORIES))))
        fen = choose.choice((1, 99_99, 1000_00, 20_000_00, choose.randrange(1, 50_000_00)))
        try:
            card.do(core.Sale("settle", [Line(fen, category=category)], shortfall_tender="cash"))
        except Declined:
            continue
        known.append(card.account.tier)
    return known


def test_more_purchases_never_give_a_lower_tier_under_any_shipped_pack() -> None:
    assert len(TIERED) >= 8
    for name in TIERED:
        known = tiers(Card(shipped(name)), Random(name), 40)
        assert known == sorted(known), name
        assert known[-1] > known[0], name


def test_more_purchases_never_give_a_lower_tier_under_random_packs() -> None:
    rose = 0
    for seed in range(60):
        choose = Random(seed)
        known = tiers(Card(pack.load(random_pack(choose))), choose, 20)
        assert known == sorted(known), seed
        rose += known[-1] > known[0]
    assert rose >= 15


def yearly(returns: str) -> core.Programme:
    return pack.load(
        BASE + f'[review]\nper = "year"\nfall = "balance"\n{returns}\n' + counter("year", "paid", "year")
        + '[[tier]]\nname = "ordinary"\n[[tier]]\nname = "silver"\ncounter = "year"\ncounter_min = 1000_00\n'
    )  # fmt: skip


@pytest.mark.parametrize(("returns", "after"), [("", 0), ('returns = "at-once"', 0), ('returns = "at-review"', 1)])
def test_t07_a_return_takes_the_tier_at_once_or_at_the_next_review(returns: str, after: int) -> None:
    regretted, kept = Card(yearly(returns)).on("2026-03-01 12:00"), Card(yearly(returns)).on("2026-03-01 12:00")
    for card in (regretted, kept):
        assert card.buy(1000_00).tier_after == 1
    regretted.refund(0)
    assert regretted.account.tier == after
    for card in (regretted, kept):
        card.on("2026-12-31 23:59:59").buy(1)
    assert (regretted.account.tier, kept.account.tier) == (after, 1)
    for card in (regretted, kept):
        card.on("2027-01-01 00:00:00").do(core.Review())
    assert (regretted.account.tier, kept.account.tier) == (0, 1)


def test_t07_without_reviews_a_tier_that_waits_for_one_is_kept() -> None:
    text = BASE + '[review]\nreturns = "at-review"\n[[tier]]\nname = "ordinary"\n[[tier]]\nname = "silver"\nspend_min_fen = 1000_00\n'
    card = Card(pack.load(text)).on("2026-03-01 12:00")
    card.buy(1000_00)
    card.refund(0)
    assert card.on("2029-01-01 12:00").buy(1).tier_after == 1
