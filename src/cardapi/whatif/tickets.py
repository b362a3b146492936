"""Retail tickets as happenings: baskets that no card has paid yet, and customers who top up or pay cash when they are short."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from cardapi.whatif.happening import Sold, ToppedUp
from cardapi.whatif.world import World
from cardcore.settlement import ALL_POINTS, Facts, Line


class Ticket(NamedTuple):
    """One basket of one customer. `pays_cash`: what this customer does about a shortfall, else a top-up comes first."""

    at_us: int
    account: int
    store: str
    lines: tuple[Line, ...]
    pays_cash: bool


def sell(worlds: Iterable[World], tickets: Iterable[Ticket], topup_fen: Callable[[int], int], *, points: bool) -> Iterator[int]:
    """Sell every ticket in every world, yielding the number of each when it is done.

    `topup_fen` says how much is topped up for a shortfall; `points`: whether customers pay with points as far as a pack allows.
    """
    worlds = list(worlds)
    facts: dict[str, Facts] = {}
    for number, ticket in enumerate(tickets, 1):
        place = facts.setdefault(ticket.store, Facts(store=ticket.store, unit=ticket.store, channel="store"))
        wanted = ALL_POINTS if points else 0
        sold = Sold((0, 2 * number + 1), ticket.at_us, ticket.account, ticket.lines, wanted, facts=place)
        for world in worlds:
            world.short = None if ticket.pays_cash else _topping_up(world, number, topup_fen)
            world.happen(sold)
        yield number


def _topping_up(world: World, number: int, topup_fen: Callable[[int], int]) -> Callable[[Sold, int], bool]:
    """Top up once for a ticket; a second shortfall of the same ticket is paid in cash."""
    tried = False

    def short(sold: Sold, shortfall_fen: int) -> bool:
        nonlocal tried
        if tried:
            return False
        tried = True
        paid = topup_fen(shortfall_fen)
        return world.happen(ToppedUp((0, 2 * number), sold.at_us, sold.account, paid, facts=sold.facts)) is not None

    return short
