"""What points that are spent cost the shop, as a share of the sales that earned them, and whether that is within a budget (R06)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from cardapi.plans.words import Words

Normalised = dict[str, Any]
BUDGET = Fraction(6, 1000)  # R06: 0.6 % of sales


class Cost(NamedTuple):
    """One use of points. `low` and `high`: its cost by the slowest and the fastest way to earn them, as a share of sales."""

    rule: str
    units: int
    worth_fen: int
    low: Fraction
    high: Fraction
    budget: Fraction

    @property
    def over(self) -> bool:
        """Whether it may cost more than its budget."""
        return self.high > self.budget


def costs(pack: Normalised, budget: Fraction | None = None) -> list[Cost]:
    """Every step of every ladder, every gift, and points that pay; none where no points are earned by sales.

    `budget` None is the pack's own (`[budget]`), or R06's where it declares none.
    """
    if budget is None:
        budget = Fraction(*pack["points_budget"]) if pack["points_budget"] else BUDGET
    rates = [rate for tier in range(len(pack["tiers"])) for rate in _points_per_fen(pack, tier) if rate]
    if not rates:
        return []
    found = []

    def add(name: str, units: int, worth_fen: int) -> None:
        found.append(Cost(name, units, worth_fen, worth_fen * min(rates) / units, worth_fen * max(rates) / units, budget))

    for rule in pack["rules"]:
        uses = (
            [(rule["units"], rule["worth_fen"])]
            if rule["effect"] == "deduct"
            else rule.get("ladder", ())
            if rule["effect"] == "redeem"
            else ()
        )
        for units, worth_fen in uses:
            add(rule["name"], units, worth_fen)
    for gift in pack["gifts"]:
        if worth_fen := gift["cost_fen"] or _coupon_fen(pack, gift["coupon"]):
            add(gift["name"], gift["points"], worth_fen)
    return found


def _coupon_fen(pack: Normalised, place: int) -> int:
    """What a coupon takes off where its pack says so in fen; 0 for a share of a price, and for none."""
    coupon = pack["coupons"][place] if place >= 0 else None
    return coupon["off_fen"] * coupon["uses"] if coupon is not None else 0


def _points_per_fen(pack: Normalised, tier: int) -> tuple[Fraction, Fraction]:
    """Points that a fen of sales earns in a tier: by the rules without further conditions, and when every condition is met."""
    plain: dict[str, Fraction] = {}
    most: dict[str, Fraction] = {}
    for index, rule in enumerate(pack["rules"]):
        if rule["effect"] != "accrue" or rule.get("on", "settle") != "settle" or (rule["tiers"] is not None and tier not in rule["tiers"]):
            continue
        group = rule["exclusive"] or f" {index}"  # of a group one rule acts
        rate = Fraction(rule["amount"] * rule["multiplier"][0], rule["per_fen"] * rule["multiplier"][1])
        most[group] = max(most.get(group, Fraction(0)), rate)
        if not rule["asks"] and rule["categories"] is None and rule["flags"] == (0, 0):
            plain[group] = max(plain.get(group, Fraction(0)), rate)
    return sum(plain.values(), Fraction(0)), sum(most.values(), Fraction(0))


def percent(share: Fraction) -> str:
    """A share in percent with two decimals, half up."""
    hundredths = (share.numerator * 20_000 + share.denominator) // (2 * share.denominator)
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def cost_sentence(cost: Cost, words: Words) -> str:
    """One cost in words, with the warning where it is above its budget."""
    share = percent(cost.high) if cost.low == cost.high else f"{percent(cost.low)} - {percent(cost.high)}"
    worth, points = words.yuan(cost.worth_fen), words.amount(cost.units, "points")
    over = words(f",超出预算 {percent(cost.budget)}", f", above the budget of {percent(cost.budget)}") if cost.over else ""
    return words(
        f"“{cost.rule}”:{points}值 {worth},占销售额 {share}{over}",
        f'"{cost.rule}": {points} cost {worth}, {share} of the sales that earn them{over}',
    )
