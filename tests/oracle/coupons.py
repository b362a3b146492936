"""The oracle's coupons in a ticket: each a plain row on the card, what it takes off by sums of lists."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.oracle.model import COUPON, COVER, REDEEM, Account, Lot, Programme, Refused, Ticket
from tests.oracle.moment import Moment, asked, holds, speaks_of

if TYPE_CHECKING:
    from tests.oracle.sale import Item


@dataclass
class Used:
    """One coupon in a ticket: which, what it took off, how much of that somebody else bears, what of it has gone back."""

    terms: dict[str, Any]
    was: Lot  # just before it was used
    off: int
    borne: int = 0
    borne_back: int = 0
    back: bool = False


def met(programme: Programme, terms: dict[str, Any], tier: int, gross: int | None, moment: Moment) -> str:
    """The first condition of a coupon or gift that does not hold, "" where all do. An exchange has no ticket (`gross` None)."""
    if terms["tiers"] is not None and tier not in terms["tiers"]:
        return "tier"
    if gross is not None and not terms["amount_min_fen"] <= gross <= terms["amount_max_fen"]:
        return "amount"
    if asked(programme, terms, moment):
        return ""
    open_ = [programme["predicates"][index] for index in sorted(terms["asks"])]
    return next(str(predicate["kind"]) for predicate in open_ if not holds(programme, predicate, moment))


# ------------------------------------------------------------------ used in a ticket
def choose_lot(programme: Programme, account: Account, named: str | int, done: list[Used], now: int) -> Lot:
    """By its number, or of a kind the one that ends first. One coupon is used once in a ticket, however many uses it has."""
    kinds = [terms["name"] for terms in programme["coupons"]]
    if isinstance(named, str) and named not in kinds:
        raise Refused("unknown_coupon")
    seen = [used.was.lot_id for used in done]
    there = [lot for lot in account.coupons.values() if lot.lot_id not in seen]
    if isinstance(named, int):
        there = [lot for lot in there if lot.lot_id == named]
        if there and not there[0].alive(now):
            raise Refused("coupon_expired")
    else:
        there = [lot for lot in there if lot.purse - COUPON == kinds.index(named) and lot.alive(now)]
    if not there:
        raise Refused("no_coupon")
    return min(there, key=lambda lot: (lot.expires_at == 0, lot.expires_at, lot.lot_id))


def takes_off(terms: dict[str, Any], about: list[tuple[int, int, int]]) -> tuple[int, list[int]]:
    """What it takes off lines (place, net, quantity), in all and of each of them."""
    eligible = sum(net for _, net, _ in about)
    if terms["takes"] == "piece":
        pieces = [net // quantity for _, net, quantity in about]
        off = min(max(0, max(pieces) - terms["off_fen"]), terms["max_fen"] or max(pieces))
        dearest = pieces.index(max(pieces))
        return off, [off if place == dearest else 0 for place in range(len(about))]
    if terms["takes"] == "rate":
        pay, of = terms["rate"]
        off = eligible * (of - pay) // of
    else:
        off = min(eligible, terms["off_fen"] * (eligible // terms["per_fen"] if terms["per_fen"] else 1))
    off = min(off, terms["max_fen"] or off)
    shares, so_far = [], 0
    for _, net, _ in about:  # floored on the running total, so that the last line makes up the whole
        shares.append(off * (so_far + net) // eligible - off * so_far // eligible)
        so_far += net
    return off, shares


def use(
    programme: Programme,
    account: Account,
    named: tuple[str | int, ...],
    items: list[Item],
    lines: list[dict[str, int]],
    gross: int,
    moment: Moment,
) -> list[Used]:
    """Each takes its part off `lines`, in the order named; the next one sees what is left."""
    done: list[Used] = []
    for word in named:
        lot = choose_lot(programme, account, word, done, moment.now)
        terms = programme["coupons"][lot.purse - COUPON]
        reason = met(programme, terms, account.tier, gross, moment)
        about = [
            (index, line["net"], item.quantity)
            for index, (item, line) in enumerate(zip(items, lines, strict=True))
            if line["net"] and not item.flags & (COVER | REDEEM) and speaks_of(programme, terms, item.category, item.flags)
            and (not terms["skus"] or item.sku in terms["skus"])
        ]  # fmt: skip
        reason = reason or ("" if about else "line")
        reason = reason or ("spend" if sum(net for _, net, _ in about) < terms["spend_min_fen"] else "")
        if reason:
            raise Refused("coupon_not_applicable", reason)
        off, shares = takes_off(terms, about)
        if off == 0:
            raise Refused("coupon_not_applicable", "spend")
        for (index, _, _), share in zip(about, shares, strict=True):
            lines[index]["coupon"] += share
            lines[index]["net"] -= share
        done.append(Used(terms, copy(lot), off, off if terms["bearer"] != "store" else 0))
        take(account, lot, 1)
        kinds = {used.terms["name"] for used in done}
        alone = len(kinds) > 1 and not all(used.terms["stackable"] for used in done)
        if alone or [used.terms["name"] for used in done].count(terms["name"]) > terms["per_ticket"]:
            raise Refused("coupon_not_stackable")
    return done


def take(account: Account, lot: Lot, uses: int) -> None:
    """Uses leave a coupon; one without any is gone."""
    lot.amount -= uses
    if not lot.amount:
        del account.coupons[lot.lot_id]


def put_back(account: Account, was: Lot, uses: int = 1) -> None:
    """Uses return to the coupon they came from, which is made anew if it has gone."""
    if was.lot_id in account.coupons:
        account.coupons[was.lot_id].amount += uses
    else:
        account.coupons[was.lot_id] = replace(was, amount=uses)


# ------------------------------------------------------------------ held, captured, given back
def captured(coupons: list[Used], amount: int, held: int) -> list[Used]:
    """A capture uses what its hold kept, whole; of its cost the share of what was captured is borne, floored."""
    return [replace(used, borne=used.borne * amount // held if held else used.borne) for used in coupons]


def returned(account: Account, ticket: Ticket, left: int, *, whole: bool, voided: bool) -> int:
    """With the last of its ticket a coupon comes back unless it stays used; its cost in proportion to the money. Answers that cost."""
    cost = 0
    for used in ticket.coupons:
        if whole and not used.back and (voided or used.terms["on_refund"] == "return"):
            used.back = True
            put_back(account, used.was)
        due = used.borne if whole else used.borne - used.borne * left // ticket.net if ticket.net else 0
        cost += due - used.borne_back
        used.borne_back = due
    return cost
