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


def _card(make: Make, master: Key, application: Application) -> Key:
    return diversify(master, application.factors(make))


def permit(make: Make, master: Key, request: Permit) -> bytes:
    """Check MAC1 of a load or unload and give MAC2. `master`: load or unload master key. Raises InvalidMac."""
    card = _card(make, master, request.application)
    try:
        return permit_by(make, card, request)
    finally:
        card.wipe()


def permit_by(make: Make, card: Key, request: Permit) -> bytes:
    """The same with the card's own load or unload key."""
    process = pboc.load_key(make.profile, card, request.random, request.counter)
    try:
        offered = pboc.initialize_input(request.balance, request.amount, request.kind, request.terminal)
        pboc.verify_mac4(process, offered, request.mac1, make.profile)
        return pboc.mac4(process, pboc.command_input(request.amount, request.kind, request.terminal, request.at), make.profile)
    finally:
        process.wipe()


def check_proof(make: Make, master: Key, request: CheckProof) -> None:
    """Check the TAC of a load (`master`: TAC master key) or MAC3 of an unload (`master`: unload master key). Raises InvalidMac."""
    card = _card(make, master, request.permit.application)
    try:
        check_proof_by(make, card, request)
    finally:
        card.wipe()


def check_proof_by(make: Make, card: Key, request: CheckProof) -> None:
    """The same with the card's own TAC or unload key."""
    about = request.permit
    signed = pboc.credited_input(about.balance_after, about.counter, about.amount, about.kind, about.terminal, about.at)
    if about.kind == pboc.UNLOAD:
        key = pboc.load_key(make.profile, card, about.random, about.counter)
    else:
        key = pboc.tac_key(make.profile, card)
    try:
        pboc.verify_mac4(key, signed, request.proof, make.profile)
    finally:
        key.wipe()


def check_purchase_tac(make: Make, master: Key, intent: DebitIntent, tac: bytes) -> None:
    """Check the TAC of a debit, as clearing does. `master`: TAC master key. Raises InvalidMac."""
    card = _card(make, master, intent.application)
    try:
        check_purchase_tac_by(make, card, intent, tac)
    finally:
        card.wipe()


def check_purchase_tac_by(make: Make, card: Key, intent: DebitIntent, tac: bytes) -> None:
    """The same with the card's own TAC key."""
    signed = pboc.purchase_tac_input(intent.amount, intent.kind, intent.terminal, intent.number, intent.at)
    key = pboc.tac_key(make.profile, card)
    try:
        pboc.verify_mac4(key, signed, tac, make.profile)
    finally:
        key.wipe()


def judge(make: Make, tac_master: Key, unload_master: Key, request: JudgeProof) -> bool:
    """Whether a proof is of the transaction that was intended (see `purse_proof.JudgeProof`)."""
    master = unload_master if judged_by_unload(request) else tac_master
    card = _card(make, master, request.intent.application)
    try:
        return judge_by(make, card, request)
    finally:
        card.wipe()


def judged_by_unload(request: JudgeProof) -> bool:
    """Whether the unload key judges this proof and not the TAC key."""
    return not isinstance(request.intent, DebitIntent) and request.intent.permit.kind == pboc.UNLOAD


def judge_by(make: Make, card: Key, request: JudgeProof) -> bool:
    """The same as `judge` with the card's own TAC key, or its unload key (`judged_by_unload`)."""
    intent = request.intent
    try:
        if isinstance(intent, DebitIntent):
            check_purchase_tac_by(make, card, intent, request.tac)
        else:
            check_proof_by(make, card, CheckProof(intent.permit, request.mac if judged_by_unload(request) else request.tac))
    except InvalidMac:
        return False
    return True


def seal_by(make: Make, card: Key, request: SealPurchase, terminal: bytes, number: int) -> tuple[Seal, Key]:
    """MAC1 of a purchase with the card's own purchase key; the process key is for `check_debited`, its holder wipes it."""
    process = pboc.purchase_key(make.profile, card, request.random, request.counter, number)
    signed = pboc.command_input(request.amount, request.kind, terminal, request.at)
    return Seal(number, pboc.mac4(process, signed, make.profile)), process


def check_debited(make: Make, process: Key, amount: int, mac2: bytes) -> None:
    """MAC2 of a purchase under its process key, which is wiped. Raises InvalidMac."""
    try:
        pboc.verify_mac4(process, pboc.debited_input(amount), mac2, make.profile)
    finally:
        process.wipe()


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
        card = _card(self.make, self.master, request.application)
        seal, process = seal_by(self.make, card, request, self.terminal, self.number)
        card.wipe()
        self._open = process, request.amount
        return seal

    def check(self, mac2: bytes) -> None:
        """MAC2 of the purchase sealed last, once. Raises InvalidMac, NothingSealed."""
        if self._open is None:
            raise NothingSealed("no purchase waits for its MAC2")
        (process, amount), self._open = self._open, None
        check_debited(self.make, process, amount, mac2)
