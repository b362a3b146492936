"""The oracle's verbs for value on the card's own memory: load, unload, and how each ends by proof; cleared purchases (M5, M6)."""

from __future__ import annotations

from copy import copy
from typing import Any

from tests.oracle.model import Account, Flight, Programme, Refused, in_order, purses_of
from tests.oracle.value import add, after, ceiling, entering_expiry


def load(programme: Programme, account: Account, amount: int, tender: str, now: int, position: int) -> dict[str, Any]:
    """The intent: undated principal leaves its lots, or money is taken at the till; either way it is in flight."""
    if account.flight:
        raise Refused("in_flight_open")
    flight = Flight(position, "load", amount, tender)
    if tender:
        ceiling(programme, account, amount, now)
    else:
        if amount > programme["limits"]["balance_max_fen"] - account.on_card:
            raise Refused("limit_exceeded")
        left = amount
        lots = [lot for lot in account.lots.values() if lot.purse in purses_of(programme, "principal") and not lot.expires_at]
        for lot in in_order(lots, programme["spend_order"]):
            take = min(left, lot.amount)
            if take:
                flight.taken.append((copy(lot), take))
                account.take(lot, take)
                left -= take
        if left:
            raise Refused("insufficient_funds")
    account.flight = flight
    return after(programme, account, now, net_fen=amount, liability_delta_fen=amount if tender else 0)


def unload(programme: Programme, account: Account, amount: int, now: int, position: int) -> dict[str, Any]:
    """The intent: nothing moves before the card has proved its debit."""
    if account.flight:
        raise Refused("in_flight_open")
    if amount > account.on_card:
        raise Refused("card_overdrawn")
    account.flight = Flight(position, "unload", amount, "")
    return after(programme, account, now, net_fen=amount, liability_delta_fen=0)


def pay(programme: Programme, account: Account, amount: int, now: int, position: int) -> dict[str, Any]:
    """The intent of a payment with the card's own value: nothing moves before the card has proved its debit."""
    if account.flight:
        raise Refused("in_flight_open")
    if amount > account.on_card:
        raise Refused("card_overdrawn")
    account.flight = Flight(position, "pay", amount, "")
    return after(programme, account, now, net_fen=amount, liability_delta_fen=0)


def arrive(programme: Programme, account: Account, position: int, now: int) -> dict[str, Any]:
    """It happened on the card."""
    flight = account.flight
    if flight is None or flight.position != position:
        raise Refused("not_in_flight")
    if flight.kind == "load":
        account.on_card += flight.amount
    elif flight.kind == "pay":
        if flight.amount > account.on_card:
            raise Refused("card_overdrawn")
        account.on_card -= flight.amount
        account.flight = None
        return after(programme, account, now, net_fen=flight.amount, liability_delta_fen=-flight.amount)
    else:
        if flight.amount > account.on_card:
            raise Refused("card_overdrawn")
        principal = purses_of(programme, "principal")
        if not principal:
            raise Refused("topup_not_allowed")
        account.on_card -= flight.amount
        add(account, principal[0], flight.amount, entering_expiry(programme, principal[0], now), 1, 1)
    account.flight = None
    return after(programme, account, now, net_fen=flight.amount, liability_delta_fen=0)


def give_up(programme: Programme, account: Account, position: int, now: int) -> dict[str, Any]:
    """It never happened on the card: a load goes back where it came from."""
    flight = account.flight
    if flight is None or flight.position != position:
        raise Refused("not_in_flight")
    for lot, units in flight.taken:
        account.give_back(lot, units)
    account.collect()
    account.flight = None
    return after(programme, account, now, net_fen=flight.amount, liability_delta_fen=-flight.amount if flight.tender else 0)


def clear(programme: Programme, account: Account, amount: int, now: int) -> dict[str, Any]:
    """A purchase that the card paid and proved."""
    if amount > account.on_card:
        raise Refused("card_overdrawn")
    account.on_card -= amount
    return after(programme, account, now, net_fen=amount, liability_delta_fen=-amount)
