"""Paying from and loading a DESFire value file, with a transaction MAC that clearing verifies, and what became of a torn one."""

from __future__ import annotations

from dataclasses import dataclass

from cardcore.card.desfire import Channel, Committed, Mode, change_value, commit_reader_id, commit_with_mac, get_value, read_data
from cardcore.card.dialogue import Dialogue, Intend, ToSam
from cardcore.card.errors import OtherCard, UnexpectedAnswer
from cardcore.card.purse_proof import Outcome
from cardcore.crypto import tmac


@dataclass(frozen=True, slots=True)
class ValueFile:
    """Where the money is: numbers of the value file and of the transaction MAC file, and how each is read."""

    file: int
    mode: Mode
    mac_file: int
    mac_mode: Mode = Mode.MAC


@dataclass(frozen=True, slots=True)
class ValueIntent:
    """What is written before the commit: the card, what will be done, and value and transaction counter before it.

    reader: the reader id that the transaction names, previous: the one before it as the card enciphered it; empty without reader id.
    """

    uid: bytes
    command: int
    amount: int
    value: int
    counter: int
    reader: bytes = b""
    previous: bytes = b""


@dataclass(frozen=True, slots=True)
class ValueMoved:
    """A committed step. `inputs` is the TMI that `tmac.verify` needs with the counter and MAC value of `committed`."""

    intent: ValueIntent
    inputs: bytes
    committed: Committed


def read_last(channel: Channel, place: ValueFile) -> Dialogue[Committed]:
    """The last transaction: counter and MAC value, from the transaction MAC file. The session's key must be let to read it."""
    return Committed.decode((yield from read_data(channel, place.mac_file, 0, 12, place.mac_mode)))


def move(
    channel: Channel, uid: bytes, place: ValueFile, command: int, amount: int, *, counter: int, reader: bytes = b""
) -> Dialogue[ValueMoved]:
    """Debit, Credit or LimitedCredit of `amount` fen and commit. The session's key must have the right.

    reader: 16 octets that the transaction MAC will cover, such as terminal, number and time (CommitReaderID); none when empty.

    counter: of `read_last` just before, which may have needed another key. The intent stands before the commit, which alone makes
    the step permanent. Raises CardRefused, UnexpectedAnswer, InvalidMac.
    """
    value = yield from get_value(channel, place.file, place.mode)
    yield from change_value(channel, command, place.file, amount, place.mode)
    previous = (yield from commit_reader_id(channel, reader)) if reader else b""
    intent = ValueIntent(uid, command, amount, value, counter, reader, previous)
    yield Intend(intent)
    committed = yield from commit_with_mac(channel)
    if committed.counter != counter + 1:
        raise UnexpectedAnswer("the transaction counter did not step by one", expected=counter + 1, came=committed.counter)
    return ValueMoved(intent, inputs_of(place.file, intent), committed)


@dataclass(frozen=True, slots=True)
class JudgeCommit:
    """Ask who holds the transaction MAC key whether this commit is the intended one: True, False, or None where nobody can tell now."""

    intent: ValueIntent
    inputs: bytes
    committed: Committed


def inputs_of(file: int, intent: ValueIntent) -> bytes:
    """The TMI of an intended step: the card enters the read of the value too; the transaction MAC file itself never."""
    moved = tmac.value_input(tmac.GET_VALUE, file, intent.value) + tmac.value_input(intent.command, file, intent.amount)
    return moved + (tmac.reader_input(intent.reader, intent.previous) if intent.reader else b"")


@dataclass(frozen=True, slots=True)
class ValueFound:
    """What was found out; `committed` when the step is done and its transaction MAC could still be read."""

    outcome: Outcome
    committed: Committed | None = None


def recover(channel: Channel, uid: bytes, place: ValueFile, intent: ValueIntent) -> Dialogue[ValueFound]:
    """Find out, in a new session whose key may read both files, whether the intended commit happened (control T).

    The transaction counter decides: unraised means undone. Raised by one, the step is done when the value moved by exactly the amount
    and the transaction MAC, where it can be judged, is of this very step; anything else, or a counter raised further, stays open for
    the transaction MACs of clearing to tell. Raises OtherCard, CardRefused, UnexpectedAnswer, InvalidMac.
    """
    if uid != intent.uid:
        raise OtherCard("the card on the reader is not the one of the open transaction")
    now = yield from read_last(channel, place)
    if now.counter == intent.counter:
        return ValueFound(Outcome.UNDONE)
    value = yield from get_value(channel, place.file, place.mode)
    moved = -intent.amount if intent.command == tmac.DEBIT else intent.amount
    if now.counter == intent.counter + 1 and value == intent.value + moved:
        ours: bool | None = yield ToSam(JudgeCommit(intent, inputs_of(place.file, intent), now))
        return ValueFound(Outcome.OPEN) if ours is False else ValueFound(Outcome.DONE, now)
    return ValueFound(Outcome.OPEN)
