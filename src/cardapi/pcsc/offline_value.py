"""Paying off line from a DESFire value file: the same course as with a purse, told by counter, value and transaction MAC."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cardapi.pcsc.drive import Line, drive
from cardapi.pcsc.errors import WrongCard
from cardapi.pcsc.identify import DESFIRE_APPLICATION
from cardapi.pcsc.intents import ValueBegun
from cardcore.card import CardRefused, UnexpectedAnswer, psam
from cardcore.card.desfire_station import AnswerCard, OpenSession, TakeNumber, ValueCard, find_out, meet, pay
from cardcore.card.desfire_value import JudgeCommit, ValueFound, ValueIntent, ValueMoved
from cardcore.clearing import ValueRecord
from cardcore.clearing.layout import reader_id

if TYPE_CHECKING:
    from cardapi.pcsc.offline import Module


class ValueLine:
    """One card on the reader, and the module that has its keys."""

    def __init__(self, module: Module, line: Line, uid: bytes) -> None:
        """Raises WrongCard for a card that cannot prove to clearing what it pays."""
        self._module, self._line = module, line
        self._number = 0
        try:
            self.card: ValueCard = drive(meet(uid, DESFIRE_APPLICATION), line)
        except (CardRefused, UnexpectedAnswer) as error:
            raise WrongCard("this DESFire card has no transaction MAC: it pays through the service only") from error

    def pay(self, amount: int, at: bytes, intend: Callable[[ValueBegun], None]) -> tuple[ValueBegun, ValueMoved]:
        """Debit `amount` fen. `intend` returns when what it is given is durable. Raises CardRefused and others, OutcomeUnknown."""
        begun: list[ValueBegun] = []

        def answer(request: Any) -> Any:
            if isinstance(request, TakeNumber):
                self._number = self._module.ask(psam.take_number)
                return reader_id(self._module.terminal, self._number, at)
            return self._answer(request)

        def write(intent: ValueIntent) -> None:
            begun.append(ValueBegun(intent, self._number, at, self.card.mac_version))
            intend(begun[0])

        moved = drive(pay(self.card, amount), self._line, module=answer, intend=write)
        return begun[0], moved

    def find_out(self, begun: ValueBegun) -> ValueFound:
        """What became of a debit that was torn."""
        return drive(find_out(self.card, begun.intent), self._line, module=self._answer)

    def _answer(self, request: Any) -> Any:
        match request:
            case AnswerCard():
                return self._module.ask(lambda: psam.answer_card(request))
            case OpenSession():
                return self._module.ask(lambda: psam.open_session(request))
            case JudgeCommit():
                return None  # a till has no key of the transaction MAC: clearing judges it
        raise AssertionError(f"no answer to {type(request).__name__}")


def record_of(terminal: bytes, begun: ValueBegun, counter: int, tmv: bytes) -> ValueRecord:
    """The record of a debit that was proven. counter: of the commit."""
    intent = begun.intent
    return ValueRecord(
        intent.amount, terminal, begun.number, begun.at, tmv, intent.uid, counter, intent.value, key_version=begun.key_version,
        previous=intent.previous,
    )  # fmt: skip
