"""What can be read of a card without keys: who issued it, what it holds, what happened last, how many PIN tries are left."""

from __future__ import annotations

from dataclasses import dataclass

from cardapi.pcsc.identify import Found
from cardcore.card import CardRefused, UnexpectedAnswer, purse
from cardcore.card.apdu import Command
from cardcore.card.dialogue import Dialogue, transmit
from cardcore.card.status import SUCCESS, tries_left

PIN_LOCKED = 0x6983


@dataclass(frozen=True, slots=True)
class Contents:
    """Amounts in fen; None for what the card keeps to itself. records are newest first."""

    found: Found
    balance_fen: int | None = None
    deposit_fen: int | None = None
    records: tuple[purse.LogRecord, ...] = ()
    pin_tries: int | None = None


def read(found: Found) -> Dialogue[Contents]:
    """Read a card that was just identified (its application is selected). Raises CardRefused, UnexpectedAnswer for a purse gone odd."""
    if found.kind != "pboc" or found.blank:
        # A DESFire value file is read with a key, which only the service holds.
        return Contents(found)
    balance = yield from purse.balance(purse.EP)
    try:
        deposit: int | None = yield from purse.balance(purse.ED)
    except (CardRefused, UnexpectedAnswer):
        deposit = None
    records = yield from purse.read_log()
    return Contents(found, balance, deposit, tuple(records), (yield from _pin_tries()))


def _pin_tries() -> Dialogue[int | None]:
    """VERIFY without a PIN asks for the tries and takes none (ISO/IEC 7816-4:2013, 11.5.6). Makes that do not know it refuse it."""
    answer = yield from transmit(Command(0x00, 0x20, 0x00, 0x00))
    if answer.status == PIN_LOCKED:
        return 0
    return None if answer.status == SUCCESS else tries_left(answer.status)
