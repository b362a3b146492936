"""The benchmark's sale in plain Python with Decimal yuan: what most shop systems in Python do.

The same rules as `reference_int.py`, in the other usual style: amounts are Decimals of yuan, rates Decimals between
0 and 1, rounded half up to two places once a line. Its results are held equal to the core's before anything is timed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

CENT = Decimal("0.01")
ONE = Decimal(1)
ZERO = Decimal("0.00")
DAY = 86_400


class Lot(NamedTuple):
    lot_id: int
    purse: int
    amount: Decimal  # yuan, or points
    expires_at: int


class Account(NamedTuple):
    tier: int
    spend: Decimal
    lots: Sequence[Lot]


class Posting(NamedTuple):
    purse: int
    lot_id: int
    amount: Decimal
    counter: str
    expires_at: int


class Sale(NamedTuple):
    gross: Decimal
    discount: Decimal
    net: Decimal
    points_value: Decimal
    points_used: Decimal
    bonus: Decimal
    principal: Decimal
    points_earned: Decimal
    tier_after: int
    after_money: Decimal
    after_points: Decimal
    line_nets: tuple[Decimal, ...]
    postings: tuple[Posting, ...]


class Refused(Exception):
    """The card does not cover the ticket."""


class Rules:
    """What a sale needs of a pack, with rates as Decimals."""

    def __init__(self, text: str) -> None:
        pack = tomllib.loads(text)
        self.purses = [purse["name"] for purse in pack["purse"]]
        self.roles = [purse["role"] for purse in pack["purse"]]
        self.days = [int(purse.get("expires_after", "P0D")[1:-1]) for purse in pack["purse"]]
        hours, minutes = pack["utc_offset"][1:].split(":")
        self.offset = (int(hours) * 3600 + int(minutes) * 60) * (-1 if pack["utc_offset"][0] == "-" else 1)
        self.tier_spend = [Decimal(tier["spend_min_fen"]) / 100 if "spend_min_fen" in tier else None for tier in pack["tier"]]
        tiers = [tier["name"] for tier in pack["tier"]]
        self.discounts: list[tuple[frozenset[int] | None, frozenset[str] | None, Decimal]] = []
        self.accruals: list[tuple[int, Decimal, Decimal, Decimal, frozenset[str]]] = []
        self.deduction: tuple[int, Decimal, Decimal, Decimal] | None = None
        for benefit in pack["benefit"]:
            self._add(benefit["when"], benefit["then"], tiers)

    def lapse(self, purse: int, at: int) -> int:
        """When a lot of this purse made now lapses: the end of its last day by the programme's clock, 0 = never."""
        days = self.days[purse]
        return ((at + self.offset) // DAY + days + 1) * DAY - self.offset if days else 0

    def _add(self, when: dict[str, Any], then: dict[str, Any], tiers: list[str]) -> None:
        if "discount" in then:
            for_tiers = frozenset(tiers.index(name) for name in when["tier"]) if "tier" in when else None
            for_categories = frozenset(when["category"]) if "category" in when else None
            self.discounts.append((for_tiers, for_categories, _rate(then["discount"])))
        elif "accrue" in then:
            purse = self.purses.index(then["accrue"])
            per = Decimal(then["per_fen"]) / 100
            self.accruals.append((purse, Decimal(then["amount"]), per, _rate(then["multiplier"]), frozenset(then["base"])))
        elif "deduct" in then:
            worth = Decimal(then["worth_fen"]) / 100
            self.deduction = (self.purses.index(then["deduct"]), Decimal(then["units"]), worth, _rate(then["max_share"]))


def settle(rules: Rules, account: Account, lines: Sequence[tuple[Decimal, int, str]], points: Decimal, at: int) -> Sale:
    """Decide one sale; raises Refused. Nothing given is changed."""
    gross = net = ZERO
    nets = []
    for amount, _quantity, category in lines:
        rate = ONE
        for for_tiers, for_categories, pays in rules.discounts:
            if (for_tiers is None or account.tier in for_tiers) and (for_categories is None or category in for_categories):
                rate *= pays
        line_net = (amount * rate).quantize(CENT, ROUND_HALF_UP)
        nets.append(line_net)
        gross += amount
        net += line_net
    live = sorted(
        (lot for lot in account.lots if lot.amount and (not lot.expires_at or lot.expires_at > at)),
        key=lambda lot: (not lot.expires_at, lot.expires_at, lot.purse, lot.lot_id),
    )
    postings: list[Posting] = []
    points_used, points_value = Decimal(0), ZERO
    if points and rules.deduction:
        points_used, points_value = _deduct(rules.deduction, live, points, net, postings)
    left = net - points_value
    by_role = {"bonus": ZERO, "principal": ZERO, "points": points_value}
    for lot in live:
        if not left:
            break
        role = rules.roles[lot.purse]
        if role != "points":
            taken = min(lot.amount, left)
            by_role[role] += taken
            left -= taken
            postings.append(Posting(lot.purse, lot.lot_id, taken, "sales", lot.expires_at))
    if left:
        raise Refused(left)
    earned = Decimal(0)
    for purse, amount, per, multiplier, base in rules.accruals:
        steps = (sum((by_role[role] for role in base), ZERO) / per).to_integral_value(ROUND_FLOOR)
        gained = (steps * amount * multiplier).to_integral_value(ROUND_FLOOR)
        if gained:
            earned += gained
            postings.append(Posting(purse, 0, gained, "points_issue", rules.lapse(purse, at)))
    tier, spend = account.tier, account.spend + net
    for place in range(tier + 1, len(rules.tier_spend)):
        needed = rules.tier_spend[place]
        if needed is not None and spend >= needed:
            tier = place
    money = sum((lot.amount for lot in live if rules.roles[lot.purse] != "points"), ZERO)
    all_points = sum((lot.amount for lot in live if rules.roles[lot.purse] == "points"), Decimal(0))
    return Sale(
        gross, gross - net, net, points_value, points_used, by_role["bonus"], by_role["principal"], earned, tier,
        money - by_role["bonus"] - by_role["principal"], all_points - points_used + earned, tuple(nets), tuple(postings),
    )  # fmt: skip


def _deduct(
    deduction: tuple[int, Decimal, Decimal, Decimal], live: list[Lot], wanted: Decimal, net: Decimal, postings: list[Posting]
) -> tuple[Decimal, Decimal]:
    """Points that pay for a part: (points used, their worth in yuan), in full steps within the share."""
    purse, units, worth, share = deduction
    held = sum((lot.amount for lot in live if lot.purse == purse), Decimal(0))
    steps = min(min(wanted, held) // units, (net * share / worth).to_integral_value(ROUND_FLOOR))
    left = used = steps * units
    for lot in live:
        if not left:
            break
        if lot.purse == purse:
            taken = min(lot.amount, left)
            left -= taken
            postings.append(Posting(purse, lot.lot_id, taken, "points_redeemed", lot.expires_at))
    return used, steps * worth


def _rate(text: str) -> Decimal:
    up, down = text.split("/")
    return Decimal(up) / Decimal(down)
