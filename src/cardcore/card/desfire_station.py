"""Paying from a DESFire value file at a till off line: the till has a module with the debit and read keys, and no key itself.

The reader id of the transaction names terminal, number and time, so that its transaction MAC proves to clearing who is to be paid. The
till cannot check that MAC; that the card is genuine is proven by the channel.
"""

from __future__ import annotations

from dataclasses import dataclass

from cardcore.card.desfire import AUTHENTICATE_EV2_FIRST, MORE, Channel, Mode, challenged, frames, select
from cardcore.card.desfire_value import ValueFile, ValueFound, ValueIntent, ValueMoved, move, read_last, recover
from cardcore.card.dialogue import Dialogue, ToSam
from cardcore.card.errors import UnexpectedAnswer
from cardcore.crypto import tmac

GET_KEY_VERSION, GET_FILE_SETTINGS = 0x64, 0xF5
DEBIT, READ = 2, 3
"""Key numbers of the application."""
VALUE_FILE, MAC_FILE = 1, 15
VALUE_TYPE, MAC_TYPE = 0x02, 0x05


@dataclass(frozen=True, slots=True)
class AnswerCard:
    """Have the module answer a card's challenge with the card's own key of this number and version; answered by 32 octets."""

    uid: bytes
    key_number: int
    key_version: int
    challenge: bytes


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Have the module check the card's proof; answered by a `desfire_ev2.Session`."""

    proof: bytes


@dataclass(frozen=True, slots=True)
class TakeNumber:
    """Have the module give the next terminal transaction number; answered by the reader id (16 octets) that names it."""


@dataclass(frozen=True, slots=True)
class ValueCard:
    """A card with a value file as it was found: where the money is, and the version of the key of its transaction MAC."""

    uid: bytes
    application: bytes
    place: ValueFile
    mac_version: int


def meet(uid: bytes, application: bytes) -> Dialogue[ValueCard]:
    """How the card wants to be spoken to, asked without a key. Raises CardRefused, UnexpectedAnswer where there is no transaction MAC."""
    yield from select(application)
    value = yield from frames(GET_FILE_SETTINGS, bytes([VALUE_FILE]))
    proof = yield from frames(GET_FILE_SETTINGS, bytes([MAC_FILE]))
    if len(value) < 4 or value[0] != VALUE_TYPE or len(proof) < 6 or proof[0] != MAC_TYPE:
        raise UnexpectedAnswer("the card has no value file with a transaction MAC where ours have it")
    place = ValueFile(VALUE_FILE, Mode(value[1] & 3), MAC_FILE, Mode(proof[1] & 3))
    return ValueCard(uid, application, place, proof[5])


def authenticate(card: ValueCard, key_number: int) -> Dialogue[Channel]:
    """A channel through the module. Raises CardRefused when card or module refuse."""
    yield from select(card.application)
    version = yield from frames(GET_KEY_VERSION, bytes([key_number]))
    if len(version) != 1:
        raise UnexpectedAnswer("a key version has one octet", came=len(version))
    challenge = yield from challenged(AUTHENTICATE_EV2_FIRST, bytes([key_number, 0]))
    answer: bytes = yield ToSam(AnswerCard(card.uid, key_number, version[0], challenge))
    proof = yield from frames(MORE, answer)
    return Channel((yield ToSam(OpenSession(proof))))


def pay(card: ValueCard, amount: int) -> Dialogue[ValueMoved]:
    """Debit under the next number of the module. Raises CardRefused (91BE: more than it holds), UnexpectedAnswer, InvalidMac."""
    reading = yield from authenticate(card, READ)
    last = yield from read_last(reading, card.place)
    paying = yield from authenticate(card, DEBIT)
    reader: bytes = yield ToSam(TakeNumber())
    return (yield from move(paying, card.uid, card.place, tmac.DEBIT, amount, counter=last.counter, reader=reader))


def find_out(card: ValueCard, intent: ValueIntent) -> Dialogue[ValueFound]:
    """What became of a debit that was torn (`desfire_value.recover`). `JudgeCommit` is asked; a till answers None."""
    reading = yield from authenticate(card, READ)
    return (yield from recover(reading, card.uid, card.place, intent))
