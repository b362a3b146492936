"""Drives a dialogue of `cardcore.card` over a link: sends what it yields, asks the module, writes the intent before the card changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from cardapi.pcsc.errors import CardSilent, OutcomeUnknown
from cardcore.card import Answer
from cardcore.card.dialogue import Dialogue, Intend, ToCard

Result = TypeVar("Result")
TAP_S = 20.0
"""How long one conversation may take. A person has taken the card away long before."""


class Line(Protocol):
    """What a dialogue is driven over: a `Link`, or a list of answers in a test."""

    def transmit(self, command: bytes) -> bytes: ...


def no_module(request: Any) -> Any:
    """The module of who has none."""
    raise AssertionError(f"this dialogue needs no keys, yet it asked {type(request).__name__}")


def no_intent(intent: Any) -> None:
    """The journal of a dialogue that changes nothing."""
    raise AssertionError("this dialogue changes nothing on the card")


def drive(
    dialogue: Dialogue[Result],
    line: Line,
    *,
    module: Callable[[Any], Any] = no_module,
    intend: Callable[[Any], None] = no_intent,
    within_s: float = TAP_S,
) -> Result:
    """The whole dialogue; its result.

    module: answers `ToSam` requests. intend: returns when the intent is durable; only then the command that changes the card is sent.
    What fails before an intent is raised as it is: the card is as it was. Anything that fails after it, whatever it is, is
    OutcomeUnknown, raised from its cause: only the card's own proof may settle it (control T).
    """
    deadline = time.monotonic() + within_s
    answer: Any = None
    failed: Exception | None = None
    intended = False
    try:
        while True:
            try:
                question = dialogue.throw(failed) if failed is not None else dialogue.send(answer)
            except StopIteration as done:
                result: Result = done.value
                return result
            answer, failed = None, None
            if isinstance(question, ToCard):
                if time.monotonic() > deadline:
                    raise CardSilent(f"the card was not done after {within_s:g} s")
                answer = Answer.decode(line.transmit(question.command.encode()))
            elif isinstance(question, Intend):
                intend(question.intent)
                intended = True
            else:
                try:
                    answer = module(question.request)
                except Exception as error:  # the dialogue may have something to put right first
                    failed = error
    except Exception as error:
        if not intended:
            raise
        raise OutcomeUnknown("the card did not finish what it was asked to do") from error
    finally:
        dialogue.close()
