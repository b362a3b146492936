"""Two people for one effect (R3, O04): `ask_for` keeps the maker's request, `approve` executes it for somebody else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from cardapi.desk import Request
from cardapi.http.call import Call, Service, ok
from cardapi.http.problems import Answer, HttpProblem
from cardapi.http.staff_schemas import Approvals, ApprovalView, PendingApproval
from cardapi.ids import ticket_id
from cardapi.people import approvals
from cardapi.people.scope import Caller, Reach, reaches
from cardapi.store.port import Entry


class Execution(NamedTuple):
    """An approved request about to be executed."""

    document: dict[str, Any]
    approver: str  # operator id
    body: Any  # the decoded request body

    def request(self, service: Service, verb: str, **facts: Any) -> Request:
        """The desk's request: booked to the maker's unit of effect, under a key nobody else can use."""
        name = self.document["id"]
        return Request(
            verb, "system", approvals.execution_key(name), service.fingerprint("approve", (name, self.body)),
            unit=self.document["unit"], operator=self.document["maker"], approver=self.approver, **facts,
        )  # fmt: skip


class TwoPerson(NamedTuple):
    """How one two-person operation is executed once approved."""

    body: type
    roles: frozenset[str]  # of the maker, and of the approver
    request: Callable[[Service, Execution], Request]
    answer: Callable[[Service, Execution, Entry], Awaitable[Answer]] | None = None  # does what else belongs to it; None: a ticket


async def ask_for(service: Service, call: Call, *, unit: str, card: str) -> Answer:
    """Keep the request as pending: 202. A retry of the key answers the same."""
    name = approvals.approval_id(call.caller.client, call.key)
    async with service.changes:
        document = service.registry.document("approval", name)
        if document is None:
            document = approvals.new_approval(
                name, operation=call.operation.id, maker=call.caller.operator, unit=unit, card=card, path=call.path,
                body=msgspec.to_builtins(call.data), now=service.now(),
            )  # fmt: skip
        entry = await service.change(call, "approval", name, document)
    told = PendingApproval(
        approval_id=name, operation=call.operation.id, card=card, unit=unit, outcome="pending",
        ticket_id=ticket_id(entry.partition, entry.position), journal_position=entry.position, client_key=entry.client_key,
    )  # fmt: skip
    return ok(told, 202)


async def approve(service: Service, call: Call) -> Answer:
    """Execute somebody else's pending request. Whoever may ask for it at that unit may approve it, except the maker."""
    async with service.changes:
        found = _asked_for(service, call)
        if found is None and await service.catch_up():  # another process may have been asked a moment ago
            found = _asked_for(service, call)
        if found is None:
            raise HttpProblem("not_found")
        document, two = found
        await service.is_retry(call)
        approvals.judge(service.registry, document, call.caller.operator, service.now())
        _need_maker(service, document, two)
        facts = Execution(document, call.caller.operator, msgspec.convert(document["body"], two.body))
        entry = await service.desk.execute(two.request(service, facts))
        told = await two.answer(service, facts, entry) if two.answer else None
        if document["state"] == "pending":
            done = approvals.closed(document, call.caller.operator, entry.outcome, ticket_id(entry.partition, entry.position))
            await service.change(call, "approval", document["id"], done, call.data.reason, call.caller.operator)
    return told or await service.tickets.answer(entry, explain=True)


def _asked_for(service: Service, call: Call) -> tuple[dict[str, Any], TwoPerson] | None:
    """The request that a call names and how it is executed; None where it is absent or out of the caller's reach (R4)."""
    document = service.registry.document("approval", call.path["approval"])
    two = service.two_person.get(document["operation"]) if document else None
    if document is None or two is None or not reaches(service.registry, call.caller, document["unit"], two.roles):
        return None
    return document, two


def _need_maker(service: Service, document: dict[str, Any], two: TwoPerson) -> None:
    """The maker must still be allowed to ask: revoking somebody takes their open requests with them (R5)."""
    maker = service.registry.operator(document["maker"])
    if maker is not None and maker.state == "active":
        held = Caller("", "", reach=tuple(Reach(grant.role, grant.unit) for grant in maker.grants))
        if reaches(service.registry, held, document["unit"], two.roles):
            return
    raise HttpProblem("not_allowed", "whoever asked for this may no longer ask for it")


async def list_approvals(service: Service, call: Call) -> Answer:
    """Requests within the caller's reach, newest first."""
    from cardapi.http.lists import page

    rows = [document for _, document in service.registry.documents("approval") if service.reaches(call, document["unit"])]
    rows.sort(key=lambda document: (-document["made_at"], document["id"]))
    chosen, cursor = page(call, rows, lambda document: document["id"])
    views = [ApprovalView(**{key: document[key] for key in ApprovalView.__struct_fields__}) for document in chosen]
    return ok(Approvals(approvals=views, next_cursor=cursor))
