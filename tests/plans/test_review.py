"""Goal: what `scheme check` tells of gains and budgets is true. Method: the gift levels of R06 by hand; and, from a seed, the same goods
bought in one ticket and in several under every pack: nobody gains more than was told, and nothing where nothing was told (P3)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from cardapi.plans.budget import cost_sentence, costs, percent
from cardapi.plans.gains import WHY, Gain, gain_sentence, gains
from cardapi.plans.words import Words
from cardapi.shipped import packs
from cardcore.errors import Declined
from cardcore.settlement import Line, Settlement, pack
from tests.cli.shop import call
from tests.settlement.cards import Card
from tests.support import sized

TEXTS = {name: path.read_text(encoding="utf-8") for name, path in packs().items()}
NORMAL = {name: pack.normalise(text) for name, text in TEXTS.items()}


def bound(found: list[Gain], by: str, unit: str, steps: int) -> int | None:
    """The most that a customer may gain over so many tickets more or fewer; None where a rule or tier says: as much as it is worth."""
    telling = [gain for gain in found if gain.by == by and gain.unit in (unit, "tier")]
    return None if any(gain.most is None for gain in telling) else sum(gain.most or 0 for gain in telling) * steps


@pytest.mark.parametrize("name", [name for name, normal in NORMAL.items() if normal["card"]["member"]])
def test_nobody_gains_more_by_dividing_or_joining_tickets_than_is_told(name: str) -> None:
    programme, found = pack.load(TEXTS[name]), gains(NORMAL[name])
    gained = 0
    for seed in range(sized(150, 3_000)):
        choose = Random(seed)
        tier = choose.choice(programme.tiers)
        goods = [
            Line(choose.choice((79_01, 100_00, 999, choose.randint(1, 900_00))), category=choose.choice([*programme.categories, ""]))
            for _ in range(choose.randint(2, 6))
        ]
        day = f"2026-{choose.randint(1, 12):02d}-{choose.randint(1, 28):02d} 12:00"
        one, several = Card(programme, tier=tier).on(day), Card(programme, tier=tier).on(day)
        joined, divided = [one.buy(*goods)], [several.buy(line) for line in goods]
        if choose.random() < 0.5:
            parts = [choose.randint(100, 300_00) for _ in goods]
            try:
                joined.append(one.top_up(sum(parts)))
                divided += [several.top_up(fen) for fen in parts]
            except Declined:  # the pack's bounds on a top-up
                continue
        for unit, whole, split in (
            ("fen", sum(s.discount_fen + bonus(s) for s in joined), sum(s.discount_fen + bonus(s) for s in divided)),
            ("points", sum(s.points_earned for s in joined), sum(s.points_earned for s in divided)),
        ):
            by = "split" if split > whole else "merge"
            most = bound(found, by, unit, len(goods))
            if unit == "points" and most is not None and None in (bound(found, "split", "fen", 1), bound(found, "merge", "fen", 1)):
                continue  # who pays less earns less: the gain is told in money
            assert most is None or abs(split - whole) <= most, (seed, by, unit, whole, split)
            gained += split != whole
    assert gained == 0 or found


def bonus(settlement: Settlement) -> int:
    """Money that rules gave."""
    return sum(posting.amount for posting in settlement.postings() if posting.source == "bonus_cost")


def test_r06_levels_and_their_budget() -> None:
    """Level 1 costs 0.63 % of sales, levels 7 and 8 cost 1.0 %, where 10 yuan earn a point; the budget is 0.6 %."""
    found = costs(NORMAL["supermarket"])
    told = {cost.units: (percent(cost.high), cost.over) for cost in found}
    assert (told[80], told[2500], told[8000]) == (("0.63 %", True), ("1.00 %", True), ("1.00 %", True))
    assert [cost.units for cost in found if cost.over] == [80, 2500, 8000]
    assert not [cost for cost in costs(NORMAL["supermarket"], Fraction(1, 100)) if cost.over]
    assert cost_sentence(found[0], Words("zh")).endswith("80 分值 ¥5,占销售额 0.63 %,超出预算 0.60 %")


def test_a_range_where_tiers_and_days_earn_differently() -> None:
    """E02 and E12: 10 points for each 100 at the least, 25 twice over at the most; 100 points pay 1 yuan (R01)."""
    [cost] = costs(NORMAL["mall-plan-a"])
    assert (percent(cost.low), percent(cost.high)) == ("0.10 %", "0.50 %")


def test_every_reason_has_words() -> None:
    for why in WHY:
        for most, unit in ((None, "points"), (3, "points"), (3, "fen"), (None, "tier")):
            assert all(
                gain_sentence(Gain("rule", by, unit, most, why), Words(language)) for by in ("merge", "split") for language in ("en", "zh")
            )
    [steps] = [gain for gain in gains(NORMAL["cash-off"]) if gain.unit == "points"]
    assert (steps.by, steps.most) == ("merge", 1)  # a point for each full yuan: at most one for each ticket that is joined
    assert not gains(NORMAL["gift-card"])


def test_check_tells_them(tmp_path: Path) -> None:
    shown = call("scheme", "check", "supermarket").stdout
    assert "warning: " in shown
    assert "0.63 % of the sales that earn them, above the budget of 0.60 %" in shown
    assert "warning" not in call("scheme", "check", "supermarket", "--budget", "1").stdout
    assert "[bad_budget]" in call("scheme", "check", "supermarket", "--budget", "much", check=False).stderr


GIFTS = """
[[coupon]]
name = "five"
title = { zh = "5元券", en = "5 yuan" }
off_fen = 5_00
[[gift]]
name = "voucher"
title = { zh = "换券", en = "Voucher" }
points = 80
coupon = "five"
[[gift]]
name = "towel"
title = { zh = "毛巾", en = "Towel" }
points = 1_000
items = ["white"]
cost_fen = 50_00
"""


def test_a_pack_declares_its_own_budget_and_gifts_have_a_cost(tmp_path: Path) -> None:
    """R06: without an option, check warns by what the pack says; 80 points are 800 yuan of sales, 1000 are 10,000."""
    text = TEXTS["supermarket"] + GIFTS
    assert text.count('points = "6/1000"') == 1
    for share, over in (("6/1000", ["voucher"]), ("63/10000", []), ("49/10000", ["towel", "voucher"])):
        normal = pack.normalise(text.replace('points = "6/1000"', f'points = "{share}"'))
        gifts = [cost for cost in costs(normal) if cost.rule in ("voucher", "towel")]
        assert [(cost.rule, cost.worth_fen, cost.high) for cost in gifts] == [
            ("voucher", 5_00, Fraction(5, 800)), ("towel", 50_00, Fraction(50, 10_000)),
        ]  # fmt: skip
        assert sorted(cost.rule for cost in gifts if cost.over) == over
        assert not any(cost.over for cost in costs(normal, Fraction(1)))
    for wrong in ('points = "0/1"', 'points = "2/1"', "points = 6", 'gifts = "1/1"'):
        problems = pack.check(text.replace('points = "6/1000"', wrong))
        assert [problem.line for problem in problems] == [text[: text.index('points = "6/1000"')].count("\n") + 1], wrong
    file = tmp_path / "wide.toml"
    file.write_text(text.replace('points = "6/1000"', 'points = "1/100"'), encoding="utf-8")
    assert "warning" not in call("scheme", "check", file).stdout
