"""Handlers of moving in from another system (N7): ask, import rows, compare, close, take back."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from cardapi.desk import Request
from cardapi.http import approve
from cardapi.http import import_schemas as ask
from cardapi.http.call import Call, Service, ok
from cardapi.http.problems import Answer, HttpProblem
from cardapi.imports import steps
from cardapi.members import model
from cardapi.members.enrol import Claim
from cardapi.members.profile import Profile, clean_phone
from cardapi.store.port import Entry, Store
from cardcore.errors import CardcoreError, Declined
from cardcore.settlement import Adjust, Reverse

_TOTALS = ("rows", "principal_fen", "bonus_fen", "points")


async def create(service: Service, call: Call) -> Answer:
    """Keep the totals for a second person."""
    asked: ask.CreateImport = call.data
    if not service.registry.versions(asked.programme):
        raise HttpProblem("unknown_programme")
    if service.registry.document("import", asked.id) is not None and not await service.is_retry(call):
        raise HttpProblem("exists", f"there is an import {asked.id} already", id=asked.id)
    return await approve.ask_for(service, call, unit=_top(service), card="")


async def undo(service: Service, call: Call) -> Answer:
    """Keep the wish to take it back for a second person."""
    _document(service, call, "open", "closed")
    return await approve.ask_for(service, call, unit=_top(service), card="")


def _top(service: Service) -> str:
    return service.registry.units()[0].path[0]


def opened(service: Service, given: approve.Execution) -> Request:
    """The approved import: open for its rows."""
    asked: ask.CreateImport = given.body
    facts = {name: getattr(asked, name) for name in ("programme", *_TOTALS, "digest")}
    document = {"id": asked.id, **facts, "unit": given.document["unit"], "state": "open"}
    return given.request(service, "change", payload={"kind": "import", "id": asked.id, "document": document}, reason=asked.reason)


def undoing(service: Service, given: approve.Execution) -> Request:
    """The approved way back."""
    name = given.document["path"]["import"]
    document = {**(service.registry.document("import", name) or {}), "state": "undoing"}
    return given.request(service, "change", payload={"kind": "import", "id": name, "document": document}, reason=given.body.reason)


async def told(service: Service, given: approve.Execution, entry: Entry) -> Answer:
    """The import as it is after the approval."""
    del entry
    name = given.document["path"].get("import") or given.body.id
    return ok(await _view(service, service.registry.document("import", name) or {}))


def approvals(allowed: frozenset[str]) -> dict[str, approve.TwoPerson]:
    """The two-person operations of this file."""
    return {
        "createImport": approve.TwoPerson(ask.CreateImport, allowed, opened, told),
        "undoImport": approve.TwoPerson(ask.UndoImport, allowed, undoing, told),
    }


def _document(service: Service, call: Call, *states: str) -> dict[str, Any]:
    document = service.registry.document("import", call.path["import"])
    if document is None:
        raise _absent(service, call.path["import"])
    if states and document["state"] not in states:
        raise HttpProblem("import_state", f"the import is {document['state']}", state=document["state"])
    return document


def _absent(service: Service, name: str) -> HttpProblem:
    """Why there is no such import: nobody asked for it, or nobody approved it."""
    asked = (
        document for _, document in service.registry.documents("approval")
        if document["operation"] == "createImport" and document["body"]["id"] == name
    )  # fmt: skip
    if any(document["state"] == "pending" and document["expires_at"] > service.now() for document in asked):
        return HttpProblem("import_not_approved", f"import {name} was asked for; somebody else has to approve its totals first")
    return HttpProblem("not_found", f"nobody asked for an import {name}, or not lately")


async def _view(service: Service, document: dict[str, Any]) -> ask.ImportView:
    found = await service.report(lambda store: steps.sums(store, document["id"], document["rows"]))
    return ask.ImportView(
        id=document["id"], programme=document["programme"], state=document["state"], found=msgspec.structs.asdict(found),
        expected={name: document[name] for name in _TOTALS},
    )  # fmt: skip


async def get(service: Service, call: Call) -> Answer:
    """What it must come to, and what it came to."""
    return ok(await _view(service, _document(service, call)))


async def close(service: Service, call: Call) -> Answer:
    """End an import whose totals come out to the fen, or one that is all taken back."""
    document = _document(service, call)
    view = await _view(service, document)
    if document["state"] in ("closed", "undone"):
        return ok(view)
    wanted = view.expected if document["state"] == "open" else dict.fromkeys(_TOTALS, 0)
    if view.found != wanted:
        raise HttpProblem("totals_differ", found=view.found, expected=wanted)
    after = {**document, "state": "closed" if document["state"] == "open" else "undone"}
    async with service.changes:
        await service.change(call, "import", document["id"], after)
    return ok(await _view(service, after))


# ---------------------------------------------------------------- rows
class _Part:
    """Rows on their way through the steps; a row that was refused takes no further part."""

    def __init__(self, service: Service, document: dict[str, Any], operator: str) -> None:
        self.service, self.document, self.operator = service, document, operator
        self.refused: dict[int, str] = {}

    def request(self, number: int, step: str, verb: str, meaning: Any, **facts: Any) -> Request:
        name = self.document["id"]
        print_ = self.service.fingerprint("import", (name, number, step, meaning))
        return Request(verb, steps.CLIENT, steps.key(name, number, step), print_, unit=self.document["unit"], operator=self.operator,
                       reason=f"import {name}", **facts)  # fmt: skip

    async def do(self, requests: dict[int, Request]) -> dict[int, Entry]:
        """Have the desk do these; by row number, those that were applied."""
        answers = await self.service.desk.execute_many(list(requests.values()))
        entries: dict[int, Entry] = {}
        for number, answer in zip(requests, answers, strict=True):
            if isinstance(answer, Entry) and answer.outcome == "applied":
                entries[number] = answer
            else:
                self.refused[number] = _code(answer)
        return entries


def _code(answer: Entry | CardcoreError) -> str:
    if isinstance(answer, Entry) or not isinstance(answer, Declined):
        return answer.code
    return answer.declined_code


async def import_rows(service: Service, call: Call) -> Answer:
    """Cards, people, balances and points of some rows, step by step for all of them."""
    document = _document(service, call, "open")
    asked: ask.ImportRows = call.data
    rows = dict(enumerate(asked.rows, start=asked.first))
    if max(rows) > document["rows"]:
        raise HttpProblem("bad_value", f"the import has {document['rows']} rows", field="first")
    part = _Part(service, document, call.caller.operator)
    programme = service.registry.programme(document["programme"], service.now())
    issue = {"programme": document["programme"], "kind": "primary"}
    standing = await part.do({
        number: part.request(number, "issue", "issue", row, card=row.card, payload={**issue, "valid_until": row.valid_until})
        for number, row in rows.items()
    })  # fmt: skip
    standing = await part.do({number: part.request(number, "activate", "activate", "", card=rows[number].card) for number in standing})
    await _people(part, {number: row for number, row in rows.items() if number in standing and (row.name or row.phone)})
    for role in steps.MONEY:
        amounts = {number: getattr(rows[number], "points" if role == "points" else f"{role}_fen") for number in standing}
        purse = steps.purse_of(programme, role)
        if any(amounts.values()) and not purse:
            part.refused |= {number: "no_such_purse" for number, amount in amounts.items() if amount}
            continue
        await part.do({
            number: part.request(number, role, "adjust", (rows[number].card, amount), card=rows[number].card, command=Adjust(purse, amount))
            for number, amount in amounts.items()
            if amount and number not in part.refused
        })  # fmt: skip
    return ok(ask.RowResults(done=len(rows) - len(part.refused), refused={str(number): code for number, code in part.refused.items()}))


async def _people(part: _Part, rows: dict[int, ask.ImportRow]) -> None:
    """Enrol who is not a member yet, one person once, and link their cards."""
    enrol = {
        number: part.request(number, "enrol", "enrol", row, payload={
            "profile": Profile(name=row.name, phone=row.phone, birthday=row.birthday), "claim": Claim(route="import"),
        })
        for number, row in rows.items()
    }  # fmt: skip
    made = await part.do(enrol)
    members = {number: model.member_id(entry.partition, entry.position) for number, entry in made.items()}
    for number, row in rows.items():
        if part.refused.get(number) == "member_exists":  # the same person with another card
            blind = part.service.custody.blind("phone", clean_phone(row.phone))
            known = await part.service.desk.uploads.ask(partial(_holder_of, blind))
            if known:
                members[number] = known
                del part.refused[number]
    await part.do({
        number: part.request(number, "link", "link", member, card=rows[number].card, payload={"member": member})
        for number, member in members.items()
    })  # fmt: skip


def _holder_of(blind: str, store: Store) -> str:
    found = store.find_records("person", "phone", blind, limit=1)
    return found[0].id if found else ""


def _found(name: str, numbers: range, step: str, store: Store) -> dict[int, Entry]:
    return steps.found(store, name, numbers, step)


async def undo_rows(service: Service, call: Call) -> Answer:
    """Take back some rows: points, bonus, principal, people, cards. What was spent is refused and stays."""
    document = _document(service, call, "undoing")
    asked: ask.UndoRows = call.data
    numbers = range(asked.first, min(asked.first + asked.count, document["rows"] + 1))
    part = _Part(service, document, call.caller.operator)
    name = document["id"]
    for role in reversed(steps.MONEY):
        entries = await service.desk.uploads.ask(partial(_found, name, numbers, role))
        await part.do({
            number: part.request(number, f"undo-{role}", "reverse", role, ref=entry.position, partition=entry.partition, command=Reverse())
            for number, entry in entries.items()
        })  # fmt: skip
    enrolled = await service.desk.uploads.ask(partial(_found, name, numbers, "enrol"))
    await part.do({
        number: part.request(number, "undo-enrol", "erase", "", payload={"member": model.member_id(entry.partition, entry.position)})
        for number, entry in enrolled.items() if number not in part.refused
    })  # fmt: skip
    cards = await service.desk.uploads.ask(partial(_found, name, numbers, "issue"))
    await part.do({
        number: part.request(number, "undo-cancel", "cancel", "", card=entry.card)
        for number, entry in cards.items() if number not in part.refused
    })  # fmt: skip
    return ok(ask.RowResults(done=len(numbers) - len(part.refused), refused={str(number): code for number, code in part.refused.items()}))
