"""What is recorded of bearer codes and of stock, and the words that name a coupon in a request.

A word names a kind of coupon by its name in the pack; one coupon on a card by its id, `ACCOUNT.LOT` in hexadecimal; or a
bearer code, which the edge replaces by `#` and its keyed name before anything else sees it.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from cardapi.store.port import Record

CODE: Final = "coupon-code"  # kind of record
STOCK: Final = "stock"  # kind of record
ALLOWED_MAX: Final = 1_000_000  # coupons that a second person may allow one operator on one day
DUE: Final = "coupon-due"  # kind of record
CLAIMED: Final = "coupon"  # client of the entry that put a code's coupon on a card: it has one effect, for ever (O1)
_ID = re.compile(r"([0-9a-f]{1,15})\.([0-9a-f]{1,15})")


class Code(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Body of the record of a bearer code."""

    programme: str
    coupon: str
    ends: int  # epoch seconds, 0 = as the pack says from when it is used
    batch: str


def code_record(name: str, code: Code) -> Record:
    """As the store keeps it, found by its batch."""
    return Record(CODE, name, _encode(code), (("batch", code.batch),))


def stock_name(programme: str, kind: str, what: str) -> str:
    """Id of the record that counts how many were given of a coupon or gift."""
    return f"{programme}:{kind}:{what}"


def made_name(operator: str, day: str) -> str:
    """Id of the record that counts what an operator made on a day (YYYY-MM-DD); no name of a programme begins so."""
    return f"#made:{operator}:{day}"


def allowed_name(operator: str, day: str) -> str:
    """Id of the record of what a second person allowed an operator beside the day's bound."""
    return f"#allowed:{operator}:{day}"


def stock_record(name: str, given: int) -> Record:
    """As the store keeps it."""
    return Record(STOCK, name, _encode(given))


def due_record(coupon: str, given: int) -> Record:
    """A coupon (by its id) whose award was taken back while it was used or held: should it come back, it goes the same way.

    `given`: the position of the entry that gave it, in the partition of its account.
    """
    return Record(DUE, coupon, _encode(given))


def coupon_id(account_id: int, lot: int) -> str:
    """The id of one coupon on a card."""
    return f"{account_id:x}.{lot:x}"


def parse_id(word: str) -> tuple[int, int] | None:
    """Account and lot of a coupon's id; None for a word that is none."""
    match = _ID.fullmatch(word)
    return (int(match[1], 16), int(match[2], 16)) if match else None


_encode = msgspec.msgpack.Encoder().encode
unpack_code = msgspec.msgpack.Decoder(Code).decode
unpack_stock = msgspec.msgpack.Decoder(int).decode
unpack_due = msgspec.msgpack.Decoder(int).decode
