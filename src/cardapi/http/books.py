"""Handlers of programmes and books: publish, list, close a day, trial balance, journal export, verify."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta, timezone
from itertools import islice
from typing import Any

from cardapi.desk import Request
from cardapi.http import lists
from cardapi.http import staff_schemas as ask
from cardapi.http.call import Call, Service, ok
from cardapi.http.problems import Answer, HttpProblem
from cardapi.people.registry import ProgrammeVersion
from cardapi.reports import close, export, trial
from cardapi.store.port import Entry, Store
from cardcore.settlement import pack

ENTRIES_MAX = 1_000  # of one page of the journal


# ---------------------------------------------------------------- programmes
async def publish_scheme(service: Service, call: Call) -> Answer:
    """Publish a programme version; what is published never changes."""
    asked: ask.PublishScheme = call.data
    programme = await service.report(lambda _: pack.load(asked.pack))
    name = f"{programme.name}@{programme.version}"
    async with service.changes:
        known = service.registry.document("programme", name)
        if known is not None and not await service.is_retry(call):
            raise HttpProblem("exists", f"{name} is published already; a change needs a new version", id=name)
        valid_from = known["valid_from"] if known else asked.valid_from or service.now()
        await service.change(call, "programme", name, {"id": name, "pack": asked.pack, "valid_from": valid_from})
    published = next(v for v in service.registry.versions(programme.name) if v.version == programme.version)
    return ok(_scheme(published), 201)


def _scheme(published: ProgrammeVersion) -> ask.SchemeView:
    programme = published.programme
    return ask.SchemeView(
        name=published.name, version=published.version, valid_from=published.valid_from, digest=programme.digest,
        purses=list(programme.purses), tiers=list(programme.tiers), products=list(programme.products),
    )  # fmt: skip


async def list_schemes(service: Service, call: Call) -> Answer:
    """Every published version, by name and date."""
    rows = [version for name in service.registry.programme_names() for version in service.registry.versions(name)]
    chosen, cursor = lists.page(call, rows, lambda version: f"{version.name}@{version.version}")
    return ok(ask.Schemes(schemes=[_scheme(version) for version in chosen], next_cursor=cursor))


# ---------------------------------------------------------------- books
async def close_day(service: Service, call: Call) -> Answer:
    """The Z report of a day: made once, the same for ever (C3). The close is keyed by its own number, not by the caller's key."""
    asked: ask.CloseDay = call.data
    try:
        day = date.fromisoformat(asked.day)
    except ValueError as error:
        raise HttpProblem("bad_value", "there is no such day", field="day") from error
    sign = -1 if asked.utc_offset[0] == "-" else 1
    offset = timedelta(hours=int(asked.utc_offset[1:3]), minutes=int(asked.utc_offset[4:6]))
    caller = call.caller

    async def submit(key: str, document: dict[str, Any]) -> object:
        request = Request(
            "change", close.CLIENT, key, service.fingerprint("closeDay", document), unit=caller.unit, operator=caller.operator,
            payload={"kind": "close", "id": document["id"], "document": document},
        )  # fmt: skip
        return await service.desk.execute(request)

    def closes() -> list[dict[str, Any]]:
        return [document for _, document in service.registry.documents("close")]

    report = await close.close_day(
        service.report, closes, submit, day, zone=timezone(sign * offset), now_us=service.clock()
    )
    return ok(report)


async def trial_balance(service: Service, call: Call) -> Answer:
    """Every ledger account's total over the whole journal; sums to zero (M1, M10)."""
    del call
    return ok(await service.report(trial.trial_balance))


async def export_journal(service: Service, call: Call) -> Answer:
    """One page of the journal as lines of postings; whole entries only, so each page sums to zero."""
    partition, after = _place(lists.cursor_name(call))
    most = lists.limit(call, ENTRIES_MAX)
    lines, cursor = await service.report(lambda store: _page(store, partition, after, most))
    return ok({"lines": lines, "next_cursor": lists.cursor_text(cursor) if cursor else ""})


def _place(text: str) -> tuple[int, int]:
    """A journal cursor `partition.position`."""
    if not text:
        return 0, 0
    first, _, second = text.partition(".")
    if not (first.isascii() and first.isdigit() and second.isascii() and second.isdigit() and len(text) <= 20):
        raise HttpProblem("cursor_malformed")
    return int(first), int(second)


def _page(store: Store, partition: int, after: int, most: int) -> tuple[list[dict[str, Any]], str]:
    lines: list[dict[str, Any]] = []
    left = most
    for head in sorted(store.heads(), key=lambda head: head.partition):
        if head.partition < partition or (head.partition == partition and after >= head.position):
            continue
        start = after if head.partition == partition else 0
        last = start
        for entry in _some(store.journal(head.partition, start, head.position), left):
            lines.extend(export.export_entry(entry))
            last = entry.position
            left -= 1
        if left == 0 and last < head.position:
            return lines, f"{head.partition}.{last}"
        if left == 0:
            return lines, f"{head.partition + 1}.0" if any(other.partition > head.partition for other in store.heads()) else ""
    return lines, ""


def _some(entries: Iterator[Entry], most: int) -> Iterator[Entry]:
    return islice(entries, most)


async def verify_ledger(service: Service, call: Call) -> Answer:
    """Replay the chain, the balances and the checkpoints; names the first bad place."""
    del call
    return ok(await service.report(service.shop.verify))
