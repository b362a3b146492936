"""The oracle's sale: quote, settle and hold, in the order of the design's page, one plain step after another."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from tests.oracle.counters import Tally, move
from tests.oracle.coupons import use
from tests.oracle.given import Bought, after_sale, awarded, capped, money_of, promoted, scored
from tests.oracle.model import (
    COVER,
    DAY_S,
    NO_DISCOUNT,
    REDEEM,
    SPECIAL_PRICE,
    Account,
    Lot,
    Nonsense,
    Part,
    Programme,
    Refused,
    Ticket,
    combined,
    in_order,
    later,
    lot_expiry,
    purses_of,
    reached_tier,
    rounded,
)  # fmt: skip
from tests.oracle.moment import Moment, matching, one_of_group, speaks_of


@dataclass
class Item:
    """One line of a ticket as the till sends it."""

    amount: int
    quantity: int = 1
    category: str = ""
    flags: int = 0
    counter: tuple[int, int] = (1, 1)
    discount: int = 0
    coupon: int = 0
    sku: str = ""


@dataclass
class Order:
    """What the till asks for."""

    verb: str
    items: list[Item]
    points: int = 0  # -1 = as many as the rules allow
    tender: str = ""
    tender_max: int = -1
    stored_max: int = -1
    hold_seconds: int = 0
    coupons: tuple[str | int, ...] = ()


@dataclass
class Figures:
    """The numbers of a decision that the core must reproduce."""

    numbers: dict[str, Any] = field(default_factory=dict)
    lines: list[dict[str, int]] = field(default_factory=list)


def price(programme: Programme, tier: int, gross: int, item: Item, moment: Moment) -> dict[str, int]:
    """Step 2 and the coupons of step 4 for one line."""
    if item.flags & (COVER | REDEEM):
        both = item.flags & COVER and item.flags & REDEEM
        if both or item.discount or item.coupon or (item.flags & REDEEM and (item.quantity != 1 or item.flags & SPECIAL_PRICE)):
            raise Nonsense
        return {"discount": 0, "coupon": 0, "covered": item.amount, "net": 0}
    rates = [Fraction(*item.counter)] if item.counter[0] != item.counter[1] else []
    barred = item.flags & (SPECIAL_PRICE | NO_DISCOUNT)
    fitting = [
        rule
        for rule in matching(programme, "discount", tier, gross, moment)
        if speaks_of(programme, rule, item.category, item.flags) and (rule.get("waives") or not barred)  # fees are waived under any flag
    ]
    waivers = [rule for rule in fitting if rule.get("waives")]
    if waivers:  # a fee that costs nothing uses up no discount
        rates, fitting = [], waivers[:1]
    if fitting:
        for rule in one_of_group(fitting):
            rates.append(Fraction(rule["pay"], rule["of"]))
            if rule["name"] not in moment.tally.used:
                moment.tally.used.append(rule["name"])
    if waivers:
        rates = [Fraction(0)]
    if len(rates) > 5:
        raise Nonsense  # docs/pack-format.md: at most five rates stack on a line
    owed = item.amount
    if rates:
        owed = rounded(item.amount * combined(rates, programme["stacking"]), programme["rounding"], programme["step_fen"])
    owed = min(owed, item.amount) - item.discount  # rounding up to a step never charges more than the list price
    if owed < 0 or item.coupon > owed:
        raise Nonsense
    return {"discount": item.amount - owed, "coupon": item.coupon, "covered": 0, "net": owed - item.coupon}


def cover(programme: Programme, account: Account, known: list[Lot], item: Item, index: int, now: int) -> list[Part]:
    """Step 3: entitlements pay a whole line. `known`: every lot the ticket found, those it has emptied included."""
    today = (now + programme["utc_offset_s"]) // DAY_S
    need = item.quantity
    why = "not_covered"
    parts: list[Part] = []
    able = [
        lot
        for lot in account.lots.values()
        if lot.alive(now) and item.category in [programme["categories"][c] for c in programme["purses"][lot.purse]["covers"]]
    ]
    for lot in in_order(able, programme["spend_order"]):
        purse = programme["purses"][lot.purse]
        siblings = [other for other in known if other.purse == lot.purse]
        last = max(other.used_on for other in siblings)
        used_today = sum(other.used_times for other in siblings if other.used_on == today)
        gap = purse["min_gap_days"]
        if gap and last and last + gap > today:
            why = "too_soon"
            continue
        take = 1 if purse["unit"] == "pass" else min(need, lot.amount)
        bounds = [(1, "too_soon")] if gap else []
        if purse["per_day"]:
            bounds.append((purse["per_day"] - used_today, "used_up_today"))
        for most, reason in bounds:
            if most < take:
                take, why = most, reason
        if take <= 0:
            continue
        if lot.expires_at == 0 and purse["first_use"]:  # once, whatever is voided later
            lot.expires_at = later(now, purse["months"], purse["days"], programme["utc_offset_s"])
        lot.used_times = (lot.used_times if lot.used_on == today else 0) + take
        lot.used_on = today
        units = 0 if purse["unit"] == "pass" else take
        parts.append(Part("cover", 0, units, account.account_id, None, index))
        parts[-1].lot = copy(lot)
        if purse["unit"] == "pass":
            return parts
        account.take(lot, take)
        need -= take
        if need == 0:
            return parts
    raise Refused(why)


def ladder_cost(rule: Any, price_fen: int) -> int | None:
    """R05: points for one item of this list price."""
    for units, most in rule["ladder"]:
        if price_fen <= most:
            return int(units)
    if rule["every"] is None:
        return None
    units, most = rule["ladder"][-1]
    more, per = rule["every"]
    return int(units + -(-(price_fen - most) // per) * more)


def take_points(programme: Programme, account: Account, units: int, now: int) -> list[tuple[Lot, int]]:
    """Points leave their lots in spending order."""
    if account.points(programme, now) < units:
        raise Refused("insufficient_points")
    taken = []
    lots = [lot for lot in account.lots.values() if lot.alive(now) and lot.purse in purses_of(programme, "points")]
    for lot in in_order(lots, programme["spend_order"]):
        take = min(units, lot.amount)
        if take:
            taken.append((copy(lot), take))
            account.take(lot, take)
            units -= take
    return taken


def redeem(programme: Programme, account: Account, gross: int, item: Item, index: int, moment: Moment) -> list[Part]:
    for rule in matching(programme, "redeem", account.tier, gross, moment):
        cost = ladder_cost(rule, item.amount) if speaks_of(programme, rule, item.category, item.flags) else None
        if cost is not None:
            taken = take_points(programme, account, cost, moment.now)
            return [Part("redeem", 0, units, account.account_id, lot, index) for lot, units in taken]
    raise Refused("points_not_allowed")


def deduct(programme: Programme, account: Account, gross: int, net: int, wanted: int, moment: Moment) -> tuple[int, list[Part]]:
    """Step 4: points pay part of the net in whole steps. Answers (fen, parts); the parts' fen add up to it."""
    rules = matching(programme, "deduct", account.tier, gross, moment)
    if not rules:
        if wanted == -1:
            return 0, []
        raise Refused("points_not_allowed")
    rule = rules[0]
    most = int(net * Fraction(*rule["max_share"])) // rule["worth_fen"]
    if wanted == -1:
        steps = min(most, account.points(programme, moment.now) // rule["units"])
    else:
        steps, rest = divmod(wanted, rule["units"])
        if rest or steps > most:
            raise Refused("points_not_allowed")
    parts = [
        Part("points", 0, units, account.account_id, lot)
        for lot, units in take_points(programme, account, steps * rule["units"], moment.now)
    ]
    return steps * rule["worth_fen"], parts


def spend(programme: Programme, account: Account, want: int, kind: str, now: int) -> list[Part]:
    """Step 5 for one card: money lots in the programme's order until `want` is paid."""
    money = [lot for lot in account.lots.values() if lot.alive(now) and programme["purses"][lot.purse]["unit"] == "fen"]
    parts = []
    for lot in in_order(money, programme["spend_order"]):
        take = min(want, lot.amount)
        if take > 0:
            parts.append(Part(kind, take, take, account.account_id, copy(lot)))
            account.take(lot, take)
            want -= take
    return parts


def accrue(
    programme: Programme, tier: int, gross: int, items: list[tuple[str, int, int]], net: int, paid: dict[str, int], moment: Moment,
    verb: str = "settle",
) -> int:  # fmt: skip
    """Step 7: points for what was paid in money. `items`: category, flags and net of each line; `paid`: fen by kind of tender."""
    if not programme["card"]["member"] or not purses_of(programme, "points"):
        return 0
    total = 0
    about: dict[str, int] = {}
    for rule in matching(programme, "accrue", tier, gross, moment, verb):
        about[rule["name"]] = sum(fen for category, flags, fen in items if speaks_of(programme, rule, category, flags))
    acting = [rule for rule in matching(programme, "accrue", tier, gross, moment, verb) if about[rule["name"]]]
    for rule in one_of_group(acting):
        counted = sum(paid[kind] for kind in rule["base"])
        base = about[rule["name"]] * counted // net
        points = min(int(base // rule["per_fen"] * rule["amount"] * Fraction(*rule["multiplier"])), moment.tally.left(rule))
        if points:
            moment.tally.use(rule, points)
        total += points
    done: list[str] = []
    for rule in matching(programme, "milestone", tier, gross, moment, verb):  # after all accruals, wherever the pack lists them
        if total >= rule["earned_min"] and (not rule["exclusive"] or rule["exclusive"] not in done):
            points = min(rule["amount"], moment.tally.left(rule))
            moment.tally.use(rule, points)
            total += points
            done.append(rule["exclusive"])
    return capped(programme, purses_of(programme, "points")[0], verb, tier, gross, moment, total)


def steps(programme: Programme, moment: Moment) -> int:
    """E06: points for each full step that a counter passes with this ticket."""
    if not programme["card"]["member"] or not purses_of(programme, "points"):
        return 0
    points = 0
    for rule in programme["rules"]:
        if rule["effect"] == "step":
            had = moment.tally.had[rule["counter"]]
            points += ((had + moment.tally.gained[rule["counter"]]) // rule["per_fen"] - had // rule["per_fen"]) * rule["amount"]
    return points


def credit_points(programme: Programme, account: Account, before: Account, points: int, now: int) -> int:
    """Owed points are paid first, the rest is a lot with its own expiry (X01). Answers that lot, 0 for none.

    `before` is the account as it was: an equal lot that stood then is the one, even if this ticket emptied it.
    """
    owed = min(points, account.owed_points)
    account.owed_points -= owed
    if points > owed:
        purse = purses_of(programme, "points")[0]
        expires_at = lot_expiry(programme, purse, now)
        return account.add(purse, points - owed, expires_at, 0, 0, before.same_lot(purse, expires_at, 0, 0))
    return 0


def paid_by(programme: Programme, parts: list[Part], own: int) -> dict[str, int]:
    """Fen by kind of tender."""
    paid = {"principal": 0, "bonus": 0, "points": 0, "further": 0, "outside": 0}
    for part in parts:
        if part.kind == "stored":
            assert part.lot is not None
            paid[programme["purses"][part.lot.purse]["role"]] += part.fen
        elif part.kind in paid:
            paid[part.kind] += part.fen
    return paid


def sell(
    programme: Programme, account: Account, further: list[tuple[Programme, Account]], order: Order, moment: Moment, position: int
) -> tuple[dict[str, Any], Ticket]:
    """Decide and apply a sale to `account` and `further` (the caller passes copies). Raises Refused, Nonsense."""
    now = moment.now
    moment = replace(moment, tally=Tally.of(programme, account, now))
    before = account.copy()
    tier = account.tier
    gross = sum(item.amount for item in order.items)
    lines = [price(programme, tier, gross, item, moment) for item in order.items]
    for rule in programme["rules"]:
        if rule["name"] in moment.tally.used:
            moment.tally.use(rule, 0)
    coupons = use(programme, account, order.coupons, order.items, lines, gross, moment)
    net = sum(line["net"] for line in lines)
    parts: list[Part] = []
    known = list(account.lots.values())
    for index, item in enumerate(order.items):
        if item.flags & COVER:
            parts += cover(programme, account, known, item, index, now)
    for index, item in enumerate(order.items):
        if item.flags & REDEEM:
            parts += redeem(programme, account, gross, item, index, moment)
    points_fen, by_points = deduct(programme, account, gross, net, order.points, moment) if order.points else (0, [])
    parts += by_points
    left = net - points_fen
    own = spend(programme, account, left if order.stored_max < 0 else min(left, order.stored_max), "stored", now)
    left -= sum(part.fen for part in own)
    parts += own
    for other_programme, other in further:
        paid = spend(other_programme, other, left, "further", now)
        left -= sum(part.fen for part in paid)
        parts += paid
    if left:
        if not order.tender or 0 <= order.tender_max < left:
            raise Refused("insufficient_funds")
        parts.append(Part("outside", left, 0))
    paid_fen = paid_by(programme, parts, account.account_id) | {"points": points_fen}
    numbers: dict[str, Any] = {
        "gross_fen": gross, "net_fen": net,
        **{f"{key}_fen": sum(line[key] for line in lines) for key in ("discount", "coupon", "covered")},
        **{f"{kind}_fen": fen for kind, fen in paid_fen.items()},
        "outside_tender": order.tender if left or order.verb == "hold" else "",
        "points_used": sum(part.units for part in parts if part.kind in ("points", "redeem")),
        "points_earned": 0, "tier_before": tier,
        "liability_delta_fen": 0 if order.verb == "hold" else -(paid_fen["principal"] + paid_fen["bonus"] + paid_fen["further"]),
    }  # fmt: skip
    ticket = Ticket(position, order.verb, lines, parts, net, tender=order.tender, categories=[item.category for item in order.items])
    ticket.gross, ticket.coupons = gross, coupons
    ticket.flags = [item.flags for item in order.items]
    ticket.quantities = [item.quantity for item in order.items]
    ticket.points_fen = points_fen
    if order.verb == "hold":
        ticket.expires_at = now + order.hold_seconds
        account.holds[position] = ticket
        ticket.moves = moment.tally.moves()
        move(account, ticket.moves)
    else:
        numbers["liability_delta_fen"] += complete(programme, account, before, ticket, paid_fen, moment)
        numbers["points_earned"] = ticket.earned
        numbers["awards"] = awarded(ticket.gave)
        numbers["borne"] = sum(used.borne for used in coupons)
    numbers["tier_after"] = account.tier
    numbers["after_money_fen"] = account.money(programme, now)
    numbers["after_points"] = account.points(programme, now)
    return numbers, ticket


def complete(programme: Programme, account: Account, before: Account, ticket: Ticket, paid: dict[str, int], moment: Moment) -> int:
    """Steps 7 and 8 of a sale or capture: points, counters, what is given, tier. Answers the value that came onto the card."""
    items = [(category, flags, line["net"]) for category, flags, line in zip(ticket.categories, ticket.flags, ticket.lines, strict=True)]
    whole = sum(net for _, _, net in items)
    goods = [(category, count, net) for (category, _, net), count in zip(items, ticket.quantities, strict=True)]
    tally = moment.tally
    tally.ticket(goods, whole, ticket.net - ticket.points_fen)
    ticket.earned = accrue(programme, account.tier, ticket.gross, items, whole, paid, moment)
    ticket.stepped = steps(programme, moment)
    ticket.earned += ticket.stepped
    ticket.earned_lot = credit_points(programme, account, before, ticket.earned, moment.now)
    tally.count("points", ticket.earned)
    bought = Bought(items, whole, paid)
    held = money_of(programme, account)
    ticket.gave = after_sale(programme, account, before, ticket.gross, bought, moment)
    held = money_of(programme, account) - held
    scored(programme, account, ticket.gross, bought, moment)
    promoted(programme, account, ticket.gross, moment)
    ticket.moves = tally.moves()
    move(account, ticket.moves)
    account.orders += 1
    account.spend_fen += ticket.net - ticket.points_fen
    account.points_earned += ticket.earned
    account.tier = max(account.tier, reached_tier(programme, account), tally.tier())
    return held
