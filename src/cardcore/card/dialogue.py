"""What a dialogue asks of the world around it. Dialogues are generators that read like the sequence chart; a driver answers them.

The driver sends `ToCard` over its link, has `ToSam` answered by a security module or key store, and writes `Intend` durably before
it answers (control T). When the card is torn out it closes the generator; what it wrote last is then in flight until `proof.recover`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from cardcore.card.apdu import EXPECTED_MAX, Answer, Command
from cardcore.card.errors import UnexpectedAnswer
from cardcore.card.status import require

FOLLOW_UPS_MAX = 300
"""Follow-ups of one command: 65,536 octets in answers of 256, and room for a length asked again."""


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
    """One command with its follow-ups, whatever the status word.

    61xx is followed by GET RESPONSE, 6Cxx by the command with the right length (ISO/IEC 7816-4, 5.3.4). Raises UnexpectedAnswer
    when a card asks without end: a card may not keep a station busy for ever (F4).
    """
    collected = b""
    sent = command
    for _ in range(FOLLOW_UPS_MAX):
        answer: Answer = yield ToCard(sent)
        high = answer.status >> 8
        if high == 0x6C and not answer.data:
            sent = replace(sent, expected=answer.right_length)
            continue
        if high != 0x61:
            return Answer(collected + answer.data, answer.status) if collected else answer
        collected += answer.data
        if len(collected) > EXPECTED_MAX:
            break
        # GET RESPONSE keeps the logical channel of the command, not its secure messaging.
        sent = Command(command.cla & 0x03 if command.cla < 0x80 else 0x00, 0xC0, 0x00, 0x00, expected=answer.remaining)
    raise UnexpectedAnswer("the card asks for one follow-up after the other")
