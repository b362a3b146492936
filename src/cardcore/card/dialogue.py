"""What a dialogue asks of the world around it. Dialogues are generators that read like the sequence chart; a driver answers them.

The driver sends `ToCard` over its link, has `ToSam` answered by a security module or key store, and writes `Intend` durably before
it answers (control T). When the card is torn out it closes the generator; what it wrote last is then in flight until `proof.recover`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from cardcore.card.apdu import Answer, Command, exchange
from cardcore.card.errors import UnexpectedAnswer
from cardcore.card.status import require


@dataclass(frozen=True, slots=True)
class ToCard:
    """Send this to the card; the answer is an `Answer`."""

    command: Command


@dataclass(frozen=True, slots=True)
class ToSam:
    """Have this done with keys; what comes back is named by the request. A wrong MAC is raised as `InvalidMac` at the yield."""

    request: Any


@dataclass(frozen=True, slots=True)
class Intend:
    """The next command changes the card. Write this durably first; the answer is None."""

    intent: Any


Question: TypeAlias = ToCard | ToSam | Intend
Result = TypeVar("Result")
Dialogue: TypeAlias = Generator[Question, Any, Result]


def ask(command: Command, *good: int, octets: int | None = None) -> Dialogue[bytes]:
    """One command with its follow-ups; its data.

    good: status words that are right, success when none is named. octets: how many must come back.
    Raises CardRefused for another status word and UnexpectedAnswer for another length.
    """
    answer = yield from transmit(command)
    require(answer.status, *good)
    if octets is not None and len(answer.data) != octets:
        raise UnexpectedAnswer(f"{octets} octets were expected, {len(answer.data)} came", expected=octets, came=len(answer.data))
    return answer.data


def transmit(command: Command) -> Dialogue[Answer]:
    """One command with its follow-ups, whatever the status word."""
    inner = exchange(command)
    question = next(inner)
    while True:
        answer = yield ToCard(question)
        try:
            question = inner.send(answer)
        except StopIteration as done:
            whole: Answer = done.value
            return whole
