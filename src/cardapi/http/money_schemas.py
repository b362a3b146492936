"""Bodies of the money verbs: what a till asks, and the one answer all of them give."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, UnsetType

from cardapi.custody import Pin
from cardapi.http.fields import (
    Asked,
    Card,
    Channel,
    ClientKey,
    ClientKeyOrNone,
    Count,
    Coupon,
    Fen,
    FenOrAll,
    FenPositive,
    Flag,
    MemberIdOrNone,
    PointsOrAll,
    PointsPositive,
    Rate,
    Reason,
    Tender,
    Text,
    TicketIdOrNone,
    Time,
    Told,
    Units,
    Word,
    whole,
)

LINES_MAX = 500
TICKETS_MAX = 1_000


class SaleLine(Asked):
    """One line of a ticket. `amount_fen` is the list price of the whole line (unit price x quantity)."""

    amount_fen: Fen
    quantity: Count = 1
    category: Word = ""
    sku: Word = ""
    flags: tuple[Flag, ...] = ()
    counter_rate: Rate = ""
    discount_fen: Fen = 0
    coupon_fen: Fen = 0


class Sale(Asked):
    """A sale as the till sees it; quote, settle and hold share it (features L03, P01, P03).

    A shortfall is refused unless `shortfall_tender` says how the customer pays the rest. `further_cards` pay after `card`.
    `coupons` take off their part after the discounts, in this order.
    """

    card: Card
    lines: Annotated[tuple[SaleLine, ...], Meta(min_length=1, max_length=LINES_MAX)]
    points: PointsOrAll = 0
    shortfall_tender: Tender = ""
    shortfall_max_fen: FenOrAll = -1
    stored_max_fen: FenOrAll = -1
    further_cards: Annotated[tuple[Card, ...], Meta(max_length=8)] = ()
    coupons: Annotated[tuple[Coupon, ...], Meta(max_length=16)] = ()
    pin: Pin | None = None
    channel: Channel = "store"
    reference: Word = ""
    explain: bool = False
    why_not: bool = False  # explain, and say of every rule that did not act why


class Quote(Sale):
    """A sale that is only priced."""


class Settle(Sale):
    """A sale, paid at once."""


class Hold(Sale):
    """A sale whose amount is reserved until captured, voided or lapsed."""

    hold_seconds: Annotated[int, Meta(ge=1, le=31 * 86_400)] = 7 * 86_400


class BatchTicket(Sale, kw_only=True):
    """One sale of a batch, under its own client key."""

    client_key: ClientKey


class SettleBatch(Asked):
    """Many sales in one call. Each stands for itself: one refused does not touch the others."""

    tickets: Annotated[tuple[BatchTicket, ...], Meta(min_length=1, max_length=TICKETS_MAX)]


class RawBatch(Asked):
    """SettleBatch with its tickets as they came: each is decoded when it is its turn, and is gone before the next."""

    tickets: Annotated[tuple[Raw, ...], Meta(min_length=1, max_length=TICKETS_MAX)]


class TopUp(Asked):
    """Value bought: money with the programme's bonus, or a product (count card, package, course, pass)."""

    card: Card
    paid_fen: Fen
    tender: Tender = "cash"
    product: Word = ""
    channel: Channel = "store"
    reference: Word = ""
    purchase: Word = ""  # a number for all that one buyer buys at once: real name and cash rules count it together (W3, W4)
    buyer: Literal["", "person", "company"] = ""
    buyer_member: MemberIdOrNone = ""
    explain: bool = False


class Capture(Asked):
    """Turn an open hold into a sale of `amount_fen` (-1: all of it); the rest goes back to where it came from."""

    ticket_id: TicketIdOrNone = ""
    client_key: ClientKeyOrNone = ""
    amount_fen: FenOrAll = -1
    explain: bool = False


class Void(Asked):
    """Undo a whole sale or release a hold. By `client_key` also one that never arrived: it is then refused if it comes late (O6)."""

    ticket_id: TicketIdOrNone = ""
    client_key: ClientKeyOrNone = ""
    reason: Text = ""


class Refund(Asked, kw_only=True):
    """Give back part of a sale: an amount, whole lines by index from 0, or (neither) all that is left (P01, M8)."""

    ticket_id: TicketIdOrNone = ""
    client_key: ClientKeyOrNone = ""
    amount_fen: FenOrAll = -1
    lines: Annotated[tuple[Annotated[int, Meta(ge=0, lt=LINES_MAX)], ...], Meta(max_length=LINES_MAX)] = ()
    reason: Reason
    explain: bool = False


class Reverse(Asked, kw_only=True):
    """Undo a top-up, transfer or adjustment exactly, or an event: what it gave is taken back."""

    ticket_id: TicketIdOrNone = ""
    client_key: ClientKeyOrNone = ""
    reason: Reason


class Transfer(Asked):
    """Move money or points (one of the two, R10) to another card, lot by lot. Both programmes must allow it."""

    card: Card
    to_card: Card
    amount_fen: FenPositive | UnsetType = UNSET
    points: PointsPositive | UnsetType = UNSET
    pin: Pin | None = None
    reason: Text = ""


class Adjust(Asked):
    """Correct a purse by signed units. Answers 202: a second person approves before anything moves (O04, R3)."""

    card: Card
    purse: Annotated[str, Meta(min_length=1, max_length=64)]
    amount: Units
    reason: Reason


class RecordEvent(Asked):
    """Something that happened to a card without a sale: a check-in, a review, a draw - whatever its pack has rules for (E09-E14, R08).

    `amount_fen` is what it is about, such as the money that a friend spent. Names that only the system says are refused.
    """

    card: Card
    event: Annotated[str, Meta(min_length=1, max_length=64, pattern=whole("[ -~]+"), examples=["check-in"])]
    amount_fen: Fen = 0
    channel: Channel = "store"
    reference: Word = ""
    explain: bool = False


class Expire(Asked):
    """Write off what has lapsed on a card by now (X01)."""

    card: Card


class TicketLine(Told):
    """net = amount - discount - coupon - covered, exactly."""

    amount_fen: int
    quantity: int
    discount_fen: int
    coupon_fen: int
    covered_fen: int
    net_fen: int


class Ticket(Told, omit_defaults=True):
    """What a money verb did: a pure function of its journal entry, so every retry reads the same (O2).

    principal, bonus, points, further and outside are the tenders; they sum to `net_fen`. For void, refund and reverse
    amounts are what was given back. `balance_fen` and `points` are the card's after this entry. `receipt` and
    `explanation` come with `explain`; a batch leaves `lines` out without it. `document` is what the law in force had the issuer give beside
    the receipt of a top-up or of stored value spent (none, receipt, untaxed_invoice, invoice; W8).
    """

    ticket_id: str
    journal_position: int
    client_key: str
    verb: str
    outcome: str
    card: str
    at: Time
    programme: str
    programme_version: int
    gross_fen: int
    discount_fen: int
    coupon_fen: int
    covered_fen: int
    net_fen: int
    principal_fen: int
    bonus_fen: int
    points_fen: int
    further_fen: int
    outside_fen: int
    outside_tender: str
    points_used: int
    points_earned: int
    tier: str
    balance_fen: int
    points: int
    expires_at: int
    document: str = ""
    lines: tuple[TicketLine, ...] = ()
    receipt: tuple[str, ...] = ()
    explanation: tuple[str, ...] = ()


class Problem(Told, omit_defaults=True):
    """RFC 9457 problem details. `code` is stable; facts of the case are further members."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class RefusedTicket(Problem):
    """A refusal that is in the journal: the same key gives the same answer."""

    ticket_id: str = ""
    journal_position: int = 0
    client_key: str = ""
    outcome: str = ""


class BatchAnswer(Told):
    """One result per ticket, in the order asked: a Ticket, or a Problem."""

    results: list[Any]  # the OpenAPI document says: of Ticket or RefusedTicket
    applied: int
    refused: int
