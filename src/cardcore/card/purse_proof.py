"""What became of a transaction whose answer was lost: asked of the same card when it comes back, and never guessed (control T)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cardcore.card.apdu import Command
from cardcore.card.dialogue import Dialogue, ToSam, transmit
from cardcore.card.errors import CardRefused, OtherCard, UnexpectedAnswer
from cardcore.card.purse import Application, Make, initialize_debit, initialize_online, read_log
from cardcore.card.purse_debit import DebitIntent
from cardcore.card.purse_load import OnlineIntent
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


def recover(make: Make, application: Application, intent: DebitIntent | OnlineIntent) -> Dialogue[Found]:
    """Find out with the card on the reader (`application` freshly read) whether the intended step happened.

    The card's own proof counts when it is judged to be of this transaction, or, where nobody can judge it, when the log agrees: another
    transaction may have taken the same counter since. Without proof, an unraised counter means undone, and for a raised one the
    log says which transaction took it. What none of this tells stays open. Loads want the PIN verified before, else they may stay open.
    Raises OtherCard when another card is on the reader, UnexpectedAnswer.
    """
    if application != intent.application:
        raise OtherCard("the card on the reader is not the one of the open transaction")
    step = _step(intent)
    asked = step.counter + (1 if make.proof_ahead else 0)
    answer = yield from transmit(Command(0x80, 0x5A, 0x00, step.kind, asked.to_bytes(2), expected=8))
    if answer.status == SUCCESS:
        if len(answer.data) != 8:
            raise UnexpectedAnswer("a proof has 8 octets", came=len(answer.data))
        # 805A answers MAC then TAC, the reverse of 8054.
        mac, tac = answer.data[:4], answer.data[4:]
        ours: bool | None = yield ToSam(JudgeProof(intent, tac, mac))
        told = Outcome.DONE if ours else (yield from _told_by_log(make, step))
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
    return Found((yield from _told_by_log(make, step)))


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
