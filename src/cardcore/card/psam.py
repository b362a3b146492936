"""The APDUs of a terminal's PSAM: INIT_SAM_FOR_PURCHASE (80 70) and CREDIT_SAM_FOR_PURCHASE (80 72)."""

from __future__ import annotations

from cardcore.card.apdu import Command
from cardcore.card.dialogue import Dialogue, ask
from cardcore.card.purse import Make
from cardcore.card.purse_debit import CheckPurchase, Seal, SealPurchase
from cardcore.crypto import pboc


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
