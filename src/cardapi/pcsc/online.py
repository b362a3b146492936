"""A card session with the service: the station carries commands to the card and its answers back, and knows no keys.

One purchase or load has one client key, however often the card is taken away: asked again under it, the service goes on from what it
has written, and ends it by the card's proof (docs/cards.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from cardapi.pcsc.drive import Line
from cardapi.pcsc.errors import CardRemoved, OutcomeUnknown, PcscError, UnknownCard
from cardapi.pcsc.identify import UNKNOWN, Found
from cardcore.errors import CardcoreError

AGAIN = frozenset({"unreachable", "unknown_session", "busy", "not_ready", "signature_time"})
"""Codes after which the same key is asked again: the service was away, or has forgotten a session that it lost with a restart."""


class Calls(Protocol):
    """The service's operations by their ids. Raises CardcoreError with the service's code."""

    def do(self, operation: str, body: Any = None, *, key: str = "", path: Any = None) -> Any: ...


class SessionRefused(PcscError):
    """The service, or the card, said no and nothing was changed. `code` is the service's own (docs/cards.md, docs/api.md)."""

    def __init__(self, result: dict[str, Any]) -> None:
        said = result.get("detail") or (result.get("code") or "refused").replace("_", " ")
        left = result.get("tries_left", -1)
        super().__init__(f"{said}; {left} tries left" if left >= 0 else said)
        self.code = result.get("code") or "refused"


class Session:
    """What a person asked for, to be offered to the cards that come until one has done it."""

    def __init__(self, service: Calls, body: dict[str, Any], fresh_key: Callable[[], str]) -> None:
        """body: of openCardSession. fresh_key: a client key that was never used."""
        self._service, self._body, self._fresh_key = service, body, fresh_key
        self._key = fresh_key()
        self.begun = False  # the service may have written an intent under this key

    def offer(self, line: Line, found: Found) -> dict[str, Any]:
        """The result of the session: its outcome is `done`, or `settled` when the card came with something older that was ended instead.

        Raises SessionRefused, CardRemoved; OutcomeUnknown as long as the card, or the service, has to be asked again.
        """
        if found.kind == UNKNOWN and not self.begun:
            raise UnknownCard("the card on the reader answers as none that is known")
        while True:
            result = self._once(line)
            match result["outcome"]:
                case "done":
                    return result
                case "settled" if not self.begun or result.get("happened"):
                    return result | ({"outcome": "done", "recovered": True} if self.begun else {})
                case "refused" if result.get("code") == "other_card":
                    raise OutcomeUnknown("this is another card than the one that was taken away")
                case "refused" if not (self.begun and result.get("ticket_id")):
                    raise SessionRefused(result)
                case "in_flight":
                    self.begun = True
                    raise OutcomeUnknown("the card did not finish what it was asked to do", ticket_id=result.get("ticket_id", ""))
                case "torn":
                    raise CardRemoved("the card was taken off the reader")
            # What was begun is proved not to have happened: now it is asked for anew.
            self.begun = False
            self._key = self._fresh_key()

    def _once(self, line: Line) -> dict[str, Any]:
        """One session to its result. A service that goes away leaves the outcome unknown, once it has been asked."""
        asked = self.begun
        try:
            step = self._service.do("openCardSession", self._body, key=self._key)
            while step.get("result") is None:
                asked = True
                answers = _carried(line, step["commands"])
                body = {"step": step["step"], "answers": answers}
                step = self._service.do("stepCardSession", body, path={"session": step["session"]})
        except CardcoreError as error:
            if not asked or error.code not in AGAIN:
                raise
            self.begun = True
            raise OutcomeUnknown("the service did not answer any more") from error
        result: dict[str, Any] = step["result"]
        return result


def _carried(line: Line, commands: list[str]) -> list[str]:
    """The card's answers in hex; empty ones from where it went away on."""
    answers: list[str] = []
    for command in commands:
        try:
            answers.append(line.transmit(bytes.fromhex(command)).hex())
        except PcscError:
            answers += [""] * (len(commands) - len(answers))
            break
    return answers
