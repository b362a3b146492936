"""The APDUs of a terminal's PSAM: INIT_SAM_FOR_PURCHASE (80 70) and CREDIT_SAM_FOR_PURCHASE (80 72) for purses, and for DESFire cards the
handshake (80 D0, 80 D2) and the terminal transaction number (80 D4).

The commands for DESFire are those of the project's own module (docs/simulator.md): what makers have is not public. Their sense is common
to all: the master key stays inside, and what comes out is the session with one card.
"""

from __future__ import annotations

from cardcore.card.apdu import Command
from cardcore.card.desfire_station import AnswerCard, OpenSession
from cardcore.card.dialogue import Dialogue, ask
from cardcore.card.purse import Make
from cardcore.card.purse_debit import CheckPurchase, Seal, SealPurchase
from cardcore.crypto import Key, desfire_ev2, pboc


def seal(make: Make, request: SealPurchase) -> Dialogue[Seal]:
    """Random, counter, amount, type, date and time, key version, algorithm, factors innermost first; gives number and MAC1."""
    amount = pboc.debited_input(request.amount)
    fields = request.random + request.counter.to_bytes(2) + amount + bytes([request.kind]) + request.at
    factors = b"".join(reversed(request.application.factors(make)))
    data = fields + bytes([request.key_version, request.algorithm]) + factors
    answer = yield from ask(Command(0x80, 0x70, 0x00, 0x00, data, expected=8), octets=8)
    return Seal(int.from_bytes(answer[:4]), answer[4:])


def check(request: CheckPurchase) -> Dialogue[None]:
    """The module checks MAC2 and counts wrong ones. Raises CardRefused (9302)."""
    yield from ask(Command(0x80, 0x72, 0x00, 0x00, request.mac2))


def answer_card(request: AnswerCard) -> Dialogue[bytes]:
    """The second frame of AuthenticateEV2First, 32 octets. Raises CardRefused (9403: the module has no such key)."""
    data = bytes([request.key_version]) + request.uid + request.challenge
    return (yield from ask(Command(0x80, 0xD0, request.key_number, 0x00, data, expected=32), octets=32))


def open_session(request: OpenSession) -> Dialogue[desfire_ev2.Session]:
    """The session that the card's proof opens. Raises CardRefused (9302: the card does not know the key)."""
    octets = yield from ask(Command(0x80, 0xD2, 0x00, 0x00, request.proof, expected=36), octets=36)
    return desfire_ev2.Session(Key("aes", octets[4:20]), Key("aes", octets[20:]), octets[:4])


def take_number() -> Dialogue[int]:
    """The next terminal transaction number, which is given once only."""
    return int.from_bytes((yield from ask(Command(0x80, 0xD4, 0x00, 0x00, expected=4), octets=4)))
