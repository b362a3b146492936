"""What a ticket gives besides points: rebates, value, visits, passes, awards; how caps bound it and how it goes back (C03, K01, K02)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from typing import Any

from tests.oracle.counters import Tally
from tests.oracle.model import Account, Programme, in_order, later, lot_expiry, purses_of
from tests.oracle.moment import Moment, matching, one_of_group, speaks_of


@dataclass
class Gave:
    """One thing given: `lot` 0 for an award, or where it paid a debt."""

    rule: dict[str, Any]
    purse: int  # -1 for an award
    amount: int
    lot: int = 0
    award: int = -1
    valid_until: int = 0
    back: int = 0


@dataclass(frozen=True)
class Bought:
    """What of a ticket rules look at: category, flags and net of each line, what they come to, the fen of each kind of tender."""

    items: list[tuple[str, int, int]]
    whole: int
    paid: dict[str, int]

    def about(self, programme: Programme, rule: dict[str, Any], tenders: list[str]) -> int:
        """What these tenders paid for the lines that fit, floored to a fen."""
        lines = sum(net for category, flags, net in self.items if speaks_of(programme, rule, category, flags))
        return lines * sum(self.paid[kind] for kind in tenders) // self.whole if self.whole else 0

    def fits(self, programme: Programme, rule: dict[str, Any]) -> bool:
        return any(speaks_of(programme, rule, category, flags) for category, flags, _ in self.items)


MONEY = ["principal", "bonus", "outside", "further"]


def money_of(programme: Programme, account: Account) -> int:
    """All value on a card, lapsed or not: what the customers' account in the ledger says of it."""
    return sum(lot.amount for lot in account.lots.values() if programme["purses"][lot.purse]["unit"] == "fen")


def awarded(gave: list[Gave]) -> list[Any]:
    """What the core keeps no ledger of, as `Settlement.awards()` lists it."""
    return [(one.award, one.amount, one.valid_until, False) for one in gave if one.award >= 0]


def caps(programme: Programme, purse: int, verb: str, tier: int, gross: int, moment: Moment) -> list[tuple[dict[str, Any], int]]:
    """The caps of a purse that hold, each with the room it has left."""
    tally: Tally = moment.tally
    found = []
    for rule in matching(programme, "cap", tier, gross, moment, verb):
        if rule["purse"] == purse:
            used = 0 if rule["counter"] < 0 else tally.had[rule["counter"]] + tally.gained[rule["counter"]]
            found.append((rule, max(0, rule["amount"] - used)))
    return found


def capped(programme: Programme, purse: int, verb: str, tier: int, gross: int, moment: Moment, points: int) -> int:
    """Points that accruals and grants came to, within every cap."""
    found = caps(programme, purse, verb, tier, gross, moment)
    points = min([points] + [room for _, room in found])
    for rule, _ in found:
        if rule["counter"] >= 0:
            moment.tally.gain(rule["counter"], points)
    return points


def ends(programme: Programme, rule: dict[str, Any], now: int) -> int:
    """The end of what a rule gives: its own, else the purse's; none before the first use."""
    own = rule.get("ends")
    if own is not None:
        return later(now, own[0], own[1], programme["utc_offset_s"])
    return 0 if programme["purses"][rule["purse"]]["first_use"] else lot_expiry(programme, rule["purse"], now)


def give(
    programme: Programme,
    account: Account,
    before: Account,
    rule: dict[str, Any],
    amount: int,
    now: int,
    ratio: tuple[int, int] = (0, 0),
    *,
    in_full: bool = False,
) -> list[Gave]:
    """What is owed is paid first, unless `in_full`; the rest is a lot, an equal one that stood before the ticket if there is one."""
    until = ends(programme, rule, now)
    if rule["purse"] < 0:
        return [Gave(rule, -1, amount, 0, rule["award"], until)]
    purse = programme["purses"][rule["purse"]]
    divisor = gcd(*ratio) or 1
    paid, of = ratio[0] // divisor, ratio[1] // divisor
    owed = 0 if in_full else min(amount, account.owes(rule["purse"]))
    account.owe(rule["purse"], -owed)
    made = [Gave(rule, rule["purse"], owed)] if owed else []
    if amount > owed:
        equal = (rule["purse"], until, paid, of)
        stood = 0 if purse["first_use"] else before.same_lot(*equal) or account.same_lot(*equal)
        made.append(Gave(rule, rule["purse"], amount - owed, account.add(rule["purse"], amount - owed, until, paid, of, stood)))
    return made


def fitting(programme: Programme, account: Account, purse: int, amount: int, now: int) -> int:
    """A gift of value fits the card, or is cut; a debt that it pays fits always."""
    if purse < 0 or programme["purses"][purse]["unit"] != "fen":
        return amount
    return min(amount, max(0, account.room(programme, now)) + account.owed_fen)


def after_sale(
    programme: Programme, account: Account, before: Account, gross: int, bought: Bought, moment: Moment, verb: str = "settle"
) -> list[Gave]:
    """Rebates, then other grants, each within its quota and the caps of its purse."""
    tally: Tally = moment.tally
    wanted: list[tuple[dict[str, Any], int]] = []
    for effect in ("rebate", "gift"):
        acting = []
        for rule in matching(programme, effect, account.tier, gross, moment, verb):
            if effect == "rebate":
                share = int(bought.about(programme, rule, rule["base"]) * Fraction(*rule["max_share"]))
                amount = min(share, rule["max_fen"])
            elif rule["per_fen"]:
                amount = bought.about(programme, rule, MONEY) // rule["per_fen"] * rule["amount"]
            else:
                amount = rule["amount"] if bought.fits(programme, rule) else 0
            if amount:
                acting.append((rule, amount))
        chosen = one_of_group([rule for rule, _ in acting])
        wanted += [(rule, amount) for rule, amount in acting if rule in chosen]
    made: list[Gave] = []
    for rule, amount in wanted:
        bounds = caps(programme, rule["purse"], verb, account.tier, gross, moment) if rule["purse"] >= 0 else []
        spent = {id(rule): sum(one.amount for one in made if one.purse == rule["purse"]) for rule, _ in bounds if rule["counter"] < 0}
        amount = fitting(programme, account, rule["purse"], amount, moment.now)
        amount = min([amount, tally.left(rule)] + [max(0, room - spent.get(id(cap), 0)) for cap, room in bounds])
        if rule["purse"] >= 0 and programme["purses"][rule["purse"]]["unit"] == "pass":
            amount = min(amount, 1)
        if not amount:
            continue
        tally.use(rule, amount)
        for cap, _ in bounds:
            if cap["counter"] >= 0:
                tally.gain(cap["counter"], amount)
        made.extend(give(programme, account, before, rule, amount, moment.now))
    return made


def scored(programme: Programme, account: Account, gross: int, bought: Bought, moment: Moment, verb: str = "settle") -> None:
    """T06: so many to a counter of scores, once, or for each full `per_fen` paid."""
    acting = []
    for rule in matching(programme, "score", account.tier, gross, moment, verb):
        times = bought.about(programme, rule, MONEY) // rule["per_fen"] if rule["per_fen"] else int(bought.fits(programme, rule))
        if times:
            acting.append((rule, times * rule["amount"]))
    worth = {rule["name"]: amount for rule, amount in acting}
    for rule in one_of_group([rule for rule, _ in acting]):
        amount = min(worth[rule["name"]], moment.tally.left(rule))
        moment.tally.use(rule, amount)
        moment.tally.gain(rule["counter"], amount)


def promoted(programme: Programme, account: Account, gross: int, moment: Moment, verb: str = "settle") -> None:
    """T03, L05: the jump is itself a counter, so that a return undoes it."""
    for rule in one_of_group(matching(programme, "promote", account.tier, gross, moment, verb)):
        moment.tally.use(rule, 1)
        moment.tally.gain(rule["counter"], 1)


def take_given(
    programme: Programme, account: Account, gave: list[Gave], returned: int, net: int, now: int, *, whole: bool
) -> tuple[list[Any], dict[int, int]]:
    """Rebates in proportion to the money, all else with the last of the ticket; value that is spent is owed.

    Answers the awards that go back, and fen by purse.
    """
    awards: list[Any] = []
    value: dict[int, int] = {}
    for one in gave:
        due = one.amount if whole else 0
        if one.rule["effect"] == "rebate" and net:
            due = one.amount - one.amount * (net - returned) // net
        due, one.back = due - one.back, due
        if one.purse >= 0 and due:
            value[one.purse] = value.get(one.purse, 0) + due
            take_value(programme, account, one.purse, one.lot, due, now)
        elif due:
            awards.append((one.award, due, one.valid_until, True))
    return awards, value


def take_value(programme: Programme, account: Account, purse: int, lot_id: int, due: int, now: int) -> None:
    """From its own lot, then from the others of the purse that nobody paid for, soonest end first; value then from what other purses of
    bonus were given, too; what is gone is owed."""
    fen = programme["purses"][purse]["unit"] == "fen"
    own = [lot for lot in account.lots.values() if lot.lot_id == lot_id != 0]
    alive = [lot for lot in account.lots.values() if lot.alive(now) and lot not in own and not lot.of_units]
    others = in_order([lot for lot in alive if lot.purse == purse], "expiry")
    bonus = [index for index in purses_of(programme, "bonus") if fen and index != purse]
    given = sorted((lot for lot in alive if lot.purse in bonus), key=lambda lot: (lot.expires_at or 2**62, lot.lot_id))
    for lot in own + others + given:
        take = min(due, lot.amount)
        if take:
            account.take(lot, take)
            due -= take
    account.owe(purse, due)
