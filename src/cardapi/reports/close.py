"""Close of a day: the Z report per store and terminal, over a journal range without gap or overlap (C3).

A close is a registry document: its number, its day and, for each partition, the range (after, upto] it covers. `after` is
where the close before it ended, so closes tile the journal; order is the journal's, the wall clock only says where a past
day ends (F1). The figures are folded from the range, and the document keeps their digest: asking again for the same day
folds again and must come to the same digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import partial
from typing import Any

import msgspec

from cardapi.reports.export import time_text
from cardapi.reports.figures import Figures, Ledger, Progress, fold_tills, journal
from cardcore.errors import CardcoreError

Document = dict[str, Any]
Ask = Callable[[Callable[[Ledger], Any]], Awaitable[Any]]
Submit = Callable[[str, Document], Awaitable[object]]

CLIENT = "system"
"""Closes are keyed under one client by their number, so that two people closing at once make one close, not two."""

TRIES = 5


class CloseRefused(CardcoreError):
    """A day that cannot be closed: still to come, or earlier than a day that is closed already."""

    code = "close_refused"


class CloseDiffers(CardcoreError):
    """A close whose range no longer folds to the digest it was made with: the journal was changed. Run `verify`."""

    code = "close_differs"


def close_key(number: int) -> str:
    """The client key of close `number`; whoever comes second with the same number is refused by the desk (O2)."""
    return f"close-{number:08d}"


def latest(closes: Iterable[Document]) -> Document | None:
    """The close with the highest number."""
    return max(closes, key=lambda document: document["number"], default=None)


def plan_close(store: Ledger, closes: Iterable[Document], day: date, *, zone: timezone, now_us: int) -> Document:
    """The document of the close that is to be made for `day`. Raises CloseRefused."""
    last = latest(closes)
    if last is not None and day.isoformat() <= last["day"]:
        raise CloseRefused(
            f"the close of {day} comes too late: {last['day']} is closed already, and closes follow the journal without overlap",
            day=day.isoformat(),
            closed_upto=last["day"],
        )
    ends_us = _day_end_us(day, zone)
    if ends_us - 86_400_000_000 > now_us:
        raise CloseRefused(f"{day} has not begun yet", day=day.isoformat())
    before = {row["partition"]: row["upto"] for row in last["ranges"]} if last else {}
    ranges = []
    for head in store.heads():
        after = before.get(head.partition, 0)
        upto = head.position if now_us < ends_us else _last_before(store, head.partition, after, head.position, ends_us)
        ranges.append({"partition": head.partition, "after": after, "upto": upto})
    document: Document = {
        "id": day.isoformat(),
        "number": last["number"] + 1 if last else 1,
        "day": day.isoformat(),
        "ranges": ranges,
        "closed_at": time_text(now_us),
    }
    document["digest"] = digest(fold(store, document))
    return document


def fold(store: Ledger, document: Document, progress: Progress | None = None) -> dict[str, Any]:
    """The Z report of one close: `total`, `stores` and `terminals` (see `Figures`), customers' money before and after."""
    tills: dict[tuple[str, str], Figures] = {}
    ranges = [(row["partition"], row["after"], row["upto"]) for row in document["ranges"]]
    entries = 0
    for entry in journal(store, ranges, progress):
        entries += 1
        fold_tills(tills, entry)
    total = Figures()
    stores: dict[str, Figures] = {}
    for (unit, _), figures in sorted(tills.items()):
        total.merge(figures)
        stores.setdefault(unit, Figures()).merge(figures)
    before = sum(_liability(store, partition, after) for partition, after, _ in ranges)
    after_fen = sum(_liability(store, partition, upto) for partition, _, upto in ranges)
    return {
        "entries": entries,
        "liability_before_fen": before,
        "liability_after_fen": after_fen,
        "ok": before + total.liability_delta_fen == after_fen,
        "total": total.as_json(),
        "stores": [{"unit": unit, **figures.as_json()} for unit, figures in stores.items()],
        "terminals": [{"unit": unit, "terminal": terminal, **figures.as_json()} for (unit, terminal), figures in sorted(tills.items())],
    }


def digest(figures: dict[str, Any]) -> str:
    """SHA-256 over the figures in canonical JSON: two folds agree exactly when their digests do."""
    return hashlib.sha256(msgspec.json.encode(figures, order="sorted")).hexdigest()


def report(store: Ledger, document: Document, progress: Progress | None = None) -> dict[str, Any]:
    """The close with its figures, folded again. Raises CloseDiffers when they are not what they were."""
    figures = fold(store, document, progress)
    if digest(figures) != document["digest"]:
        raise CloseDiffers(f"the close of {document['day']} folds to other figures than when it was made", day=document["day"])
    return {**document, **figures}


async def close_day(
    ask: Ask, closes: Callable[[], list[Document]], submit: Submit, day: date, *, zone: timezone, now_us: int
) -> dict[str, Any]:
    """Close `day`, or give the same report again if it is closed already.

    ask: runs a read of the store aside from the writer. closes: the close documents as the registry has them now.
    submit: commits a new one under a client key, through the desk. Raises CloseRefused, CloseDiffers and what `submit` raises.
    """
    for attempt in range(TRIES):
        known = [document for document in closes() if document["id"] == day.isoformat()]
        if known:
            again: dict[str, Any] = await ask(partial(report, document=known[0]))
            return again
        document = await ask(lambda store: plan_close(store, closes(), day, zone=zone, now_us=now_us))
        try:
            await submit(close_key(document["number"]), document)
        except CardcoreError as refused:
            # Somebody else took this number while we folded: look again, now their close is the one before ours, or ours.
            if refused.code != "key_reused" or attempt == TRIES - 1:
                raise
    raise CloseRefused("other closes kept coming between", day=day.isoformat())


def _day_end_us(day: date, zone: timezone) -> int:
    ends = datetime.combine(day + timedelta(days=1), time(), tzinfo=zone)
    return (ends - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _last_before(store: Ledger, partition: int, after: int, head: int, ends_us: int) -> int:
    """The last position before the first entry at or past `ends_us`: a cut in the sequence, whatever clocks did later."""
    upto = after
    if head > after:
        for entry in store.journal(partition, after, head):
            if entry.at_us >= ends_us:
                break
            upto = entry.position
    return upto


def _liability(store: Ledger, partition: int, position: int) -> int:
    if position == 0:
        return 0
    entry = store.entry(partition, position)
    assert entry is not None, f"entry {partition}/{position} of a closed range is missing"
    return entry.liability_fen
