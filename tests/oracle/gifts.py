"""The oracle's coupons on cards and what points buy: given, exchanged, and taken back (C15, R04, R06, R11)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tests.oracle.counters import Movement, Tally, move
from tests.oracle.coupons import met, take
from tests.oracle.model import COUPON, DAY_S, Account, Lot, Programme, Refused, later
from tests.oracle.moment import Moment
from tests.oracle.sale import take_points
from tests.oracle.value import Move, after


@dataclass(frozen=True)
class Handed:
    """Coupons that an entry put on the card, by their lots, each with so many uses; what others bear of what was handed out."""

    lots: list[int]
    uses: int
    borne: int = 0


def hand(programme: Programme, account: Account, kind: int, count: int, ends: int, now: int) -> Handed:
    """So many of a kind, each with its own number; the soonest of its ends counts."""
    terms = programme["coupons"][kind]
    until = (terms["until_day"] + 1) * DAY_S - programme["utc_offset_s"] if terms["until_day"] is not None else 0
    some = [end for end in (later(now, terms["months"], terms["days"], programme["utc_offset_s"]), until, ends) if end]
    if some and min(some) <= now:
        raise Refused("coupon_expired")
    made = []
    for _ in range(count):
        made.append(account.next_lot)
        account.coupons[account.next_lot] = Lot(account.next_lot, COUPON + kind, terms["uses"], min(some, default=0), 0, 0)
        account.next_lot += 1
    return Handed(made, terms["uses"])


def give(programme: Programme, account: Account, kind: str, count: int, ends: int, now: int) -> tuple[dict[str, Any], list[Move | Handed]]:
    """C15: coupons for a card."""
    kinds = [terms["name"] for terms in programme["coupons"]]
    if kind not in kinds:
        raise Refused("unknown_coupon")
    made = hand(programme, account, kinds.index(kind), count, ends, now)
    return after(programme, account, now, net_fen=0, liability_delta_fen=0), [made]


def exchange(
    programme: Programme, account: Account, gift: str, item: str, quantity: int, moment: Moment
) -> tuple[dict[str, Any], list[Move | Handed]]:
    """R04, R06, R11: points for a coupon or a thing."""
    found = [terms for terms in programme["gifts"] if terms["name"] == gift]
    if not found or (item not in found[0]["items"] if found[0]["items"] else item):
        raise Refused("unknown_gift")
    terms, now = found[0], moment.now
    tally = Tally.of(programme, account, now)
    reason = met(programme, terms, account.tier, None, replace(moment, tally=tally))
    if not reason and tally.left(terms) < quantity:
        reason = "quota"
    if reason:
        raise Refused("gift_not_available", reason)
    moves: list[Move | Handed] = [(account, lot, -units) for lot, units in take_points(programme, account, terms["points"] * quantity, now)]
    tally.use(terms, quantity)
    borne = terms["cost_fen"] * quantity if terms["coupon"] < 0 and terms["bearer"] != "store" else 0
    moves.append(hand(programme, account, terms["coupon"], quantity, 0, now) if terms["coupon"] >= 0 else Handed([], 0, borne))
    counted: list[Movement] = tally.moves()
    move(account, counted)
    numbers = after(programme, account, now, points_used=terms["points"] * quantity, liability_delta_fen=0)
    return numbers | {"borne": borne}, moves + counted


def unhand(account: Account, given: Handed, *, unused: bool) -> int:
    """Coupons go back as they were given, or only what of them nobody has used. Answers how many uses went."""
    gone = 0
    for lot_id in given.lots:
        lot = account.coupons.get(lot_id)
        if not unused and (lot is None or lot.amount < given.uses):
            raise Refused("value_spent")
        if lot is not None:
            gone += min(lot.amount, given.uses)
            take(account, lot, min(lot.amount, given.uses))
    return gone
