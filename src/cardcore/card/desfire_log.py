"""Paying from and loading a DESFire value file without a transaction MAC (EV1): a log record, committed together with the value, tells
what became of a torn step. Such a card is used on-line only: nobody but who was in the channel knows that the step happened.
"""

from __future__ import annotations

from dataclasses import dataclass

from cardcore.card.desfire import Channel, Mode, change_value, commit, get_value
from cardcore.card.desfire_value import ValueFile
from cardcore.card.dialogue import Dialogue, Intend
from cardcore.card.errors import OtherCard
from cardcore.card.purse_proof import Outcome
from cardcore.crypto import tmac

RECORD_OCTETS = 32
REFERENCE_OCTETS = 16
GET_FILE_SETTINGS, READ_RECORDS = 0xF5, 0xBB
_SETTINGS_OCTETS = 13


@dataclass(frozen=True, slots=True)
class LoggedIntent:
    """What is written before the commit. `reference`: 16 octets that no other step of this card has."""

    uid: bytes
    command: int
    amount: int
    value: int
    reference: bytes

    @property
    def record(self) -> bytes:
        """The log record: reference 16, command 1, amount 4, value before 4 (little endian), zeros."""
        head = self.reference + bytes([self.command]) + self.amount.to_bytes(4, "little") + self.value.to_bytes(4, "little", signed=True)
        return head.ljust(RECORD_OCTETS, b"\x00")


def move_logged(channel: Channel, uid: bytes, place: ValueFile, log: int, command: int, amount: int, reference: bytes) -> Dialogue[int]:
    """Debit or Credit of `amount` fen with its log record; the value after it. Raises CardRefused, UnexpectedAnswer, InvalidMac."""
    value = yield from get_value(channel, place.file, place.mode)
    yield from change_value(channel, command, place.file, amount, place.mode)
    intent = LoggedIntent(uid, command, amount, value, reference)
    header = bytes([log]) + bytes(3) + RECORD_OCTETS.to_bytes(3, "little")
    yield from channel.command(tmac.WRITE_RECORD, header, intent.record, Mode.MAC)
    yield Intend(intent)
    yield from commit(channel)
    return value + moved(intent)


def moved(intent: LoggedIntent) -> int:
    """By how much the step changes the value."""
    return -intent.amount if intent.command == tmac.DEBIT else intent.amount


def recover_logged(channel: Channel, uid: bytes, place: ValueFile, log: int, intent: LoggedIntent) -> Dialogue[tuple[Outcome, int]]:
    """Find out, in a new session whose key may read both files, whether the intended commit happened; and the value now.

    The newest record is ours: done. It is another and the value did not move: undone. Anything else stays open.
    Raises OtherCard, CardRefused, UnexpectedAnswer, InvalidMac.
    """
    if uid != intent.uid:
        raise OtherCard("the card on the reader is not the one of the open transaction")
    value = yield from get_value(channel, place.file, place.mode)
    newest = yield from _newest(channel, log)
    if newest == intent.record and value == intent.value + moved(intent):
        return Outcome.DONE, value
    if newest[:REFERENCE_OCTETS] != intent.reference and value == intent.value:
        return Outcome.UNDONE, value
    return Outcome.OPEN, value


def _newest(channel: Channel, log: int) -> Dialogue[bytes]:
    """The newest record of a log, empty when there is none."""
    settings = yield from channel.command(GET_FILE_SETTINGS, bytes([log]), answer=_SETTINGS_OCTETS)
    if not int.from_bytes(settings[10:], "little"):
        return b""
    header = bytes([log]) + bytes(3) + (1).to_bytes(3, "little")
    record: bytes = yield from channel.command(READ_RECORDS, header, mode=Mode.MAC, answer=RECORD_OCTETS)
    return record
