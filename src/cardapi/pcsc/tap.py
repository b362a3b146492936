"""One card on one reader: wait for it, do something with it, and again when it was taken away too early."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cardapi.pcsc.context import Context
from cardapi.pcsc.drive import drive
from cardapi.pcsc.errors import CardLocked, CardRemoved, CardSilent, MuteCard, NoCard, NoService, OutcomeUnknown
from cardapi.pcsc.identify import Found, identify
from cardapi.pcsc.link import Link
from cardapi.pcsc.watch import CARD, CARD_GONE, SERVICE_FOUND, SERVICE_LOST, Watcher
from cardcore.card import purse

PATIENT = (CardLocked, CardRemoved, CardSilent, MuteCard, NoCard, NoService, OutcomeUnknown)
"""What another moment, or the card put back, can put right."""

Work = Callable[[Link, Found], Any]
"""What to do with an identified card; runs in the reader's thread."""


def identified(work: Work, make: purse.Make | None = None) -> Callable[[Context, str], Any]:
    """`work` as a watcher wants it: connected, identified, and let go afterwards."""

    def on_card(context: Context, reader: str) -> Any:
        with context.connect(reader) as link:
            return work(link, drive(identify(make), link))

    return on_card


def tap(reader: str, work: Work, *, wait_s: float, note: Callable[[str], None], make: purse.Make | None = None) -> Any:
    """What `work` returns for the card on `reader`, which may come within wait_s seconds.

    A card that left too early is waited for again and `work` called again with whatever card comes, so `work` must know itself what
    it has begun. `note` is told what the person at the reader should know. Raises what `work` raises and is for good, and after
    wait_s the last passing failure: NoCard, CardRemoved, OutcomeUnknown, CardSilent ...
    """
    deadline = time.monotonic() + wait_s
    last: Exception | None = None
    asked = False
    with Watcher(identified(work, make), only=reader) as watcher:
        while True:
            event = watcher.next(max(0.0, min(deadline - time.monotonic(), 0.5 if not asked else wait_s)))
            if event is None and time.monotonic() >= deadline:
                if watcher.busy:
                    raise CardSilent(f"the card in the reader {reader} does not finish", reader=reader) from last
                raise last or NoCard(f"no card came to the reader {reader} within {wait_s:g} s")
            if event is None:
                if not watcher.busy and last is None:
                    note(f"put the card on the reader {reader}")
                asked = True
            elif event.what == CARD and event.error is None:
                return event.result
            elif event.what in (CARD, SERVICE_LOST) and event.error is not None:
                if not isinstance(event.error, PATIENT):
                    raise event.error
                asked = True
                # While a card's outcome is unknown, that it is not there is no news.
                if not isinstance(last, OutcomeUnknown) or isinstance(event.error, OutcomeUnknown):
                    if str(event.error) != str(last):
                        note(str(event.error))
                    last = event.error
            elif event.what == SERVICE_FOUND:
                note("the PC/SC service is back")
            elif event.what == CARD_GONE and last is not None:
                note(f"waiting for the card to come back to the reader {reader}")
