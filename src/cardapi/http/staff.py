"""Handlers of organisation and people: units, terminals, operators and their grants (O01, R3, R5)."""

from __future__ import annotations

from typing import Any

from cardapi.http import lists
from cardapi.http import staff_schemas as ask
from cardapi.http.call import Call, Service, ok
from cardapi.http.problems import Answer, HttpProblem
from cardapi.people.registry import Operator, Terminal, Unit
from cardapi.people.scope import may_grant


async def _create(service: Service, call: Call, kind: str, document: dict[str, Any]) -> None:
    """Write a document that must be new. A retry of the same key is the same creation (O2)."""
    name = document["id"]
    async with service.changes:
        if service.registry.document(kind, name) is not None and not await service.is_retry(call):
            raise HttpProblem("exists", f"there is a {kind} {name} already", id=name)
        await service.change(call, kind, name, document)


async def _alter(service: Service, call: Call, kind: str, name: str, document: dict[str, Any]) -> None:
    """Write the next state of a document; a retry changes nothing twice. The caller holds `service.changes`."""
    await service.change(call, kind, name, document, getattr(call.data, "reason", ""))


# ---------------------------------------------------------------- units
async def create_unit(service: Service, call: Call) -> Answer:
    """Add a unit below one in reach."""
    asked: ask.CreateUnit = call.data
    service.need_reach(call, asked.parent)
    document = {"id": asked.id, "name": asked.name, "kind": asked.kind, "parent": asked.parent}
    await _create(service, call, "unit", {**document, "entity": asked.entity} if asked.entity else document)
    parent = service.registry.unit(asked.parent)
    path = [*(parent.path if parent else ()), asked.id]
    return ok(ask.UnitView(id=asked.id, name=asked.name, kind=asked.kind, parent=asked.parent, path=path), 201)


async def list_units(service: Service, call: Call) -> Answer:
    """Units in reach, by id."""
    rows = [unit for unit in service.registry.units() if service.reaches(call, unit.id)]
    chosen, cursor = lists.page(call, rows, lambda unit: unit.id)
    return ok(ask.Units(units=[_unit_view(unit) for unit in chosen], next_cursor=cursor))


def _unit_view(unit: Unit) -> ask.UnitView:
    return ask.UnitView(id=unit.id, name=unit.name, kind=unit.kind, parent=unit.parent, path=list(unit.path))


# ---------------------------------------------------------------- terminals
async def create_terminal(service: Service, call: Call) -> Answer:
    """Add a terminal; its key is in the answer, also of a retry."""
    asked: ask.CreateTerminal = call.data
    service.need_reach(call, asked.unit)
    document = {"id": asked.id, "unit": asked.unit, "name": asked.name, "state": "active", "key_version": 1}
    await _create(service, call, "terminal", document)
    return ok(_terminal_key(service, document), 201)


def _terminal_key(service: Service, document: dict[str, Any]) -> ask.TerminalKey:
    key = service.custody.terminal_key(document["id"], document["key_version"]).reveal().hex()
    return ask.TerminalKey(**document, key=key)


def _terminal(service: Service, call: Call) -> Terminal:
    terminal = service.registry.terminal(call.path["terminal"])
    if terminal is None:
        raise HttpProblem("not_found")
    service.need_reach(call, terminal.unit)
    return terminal


def _terminal_document(terminal: Terminal, **changed: Any) -> dict[str, Any]:
    kept = {"id": terminal.id, "unit": terminal.unit, "name": terminal.name, "state": terminal.state, "key_version": terminal.key_version}
    return {**kept, **changed}


async def revoke_terminal(service: Service, call: Call) -> Answer:
    """From the next request on its signatures are refused (R5)."""
    async with service.changes:
        terminal = _terminal(service, call)
        document = _terminal_document(terminal, state="revoked")
        await _alter(service, call, "terminal", terminal.id, document)
    return ok(ask.TerminalView(**document))


async def rotate_terminal_key(service: Service, call: Call) -> Answer:
    """A new key version; the old one is refused from now on. Also brings a revoked terminal back into service."""
    async with service.changes:
        terminal = _terminal(service, call)
        retry = await service.is_retry(call)
        document = _terminal_document(terminal, state="active", key_version=terminal.key_version + (not retry))
        if not retry:  # a retry gets the key as it is now
            await _alter(service, call, "terminal", terminal.id, document)
    return ok(_terminal_key(service, document))


async def list_terminals(service: Service, call: Call) -> Answer:
    """Terminals in reach, by id."""
    rows = [document for _, document in service.registry.documents("terminal") if service.reaches(call, document["unit"])]
    chosen, cursor = lists.page(call, rows, lambda document: document["id"])
    views = [ask.TerminalView(**{key: document[key] for key in ask.TerminalView.__struct_fields__}) for document in chosen]
    return ok(ask.Terminals(terminals=views, next_cursor=cursor))


# ---------------------------------------------------------------- operators
async def create_operator(service: Service, call: Call) -> Answer:
    """Add an operator with a first role."""
    asked: ask.CreateOperator = call.data
    _need_grant(service, call, asked.role, asked.unit)
    try:
        password = asked.password.reveal().decode()
    except UnicodeDecodeError as error:
        raise HttpProblem("weak_password") from error
    hashed = await service.passwords.hash_async(password)
    grants = [{"role": asked.role, "unit": asked.unit}]
    made_by = call.caller.operator
    await _create(
        service, call, "operator",
        {"id": asked.id, "name": asked.name, "password": hashed, "state": "active", "grants": grants, "made_by": made_by},
    )  # fmt: skip
    return ok(_operator_view(Operator(asked.id, asked.name, "", "active", ()), grants), 201)


def _need_grant(service: Service, call: Call, role: str, unit: str) -> None:
    """The unit must be in reach (else it looks absent), and the role within the caller's own (R3)."""
    service.need_reach(call, unit)
    if not may_grant(service.registry, call.caller, role, unit):
        raise HttpProblem("grant_exceeds_own", role=role, unit=unit)


def _operator(service: Service, call: Call) -> Operator:
    """The named operator, if every grant it holds lies within the caller's own: nobody changes their betters."""
    operator = service.registry.operator(call.path["operator"])
    if operator is None or not any(service.reaches(call, grant.unit) for grant in operator.grants):
        raise HttpProblem("not_found")
    for grant in operator.grants:
        if not may_grant(service.registry, call.caller, grant.role, grant.unit):
            raise HttpProblem("grant_exceeds_own", role=grant.role, unit=grant.unit)
    return operator


def _document(operator: Operator, **changed: Any) -> dict[str, Any]:
    grants = [{"role": grant.role, "unit": grant.unit} for grant in operator.grants]
    kept = {"id": operator.id, "name": operator.name, "password": operator.password, "state": operator.state, "grants": grants}
    return {**kept, **({"made_by": operator.made_by} if operator.made_by else {}), **changed}


def _operator_view(operator: Operator, grants: list[dict[str, str]], state: str = "") -> ask.OperatorView:
    views = [ask.GrantView(**grant) for grant in grants]
    return ask.OperatorView(id=operator.id, name=operator.name, state=state or operator.state, grants=views)


async def grant_role(service: Service, call: Call) -> Answer:
    """One more role. Nobody grants to themselves."""
    asked: ask.GrantRole = call.data
    async with service.changes:
        _need_grant(service, call, asked.role, asked.unit)
        operator = _operator(service, call)
        if operator.id == call.caller.operator:
            raise HttpProblem("maker_is_checker", "nobody grants a role to themselves")
        grants = _document(operator)["grants"]
        if {"role": asked.role, "unit": asked.unit} not in grants:
            grants = [*grants, {"role": asked.role, "unit": asked.unit}]
        await _alter(service, call, "operator", operator.id, _document(operator, grants=grants))
    return ok(_operator_view(operator, grants))


async def revoke_operator(service: Service, call: Call) -> Answer:
    """From the next request on the operator's sessions are refused (R5)."""
    async with service.changes:
        operator = _operator(service, call)
        document = _document(operator, state="revoked")
        await _alter(service, call, "operator", operator.id, document)
    return ok(_operator_view(operator, document["grants"], "revoked"))


async def list_operators(service: Service, call: Call) -> Answer:
    """Operators with a grant in reach, by id."""
    rows = [
        document
        for _, document in service.registry.documents("operator")
        if any(service.reaches(call, grant["unit"]) for grant in document["grants"])
    ]
    chosen, cursor = lists.page(call, rows, lambda document: document["id"])
    views = [
        ask.OperatorView(
            id=document["id"], name=document["name"], state=document["state"],
            grants=[ask.GrantView(**grant) for grant in document["grants"]],
        )
        for document in chosen
    ]  # fmt: skip
    return ok(ask.Operators(operators=views, next_cursor=cursor))
