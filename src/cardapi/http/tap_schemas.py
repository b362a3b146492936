"""Bodies of card sessions, media and what is in flight."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from cardapi.custody import Pin
from cardapi.http.fields import Asked, Card, Fen, Prefix, Reason, Second, Slug, SlugOrNone, Tender, Told, Word, whole

RECORDS_MAX = 4
ANSWERS_MAX = 8
ANSWER_HEX_MAX = 516
Medium = Annotated[
    str,
    Meta(pattern=whole("(pboc|desfire|ntag424|uid|magstripe|barcode):[!-~]{1,118}"), description="A medium: kind and id.",
         examples=["desfire:04010203040506"]),
]  # fmt: skip
Hex = Annotated[
    str, Meta(pattern=whole("([0-9a-fA-F]{2})*"), max_length=ANSWER_HEX_MAX, description="Octets in hex; empty: the card is gone.")
]


class TapRecord(Asked):
    """A record that a compound purchase writes into the card together with the payment."""

    number: Annotated[int, Meta(ge=0, le=255)]
    data: Annotated[str, Meta(pattern=whole("([0-9a-fA-F]{2}){1,64}"))]


class OpenCardSession(Asked):
    """Begin a session with the card on the reader. `tender`: a load is paid at the till and not from the account."""

    purpose: Literal["show", "load", "unload", "pay", "recover", "personalise"]
    amount_fen: Fen = 0
    tender: Tender = ""
    pin: Pin | None = None
    records: Annotated[tuple[TapRecord, ...], Meta(max_length=RECORDS_MAX)] = ()
    batch: SlugOrNone = ""


class StepCardSession(Asked):
    """What the card answered to the commands of step `step`, in their order. An empty answer: the card was taken away."""

    step: Annotated[int, Meta(ge=0, le=10_000)]
    answers: Annotated[list[Hex], Meta(min_length=1, max_length=ANSWERS_MAX)]


class RegisterMedium(Asked):
    """A medium of a card. `keys`: versions on a chip, each with the epoch seconds it counts from and until (0: no end)."""

    medium: Medium
    profile: Annotated[str, Meta(max_length=32)] = ""
    keys: Annotated[tuple[tuple[Annotated[int, Meta(ge=0, le=255)], Second, Second], ...], Meta(max_length=16)] = ()
    purse: Annotated[int, Meta(ge=0, le=2, description="Which purse of a PBOC chip: 1 ED, 2 EP.")] = 0


class MediumStep(Asked):
    """A step of a medium's life."""

    medium: Medium
    reason: Reason


class KeyPeriodView(Told):
    """A key version on a chip and when records may name it (K6)."""

    version: int
    valid_from: int
    valid_to: int


class MediumView(Told):
    """A medium as the journal has it: counters and balance are those that were last proved."""

    medium: str
    card: str
    profile: str
    state: str
    purse: int
    online_counter: int
    offline_counter: int
    chip_fen: int
    in_flight: str
    keys: list[KeyPeriodView]


class Media(Told):
    """The media of a card's account, those of earlier numbers included."""

    card: Card
    media: list[MediumView]


class InFlight(Told):
    """An open load, unload or payment: it ends when the card is presented again, never by itself."""

    ticket_id: str
    verb: Word
    amount_fen: int
    card: str
    medium: str
    at: str
    unit: str
    terminal: str


class InFlightList(Told):
    """Oldest first."""

    items: list[InFlight]
    next_cursor: str


class OpenBatch(Asked):
    """Ask for a batch of blank cards: what they become, and the range of their serials. Dates are YYYYMMDD."""

    id: Slug
    unit: Slug
    programme: Annotated[str, Meta(min_length=1, max_length=64)]
    profile: Annotated[str, Meta(min_length=1, max_length=32, examples=["pboc2-3des"])]
    issuer: Annotated[str, Meta(pattern=whole("[0-9a-fA-F]{16}"), description="Issuer identifier on PBOC cards, hex.")] = "1000000010000000"
    first_serial: Annotated[int, Meta(ge=1, le=10**15)] = 1
    count: Annotated[int, Meta(ge=1, le=100_000)] = 1
    prefix: Prefix = "62"
    valid_from: Annotated[str, Meta(pattern=whole("[0-9]{8}"))] = "20260101"
    valid_to: Annotated[str, Meta(pattern=whole("[0-9]{8}"))] = "20361231"
    purse: Annotated[int, Meta(ge=0, le=2, description="Which purse of a PBOC chip holds the money: 1 ED, 2 EP.")] = 0
    limit_fen: Annotated[int, Meta(ge=1, le=2**31 - 1, description="The most a DESFire value file holds.")] = 1_000_000


class BatchStatus(Told):
    """Every serial of a batch: issued, begun (given to a card that is not finished), spoiled (written off), left."""

    id: str
    unit: str
    programme: str
    profile: str
    first_serial: int
    count: int
    state: str
    maker: str
    approver: str
    issued: int
    begun: int
    spoiled: int
    left: int
