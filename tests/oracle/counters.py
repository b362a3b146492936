"""The oracle's counters: a dict of (number, period) on the account, read through `datetime` and added up in the open."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.model import EPOCH, Account, Programme


def period(programme: Programme, per: str, now: int) -> int:
    """The number of a period: days and weeks (from Monday) since 1970, months, quarters and years of the calendar, 0 for a life."""
    local = EPOCH + dt.timedelta(seconds=now + programme["utc_offset_s"])
    days = (local - EPOCH).days
    match per:
        case "day":
            return days
        case "week":
            return (days + 3) // 7
        case "month":
            return local.year * 12 + local.month - 1
        case "quarter":
            return local.year * 4 + (local.month - 1) // 3
        case "year":
            return local.year
    return 0


@dataclass
class Movement:
    """One counter goes up by `amount` in `period`, or (streaks) is told anew; `back` says how a refund takes it back."""

    number: int
    period: int
    oldest: int
    amount: int
    back: str  # whole | money | points | capped (points, but for steps) | valued (fen of a purse) | never
    index: int = -1  # in the pack


@dataclass
class Tally:
    """The counters of one account while one thing is decided."""

    programme: Programme
    had: list[int]
    gained: list[int]
    counted: list[bool]
    periods: list[int]
    used: list[str] = field(default_factory=list)
    known: bool = False  # what is reached with this ticket is known

    @staticmethod
    def of(programme: Programme, account: Account, now: int) -> Tally:
        had, counted, periods = [], [], []
        for counter in programme["counters"]:
            this = period(programme, counter["per"], now)
            kept = {when: value for (number, when), value in account.counters.items() if number == counter["number"]}
            if counter["streak"]:
                had.append(kept.get(this, kept.get(this - 1, 0)))
            else:
                had.append(sum(value for when, value in kept.items() if this - counter["last"] < when <= this))
            counted.append(this in kept)
            periods.append(this)
        return Tally(programme, had, [0] * len(had), counted, periods)

    def gain(self, index: int, amount: int) -> None:
        self.gained[index] += amount
        if self.programme["counters"][index]["streak"] and self.gained[index]:
            self.gained[index] = 0 if self.counted[index] else 1

    def count(self, counts: str, amount: int) -> None:
        for index, counter in enumerate(self.programme["counters"]):
            if counter["counts"] == counts:
                self.gain(index, amount)

    def ticket(self, lines: list[tuple[str, int, int]], net: int, money: int) -> None:
        """`lines`: category, quantity and net of each."""
        for index, counter in enumerate(self.programme["counters"]):
            names = None if counter["categories"] is None else [self.programme["categories"][c] for c in counter["categories"]]
            about = [line for line in lines if names is None or line[0] in names]
            match counter["counts"]:
                case "tickets":
                    self.gain(index, 1 if about else 0)
                case "quantity":
                    self.gain(index, sum(quantity for _, quantity, _ in about))
                case "paid" if net:
                    self.gain(index, sum(fen for _, _, fen in about) * money // net)
        self.known = True

    def left(self, rule: dict[str, Any]) -> int:
        """Units that a rule may still give."""
        rooms = [(units, limit - self.had[index] - self.gained[index]) for index, units, limit in rule["quotas"]]
        if any(room <= 0 for _, room in rooms):
            return 0
        return min((room for units, room in rooms if units), default=10**18)

    def use(self, rule: dict[str, Any], units: int) -> None:
        for index, of_units, _ in rule["quotas"]:
            self.gained[index] += units if of_units else 1

    def moves(self) -> list[Movement]:
        found = []
        rows = zip(self.programme["counters"], self.had, self.gained, self.periods, strict=True)
        for index, (counter, had, gained, this) in enumerate(rows):
            if gained:
                back = {"paid": "money", "score": "money", "points": "points"}.get(counter["counts"], counter.get("undone", "whole"))
                if counter["streak"]:
                    found.append(Movement(counter["number"], this, this, had + gained, "never"))
                else:
                    kept = max(counter["last"], counter.get("kept", 1))
                    found.append(Movement(counter["number"], this, this - kept + 1, gained, back, index))
        return found

    def tier(self) -> int:
        best = 0
        for index, tier in enumerate(self.programme["tiers"]):
            counter = tier["counter"]
            if index and counter >= 0 and self.had[counter] + self.gained[counter] >= tier["counter_min"]:
                best = index
        for rule in self.programme["rules"]:
            if rule["effect"] == "promote" and self.had[rule["counter"]] + self.gained[rule["counter"]] > 0:
                best = max(best, rule["tier"])
        return best


def move(account: Account, moves: list[Movement]) -> None:
    for one in moves:
        for number, when in list(account.counters):
            if number == one.number and when < one.oldest:
                del account.counters[number, when]
        value = account.counters.pop((one.number, one.period), 0) + one.amount
        if value > 0:
            account.counters[one.number, one.period] = value


def take_back(
    programme: Programme, account: Account, moves: list[Movement], share: tuple[int, int, int], *, whole: bool
) -> tuple[int, list[tuple[int, int]]]:
    """A refund of `share` = (before, now, net) of a ticket.

    Answers the points of the steps that its counters fall below, and what rebates of a period gave too much by now: (purse, fen).
    """
    before, now, net = share
    lost, value = 0, []
    for one in moves:
        back = one.amount if one.back == "whole" and whole else 0
        if one.back == "money":
            back = one.amount * (before + now) // net - one.amount * before // net if net else one.amount
        if not back:
            continue
        stood = account.counters.get((one.number, one.period), 0)
        for rule in programme["rules"]:
            if rule["effect"] == "step" and programme["counters"][rule["counter"]]["number"] == one.number:
                lost += (stood // rule["per_fen"] - max(0, stood - back) // rule["per_fen"]) * rule["amount"]
            if rule["effect"] == "period" and programme["counters"][rule["counter"]]["number"] == one.number:
                given_by = programme["counters"][rule["given"]]["number"]
                due = min(max(0, stood - back) * rule["max_share"][0] // rule["max_share"][1], rule["max_fen"])
                over = account.counters.get((given_by, one.period), 0) - due
                if over > 0:
                    move(account, [Movement(given_by, one.period, -(10**9), -over, "never")])
                    value.append((rule["purse"], over))
        move(account, [Movement(one.number, one.period, -(10**9), -back, "never")])
    return lost, value


def given_back(programme: Programme, account: Account, moves: list[Movement], points: int, base: int, value: dict[int, int]) -> None:
    """`points` taken back in all, `base` of them without steps, fen of `value` by purse: counters of what was earned and caps."""
    purses = {rule["counter"]: rule["purse"] for rule in programme["rules"] if rule["effect"] == "cap"}
    for one in moves:
        back = {"points": points, "capped": base, "valued": value.get(purses.get(one.index, -1), 0)}.get(one.back, 0)
        if back:
            move(account, [Movement(one.number, one.period, -(10**9), -min(back, one.amount), "never")])
