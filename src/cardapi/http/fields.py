"""The building blocks of request and answer schemas: every scalar with its bounds, once.

`Asked` refuses unknown fields and leaves defaults out when encoded, so that the fingerprint of a request (O2) is that of
its meaning: a field left out and a field set to its default mean the same, also in later versions that know more fields.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from cardapi.custody import Pin, Secret
from cardcore.money import AMOUNT_MAX


class Asked(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, gc=False):
    """Base of every request body."""


class Told(msgspec.Struct, kw_only=True):
    """Base of every answer body."""


def whole(pattern: str) -> str:
    """The pattern of a text from its first character to its last. In Python a `$` alone also stands before a line end."""
    return f"^{pattern}${BEHIND}"


BEHIND = r"(?!\n)"
SLUG = whole("[a-z0-9][a-z0-9-]{0,31}")

Fen = Annotated[int, Meta(ge=0, le=AMOUNT_MAX, description="An amount in fen (1/100 yuan), an integer.")]
FenPositive = Annotated[int, Meta(ge=1, le=AMOUNT_MAX, description="An amount in fen (1/100 yuan), an integer above 0.")]
FenOrAll = Annotated[int, Meta(ge=-1, le=AMOUNT_MAX, description="An amount in fen; -1 for all of it, or no bound.")]
Units = Annotated[int, Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX, description="Signed units of a purse: fen, points or visits.")]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
PointsPositive = Annotated[int, Meta(ge=1, le=AMOUNT_MAX, description="Points, above 0.")]
PointsOrAll = Annotated[int, Meta(ge=-1, le=AMOUNT_MAX, description="Points to use; -1 uses as many as the rules allow.")]
Second = Annotated[int, Meta(ge=0, le=253_402_300_799, description="Seconds since 1970 UTC.")]

Card = Annotated[str, Meta(pattern=whole("[0-9]{8,32}"), description="A card number: 8 to 32 digits.", examples=["6200000000000018"])]
CardOrNew = Annotated[str, Meta(pattern=whole("([0-9]{8,32})?"), description="A card number, or empty for a fresh one.")]
Prefix = Annotated[str, Meta(pattern=whole("[0-9]{0,19}"), description="The digits a fresh card number starts with.", examples=["62"])]
Slug = Annotated[str, Meta(pattern=SLUG, description="A short id: a-z, 0-9 and -.", examples=["store-1"])]
SlugOrNone = Annotated[str, Meta(pattern=whole("([a-z0-9][a-z0-9-]{0,31})?"), description="A short id, or empty.")]
MemberIdOrNone = Annotated[str, Meta(pattern=whole("(m[0-9a-f]{2}-[0-9a-f]{12})?"), description="A member's id, or empty.")]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Word = Annotated[str, Meta(max_length=64)]
Text = Annotated[str, Meta(max_length=200)]
Reason = Annotated[str, Meta(min_length=1, max_length=200, description="Why; kept in the journal (A1).", examples=["returned goods"])]
TicketId = Annotated[str, Meta(pattern=whole("[0-9a-f]{2}-[0-9a-f]{12}"), examples=["00-00000000002a"])]
TicketIdOrNone = Annotated[
    str, Meta(pattern=whole("([0-9a-f]{2}-[0-9a-f]{12})?"), description="The ticket, or empty when `client_key` names it.")
]
KEY = "[ -~]{1,255}"
ClientKey = Annotated[str, Meta(pattern=whole(KEY), description="Made by the caller before its first try: 1 to 255 printable ASCII.")]
ClientKeyOrNone = Annotated[
    str, Meta(pattern=whole("[ -~]{0,255}"), description="Names the ticket by the caller's own key of it, when `ticket_id` is empty.")
]
Rate = Annotated[
    str,
    Meta(pattern=whole("([0-9]{1,6}/[1-9][0-9]{0,5})?"), description="What is paid, exactly: 8折 is 8/10; empty is 1/1.",
         examples=["8/10"]),
]
COUPON = r"([a-z][a-z0-9-]{0,31}|[0-9a-f]{1,15}\.[0-9a-f]{1,15}|[0-9A-Z-]{16,19})"
Coupon = Annotated[
    str,
    Meta(pattern=whole(COUPON), description="A coupon: its kind (the one that ends first), its id, or a bearer's code.",
         examples=["off-20"]),
]  # fmt: skip
Kind = Annotated[
    str, Meta(pattern=whole("[a-z][a-z0-9-]{0,31}"), description="The name of a coupon or gift in the pack.", examples=["off-20"])
]
Tender = Annotated[str, Meta(pattern=whole("([a-z][a-z0-9_]{0,31})?"), description="An outside tender: cash, bank ...; empty is none.")]
Flag = Literal["special", "redeem", "member_only", "no_discount", "cover"]
Channel = Literal["store", "web", "call", "mobile"]
Role = Literal["admin", "hq", "manager", "cashier", "auditor"]
UnitKind = Literal["issuer", "hq", "region", "store", "counter"]
Time = Annotated[str, Meta(description="ISO 8601 with offset.", examples=["2026-11-22T06:17:06.123456+00:00"])]


def decode_hook(kind: type, value: Any) -> Any:
    """msgspec's hook for secrets: they leave the body as a type that cannot be formatted (A6). Raises PinMalformed, ValueError."""
    if kind is Pin:
        return Pin.parse(value)
    if kind is Secret:
        if not isinstance(value, str):
            raise ValueError("Expected `str`")
        return Secret(value.encode())
    raise NotImplementedError(kind)


def encode_hook(value: Any) -> Any:
    """A secret inside a fingerprint: its bytes go into a keyed hash and nowhere else."""
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value))


def schema_hook(kind: type) -> dict[str, Any]:
    """How secrets look in the OpenAPI document."""
    if kind is Pin:
        return {"type": "string", "pattern": "^[0-9]{4,12}$", "format": "password", "description": "4 to 12 digits; never kept or shown."}
    if kind is Secret:
        return {"type": "string", "format": "password", "minLength": 1, "maxLength": 128}
    raise NotImplementedError(kind)
