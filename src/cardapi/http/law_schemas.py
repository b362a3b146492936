"""Bodies about the law a shop chose: the pack, escrow, the statutory refund."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from cardapi.http.fields import Asked, Reason, Told


class SetLaw(Asked):
    """Choose a law pack (TOML text), or leave it (`state` off). It counts from the approval on; the pack says which version holds when."""

    pack: Annotated[str, Meta(min_length=1, max_length=65_536)]
    issuer_class: Literal["scale", "group", "brand"] = "scale"
    licensed: bool = False  # whether the shop holds a payment licence, so that legal entities may share stored value (W6)
    state: Literal["on", "off"] = "on"
    reason: Reason = "chosen"


class LawView(Told):
    """The chosen law; empty name when there is none. `rules` are those of the version that holds today."""

    name: str
    title_zh: str
    title_en: str
    state: str
    issuer_class: str
    licensed: bool
    rules: dict[str, Any]


class EscrowView(Told):
    """A quarter's figures in fen; balances include bonus, as the liability does. `other_fen`: refunds, expiry, corrections."""

    quarter: str
    opening_fen: int
    closing_fen: int
    paid_in_fen: int
    bonus_fen: int
    spent_fen: int
    other_fen: int
    cards_issued: int
    escrow_rate: str
    escrow_fen: int


class QuoteRefund(Asked):
    """The ground: `regret` (within the days of regret), `consumer`'s own reason, or a reason on the `merchant`'s side."""

    ground: Literal["regret", "consumer", "merchant"]


class RefundLine(Told):
    """One line of the explanation."""

    amount_fen: int
    zh: str
    en: str
    ticket_id: str


class RefundView(Told):
    """What the law gives back, and why; the lines sum to it."""

    card: str
    ground: str
    refund_fen: int
    balance_fen: int
    lines: list[RefundLine]
