"""What became of a transaction whose answer was lost: asked of the same card when it comes back, and never guessed (control T)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cardcore.card.apdu import Command
from cardcore.card.dialogue import Dialogue, ToSam, transmit
from cardcore.card.errors import CardRefused, OtherCard, UnexpectedAnswer
from cardcore.card.purse import Application, Make, initialize_debit, initialize_online, read_log
from cardcore.card.purse_debit import DebitIntent
from cardcore.card.purse_load import OnlineIntent, Permit
from cardcore.card.status import SUCCESS
from cardcore.crypto import pboc


class Outcome(Enum):
    """done and undone are proven; open stays in flight until another tap, or a person, settles it."""

    DONE = "done"
    UNDONE = "undone"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class JudgeProof:
    """Ask who holds the keys whether this proof is of this very transaction: True, False, or None where that cannot be told now.

    A debit or load is judged by its TAC, an unload by `mac` (its MAC3). An offline terminal has no TAC key and answers None.
    """

    intent: DebitIntent | OnlineIntent
    tac: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out, with the card's proof when it still had one for this transaction.

    mac: MAC2 of a debit or load, MAC3 of an unload.
    """

    outcome: Outcome
    tac: bytes = b""
    mac: bytes = b""


def recover(make: Make, application: Application, intent: DebitIntent | OnlineIntent, challenge: bytes = b"") -> Dialogue[Found]:
    """Find out with the card on the reader (`application` freshly read) whether the intended step happened.

    The card's own proof counts when it is judged to be of this transaction, or, where nobody can judge it, when the log agrees: another
    transaction may have taken the same counter since. Without proof, an unraised counter means undone, and for a raised one the
    log says which transaction took it. What none of this tells stays open. Loads want the PIN verified before, else they may stay open.

    challenge: 6 fresh random octets, given by a server that does not trust the station between it and the card. The counter of a load
    or unload is then read with the challenge as terminal and believed with MAC1 alone: nobody but the server raises it, and it permits
    nothing while this item is open, so raised by one means done. The log of such a card proves no debit.
    Raises OtherCard when another card is on the reader, UnexpectedAnswer, InvalidMac.
    """
    if application != intent.application:
        raise OtherCard("the card on the reader is not the one of the open transaction")
    step = _step(intent)
    asked = step.counter + (1 if make.proof_ahead else 0)
    answer = yield from transmit(Command(0x80, 0x5A, 0x00, step.kind, asked.to_bytes(2), expected=8))
    ours: bool | None = False
    mac = tac = b""
    if answer.status == SUCCESS:
        if len(answer.data) != 8:
            raise UnexpectedAnswer("a proof has 8 octets", came=len(answer.data))
        # 805A answers MAC then TAC, the reverse of 8054.
        mac, tac = answer.data[:4], answer.data[4:]
        ours = yield ToSam(JudgeProof(intent, tac, mac))
        if ours:
            return Found(Outcome.DONE, tac, mac)
    if challenge and isinstance(intent, OnlineIntent):
        told = yield from _told_by_mac1(step, intent.permit, challenge)
        # A proof that is another's contradicts a counter that only we can have raised: that is for people.
        return Found(Outcome.OPEN if told is Outcome.DONE and mac else told)
    if answer.status == SUCCESS:
        told = yield from _told_by_log(make, step)
        if told is Outcome.DONE:
            # A proof judged to be another's contradicts a log that claims this one: that is for people.
            return Found(Outcome.OPEN) if ours is False else Found(Outcome.DONE, tac, mac)
        return Found(told)
    try:
        counter = yield from _counter(step)
    except CardRefused:
        return Found(Outcome.OPEN)
    if counter == step.counter:
        return Found(Outcome.UNDONE)
    told = yield from _told_by_log(make, step)
    return Found(Outcome.OPEN if told is Outcome.DONE and challenge else told)


def _told_by_mac1(step: _Step, permit: Permit, challenge: bytes) -> Dialogue[Outcome]:
    """The on-line counter as the card proves it now: INITIALIZE with amount 0 changes nothing, and its MAC1 covers the challenge."""
    try:
        opened = yield from initialize_online(0x05 if step.kind == pboc.UNLOAD else 0x00, step.purse, 1, 0, challenge)
    except CardRefused:
        return Outcome.OPEN
    yield ToSam(
        Permit(
            permit.application, step.kind, 0, challenge, step.at, opened.balance, opened.counter, opened.random, opened.key_version,
            opened.algorithm, opened.mac1,
        )
    )  # fmt: skip
    return {step.counter: Outcome.UNDONE, step.counter + 1: Outcome.DONE}.get(opened.counter, Outcome.OPEN)


# Types that count with the same counter of the same purse.
_TOGETHER = (
    {pboc.PURCHASE_EP, pboc.COMPOUND_PURCHASE},
    {pboc.PURCHASE_ED, pboc.CASH_WITHDRAWAL},
    {pboc.LOAD_EP},
    {pboc.LOAD_ED, pboc.UNLOAD, pboc.OVERDRAW_UPDATE},
)


def _told_by_log(make: Make, step: _Step) -> Dialogue[Outcome]:
    """Which transaction took the counter: this one, another, or the log has no record of it."""
    try:
        records = yield from read_log()
    except CardRefused:
        return Outcome.OPEN
    (together,) = (kinds for kinds in _TOGETHER if step.kind in kinds)
    for record in records:
        if record.kind in together and record.counter == step.counter + (1 if make.log_ahead else 0):
            same = (record.kind, record.amount, record.terminal, record.at) == (step.kind, step.amount, step.terminal, step.at)
            return Outcome.DONE if same else Outcome.UNDONE
    return Outcome.OPEN


@dataclass(frozen=True, slots=True)
class _Step:
    kind: int
    purse: int
    amount: int
    counter: int
    terminal: bytes
    at: bytes
    online: bool


def _step(intent: DebitIntent | OnlineIntent) -> _Step:
    if isinstance(intent, DebitIntent):
        return _Step(intent.kind, intent.purse, intent.amount, intent.counter, intent.terminal, intent.at, online=False)
    permit = intent.permit
    return _Step(permit.kind, intent.purse, permit.amount, permit.counter, permit.terminal, permit.at, online=True)


def _counter(step: _Step) -> Dialogue[int]:
    """The counter as the next transaction of this purse would have it: INITIALIZE with amount 0 changes nothing."""
    if step.online:
        p1 = 0x05 if step.kind == pboc.UNLOAD else 0x00
        opened = yield from initialize_online(p1, step.purse, 1, 0, step.terminal)
    else:
        p1 = {pboc.CASH_WITHDRAWAL: 0x02, pboc.COMPOUND_PURCHASE: 0x03}.get(step.kind, 0x01)
        opened = yield from initialize_debit(p1, step.purse, 1, 0, step.terminal)
    return opened.counter
