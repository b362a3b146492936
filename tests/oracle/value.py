"""The oracle's verbs without a ticket: top-up, products, transfer, adjustment, expiry. Each answers its numbers and its moves."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from math import gcd
from typing import Any

from tests.oracle.counters import Movement, Tally, move
from tests.oracle.given import Gave, awarded, give, promoted
from tests.oracle.model import Account, Lot, Programme, Refused, in_order, later, lot_expiry, purses_of
from tests.oracle.moment import Moment, matching, one_of_group

Move = tuple[Account, Lot, int] | Movement | Gave
"""What a verb did to one lot: (account, the lot as a picture, units in (+) or out (-)), to a counter, or gave besides."""


def entering_expiry(programme: Programme, purse: int, now: int) -> int:
    """A purse that counts from its first use has no end before it."""
    return 0 if programme["purses"][purse]["first_use"] else lot_expiry(programme, purse, now)


def add(account: Account, purse: int, amount: int, expires_at: int, paid: int, of: int, *, alone: bool = False) -> Move:
    """Equal value is one lot, unless it is to stand alone: two year cards in one lot would start, and end, together."""
    divisor = gcd(paid, of) or 1
    ratio = (paid // divisor, of // divisor)
    lot_id = account.add(purse, amount, expires_at, *ratio, 0 if alone else account.same_lot(purse, expires_at, *ratio))
    return account, copy(account.lots[lot_id]), amount


def ceiling(programme: Programme, account: Account, more: int, now: int) -> None:
    """W1, M11: money that is held counts; a hold over several cards counts whole on the card that opened it."""
    if more > account.room(programme, now):
        raise Refused("limit_exceeded")


def after(programme: Programme, account: Account, now: int, **numbers: Any) -> dict[str, Any]:
    return numbers | {
        "tier_before": account.tier, "tier_after": account.tier,
        "after_money_fen": account.money(programme, now), "after_points": account.points(programme, now),
    }  # fmt: skip


def top_up(programme: Programme, account: Account, paid: int, moment: Moment) -> tuple[dict[str, Any], list[Move]]:
    """C04: pay 1000, get 1200; principal and bonus both remember that 1000 of 1200 was paid (O02)."""
    limits, now = programme["limits"], moment.now
    principal = purses_of(programme, "principal")
    if not principal or not limits["topup_min_fen"] <= paid <= limits["topup_max_fen"] or paid % limits["topup_step_fen"]:
        raise Refused("topup_not_allowed")
    tally = Tally.of(programme, account, now)
    tally.count("topups", 1)
    tally.count("charged", paid)
    tally.known = True
    moment = replace(moment, tally=tally)
    acting = [rule for rule in matching(programme, "bonus", account.tier, paid, moment, "topup") if paid >= rule["per_fen"]]

    def is_value(rule: dict[str, Any]) -> bool:
        return bool(rule["purse"] >= 0 and programme["purses"][rule["purse"]]["unit"] == "fen")

    grants = []
    for rule in one_of_group(acting):
        amount = min(paid // rule["per_fen"] * rule["amount"] if rule["per_fen"] else rule["amount"], tally.left(rule))
        tally.use(rule, amount)
        grants.append((rule, amount))
    promoted(programme, account, paid, moment, "topup")
    whole = paid + sum(amount for rule, amount in grants if is_value(rule))
    ceiling(programme, account, whole, now)
    moves: list[Move] = [add(account, principal[0], paid, entering_expiry(programme, principal[0], now), paid, whole)]
    gave: list[Gave] = []
    for rule, amount in grants:
        if is_value(rule):
            moves += [add(account, rule["purse"], amount, entering_expiry(programme, rule["purse"], now), paid, whole)] if amount else []
        else:
            gave += give(programme, account, account, rule, amount, now, in_full=True)
            moves += [(account, copy(account.lots[gave[-1].lot]), amount)] if gave[-1].lot else []
    moved = tally.moves()
    move(account, moved)
    before, account.tier = account.tier, max(account.tier, tally.tier())
    moves += moved
    return after(programme, account, now, net_fen=paid, principal_fen=paid, bonus_fen=whole - paid, liability_delta_fen=whole) | {
        "tier_before": before,
        "awards": awarded(gave),
    }, moves + gave


def buy(programme: Programme, account: Account, paid: int, product: str, now: int) -> tuple[dict[str, Any], list[Move]]:
    """C05, C07, C09: entitlements for a price; each grant carries its share of the price by units."""
    found = [candidate for candidate in programme["products"] if candidate["name"] == product]
    if not found:
        raise Refused("unknown_product")
    if paid != found[0]["price_fen"]:
        raise Refused("topup_not_allowed")
    grants = found[0]["grants"]
    units = sum(grant["amount"] for grant in grants)
    shares = [paid * grant["amount"] // units for grant in grants[:-1]]
    shares.append(paid - sum(shares))
    moves = []
    for grant, share in zip(grants, shares, strict=True):
        expires = later(now, grant["months"], grant["days"], programme["utc_offset_s"]) or entering_expiry(programme, grant["purse"], now)
        alone = programme["purses"][grant["purse"]]["first_use"]
        moves.append(add(account, grant["purse"], grant["amount"], expires, share, grant["amount"], alone=alone))
    return after(programme, account, now, net_fen=paid, liability_delta_fen=0), moves


def purse_like(source: Programme, purse: int, target: Programme) -> int:
    """Where value of a purse belongs on a card of another programme: same name and unit, else the first of the role."""
    was = source["purses"][purse]
    by_name = [i for i, p in enumerate(target["purses"]) if (p["name"], p["unit"]) == (was["name"], was["unit"])]
    by_role = [i for i, p in enumerate(target["purses"]) if (p["role"], p["unit"]) == (was["role"], was["unit"])]
    if not by_name + by_role:
        raise Refused("transfer_not_allowed")
    return (by_name + by_role)[0]


def transfer(
    programme: Programme, account: Account, other: Programme, target: Account, amount: int, unit: str, now: int
) -> tuple[dict[str, Any], list[Move]]:
    """P01, R10: lot by lot in spending order; paid ratio and expiry travel along (M7)."""
    if account.account_id == target.account_id:
        raise Refused("same_card")
    if programme["currency"] != other["currency"]:
        raise Refused("currency_mismatch")
    allowed = "transfer" if unit == "fen" else "transfer_points"
    if not programme["limits"][allowed] or not other["limits"][allowed]:
        raise Refused("transfer_not_allowed")
    if unit == "fen":
        ceiling(other, target, amount, now)
    own = [lot for lot in account.lots.values() if lot.alive(now) and programme["purses"][lot.purse]["unit"] == unit]
    left = amount
    by_role = {"principal": 0, "bonus": 0, "points": 0}
    moves: list[Move] = []
    for lot in in_order(own, programme["spend_order"]):
        take = min(left, lot.amount)
        if take:
            moves.append((account, copy(lot), -take))
            moves.append(add(target, purse_like(programme, lot.purse, other), take, lot.expires_at, lot.paid_fen, lot.of_units))
            account.take(lot, take)
            by_role[programme["purses"][lot.purse]["role"]] += take
            left -= take
    if left:
        raise Refused("insufficient_funds" if unit == "fen" else "insufficient_points")
    numbers = after(
        programme, account, now, net_fen=amount if unit == "fen" else 0, principal_fen=by_role["principal"], bonus_fen=by_role["bonus"],
        points_used=by_role["points"], liability_delta_fen=0,
    )  # fmt: skip
    return numbers, moves


def adjust(programme: Programme, account: Account, purse: str, amount: int, now: int) -> tuple[dict[str, Any], list[Move]]:
    """P01, O04: a correction; what comes in was paid by nobody, what goes out goes soonest expiry first."""
    names = [candidate["name"] for candidate in programme["purses"]]
    if purse not in names:
        raise Refused("limit_exceeded")
    index = names.index(purse)
    fen = programme["purses"][index]["unit"] == "fen"
    moves: list[Move] = []
    if amount > 0:
        if fen:
            ceiling(programme, account, amount, now)
        alone = programme["purses"][index]["first_use"]
        moves.append(add(account, index, amount, entering_expiry(programme, index, now), 0, 0, alone=alone))
    else:
        left = -amount
        for lot in in_order([lot for lot in account.lots.values() if lot.alive(now) and lot.purse == index], "expiry"):
            take = min(left, lot.amount)
            if take:
                moves.append((account, copy(lot), -take))
                account.take(lot, take)
                left -= take
        if left:
            raise Refused("insufficient_points" if programme["purses"][index]["unit"] == "points" else "insufficient_funds")
    return after(programme, account, now, liability_delta_fen=amount if fen else 0), moves


def void_at(programme: Programme, lot: Lot) -> int:
    """R08: lapsed points are kept for draws for a while; all else ends with its lot."""
    months, days = programme["purses"][lot.purse]["grace"]
    return later(lot.expires_at - 1, months, days, programme["utc_offset_s"]) or lot.expires_at


def expire(programme: Programme, account: Account, now: int) -> tuple[dict[str, Any], list[Move]]:
    """X01: what has lapsed leaves its lots, whole."""
    gone = [lot for lot in account.lots.values() if lot.expires_at and void_at(programme, lot) <= now]
    lapsed = [lot.lot_id for lot in account.coupons.values() if not lot.alive(now)]
    if not gone and not lapsed:
        raise Refused("nothing_to_do")
    for number in lapsed:
        del account.coupons[number]
    moves: list[Move] = [(account, copy(lot), -lot.amount) for lot in gone]
    for lot in gone:
        del account.lots[lot.lot_id]
    fen = sum(lot.amount for lot in gone if programme["purses"][lot.purse]["unit"] == "fen")
    return after(programme, account, now, net_fen=fen, liability_delta_fen=-fen), moves
