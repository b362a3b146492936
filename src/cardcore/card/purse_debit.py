"""Paying with the purse, offline: purchase, cash withdrawal and compound purchase, with a PSAM or key store that seals MAC1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cardcore.card.apdu import Command
from cardcore.card.dialogue import Dialogue, Intend, ToSam, ask
from cardcore.card.errors import UnexpectedAnswer
from cardcore.card.purse import ED, EP, Application, Make, initialize_debit
from cardcore.crypto import pboc

CAPP_FILE = 0x17


@dataclass(frozen=True, slots=True)
class SealPurchase:
    """Ask the purchase SAM for its number of this purchase and MAC1; answered by a `Seal`. The SAM knows its terminal id."""

    application: Application
    kind: int
    amount: int
    at: bytes
    counter: int
    random: bytes
    key_version: int
    algorithm: int


@dataclass(frozen=True, slots=True)
class Seal:
    """Terminal transaction number and MAC1."""

    number: int
    mac1: bytes


@dataclass(frozen=True, slots=True)
class CheckPurchase:
    """Have the SAM check MAC2 of the purchase it sealed last; answered by None, or InvalidMac is raised."""

    mac2: bytes


@dataclass(frozen=True, slots=True)
class DebitIntent:
    """What is written before the command that takes the money: enough to find out later whether it did."""

    application: Application
    purse: int
    kind: int
    amount: int
    balance: int
    counter: int
    terminal: bytes
    number: int
    at: bytes


@dataclass(frozen=True, slots=True)
class Debited:
    """A finished debit, with what clearing needs. `intent.balance` and `.counter` are those before the step."""

    intent: DebitIntent
    overdraw: int
    key_version: int
    tac: bytes
    mac2: bytes


@dataclass(frozen=True, slots=True)
class CachedRecord:
    """A record that a compound purchase writes together with the purse. `number` names it as the make of card does."""

    number: int
    data: bytes
    file: int = CAPP_FILE


# Transaction type: P1 of INITIALIZE, purse.
_OPENINGS = {
    pboc.PURCHASE_ED: (0x01, ED),
    pboc.PURCHASE_EP: (0x01, EP),
    pboc.CASH_WITHDRAWAL: (0x02, ED),
    pboc.COMPOUND_PURCHASE: (0x03, EP),
}


def debit(
    make: Make,
    application: Application,
    kind: int,
    amount: int,
    terminal: bytes,
    at: bytes,
    *,
    records: Sequence[CachedRecord] = (),
    key_index: int = 1,
) -> Dialogue[Debited]:
    """Take `amount` fen from the purse that `kind` means (05, 06, 04, 09); `records` for a compound purchase only.

    terminal: 6 octets, at: date and time in BCD (7). ED kinds want the PIN verified before. The PSAM checks MAC2: a card that does
    not know the key is not paid with, whatever it answers. Raises CardRefused, UnexpectedAnswer, InvalidMac.
    """
    p1, purse = _OPENINGS[kind]
    assert kind == pboc.COMPOUND_PURCHASE or not records, "only a compound purchase carries records"
    opened = yield from initialize_debit(p1, purse, key_index, amount, terminal)
    if opened.balance < amount:
        raise UnexpectedAnswer("the card opened a purchase that it cannot pay")
    for record in records:
        by = record.file << 3 | (4 if make.compound_by_number else 0)
        yield from ask(Command(0x80, 0xDC, record.number, by, record.data))
    seal: Seal = yield ToSam(
        SealPurchase(application, kind, amount, at, opened.counter, opened.random, opened.key_version, opened.algorithm)
    )
    intent = DebitIntent(application, purse, kind, amount, opened.balance, opened.counter, terminal, seal.number, at)
    yield Intend(intent)
    data = yield from ask(Command(0x80, 0x54, 0x01, 0x00, seal.number.to_bytes(4) + at + seal.mac1, expected=8), octets=8)
    # 8054 answers TAC then MAC2; the proof command the other way round.
    tac, mac2 = data[:4], data[4:]
    yield ToSam(CheckPurchase(mac2))
    return Debited(intent, opened.overdraw, opened.key_version, tac, mac2)
