"""Operators' sessions: opaque 256-bit tokens, of which only the SHA-256 is kept, as registry documents of kind "session".

This file makes and judges the documents; writing them (through the desk, so that logins are in the journal) is the edge's.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any, Protocol

from cardapi.people.scope import Caller, Reach

LIFETIME_S = 12 * 3600
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class People(Protocol):
    """What sessions need of the registry."""

    def document(self, kind: str, name: str) -> dict[str, Any] | None: ...
    def operator(self, name: str) -> Any: ...


def new_token() -> str:
    """256 random bits, URL-safe (43 characters)."""
    return secrets.token_urlsafe(32)


def session_id(token: str) -> str:
    """What is stored instead of the token: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_session(name: str, operator: str, unit: str, now: int, lifetime: int = LIFETIME_S) -> dict[str, Any]:
    """The document of a new session; `now` in epoch seconds."""
    return {"id": name, "operator": operator, "unit": unit, "state": "active", "since": now, "expires_at": now + lifetime}


def ended(document: dict[str, Any]) -> dict[str, Any]:
    """The same session, ended: how logout and revocation look in the registry."""
    return {**document, "state": "ended"}


def find(people: People, token: str, now: int) -> Caller | None:
    """The operator behind a token, with the grants it holds *now* (R5), or None for anything that is not a live session."""
    if _TOKEN.fullmatch(token) is None:
        return None
    name = session_id(token)
    session = people.document("session", name)
    if session is None or session["state"] != "active" or session["expires_at"] <= now:
        return None
    operator = people.operator(session["operator"])
    if operator is None or operator.state != "active":
        return None
    reach = tuple(Reach(grant.role, grant.unit) for grant in operator.grants)
    return Caller(f"operator:{operator.id}", session["unit"], operator=operator.id, session=name, reach=reach)
