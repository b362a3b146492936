"""The oracle's picture of value: plain dataclasses and ints, nothing of `cardcore` in them.

Slow and obvious on purpose. Written from the feature list and the pack format, so that a mistake in the core and the
same mistake here would have to be made twice. `programme` everywhere is the normalised dict of a pack.
"""

from __future__ import annotations

import calendar
import datetime as dt
from copy import copy
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, floor
from typing import Any

Programme = dict[str, Any]
US = 1_000_000
DAY_S = 86_400
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
AMOUNT_MAX = 10**15

COUPON = 64
"""Where kinds of coupons are numbered from, behind all purses that a pack may list (decision 0019)."""
SPECIAL_PRICE, REDEEM, MEMBER_ONLY, NO_DISCOUNT, COVER = 1, 2, 4, 8, 16


class Refused(Exception):
    """A business refusal by code; `reason` where a coupon or gift says which of its conditions is not met."""

    def __init__(self, code: str, reason: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason


class Nonsense(Exception):
    """A command that means nothing."""


@dataclass(slots=True)
class Lot:
    """Units of one purse with one expiry and one paid ratio. `lot_id` counts up within the account: the age of the lot."""

    lot_id: int
    purse: int
    amount: int
    expires_at: int = 0
    paid_fen: int = 0
    of_units: int = 1
    used_on: int = 0
    used_times: int = 0

    def __copy__(self) -> Lot:
        return Lot(
            self.lot_id, self.purse, self.amount, self.expires_at, self.paid_fen, self.of_units, self.used_on, self.used_times
        )  # fmt: skip

    def alive(self, now: int) -> bool:
        return self.expires_at == 0 or now < self.expires_at


@dataclass
class Part:
    """One tender of a ticket and what has gone back of it.

    kind: cover, redeem, points, stored, further, outside. `fen` is what it paid of the ticket's net (0 for cover and
    redeem), `units` what left the lot. `line` is set for cover and redeem.
    """

    kind: str
    fen: int
    units: int
    account: int = 0
    lot: Lot | None = None  # as it was just before this part left it
    line: int = -1
    fen_back: int = 0
    units_back: int = 0


@dataclass
class Ticket:
    """A settle, hold or capture and its fate."""

    position: int
    kind: str  # settle | hold | capture
    lines: list[dict[str, int]]
    parts: list[Part]
    net: int
    earned: int = 0
    earned_lot: int = 0
    partly: bool = False  # a capture of less than was held
    taken_back: int = 0  # of the earned points
    returned: int = 0  # of the net
    lines_back: set[int] = field(default_factory=set)
    closed: bool = False  # hold captured, voided or lapsed; sale given back whole
    expires_at: int = 0
    tender: str = ""
    gross: int = 0
    points_fen: int = 0
    points_fen_back: int = 0
    categories: list[str] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    quantities: list[int] = field(default_factory=list)
    moves: list[Any] = field(default_factory=list)
    stepped: int = 0  # of the earned points: for steps of a counter
    gave: list[Any] = field(default_factory=list)  # rebates and grants
    coupons: list[Any] = field(default_factory=list)  # `coupons.Used`


@dataclass
class Flight:
    """What left one place and has not arrived in the other: a load or unload without its proof."""

    position: int
    kind: str  # load | unload
    amount: int
    tender: str  # money taken at the till, "" from the account
    taken: list[tuple[Lot, int]] = field(default_factory=list)


@dataclass
class Account:
    account_id: int
    lots: dict[int, Lot] = field(default_factory=dict)
    coupons: dict[int, Lot] = field(default_factory=dict)  # numbered with the lots
    holds: dict[int, Ticket] = field(default_factory=dict)
    tier: int = 0
    orders: int = 0
    spend_fen: int = 0
    points_earned: int = 0
    owed_points: int = 0
    owed_fen: int = 0  # granted value that returns took back and that was gone
    owed_units: dict[int, int] = field(default_factory=dict)  # and visits and passes, by purse
    purses: list[dict[str, Any]] = field(default_factory=list)  # of its programme
    came_back: list[tuple[Lot, int]] = field(default_factory=list)  # by the verb at work, in order
    next_lot: int = 1
    on_card: int = 0  # on the card's own memory
    flight: Flight | None = None
    base_tier: int = 0  # what the card was issued with
    counters: dict[tuple[int, int], int] = field(default_factory=dict)

    def copy(self) -> Account:
        return replace(
            self, lots={key: copy(lot) for key, lot in self.lots.items()},
            coupons={key: copy(lot) for key, lot in self.coupons.items()}, holds=dict(self.holds), counters=dict(self.counters),
            owed_units=dict(self.owed_units), came_back=[],
        )  # fmt: skip

    def take(self, lot: Lot, units: int) -> None:
        """Units leave a lot; an empty lot is gone."""
        assert 0 < units <= lot.amount
        lot.amount -= units
        if lot.amount == 0:
            del self.lots[lot.lot_id]

    def same_lot(self, purse: int, expires_at: int, paid_fen: int, of_units: int) -> int:
        """The oldest unused lot of the same purse, expiry and paid ratio, 0 for none: equal value is one lot."""
        wanted = (purse, expires_at, paid_fen, of_units, 0)
        found = [lot.lot_id for lot in self.lots.values() if (lot.purse, lot.expires_at, lot.paid_fen, lot.of_units, lot.used_on) == wanted]
        return min(found, default=0)

    def add(self, purse: int, amount: int, expires_at: int, paid_fen: int, of_units: int, lot_id: int) -> int:
        """Units enter the lot `lot_id`, or a new one when it is 0. Answers the lot's id."""
        if lot_id == 0:
            lot_id = self.next_lot
            self.next_lot += 1
        if lot_id in self.lots:
            self.lots[lot_id].amount += amount
        else:
            self.lots[lot_id] = Lot(lot_id, purse, amount, expires_at, paid_fen, of_units)
        return lot_id

    def give_back(self, was: Lot, units: int) -> None:
        """Units return to the lot they came from, which is made anew if it has gone."""
        self.came_back.append((was, units))
        if was.lot_id in self.lots:
            self.lots[was.lot_id].amount += units
        elif units:
            self.lots[was.lot_id] = replace(was, amount=units, used_on=0, used_times=0)

    def owes(self, purse: int) -> int:
        """What is owed that units of this purse pay: fen and points in all, else the purse's own."""
        match self.purses[purse]["unit"]:
            case "fen":
                return self.owed_fen
            case "points":
                return self.owed_points
        return self.owed_units.get(purse, 0)

    def owe(self, purse: int, units: int) -> None:
        """So much more is owed, or less."""
        match self.purses[purse]["unit"]:
            case "fen":
                self.owed_fen += units
            case "points":
                self.owed_points += units
            case _:
                self.owed_units[purse] = self.owed_units.get(purse, 0) + units
                if not self.owed_units[purse]:
                    del self.owed_units[purse]
        assert self.owes(purse) >= 0

    def room(self, programme: Programme, now: int) -> int:
        """What more money the programme lets it hold, wherever what it has is; negative where it has more."""
        held = sum(part.fen for hold in self.holds.values() for part in hold.parts if part.kind in ("stored", "further"))
        away = self.on_card + (self.flight.amount if self.flight and self.flight.kind == "load" else 0)
        most: int = programme["limits"]["balance_max_fen"]
        return most - self.money(programme, now) - held - away

    def collect(self) -> int:
        """What came back for nothing pays what is owed of its kind first, principal and what was bought do not. Answers the fen (P3)."""
        fen = 0
        for was, units in self.came_back:
            purse = self.purses[was.purse]
            due = 0 if was.of_units or purse["role"] == "principal" else min(units, self.owes(was.purse))
            if due:
                self.take(self.lots[was.lot_id], due)
                self.owe(was.purse, -due)
                fen += due if purse["unit"] == "fen" else 0
        self.came_back = []
        return fen

    def units(self, purse: int, now: int) -> int:
        return sum(lot.amount for lot in self.lots.values() if lot.purse == purse and lot.alive(now))

    def money(self, programme: Programme, now: int) -> int:
        return sum(self.units(index, now) for index, purse in enumerate(programme["purses"]) if purse["unit"] == "fen")

    def points(self, programme: Programme, now: int) -> int:
        return sum(self.units(index, now) for index, purse in enumerate(programme["purses"]) if purse["unit"] == "points")


def rounded(value: Fraction, mode: str, step: int) -> int:
    """`value` to a multiple of `step`; values here are never negative."""
    steps = value / step
    if mode == "floor":
        whole = floor(steps)
    elif mode == "ceiling":
        whole = ceil(steps)
    elif mode == "half_up":
        whole = floor(steps + Fraction(1, 2))
    else:
        whole = round(steps)  # Fraction rounds halves to even
    return whole * step


def combined(rates: list[Fraction], stacking: str) -> Fraction:
    if stacking == "multiply":
        product = Fraction(1)
        for rate in rates:
            product *= rate
        return product
    if stacking == "best":
        return min(rates, default=Fraction(1))
    return max(Fraction(0), 1 - sum((1 - rate for rate in rates), Fraction(0)))


def allot(amount: int, weights: list[int]) -> list[int]:
    """Floors in proportion, the remainder one by one in order to those with a weight."""
    total = sum(weights)
    if total == 0:
        return [0] * len(weights)
    shares = [amount * weight // total for weight in weights]
    left = amount - sum(shares)
    for index, weight in enumerate(weights):
        if left and weight:
            shares[index] += 1
            left -= 1
    return shares


def later(now: int, months: int, days: int, offset_s: int) -> int:
    """The end of the local day that is `months` (clamped to the end of the month), then `days` after today."""
    if months == 0 and days == 0:
        return 0
    local = EPOCH + dt.timedelta(seconds=now + offset_s)
    index = local.year * 12 + local.month - 1 + months
    year, month = divmod(index, 12)
    day = min(local.day, calendar.monthrange(year, month + 1)[1])
    last = dt.datetime(year, month + 1, day, tzinfo=dt.UTC) + dt.timedelta(days=days)
    return int((last + dt.timedelta(days=1) - EPOCH).total_seconds()) - offset_s


def lot_expiry(programme: Programme, purse: int, now: int) -> int:
    """Expiry of value that enters a purse now by the purse's own rule."""
    rule = programme["purses"][purse]
    return later(now, rule["months"], rule["days"], programme["utc_offset_s"])


def purses_of(programme: Programme, *roles: str) -> list[int]:
    return [index for index, purse in enumerate(programme["purses"]) if purse["role"] in roles]


def in_order(lots: list[Lot], order: str) -> list[Lot]:
    """Lots as they are spent: soonest expiry first (0 = never = last), then the listed purse order, then age; or purse order first."""

    def expiry(lot: Lot) -> tuple[bool, int]:
        return (lot.expires_at == 0, lot.expires_at)

    if order == "expiry":
        return sorted(lots, key=lambda lot: (expiry(lot), lot.purse, lot.lot_id))
    return sorted(lots, key=lambda lot: (lot.purse, expiry(lot), lot.lot_id))


def reached_tier(programme: Programme, account: Account) -> int:
    """The highest tier of which any one threshold is reached."""
    best = 0
    for index, tier in enumerate(programme["tiers"]):
        have = (
            (account.spend_fen, tier["spend_min_fen"]),
            (account.orders, tier["orders_min"]),
            (account.points_earned, tier["points_min"]),
        )
        if any(0 <= least <= amount for amount, least in have):
            best = index
    return best
