"""What a shop gave and took in a window of time: totals, and for each card what the pack was worth to its holder.

The record and every supposed shop are counted by the same code, so that a pack compared with itself differs in nothing.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import msgspec

from cardapi.reports.figures import Figures
from cardcore.settlement import Programme, Settlement


class CardTally(msgspec.Struct):
    """One card in the window. Fen, but for points."""

    tickets: int = 0
    paid_fen: int = 0  # net of sales, less what was given back
    discount_fen: int = 0  # the pack's own discounts; what the till gave is not the pack's
    value_fen: int = 0  # value given: bonus, rebates, less what was taken back
    points: int = 0  # points given, less what was taken back

    def benefit_fen(self, worth: Fraction) -> int:
        """What the pack was worth to the holder, points at what they pay."""
        return self.discount_fen + self.value_fen + self.points * worth.numerator // worth.denominator


class Tally:
    """All cards of one shop, counted from entry to entry."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.cards: dict[int, CardTally] = {}
        self.tiers: Counter[tuple[str, str]] = Counter()
        self.given: Counter[str] = Counter()  # visits, passes and awards given by rules
        self.not_replayed: Counter[str] = Counter()
        self.not_replayed_fen: Counter[str] = Counter()

    def add(self, programme: Programme, done: Settlement, discount_fen: int) -> None:
        """One settlement; `discount_fen` is the part of its discounts that the pack gave (of a refund: took back, negative)."""
        self.figures.add_settlement(done.verb, done)
        card = self.cards.setdefault(done.account_id, CardTally())
        if done.verb in ("settle", "capture"):
            card.tickets += 1
            card.paid_fen += done.net_fen
        elif done.verb in ("refund", "void"):
            card.paid_fen -= done.net_fen
        card.discount_fen += discount_fen
        for posting in done.postings():
            if posting.unit == "fen":
                card.value_fen += posting.amount * ((posting.source == "bonus_cost") - (posting.target == "bonus_cost"))
            elif posting.unit == "points":
                card.points += posting.amount * ((posting.source == "points_issue") - (posting.target == "points_issue"))
            elif posting.role != "product":
                issued = posting.source in ISSUES
                self.given[posting.unit] += posting.amount * (issued - (posting.target in ISSUES))
        if done.tier_before != done.tier_after:
            names = programme.tiers
            self.tiers[names[done.tier_before], names[done.tier_after]] += 1

    def miss(self, why: str, fen: int = 0) -> None:
        """Something of the record that this shop could not do, or not as it was: told, never guessed."""
        self.not_replayed[why] += 1
        self.not_replayed_fen[why] += fen


ISSUES = ("entitlement_issue", "award_issue")


def point_worth(programme: Programme) -> tuple[Fraction, str]:
    """What one point pays in fen, and how that is known: "deduct", "gift" (the dearest step of a ladder) or "nothing"."""
    for rule in programme.rules:
        if rule["effect"] == "deduct":
            return Fraction(rule["worth_fen"], rule["units"]), "deduct"
    steps = [Fraction(price, units) for rule in programme.rules if rule["effect"] == "redeem" for units, price in rule["ladder"]]
    return (max(steps), "gift") if steps else (Fraction(0), "nothing")


def plain(tally: Tally) -> dict[str, Any]:
    """The totals as a document."""
    return {
        **tally.figures.as_json(),
        "pack_discount_fen": sum(card.discount_fen for card in tally.cards.values()),
        "value_given_fen": sum(card.value_fen for card in tally.cards.values()),
        "points_given": sum(card.points for card in tally.cards.values()),
        "given": {unit: amount for unit, amount in sorted(tally.given.items()) if amount},
    }
