"""The oracle's verbs that name an earlier entry: capture, void, refund, reverse, and the lapse of a hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.oracle.counters import Movement, Tally, given_back
from tests.oracle.counters import take_back as take_counters_back
from tests.oracle.coupons import captured, put_back, returned
from tests.oracle.gifts import Handed, unhand
from tests.oracle.given import Gave, awarded, money_of, take_given, take_value
from tests.oracle.model import Account, Nonsense, Part, Programme, Refused, Ticket, allot, in_order, purses_of, reached_tier
from tests.oracle.moment import Moment
from tests.oracle.sale import complete, paid_by
from tests.oracle.value import after

Accounts = dict[int, Account]


def give_back(accounts: Accounts, part: Part, units: int, fen: int) -> None:
    """Units return to the lot of a part; a pass or visit is as if it had not been used that day."""
    part.units_back += units
    part.fen_back += fen
    if part.lot is None:
        return
    account = accounts[part.account]
    account.give_back(part.lot, units)
    if part.kind == "cover" and part.lot.lot_id in account.lots:
        lot = account.lots[part.lot.lot_id]
        if lot.used_on == part.lot.used_on and lot.used_times:
            lot.used_times -= units or 1
            if lot.used_times <= 0:
                lot.used_times = lot.used_on = 0


def capture(
    programme: Programme, accounts: Accounts, own: int, hold: Ticket, amount: int, moment: Moment, position: int
) -> tuple[dict[str, Any], Ticket]:
    """P01: points, gifts and visits whole, then the money in tender order up to the amount; the rest returns to its lots."""
    account, now = accounts[own], moment.now
    if hold.kind != "hold":
        raise Refused("hold_not_open")
    if hold.closed or now >= hold.expires_at:
        raise Refused("hold_not_open")
    amount = hold.net if amount == -1 else amount
    if amount > hold.net:
        raise Refused("over_hold")
    if amount < hold.points_fen:
        raise Refused("points_not_allowed")  # points are captured whole
    was = account.copy()
    hold.closed = True
    del account.holds[hold.position]
    left = amount - hold.points_fen
    kept = []
    for part in hold.parts:
        if part.kind in ("cover", "redeem", "points"):
            kept.append(part)
            continue
        take = min(left, part.fen)
        left -= take
        if part.fen > take and part.lot is not None:
            accounts[part.account].give_back(part.lot, part.fen - take)
        if take:
            kept.append(Part(part.kind, take, take if part.lot else 0, part.account, part.lot))
    ticket = Ticket(position, "capture", hold.lines, kept, amount, tender=hold.tender, gross=hold.gross, categories=hold.categories)
    ticket.flags, ticket.quantities = hold.flags, hold.quantities
    ticket.coupons = captured(hold.coupons, amount, hold.net)
    moment = replace(moment, tally=Tally.of(programme, account, now))
    ticket.points_fen = hold.points_fen
    ticket.partly = amount < hold.net
    paid = paid_by(programme, kept, own) | {"points": hold.points_fen}
    before = account.tier
    entered = complete(programme, account, was, ticket, paid, moment) - sum(one.collect() for one in accounts.values())
    numbers = {
        "net_fen": amount, **{f"{kind}_fen": fen for kind, fen in paid.items()},
        "points_used": sum(part.units for part in kept if part.kind in ("points", "redeem")), "points_earned": ticket.earned,
        "awards": awarded(ticket.gave), "borne": sum(used.borne for used in ticket.coupons),
        "liability_delta_fen": entered - (paid["principal"] + paid["bonus"] + paid["further"]),
    }  # fmt: skip
    return after(programme, account, now, **numbers) | {"tier_before": before}, ticket


def fall(programme: Programme, account: Account, had: int, has: int) -> None:
    """T07: what a return takes back may have reached the tier; then it goes, down to the one the card was issued with."""
    if programme["review"]["returns"] == "at-once" and has < had and account.tier <= had:
        account.tier = min(account.tier, max(account.base_tier, has))


def release(programme: Programme, accounts: Accounts, own: int, hold: Ticket, now: int, *, lapsed: bool) -> dict[str, Any]:
    """A hold ends without a sale, voided or past its life; everything returns to its lots (M6)."""
    if hold.closed:
        raise Refused("hold_not_open")
    if lapsed and now < hold.expires_at:
        raise Refused("nothing_to_do")
    hold.closed = True
    del accounts[own].holds[hold.position]
    for part in hold.parts:
        give_back(accounts, part, part.units, part.fen)
    for used in hold.coupons:
        put_back(accounts[own], used.was)
    take_counters_back(programme, accounts[own], hold.moves, (0, 0, hold.net), whole=True)
    collected = sum(account.collect() for account in accounts.values())
    return after(programme, accounts[own], now, liability_delta_fen=-collected)


def refund(
    programme: Programme, accounts: Accounts, own: int, ticket: Ticket, now: int, *, amount: int = -1, lines: tuple[int, ...] = (),
    voided: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """The ticket backwards: by amount, by lines, or all that is left (M8, X03, T07)."""
    if ticket.kind not in ("settle", "capture"):
        raise Refused("not_refundable")
    remaining = ticket.net - ticket.returned
    whole = amount == -1 and not lines
    if lines and ticket.partly:
        raise Refused("not_refundable")  # a line of a partial capture has no price of its own
    if ticket.closed:
        raise Refused("over_refund")
    if lines:
        if any(not 0 <= index < len(ticket.lines) for index in lines):
            raise Nonsense
        if any(index in ticket.lines_back for index in lines):
            raise Refused("over_refund")
        amount = sum(ticket.lines[index]["net"] for index in lines)
    elif whole:
        amount = remaining
        lines = tuple(index for index in range(len(ticket.lines)) if index not in ticket.lines_back)
    if amount > remaining:
        raise Refused("over_refund")
    lines_back = ticket.lines_back | set(lines)
    paid_back = amount == remaining and {part.line for part in ticket.parts if part.line >= 0} <= lines_back
    free = {index for index, line in enumerate(ticket.lines) if line["net"] == 0 and line["discount"] + line["coupon"]}
    closed = paid_back and free <= lines_back  # who keeps the free piece has used what made it free
    if not closed and any(used.terms["partial_refund"] == "refused" for used in ticket.coupons):
        raise Refused("coupon_whole_only")
    account = accounts[own]
    before = account.tier
    back = {"principal": 0, "bonus": 0, "points": 0, "further": 0, "outside": 0}
    units_back = hand_back(programme, accounts, ticket, amount, lines, back)
    collected = sum(one.collect() for one in accounts.values())
    ticket.returned += amount
    ticket.lines_back = lines_back
    remaining -= amount
    clawed = 0
    base = ticket.earned - ticket.stepped
    if ticket.net:
        clawed = base - ticket.taken_back - base * remaining // ticket.net
    elif whole:
        clawed = base - ticket.taken_back
    ticket.taken_back += clawed
    had = max(reached_tier(programme, account), Tally.of(programme, account, now).tier())
    if closed:
        ticket.closed = True
        account.orders -= 1
    borne = returned(account, ticket, remaining, whole=closed, voided=voided)
    share = (ticket.returned - amount, amount, ticket.net)
    steps, too_much = take_counters_back(programme, account, ticket.moves, share, whole=ticket.closed)
    base, clawed = clawed, clawed + steps
    take_back(programme, account, ticket, clawed, now)
    left = money_of(programme, account)
    awards, value = take_given(programme, account, ticket.gave, ticket.returned, ticket.net, now, whole=paid_back)
    for purse, fen in too_much:
        take_value(programme, account, purse, 0, fen, now)
    left -= money_of(programme, account)
    given_back(programme, account, ticket.moves, clawed, base, value)
    account.points_earned -= clawed
    account.spend_fen -= amount - back["points"]
    fall(programme, account, had, max(reached_tier(programme, account), Tally.of(programme, account, now).tier()))
    numbers = {
        "net_fen": amount, **{f"{kind}_fen": fen for kind, fen in back.items()}, "points_used": units_back, "points_earned": clawed,
        "liability_delta_fen": back["principal"] + back["bonus"] + back["further"] - collected - left, "awards": awards, "borne": -borne,
    }  # fmt: skip
    return after(programme, account, now, **numbers) | {"tier_before": before}


def hand_back(programme: Programme, accounts: Accounts, ticket: Ticket, amount: int, lines: tuple[int, ...], back: dict[str, int]) -> int:
    """Money in proportion to what is left of each tender, points with their share of it, visits and gifts with their lines."""
    by_points = [part for part in ticket.parts if part.kind == "points"]
    money = [part for part in ticket.parts if part.kind in ("stored", "further", "outside")]
    points_left = ticket.points_fen - ticket.points_fen_back
    shares = allot(amount, [points_left] + [part.fen - part.fen_back for part in money])
    units_back = 0
    if by_points:
        ticket.points_fen_back += shares[0]
        back["points"] = shares[0]
        used = sum(part.units for part in by_points)
        due = used * ticket.points_fen_back // ticket.points_fen - sum(part.units_back for part in by_points)
        units_back += due
        for part in by_points:
            take = min(due, part.units - part.units_back)
            give_back(accounts, part, take, 0)
            due -= take
    for part, share in zip(money, shares[1:], strict=True):
        give_back(accounts, part, share if part.lot else 0, share)
        if part.kind == "stored":
            assert part.lot is not None
            back[programme["purses"][part.lot.purse]["role"]] += share
        else:
            back[part.kind] += share
    for part in ticket.parts:
        if part.line in lines:
            give_back(accounts, part, part.units, 0)
            units_back += part.units if part.kind == "redeem" else 0
    return units_back


def take_back(programme: Programme, account: Account, ticket: Ticket, clawed: int, now: int) -> None:
    """Earned points leave again; what is no longer there is owed (X03, P2)."""
    lots = [lot for lot in account.lots.values() if lot.alive(now) and lot.purse in purses_of(programme, "points")]
    lots = [lot for lot in in_order(lots, programme["spend_order"]) if lot.lot_id != ticket.earned_lot]
    if ticket.earned_lot in account.lots:
        lots.insert(0, account.lots[ticket.earned_lot])
    for lot in lots:
        take = min(clawed, lot.amount)
        if take:
            account.take(lot, take)
            clawed -= take
    account.owed_points += clawed


def reverse(programme: Programme, accounts: Accounts, own: int, moves: list[Any], now: int, *, unused: bool = False) -> dict[str, Any]:
    """A top-up, transfer, adjustment, gift or coupons given undone exactly, or not at all; `unused`: as far as they are there."""
    account = accounts[own]
    before = account.tier
    had = max(reached_tier(programme, account), Tally.of(programme, account, now).tier())
    awards: list[Any] = []
    uses = borne = 0
    for one in moves:
        if isinstance(one, Handed):
            uses += unhand(account, one, unused=unused)
            borne -= one.borne
            continue
        if isinstance(one, Movement):
            take_counters_back(programme, account, [one], (0, 1, 1), whole=True)
            continue
        if isinstance(one, Gave):
            awards += [(one.award, one.amount, one.valid_until, True)] if one.award >= 0 else []
            continue
        was_account, was, units = one
        owner = accounts[was_account.account_id]
        if units > 0:
            lot = owner.lots.get(was.lot_id)
            if lot is None or lot.amount < units or lot.used_on:
                raise Refused("value_spent")
            owner.take(lot, units)
        else:
            owner.give_back(was, -units)
    if unused and not uses:
        raise Refused("value_spent")
    for one_account in accounts.values():
        one_account.collect()
    fall(programme, account, had, max(reached_tier(programme, account), Tally.of(programme, account, now).tier()))
    return after(programme, account, now) | {"tier_before": before, "awards": awards, "borne": borne}


def void(programme: Programme, accounts: Accounts, own: int, ticket: Ticket | None, now: int) -> dict[str, Any]:
    """A whole sale nobody has refunded, or an open hold, is undone."""
    if ticket is None:
        raise Refused("not_refundable")
    if ticket.kind == "hold":
        return release(programme, accounts, own, ticket, now, lapsed=False)
    if ticket.closed or ticket.returned or ticket.lines_back:
        raise Refused("already_reversed")
    return refund(programme, accounts, own, ticket, now, voided=True)
