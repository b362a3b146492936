"""The statutory refund of a card (W5, N5): three grounds, each an explanation line by line. Pure.

`regret`    principal of the last days' top-ups that is still there, on request (refund_days)
`consumer`  all that was paid in, less what was used at its price before discount
`merchant`  what is left, at the share of it that was paid for: paid / (paid + bonus), lot by lot
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from cardcore.errors import CardcoreError

GROUNDS: Final = ("regret", "consumer", "merchant")


class NoRefund(CardcoreError, ValueError):
    """The law gives no such refund (no law chosen, no right of regret at that time, or the card's history cannot tell)."""

    code = "no_refund"


class Paid(msgspec.Struct, frozen=True):
    """A top-up that stands: when, what was paid, and what of its principal is left on the card. In fen."""

    at_s: int
    paid_fen: int
    left_fen: int
    ticket: str


class Used(msgspec.Struct, frozen=True):
    """A ticket that stands, net of what was given back: list price, price paid, and what of it the card's money paid. In fen."""

    gross_fen: int
    net_fen: int
    stored_fen: int
    ticket: str


class Left(msgspec.Struct, frozen=True):
    """Money still on the card, with the share of it that was paid for."""

    amount_fen: int
    paid_fen: int
    of_units: int


class Line(msgspec.Struct, frozen=True):
    """One line of the explanation; the amounts of all lines sum to the refund."""

    amount_fen: int
    zh: str
    en: str
    ticket: str = ""


class Statement(msgspec.Struct, frozen=True):
    """The refund and how it comes about."""

    ground: str
    refund_fen: int
    lines: list[Line]


def regret(paid: Sequence[Paid], at_s: int, days: int) -> Statement:
    """Raises NoRefund when the law has no days of regret."""
    if not days:
        raise NoRefund("the law that holds at this time has no refund on request")
    lines = []
    for top in paid:
        if top.at_s > at_s - days * 86_400:
            lines.append(Line(top.left_fen, f"{days}日内充值本金余额", f"principal left of a top-up within {days} days", top.ticket))
        else:
            lines.append(Line(0, f"充值已超过{days}日", f"top-up more than {days} days ago", top.ticket))
    return _statement("regret", lines)


def consumer(paid: Sequence[Paid], used: Sequence[Used]) -> Statement:
    """All paid in, less each ticket's stored part at list price, half up to 1 fen a ticket; never below nothing."""
    lines = [Line(top.paid_fen, "已付本金", "paid in", top.ticket) for top in paid]
    for sale in used:
        list_fen = sale.stored_fen if not sale.net_fen else _half_up(sale.gross_fen * sale.stored_fen, sale.net_fen)
        lines.append(Line(-list_fen, "已消费部分按折扣前价格计", "used, at its price before discount", sale.ticket))
    total = sum(line.amount_fen for line in lines)
    if total < 0:
        lines.append(Line(-total, "已消费部分高于已付款，不退", "more was used than paid: nothing is given back"))
    return _statement("consumer", lines)


def merchant(left: Sequence[Left]) -> Statement:
    """What is left, at its paid share; rounded once a lot, half up to 1 fen, for the customer where in doubt."""
    lines = [
        Line(
            _half_up(lot.amount_fen * lot.paid_fen, lot.of_units),
            f"余额按实付比例{lot.paid_fen}/{lot.of_units}计", f"left, at the share paid for: {lot.paid_fen}/{lot.of_units}",
        )
        for lot in left
    ]  # fmt: skip
    return _statement("merchant", lines)


def _statement(ground: str, lines: list[Line]) -> Statement:
    return Statement(ground, sum(line.amount_fen for line in lines), lines)


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
