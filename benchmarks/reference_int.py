"""The benchmark's sale in plain Python with ints: the same rules as the compiled core, written from the pack's text.

It is what a careful shop system written in Python does for each ticket: match the rules, combine the rates exactly,
round once a line, split over points and lots in the declared order, post, earn. It shares no code with the core, and
`check_same` in `line_core.py` holds its results equal to the core's before anything is timed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any, NamedTuple

DAY = 86_400


class Lot(NamedTuple):
    lot_id: int
    purse: int
    amount: int
    expires_at: int  # epoch second, 0 = never


class Account(NamedTuple):
    tier: int
    spend_fen: int
    lots: Sequence[Lot]


class Posting(NamedTuple):
    """`amount` leaves `lot_id` for a ledger account; the earned points enter a new lot (0) from one."""

    purse: int
    lot_id: int
    amount: int
    counter: str
    expires_at: int


class Sale(NamedTuple):
    gross_fen: int
    discount_fen: int
    net_fen: int
    points_fen: int
    points_used: int
    bonus_fen: int
    principal_fen: int
    points_earned: int
    tier_after: int
    after_money_fen: int
    after_points: int
    line_nets: tuple[int, ...]
    postings: tuple[Posting, ...]


class Refused(Exception):
    """The card does not cover the ticket."""


class Rules:
    """What a sale needs of a pack, with names resolved to places."""

    def __init__(self, text: str) -> None:
        pack = tomllib.loads(text)
        self.purses = [purse["name"] for purse in pack["purse"]]
        self.roles = [purse["role"] for purse in pack["purse"]]
        self.days = [int(purse.get("expires_after", "P0D")[1:-1]) for purse in pack["purse"]]
        hours, minutes = pack["utc_offset"][1:].split(":")
        self.offset = (int(hours) * 3600 + int(minutes) * 60) * (-1 if pack["utc_offset"][0] == "-" else 1)
        self.tier_spend = [tier.get("spend_min_fen") for tier in pack["tier"]]
        tiers = [tier["name"] for tier in pack["tier"]]
        self.discounts: list[tuple[frozenset[int] | None, frozenset[str] | None, int, int]] = []
        self.accruals: list[tuple[int, int, int, int, int, frozenset[str]]] = []
        self.deduction: tuple[int, int, int, int, int] | None = None
        for benefit in pack["benefit"]:
            self._add(benefit["when"], benefit["then"], tiers)

    def lapse(self, purse: int, at: int) -> int:
        """When a lot of this purse made now lapses: the end of its last day by the programme's clock, 0 = never."""
        days = self.days[purse]
        return ((at + self.offset) // DAY + days + 1) * DAY - self.offset if days else 0

    def _add(self, when: dict[str, Any], then: dict[str, Any], tiers: list[str]) -> None:
        if "discount" in then:
            pay, of = map(int, then["discount"].split("/"))
            for_tiers = frozenset(tiers.index(name) for name in when["tier"]) if "tier" in when else None
            for_categories = frozenset(when["category"]) if "category" in when else None
            self.discounts.append((for_tiers, for_categories, pay, of))
        elif "accrue" in then:
            up, down = map(int, then["multiplier"].split("/"))
            purse = self.purses.index(then["accrue"])
            self.accruals.append((purse, then["amount"], then["per_fen"], up, down, frozenset(then["base"])))
        elif "deduct" in then:
            up, down = map(int, then["max_share"].split("/"))
            self.deduction = (self.purses.index(then["deduct"]), then["units"], then["worth_fen"], up, down)


def settle(rules: Rules, account: Account, lines: Sequence[tuple[int, int, str]], points: int, at: int) -> Sale:
    """Decide one sale; raises Refused. Nothing given is changed."""
    gross = net = 0
    nets = []
    for amount, _quantity, category in lines:
        pay = of = 1
        for for_tiers, for_categories, rule_pay, rule_of in rules.discounts:
            if (for_tiers is None or account.tier in for_tiers) and (for_categories is None or category in for_categories):
                pay *= rule_pay
                of *= rule_of
        line_net = (2 * amount * pay + of) // (2 * of)  # half up, once, of the exact product
        nets.append(line_net)
        gross += amount
        net += line_net
    live = sorted(
        (lot for lot in account.lots if lot.amount and (not lot.expires_at or lot.expires_at > at)),
        key=lambda lot: (not lot.expires_at, lot.expires_at, lot.purse, lot.lot_id),
    )
    postings: list[Posting] = []
    points_used = points_fen = 0
    if points and rules.deduction:
        points_used, points_fen = _deduct(rules.deduction, live, points, net, postings)
    left = net - points_fen
    by_role = {"bonus": 0, "principal": 0, "points": points_fen}
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
    earned = 0
    for purse, amount, per_fen, up, down, base in rules.accruals:
        steps = sum(by_role[role] for role in base) // per_fen
        gained = steps * amount * up // down
        if gained:
            earned += gained
            postings.append(Posting(purse, 0, gained, "points_issue", rules.lapse(purse, at)))
    tier, spend = account.tier, account.spend_fen + net
    for place in range(tier + 1, len(rules.tier_spend)):
        needed = rules.tier_spend[place]
        if needed is not None and spend >= needed:
            tier = place
    money = sum(lot.amount for lot in live if rules.roles[lot.purse] != "points")
    all_points = sum(lot.amount for lot in live if rules.roles[lot.purse] == "points")
    return Sale(
        gross, gross - net, net, points_fen, points_used, by_role["bonus"], by_role["principal"], earned, tier,
        money - by_role["bonus"] - by_role["principal"], all_points - points_used + earned, tuple(nets), tuple(postings),
    )  # fmt: skip


def _deduct(
    deduction: tuple[int, int, int, int, int], live: list[Lot], wanted: int, net: int, postings: list[Posting]
) -> tuple[int, int]:
    """Points that pay for a part: (points used, their worth in fen), in full steps within the share."""
    purse, units, worth_fen, up, down = deduction
    held = sum(lot.amount for lot in live if lot.purse == purse)
    steps = min(min(wanted, held) // units, net * up // down // worth_fen)
    left = used = steps * units
    for lot in live:
        if not left:
            break
        if lot.purse == purse:
            taken = min(lot.amount, left)
            left -= taken
            postings.append(Posting(purse, lot.lot_id, taken, "points_redeemed", lot.expires_at))
    return used, steps * worth_fen
