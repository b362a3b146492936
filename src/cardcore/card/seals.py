"""The answers to `ToSam`, made with keys at hand: for the server that holds load and TAC keys, and for tests in place of a PSAM.

`master` keys are diversified by the factors of the application; every derived key is wiped before the function returns.
"""

from __future__ import annotations

from cardcore.card.errors import CardError
from cardcore.card.purse import Application, Make
from cardcore.card.purse_debit import DebitIntent, Seal, SealPurchase
from cardcore.card.purse_load import CheckProof, Permit
from cardcore.card.purse_proof import JudgeProof
from cardcore.crypto import InvalidMac, Key, pboc
from cardcore.crypto.diversify import pboc as diversify


def _load_key(make: Make, master: Key, permit: Permit) -> Key:
    card = diversify(master, permit.application.factors(make))
    try:
        return pboc.load_key(make.profile, card, permit.random, permit.counter)
    finally:
        card.wipe()


def permit(make: Make, master: Key, request: Permit) -> bytes:
    """Check MAC1 of a load or unload and give MAC2. `master`: load or unload master key. Raises InvalidMac."""
    process = _load_key(make, master, request)
    try:
        offered = pboc.initialize_input(request.balance, request.amount, request.kind, request.terminal)
        pboc.verify_mac4(process, offered, request.mac1, make.profile)
        return pboc.mac4(process, pboc.command_input(request.amount, request.kind, request.terminal, request.at), make.profile)
    finally:
        process.wipe()


def check_proof(make: Make, master: Key, request: CheckProof) -> None:
    """Check the TAC of a load (`master`: TAC master key) or MAC3 of an unload (`master`: unload master key). Raises InvalidMac."""
    about = request.permit
    signed = pboc.credited_input(about.balance_after, about.counter, about.amount, about.kind, about.terminal, about.at)
    key = _load_key(make, master, about) if about.kind == pboc.UNLOAD else _tac_key(make, master, about.application)
    try:
        pboc.verify_mac4(key, signed, request.proof, make.profile)
    finally:
        key.wipe()


def _tac_key(make: Make, master: Key, application: Application) -> Key:
    card = diversify(master, application.factors(make))
    try:
        return pboc.tac_key(make.profile, card)
    finally:
        card.wipe()


def check_purchase_tac(make: Make, master: Key, intent: DebitIntent, tac: bytes) -> None:
    """Check the TAC of a debit, as clearing does. `master`: TAC master key. Raises InvalidMac."""
    signed = pboc.purchase_tac_input(intent.amount, intent.kind, intent.terminal, intent.number, intent.at)
    key = _tac_key(make, master, intent.application)
    try:
        pboc.verify_mac4(key, signed, tac, make.profile)
    finally:
        key.wipe()


def judge(make: Make, tac_master: Key, unload_master: Key, request: JudgeProof) -> bool:
    """Whether a proof is of the transaction that was intended (see `purse_proof.JudgeProof`)."""
    intent = request.intent
    try:
        if isinstance(intent, DebitIntent):
            check_purchase_tac(make, tac_master, intent, request.tac)
        elif intent.permit.kind == pboc.UNLOAD:
            check_proof(make, unload_master, CheckProof(intent.permit, request.mac))
        else:
            check_proof(make, tac_master, CheckProof(intent.permit, request.tac))
    except InvalidMac:
        return False
    return True


class NothingSealed(CardError):
    """MAC2 was presented without a purchase that waits for one."""

    code = "nothing_sealed"


class PurchaseSeals:
    """A PSAM in memory: numbers purchases, seals MAC1, checks MAC2. `number` must be kept by who owns it, as a PSAM keeps its own."""

    def __init__(self, make: Make, master: Key, terminal: bytes, number: int = 0) -> None:
        self.make, self.master, self.terminal, self.number = make, master, terminal, number
        self._open: tuple[Key, int] | None = None

    def seal(self, request: SealPurchase) -> Seal:
        """The next terminal number and MAC1."""
        self.number += 1
        card = diversify(self.master, request.application.factors(self.make))
        process = pboc.purchase_key(self.make.profile, card, request.random, request.counter, self.number)
        card.wipe()
        self._open = process, request.amount
        signed = pboc.command_input(request.amount, request.kind, self.terminal, request.at)
        return Seal(self.number, pboc.mac4(process, signed, self.make.profile))

    def check(self, mac2: bytes) -> None:
        """MAC2 of the purchase sealed last, once. Raises InvalidMac, NothingSealed."""
        if self._open is None:
            raise NothingSealed("no purchase waits for its MAC2")
        (process, amount), self._open = self._open, None
        try:
            pboc.verify_mac4(process, pboc.debited_input(amount), mac2, self.make.profile)
        finally:
            process.wipe()
