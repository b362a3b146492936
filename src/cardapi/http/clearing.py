"""Handlers of off-line clearing: uploads, their status, cases, and whose a purchase SAM is (control D, K, C)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from cardapi.clearing.board import page
from cardapi.clearing.prepare import Prepare
from cardapi.clearing.sequences import findings
from cardapi.desk.clearing import counted
from cardapi.http import clearing_schemas as ask
from cardapi.http import lists
from cardapi.http.call import Call, Service, ok
from cardapi.http.problems import Answer, HttpProblem
from cardapi.ids import ticket_id
from cardapi.keys.errors import KeyStoreError
from cardapi.store.port import Entry, Store
from cardcore.clearing import body, parse
from cardcore.clearing.blocked import mac as blocked_mac
from cardcore.clearing.body import Case, case_order, unpack_batch, unpack_case
from cardcore.clearing.reasons import NAMES, WHAT
from cardcore.clearing.sequences import BY_CARD, BY_TERMINAL, Finding
from cardcore.clearing.upload import Upload

CASES_MAX = 500
SCANNED_MAX = 20_000  # cases looked at for one page: of a caller who may see few of them
BLOCKED_MAX = 5_000
_BLOCKED_CURSOR = re.compile(r"([1-9][0-9]{0,11})\|(0|[1-9][0-9]{0,11})\|([!-~]{1,128})")
_BATCH = re.compile("[0-9a-f]{12}-(0|[1-9][0-9]{0,9})")


async def upload(service: Service, call: Call) -> Answer:
    """Verify, judge and post the records of a piece of a batch."""
    if call.caller.terminal and service.registry.suspended(call.caller.terminal):
        raise HttpProblem("terminal_suspended")
    fragment = parse(call.data.batch)
    settings = service.shop.settings
    try:
        prepare = Prepare(service.registry, service.shop.keys, settings.card_system.encode(), settings.clearing)
        command = await service.desk.uploads.ask(lambda store: prepare.upload(store, fragment))
    except KeyStoreError as error:
        raise HttpProblem("keys_unavailable", error.detail) from error
    if not call.caller.terminal:
        _need_tills(service, call, command)
    # The cards tell the desk which partitions it writes.
    entry = await service.desk.execute(service.request(call, "clear_batch", command=command, further=command.numbers))
    return ok(cleared(entry))


def _need_tills(service: Service, call: Call, command: Upload) -> None:
    """A person uploads what tills within reach took: for wrong MACs the tills are blamed, and those of others are not his to suspend."""
    for index in sorted(set(command.payees) - {body.NOBODY}):
        unit, name = command.tills[index]
        terminal = service.registry.terminal(name)
        if not service.reaches(call, unit) and (terminal is None or not service.reaches(call, terminal.unit)):
            raise HttpProblem("not_found")


def cleared(entry: Entry) -> ask.Cleared:
    """The answer of an upload, from its entry alone (O2)."""
    done = body.Cleared.unpack(entry.body)
    assert done.batch is not None, "an upload has a batch"
    return ask.Cleared(
        ticket_id=ticket_id(entry.partition, entry.position),
        journal_position=entry.position,
        client_key=entry.client_key,
        received=done.received,
        repeated=done.repeated - counted(done),
        counted=counted(done),
        outcomes={NAMES[outcome]: count for outcome, count in sorted(Counter(done.outcomes).items())},
        accepted_fen=-done.liability_delta_fen,
        batch=_batch_view(done.batch),
    )


def _batch_view(count: body.BatchCount) -> ask.BatchView:
    return ask.BatchView(
        batch=count.id, received=count.received, accepted=count.accepted, accepted_fen=count.accepted_fen, cases=count.cases,
        sealed=count.sealed, sealed_fen=count.sealed_fen,
    )  # fmt: skip


# ---------------------------------------------------------------- blocked cards
async def blocked(service: Service, call: Call) -> Answer:
    """The list of blocked cards for a station, or what changed since the one it has, by pages of one and the same list."""
    terminal = service.registry.terminal(call.caller.terminal)
    assert terminal is not None, "a terminal signed the call"
    most = lists.limit(call, BLOCKED_MAX)
    text = call.query.get("since", "0")
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise HttpProblem("query_malformed", "since is the version of a list", parameter="since")
    given, asked, medium = _blocked_cursor(call) or (0, int(text), "")
    listing = (
        service.blocked.kept(given) if given else await service.report(lambda store: service.blocked.current(service.now(), store.blocked))
    )
    changes = service.blocked.changes(asked, listing) if listing is not None and asked else None
    if listing is None or (given and asked and changes is None):
        raise HttpProblem("cursor_malformed", "this list is not kept any more: begin again")
    chosen, last = page(listing.rows if changes is None else changes, medium, most)
    since = asked if changes is not None else 0
    count, key = len(listing.rows), service.custody.terminal_key(terminal.id, terminal.key_version)
    return ok(ask.BlockedCards(
        version=listing.version, since=since, count=count, digest=listing.digest.hex(), key_version=terminal.key_version,
        mac=blocked_mac(key.reveal(), terminal.id, listing.version, count, listing.digest).hex(),
        cards=[ask.BlockedCard(medium=row.medium, state=row.state, since=row.since) for row in chosen],
        next_cursor=lists.cursor_text(f"{listing.version}|{since}|{last}") if last else "",
    ))  # fmt: skip


def _blocked_cursor(call: Call) -> tuple[int, int, str] | None:
    """Version of the list, the one that its changes are asked since, and the last medium of the page before."""
    name = lists.cursor_name(call)
    if not name:
        return None
    found = _BLOCKED_CURSOR.fullmatch(name)
    if found is None:
        raise HttpProblem("cursor_malformed")
    return int(found[1]), int(found[2]), found[3]


async def status(service: Service, call: Call) -> Answer:
    """What has come of a batch; a terminal sees those of its own SAM."""
    name = call.path["clearing"]
    if _BATCH.fullmatch(name) is None or not _sees_sam(service, call, name[:12]):
        raise HttpProblem("not_found")
    row = (await service.desk.ask(lambda store: store.records("clearing-batch", [name]))).get(name)
    if row is None:
        raise HttpProblem("not_found")
    return ok(_batch_view(unpack_batch(row.body)))


def _sees_sam(service: Service, call: Call, number: str) -> bool:
    """Whose it is now, or was last, may see it; a number that is nobody's is the issuer's business."""
    sam = service.registry.sam(number)
    period = next((period for period in reversed(sam.periods) if period.terminal), None) if sam else None
    if call.caller.terminal:
        return period is not None and period.terminal == call.caller.terminal
    return _sees(service, call, period.unit if period else "")


def _sees(service: Service, call: Call, unit: str) -> bool:
    """Things of no unit are the issuer's."""
    return service.reaches(call, unit or service.registry.unit(call.caller.unit).path[0])  # type: ignore[union-attr]


# ---------------------------------------------------------------- cases
async def list_cases(service: Service, call: Call) -> Answer:
    """Cases within reach, oldest first: of records, or (about=sequences) what sequences of records show now."""
    about, state, reason = call.query.get("about", "records"), call.query.get("show", "open"), call.query.get("reason", "")
    if about not in ("records", "sequences") or state not in ("open", "closed") or (reason and reason not in WHAT):
        raise HttpProblem("query_malformed")
    most = lists.limit(call, CASES_MAX)
    if about == "records":
        page, cursor = await service.report(lambda store: _page(service, call, store, state, reason, most))
    else:
        page, cursor = await service.report(lambda store: _sequences(service, call, store, reason, most))
    return ok(ask.Cases(cases=page, next_cursor=lists.cursor_text(cursor) if cursor else ""))


def _page(service: Service, call: Call, store: Store, state: str, reason: str, most: int) -> tuple[list[ask.CaseView], str]:
    order, _, name = lists.cursor_name(call).partition("|")
    shown: list[ask.CaseView] = []
    for _ in range(SCANNED_MAX // CASES_MAX):
        rows = store.find_records("case", "state", f"{state}/", f"{state}/~", after=(order, name), limit=CASES_MAX)
        for row in rows:
            case = unpack_case(row.body)
            order, name = case_order(case), case.id
            if (not reason or case.reason == reason) and _sees(service, call, case.unit):
                shown.append(_case_view(store, case))
                if len(shown) == most:
                    return shown, f"{order}|{name}"
        if len(rows) < CASES_MAX:
            return shown, ""
    return shown, f"{order}|{name}"


def _case_view(store: Store, case: Case) -> ask.CaseView:
    found = store.read_accounts([case.account_id]).get(case.account_id) if case.account_id else None
    return ask.CaseView(
        case=case.id, reason=case.reason, what=WHAT[case.reason], state=case.state, card=found.card.number if found else "",
        terminal=case.terminal, unit=case.unit, amount_fen=case.amount_fen, opened_at=case.opened_at, closed_at=case.closed_at,
        note=case.note, facts=case.facts,
    )  # fmt: skip


def _sequences(service: Service, call: Call, store: Store, reason: str, most: int) -> tuple[list[ask.CaseView], str]:
    """Findings are read anew each time; the cursor is how many there were before."""
    skipped = lists.cursor_number(call)
    place = skipped
    shown: list[ask.CaseView] = []
    for found in islice(_open_findings(store), skipped, None):
        place += 1
        case = _finding_case(service, found)
        if (not reason or found.reason == reason) and _sees(service, call, case.unit):
            shown.append(_case_view(store, case))
            if len(shown) == most:
                return shown, str(place)
    return shown, ""


def _open_findings(store: Store) -> Iterator[Finding]:
    """What nobody has closed yet."""
    for about in (BY_TERMINAL, BY_CARD):
        for found in findings(store, about):
            if not store.records("case", [found.id]):
                yield found


def _finding_case(service: Service, found: Finding) -> Case:
    sam = service.registry.sam(found.subject)
    period = next((period for period in reversed(sam.periods) if period.terminal), None) if sam else None
    terminal, unit = (period.terminal, period.unit) if period else ("", "")
    facts: dict[str, Any] = {
        "subject": found.subject, "first": found.first, "last": found.last,
        "tickets": [ticket_id(entry >> 48, entry & (1 << 48) - 1) for entry in found.entries],
    }  # fmt: skip
    return Case(found.id, found.reason, "open", found.account_id, terminal, unit, found.amount_fen, 0, 0, "", facts)


async def close_case(service: Service, call: Call) -> Answer:
    """Close a case within reach, with a reason; no money moves."""
    name = call.path["case"]
    case = await service.report(lambda store: _find(service, store, name))
    if case is None or not _sees(service, call, case.unit):
        raise HttpProblem("unknown_case")
    request = service.request(call, "close_case", payload={"case": name, "sequence": case}, reason=call.data.reason)
    entry = await service.desk.execute(request)
    closed = body.Cleared.unpack(entry.body).cases[0]
    return ok(await service.desk.ask(lambda store: _case_view(store, closed)))


def _find(service: Service, store: Store, name: str) -> Case | None:
    row = store.records("case", [name]).get(name)
    if row is not None:
        return unpack_case(row.body)
    about = BY_TERMINAL if name.startswith("terminal") else BY_CARD
    if name.partition(":")[0] not in WHAT:
        return None
    found = next((found for found in findings(store, about) if found.id == name), None)
    return _finding_case(service, found) if found else None


# ---------------------------------------------------------------- terminals
async def assign_sam(service: Service, call: Call) -> Answer:
    """Say whose a terminal number is from a time on; what it was before stays (C4)."""
    asked: ask.AssignSam = call.data
    async with service.changes:
        terminal = service.registry.terminal(asked.terminal) if asked.terminal else None
        if asked.terminal and terminal is None:
            raise HttpProblem("not_found")
        known = service.registry.sam(asked.sam)
        units = {period.unit for period in known.periods if period.unit} if known else set()
        for unit in (units | {terminal.unit}) if terminal else units or {""}:
            if not _sees(service, call, unit):
                raise HttpProblem("not_found")
        periods = [[period.valid_from, period.terminal, period.unit] for period in known.periods] if known else []
        period = [asked.valid_from, asked.terminal, terminal.unit if terminal else ""]
        if not await service.is_retry(call) or period not in periods:
            periods.append(period)
        offset = known.utc_offset if known else asked.utc_offset
        document = {"id": asked.sam, "utc_offset": offset, "periods": periods}
        await service.change(call, "sam", asked.sam, document)
    return ok(_sam_view(document), 201)


def _sam_view(document: dict[str, Any]) -> ask.SamView:
    periods = [ask.SamPeriodView(valid_from=start, terminal=terminal, unit=unit) for start, terminal, unit in document["periods"]]
    return ask.SamView(sam=document["id"], utc_offset=document["utc_offset"], periods=periods)


async def list_sams(service: Service, call: Call) -> Answer:
    """Purchase SAMs within reach, by terminal number."""
    rows = [document for name, document in service.registry.documents("sam") if _sees_sam(service, call, name)]
    chosen, cursor = lists.page(call, rows, lambda document: document["id"])
    return ok(ask.Sams(sams=[_sam_view(document) for document in chosen], next_cursor=cursor))


async def release(service: Service, call: Call) -> Answer:
    """End the suspension of a terminal. Held records are judged when they are uploaded again."""
    name = call.path["terminal"]
    async with service.changes:
        terminal = service.registry.terminal(name)
        document = service.registry.document("suspension", name)
        if terminal is None or document is None or not service.reaches(call, terminal.unit):
            raise HttpProblem("not_found")
        released = {**document, "bad": 0, "state": "released"}
        await service.change(call, "suspension", name, released, call.data.reason)
    return ok(ask.Suspension(terminal=name, state="released", bad=0))
