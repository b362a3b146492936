"""Handlers of sessions: login, logout. A login is an entry in the journal, like every other change (A1)."""

from __future__ import annotations

import time

from cardapi.desk import Request
from cardapi.http.call import Call, Service, ok
from cardapi.http.problems import Answer, HttpProblem
from cardapi.http.staff_schemas import Login, Session
from cardapi.people import sessions
from cardapi.people.registry import Operator
from cardapi.people.scope import within


async def login(service: Service, call: Call) -> Answer:
    """Open a session. Wrong name, wrong password and revoked operator get the same answer after the same work (R4)."""
    asked: Login = call.data
    wait = service.logins.wait_s(asked.operator, time.monotonic())
    if wait:
        raise service.too_many("logins", wait)
    operator = service.registry.operator(asked.operator)
    stored = operator.password if operator is not None and operator.state == "active" else None
    try:
        password = asked.password.reveal().decode()
    except UnicodeDecodeError as error:
        raise HttpProblem("login_failed") from error
    if not await service.passwords.matches_async(stored, password) or operator is None:
        raise HttpProblem("login_failed")
    unit = _unit(service, operator, asked.unit)
    token = sessions.new_token()
    name = sessions.session_id(token)
    now = service.now()
    document = sessions.new_session(name, operator.id, unit, now)
    await _write(service, operator.id, unit, f"login:{name[:32]}", name, document)
    return ok(Session(token=token, operator=operator.id, unit=unit, expires_at=document["expires_at"]))


def _unit(service: Service, operator: Operator, asked: str) -> str:
    """Where the session acts: one of the operator's grants reaches it."""
    if not operator.grants:
        raise HttpProblem("login_failed")
    if not asked:
        return operator.grants[0].unit
    if not any(within(service.registry, asked, grant.unit) for grant in operator.grants):
        raise HttpProblem("login_failed")
    return asked


async def logout(service: Service, call: Call) -> Answer:
    """End this session; its token is dead with the next request."""
    session = call.caller.session
    document = service.registry.document("session", session)
    if document is not None and document["state"] == "active":
        await _write(service, call.caller.operator, call.caller.unit, f"logout:{session[:32]}", session, sessions.ended(document))
    return 204, (), b""


async def _write(service: Service, operator: str, unit: str, key: str, name: str, document: dict[str, object]) -> None:
    request = Request(
        "change", f"operator:{operator}", key, service.fingerprint(key, name), unit=unit, operator=operator,
        payload={"kind": "session", "id": name, "document": document},
    )  # fmt: skip
    await service.desk.execute(request)


