"""Words that the commands of `cardcore reader` share: options, and what they call cards and records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cardapi.cli.options import amount_argument

if TYPE_CHECKING:
    from cardapi.pcsc.contents import Contents
    from cardapi.pcsc.identify import Found

Yuan = Annotated[int, amount_argument("An amount in yuan, such as 25 or 25.50.")]
ReaderName = Annotated[
    str, typer.Option("--reader", envvar="CARDCORE_READER", help="A part of the reader's name; needed if there are several.")
]
Wait = Annotated[float, typer.Option("--wait", min=0, help="How many seconds to wait for the card, and for it to come back.")]
KINDS = {"pboc": "PBOC purse", "desfire": "DESFire", "psam": "purchase SAM", "unknown": "unknown card"}
TYPES = {
    1: "load ED", 2: "load", 3: "unload", 4: "withdraw ED", 5: "purchase ED", 6: "purchase", 7: "overdraw limit", 8: "credit purchase",
    9: "compound purchase",
}  # fmt: skip
"""Transaction types of a purse, for people."""
COLUMNS = {"at": "at", "what": "what", "amount_fen": "amount", "terminal": "terminal", "counter": "counter"}


def described(found: Found) -> dict[str, Any]:
    """A card for programs."""
    return {
        "kind": found.kind, "number": found.number, "medium": found.medium, "blank": found.blank, "printed_number": found.printed,
    }  # fmt: skip


def named(found: Found) -> str:
    """A card in a few words."""
    words = [KINDS[found.kind], found.printed or found.number, "not personalised" if found.blank else ""]
    return " ".join(word for word in words if word)


def document(read: Contents) -> dict[str, Any]:
    """What was read of a card, for programs; None for what the card keeps to itself."""
    application = read.found.application
    about = described(read.found)
    if application is not None:
        about |= {"issuer": application.issuer.hex(), "valid_from": _day(application.valid_from), "valid_to": _day(application.valid_to)}
    return about | {"balance_fen": read.balance_fen, "deposit_fen": read.deposit_fen, "pin_tries_left": read.pin_tries}


def record_row(record: Any) -> dict[str, Any]:
    """A log record of a purse, for programs."""
    stamp = record.at.hex()
    at = f"{_day(record.at[:4])}T{stamp[8:10]}:{stamp[10:12]}:{stamp[12:14]}"
    return {
        "at": at, "what": TYPES.get(record.kind, f"type {record.kind:02x}"), "amount_fen": record.amount,
        "terminal": record.terminal.hex(), "counter": record.counter,
    }  # fmt: skip


def _day(bcd: bytes) -> str:
    text = bcd.hex()
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}"


def choose(wanted: str, *, without: str = "") -> str:
    """The reader that is meant. Raises NoReader, SeveralReaders."""
    from cardapi.pcsc.context import Context

    with Context() as context:
        return context.choose(wanted, without=without)
