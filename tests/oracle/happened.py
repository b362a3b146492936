"""The oracle's verbs without a sale: events, draws, rebates of a period, and reviews of tiers."""

from __future__ import annotations

import datetime as dt
from copy import copy
from dataclasses import replace
from fractions import Fraction
from typing import Any

from tests.oracle.counters import Movement, Tally, given_back, move, period
from tests.oracle.counters import take_back as take_counters_back
from tests.oracle.given import Bought, Gave, after_sale, awarded, caps, fitting, give, money_of, promoted, scored, take_given, take_value
from tests.oracle.model import EPOCH, Account, Part, Programme, Refused, Ticket, reached_tier
from tests.oracle.moment import Moment, matching
from tests.oracle.sale import accrue, credit_points
from tests.oracle.undo import fall, take_back
from tests.oracle.value import after


def last_moment(programme: Programme, per: str, now: int) -> int:
    """The last second of the period before the one that is running; of a life, now."""
    local = EPOCH + dt.timedelta(seconds=now + programme["utc_offset_s"])
    day = local.replace(hour=0, minute=0, second=0)
    match per:
        case "day":
            start = day
        case "week":
            start = day - dt.timedelta(days=day.weekday())
        case "month":
            start = day.replace(day=1)
        case "quarter":
            start = day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case "year":
            start = day.replace(month=1, day=1)
        case _:
            return now
    return int((start - EPOCH).total_seconds()) - programme["utc_offset_s"] - 1


def event(
    programme: Programme, account: Account, name: str, amount: int, random: int, moment: Moment, position: int
) -> tuple[dict[str, Any], Ticket]:
    """E09-E14, C03, R08: what rules for this event give; its amount counts as money that was paid, though nobody paid it here."""
    now = moment.now
    tally = Tally.of(programme, account, now)
    moment = replace(moment, tally=tally, event=name, points=account.points(programme, now))
    for index, counter in enumerate(programme["counters"]):
        if counter["counts"] == "events" and name in counter["events"]:
            tally.gain(index, 1)
    tally.known = True
    before = account.copy()
    ticket = Ticket(position, "event", [], [], 0, gross=amount)
    paid = {"principal": 0, "bonus": 0, "points": 0, "further": 0, "outside": amount}
    goods = [("", 0, amount)]  # no line is named, so a rule fits whatever it is about
    ticket.earned = accrue(programme, account.tier, amount, goods, amount, paid, moment, "event")
    ticket.earned_lot = credit_points(programme, account, before, ticket.earned, now)
    ticket.gave = after_sale(programme, account, before, amount, Bought(goods, amount, paid), moment, "event")
    scored(programme, account, amount, Bought(goods, amount, paid), moment, "event")
    promoted(programme, account, amount, moment, "event")
    of_periods(programme, account, before, ticket, moment)
    drawn = draw(programme, account, before, ticket, random, moment)
    tally.count("points", ticket.earned)
    ticket.moves = tally.moves()
    tier = max(account.tier, tally.tier())
    move(account, ticket.moves)
    account.points_earned += ticket.earned
    account.tier, was = max(tier, reached_tier(programme, account)), account.tier
    if not (ticket.earned or ticket.gave or ticket.moves or drawn or account.tier != was):
        raise Refused("nothing_to_do")
    numbers = {
        "gross_fen": amount, "net_fen": 0, "points_earned": ticket.earned, "points_used": sum(part.units for part in ticket.parts),
        "liability_delta_fen": money_of(programme, account) - money_of(programme, before), "awards": awarded(ticket.gave),
    }  # fmt: skip
    return after(programme, account, now, **numbers) | {"tier_before": was}, ticket


def of_periods(programme: Programme, account: Account, before: Account, ticket: Ticket, moment: Moment) -> None:
    """C03: a share of what the counter said when its period ended, less what was given of it already."""
    for rule in matching(programme, "period", account.tier, 0, moment, "event"):
        ended = last_moment(programme, programme["counters"][rule["counter"]]["per"], moment.now)
        then = Tally.of(programme, before, ended)
        due = min(int(then.had[rule["counter"]] * Fraction(*rule["max_share"])), rule["max_fen"]) - then.had[rule["given"]]
        bounds = caps(programme, rule["purse"], "event", account.tier, 0, moment)
        spent = sum(one.amount for one in ticket.gave if one.purse == rule["purse"])
        due = fitting(programme, account, rule["purse"], due, moment.now)
        due = min([due] + [room - (spent if cap["counter"] < 0 else 0) for cap, room in bounds])
        if due <= 0:
            continue
        for cap, _ in bounds:
            if cap["counter"] >= 0:
                moment.tally.gain(cap["counter"], due)
        moment.tally.periods[rule["given"]] = then.periods[rule["given"]]
        moment.tally.gained[rule["given"]] = due
        ticket.gave += give(programme, account, before, rule, due, moment.now)


def draw(programme: Programme, account: Account, before: Account, ticket: Ticket, random: int, moment: Moment) -> bool:
    """R08: points buy a prize by weight; lapsed points first where they may."""
    rules = matching(programme, "draw", account.tier, ticket.gross, moment, "event")
    if not rules:
        return False
    rule = rules[0]
    left = rule["units"]
    # What the event itself gave buys no draw of it.
    lots = [lot for lot in before.lots.values() if lot.purse == rule["purse"] and (rule["lapsed"] or lot.alive(moment.now))]
    for lot in sorted(lots, key=lambda lot: (lot.expires_at == 0, lot.expires_at, lot.lot_id)):
        take = min(left, lot.amount)
        if take:
            ticket.parts.append(Part("draw", 0, take, account.account_id, copy(lot)))
            account.take(account.lots[lot.lot_id], take)
            left -= take
    if left:
        raise Refused("insufficient_points")
    barrel = [prize for prize in rule["prizes"] for _ in range(prize["weight"])]
    prize = barrel[random % len(barrel)]
    amount = fitting(programme, account, prize["purse"], prize["amount"], moment.now)
    if amount:
        ticket.gave += give(programme, account, before, rule | prize, amount, moment.now)
    return True


def taken_already(programme: Programme, account: Account, ticket: Ticket, now: int) -> list[tuple[int, int]]:
    """C03: returns since took a part of a period's rebate back; marks what this event gave with it, and answers it as (purse, fen)."""
    gone = []
    for rule in [rule for rule in programme["rules"] if rule["effect"] == "period"]:
        given = programme["counters"][rule["given"]]
        for one in [one for one in ticket.moves if one.number == given["number"]]:
            left = account.counters.get((one.number, one.period), 0)
            forgotten = one.period < period(programme, given["per"], now) - max(given["last"], given.get("kept", 1))
            if left >= one.amount or (forgotten and not left):
                continue
            fen = one.amount - left
            gone.append((rule["purse"], fen))
            for gave in reversed(ticket.gave):
                if gave.rule["effect"] not in ("period", "rebate") or gave.purse != rule["purse"]:
                    continue
                share = min(fen, gave.amount - gave.back)
                gave.back += share
                fen -= share
    return gone


def never_happened(programme: Programme, account: Account, ticket: Ticket, now: int) -> dict[str, Any]:
    """An event reversed: what it gave goes back as after a return, points of a draw to their lots."""
    before, held = account.tier, money_of(programme, account)
    had = max(reached_tier(programme, account), Tally.of(programme, account, now).tier())
    for part in ticket.parts:
        assert part.lot is not None
        account.give_back(part.lot, part.units)
    account.collect()
    gone = taken_already(programme, account, ticket, now)
    steps, too_much = take_counters_back(programme, account, ticket.moves, (0, 0, 0), whole=True)
    take_back(programme, account, ticket, ticket.earned + steps, now)
    awards, value = take_given(programme, account, ticket.gave, 0, 0, now, whole=True)
    for purse, fen in gone:
        value[purse] = value.get(purse, 0) + fen
    for purse, fen in too_much:
        take_value(programme, account, purse, 0, fen, now)
    given_back(programme, account, ticket.moves, ticket.earned + steps, ticket.earned, value)
    account.points_earned -= ticket.earned + steps
    fall(programme, account, had, max(reached_tier(programme, account), Tally.of(programme, account, now).tier()))
    numbers = {
        "points_earned": ticket.earned + steps, "points_used": sum(part.units for part in ticket.parts),
        "liability_delta_fen": money_of(programme, account) - held, "awards": awards,
    }  # fmt: skip
    return after(programme, account, now, **numbers) | {"tier_before": before}


def review(programme: Programme, account: Account, now: int) -> tuple[dict[str, Any], list[Movement | Gave]]:
    """T05: keep the tier by what the counters said as the period ended, or by now; else fall. Once for a period."""
    rules = programme["review"]
    if not rules["per"]:
        raise Refused("nothing_to_do")
    ended = last_moment(programme, rules["per"], now)
    number = period(programme, rules["per"], ended)
    if account.counters.get((rules["number"], number)):
        raise Refused("nothing_to_do")
    then, today = Tally.of(programme, account, ended).tier(), Tally.of(programme, account, now).tier()
    reached = max(then, today, reached_tier(programme, account), account.base_tier)
    before = account.tier
    if reached < account.tier:
        account.tier = reached if rules["fall"] == "balance" else max(reached, account.tier - 1)
    done = [Movement(rules["number"], number, number, 1, "never")]
    move(account, done)
    return after(programme, account, now) | {"tier_before": before}, list(done)
