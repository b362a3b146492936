"""`cardcore card personalise`: blank cards become the next ones of a batch, one after the other, in the reader of a station."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Token, Url
from cardapi.cli.reader_online import KeyVersion, Terminal, pin
from cardapi.cli.reader_words import ReaderName, choose
from cardapi.cli.service import Service, fresh_key, station
from cardapi.cli.show import emit_json, note, progress, say

if TYPE_CHECKING:

    from cardapi.pcsc.identify import Found
    from cardapi.pcsc.link import Link

Batch = Annotated[str, typer.Argument(help="The batch (cardcore batch open).", show_default=False)]
Count = Annotated[int, typer.Option("--count", min=1, help="How many cards to make in this run.")]
Activate = Annotated[bool, typer.Option("--activate", help="Put each card into use at once.")]
Wait = Annotated[float, typer.Option("--wait", min=0, help="How many seconds to wait for the next card.")]
NEXT = frozenset({"medium_taken", "wrong_chip", "card_refused", "other_card", "unexpected_answer", "medium_not_active"})
"""What is wrong with this card only: the next one may be put on the reader."""


def personalise(
    batch: Batch, count: Count = 1, activate: Activate = False, reader: ReaderName = "", wait: Wait = 300, data: DataDir = DEFAULT_DATA,
    url: Url = "", token: Token = "", terminal: Terminal = "", key_version: KeyVersion = 1, as_json: Json = False,
) -> None:  # fmt: skip
    """Make cards of a batch: put one blank card after the other on the reader, until so many are done.

    The PIN that the cards get comes from CARDCORE_PIN, or is asked for. A card that was taken away too early is put back and goes on
    where it was, in this run or a later one; every serial is counted (cardcore batch show).

    Example: cardcore card personalise spring --count 100 --activate
    """
    made: list[dict[str, str]] = []
    name, secret = choose(reader), pin()
    with station(data, url=url, token=token, terminal=terminal, version=key_version) as service, progress(batch, count) as advance:
        bench = _Bench(service, {"purpose": "personalise", "batch": batch, **secret}, activate)
        try:
            for card in _cards(name, bench, wait, count):
                made.append(card)
                advance(1)
                if not as_json:
                    say(f"made {len(made)} of {count}: card {card['card']}  {card['medium']}{'  active' if activate else ''}")
        finally:
            # Whatever ended it: these cards are made.
            if as_json:
                emit_json({"batch": batch, "asked": count, "made": made})
    if len(made) < count:
        note(f"{len(made)} of {count} cards were made: every serial of the batch is given (cardcore batch show {batch})")


class _Bench:
    """What is done with each card that comes, in the reader's thread."""

    def __init__(self, service: Service, body: dict[str, Any], activate: bool) -> None:
        self._service, self._body, self._activate = service, body, activate

    def make(self, link: Link, found: Found) -> dict[str, str]:
        """Personalise this card. Raises as `Session.offer`."""
        from cardapi.pcsc.online import Session

        result = Session(self._service, self._body, fresh_key).offer(link, found)
        if self._activate:
            self._service.do("activateCard", {}, key=fresh_key(), path={"card": result["card"]})
        return {"card": result["card"], "medium": result["medium"]}


def _cards(reader: str, bench: _Bench, wait: float, count: int) -> Any:
    """Each card as it is done. Ends after `count`, or when the batch has no serial left. Raises NoCard, and what is no card's fault."""
    from cardapi.pcsc.errors import NoCard
    from cardapi.pcsc.online import SessionRefused
    from cardapi.pcsc.tap import PATIENT, identified
    from cardapi.pcsc.watch import CARD, Watcher

    done = 0
    deadline = time.monotonic() + wait
    with Watcher(identified(bench.make), only=reader) as watcher:
        note(f"put a blank card on the reader {reader}")
        while done < count:
            event = watcher.next(deadline - time.monotonic())
            if event is None:
                raise NoCard(f"no card came to the reader {reader} within {wait:g} s; {done} of {count} are made", made=done)
            if event.what != CARD:
                continue
            deadline = time.monotonic() + wait
            if event.error is None:
                yield event.result
                done += 1
                _say_next(reader, count - done)
            elif isinstance(event.error, SessionRefused) and event.error.code == "batch_exhausted":
                return
            elif isinstance(event.error, PATIENT) or getattr(event.error, "code", "") in NEXT:
                note(f"this card was not made: {event.error}")
            else:
                raise event.error


def _say_next(reader: str, left: int) -> None:
    if left:
        note(f"take it off and put the next one on the reader {reader}; {left} to go")
