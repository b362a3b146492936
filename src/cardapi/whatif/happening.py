"""What people did, apart from what a pack made of it: the input of every supposed shop.

A happening carries what was asked of the card (which goods, how much money, how many points), never what came of it. `key` is the
partition and position of its entry; what names an earlier entry carries that one's as `ref`.
"""

from __future__ import annotations

from typing import NamedTuple

from cardcore.settlement import Facts, Line

Key = tuple[int, int]


class Sold(NamedTuple):
    """A sale, or (hold_seconds) a hold. Lines carry what the till itself gave; `points` is the most the customer pays with."""

    key: Key
    at_us: int
    account: int
    lines: tuple[Line, ...]
    points: int = 0
    tender: str = ""  # that paid a shortfall
    stored_max_fen: int = -1
    further: tuple[int, ...] = ()
    hold_seconds: int = 0
    facts: Facts | None = None
    coupons: tuple[str, ...] = ()  # kinds, in the order they were used


class ToppedUp(NamedTuple):
    """Money paid for value, or for a product."""

    key: Key
    at_us: int
    account: int
    paid_fen: int
    tender: str = "cash"
    product: str = ""
    facts: Facts | None = None


class Occurred(NamedTuple):
    """An event without a sale: a check-in, a birthday, the first day of a month. `random` is what its draw used."""

    key: Key
    at_us: int
    account: int
    name: str
    amount_fen: int = 0
    random: int = 0
    facts: Facts | None = None


class Given(NamedTuple):
    """Coupons of one kind that somebody gave, or that a bearer's code became. What rules award follows from their own entries."""

    key: Key
    at_us: int
    account: int
    coupon: str
    quantity: int
    expires_at: int = 0


class Redeemed(NamedTuple):
    """Points exchanged for `quantity` of a gift, or of the thing `item` of it. `cost_fen`: what they cost the shop then."""

    key: Key
    at_us: int
    account: int
    gift: str
    item: str
    quantity: int
    cost_fen: int
    facts: Facts | None = None


class Followed(NamedTuple):
    """capture, void, refund, reverse, arrive, return, and the release of a hold: what names an earlier entry.

    `part` of `of` fen of it; of 0: all of it, or all that is left. `lines`: whole lines are given back.
    """

    key: Key
    at_us: int
    account: int
    verb: str
    ref: Key
    part: int = 0
    of: int = 0
    lines: tuple[int, ...] = ()
    facts: Facts | None = None  # of a capture


class Moved(NamedTuple):
    """transfer (to `other`), points (a transfer of them), adjust (of `purse`), expire, review, load, unload, pay, clear: an amount, and
    nothing of a pack in it."""

    key: Key
    at_us: int
    account: int
    verb: str
    amount: int = 0
    purse: str = ""
    other: int = 0
    tender: str = ""


class SpentOnCard(NamedTuple):
    """Off-line purchases that the cards' own memory paid."""

    key: Key
    at_us: int
    paid: tuple[tuple[int, int], ...]  # account, fen


Happening = Sold | ToppedUp | Occurred | Given | Redeemed | Followed | Moved | SpentOnCard
