"""The OpenAPI 3.1 document, made from the operations table: what is served and what is described cannot drift apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from cardapi import shipped
from cardapi.http.edge import RUNNING_MAX
from cardapi.http.examples import EXAMPLES
from cardapi.http.fields import BEHIND, schema_hook
from cardapi.http.money_schemas import Problem
from cardapi.http.operations import Operation
from cardapi.http.problems import PROBLEMS, TYPE_PREFIX
from cardcore import strictjson

TITLE = "cardcore"
_LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
REF = "#/components/schemas/{name}"
JSON_PROBLEMS = tuple(code for code in strictjson.CODES if code)
BODY_PROBLEMS = (
    "media_type", "body_too_large", "body_timeout", "length_mismatch",
    "unknown_field", "missing_field", "wrong_type", "bad_value", "amount_not_integer",
    "amount_out_of_range", "pin_malformed", *JSON_PROBLEMS,
)  # fmt: skip
CALLER_PROBLEMS = (
    "unauthenticated", "signature_malformed", "signature_invalid", "signature_time", "nonce_reused", "session_invalid", "not_allowed",
    "too_many_requests",
)  # fmt: skip
KEY_PROBLEMS = ("key_required", "key_malformed", "key_reused")
ANY_PROBLEMS = ("busy", "not_ready", "unexpected")

TAGS = {
    "money": "Tickets: price, pay, hold, undo, give back. Amounts are integers in fen.",
    "cards": "Cards: issue, life cycle, PIN, balance, statement.",
    "clearing": "Off-line purchases: uploads, cases, purchase SAMs.",
    "media": "Chips and other carriers of cards; sessions with the card on a reader; what waits for its card.",
    "members": "Who holds cards: enrol, find, change, merge, disclose, erase. What names a person travels in bodies only.",
    "people": "Organisation, terminals, operators, sessions, approvals.",
    "books": "Programmes, day close, trial balance, journal, verification.",
    "keys": "Card keys: what there is, and ending one. Keys are made at the command line.",
    "jobs": "Time-driven work: what lapses, who is inactive, what is pruned.",
    "messages": "Messages to members: what waits, what went, what could not.",
    "laws": "What the law of a country asks: caps, real name, cash, refunds, escrow.",
    "coupons": "Coupons and gifts: given to cards, made as codes, traced; what points buy.",
    "imports": "Moving in from another system, with control totals and a way back.",
    "service": "The service itself.",
}

ABOUT = f"""Stored-value and membership cards.

**Money** is integers in fen; a JSON number with a fraction or an exponent is refused. **Every effect** is made under an
`Idempotency-Key` of the caller, kept for ever: the same key with the same meaning gets the same answer, with another
meaning it is refused (422 `key_reused`). A caller that lost an answer sends the request again or asks `getByClientKey`.
**Errors** are `application/problem+json` with a stable `code`. Refusals by the programme's rules are 409 and are in the
journal too. **Who** is calling decides what is in reach; a thing out of reach looks like none (404).

Terminals sign: `Authorization: Cardcore-HMAC terminal=<id>,version=<key version>,time=<unix s>,nonce=<16..64 of A-Z a-z 0-9 _ ->,mac=<hex>`
where mac = HMAC-SHA256(terminal key, "cardcore-hmac-1" LF METHOD LF path-with-query LF time LF nonce LF Idempotency-Key-or-empty LF
sha256hex(body)). Times count within 300 s, a nonce once. Operators log in and send `Authorization: Bearer <token>`.

Every answer has an `X-Request-Id`: the caller's own if it sent one of 1 to 64 letters, digits and `._:-`, else one of ours; a problem
that is our fault (5xx) repeats it as `request_id`. Too many requests of one caller, for one card or in all are 429 with Retry-After.

At most {RUNNING_MAX} calls run at once; beyond that, and when the desk's queue is full, the answer is 503 with Retry-After.
"""


def problem_codes(operation: Operation) -> list[str]:
    """Every code this operation can answer with, in a stable order without repeats."""
    codes = [*ANY_PROBLEMS, *operation.problems]
    if operation.roles:
        codes += CALLER_PROBLEMS
    if operation.keyed:
        codes += KEY_PROBLEMS
    codes += BODY_PROBLEMS if operation.asked is not None else ("body_not_expected", "body_too_large", "body_timeout")
    codes.append("query_malformed")
    if "cursor" in operation.query:
        codes.append("cursor_malformed")
    return list(dict.fromkeys(codes))


def _readable(schema: Any) -> Any:
    """A schema without what patterns say for Python only: elsewhere a `$` stands at the end and nowhere else."""
    if isinstance(schema, dict):
        return {
            name: value.removesuffix(BEHIND) if name == "pattern" and isinstance(value, str) else _readable(value)
            for name, value in schema.items()
        }
    return [_readable(each) for each in schema] if isinstance(schema, list) else schema


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document as plain values."""
    rows = list(operations)
    every = [Problem, *(kind for row in rows for kind in (row.asked, row.told, *row.or_told) if kind is not None)]
    types = list(dict.fromkeys(every))
    refs, components = msgspec.json.schema_components(types, schema_hook=schema_hook, ref_template=REF)
    schemas = dict(zip(map(repr, types), refs, strict=True))
    components = _readable(components)
    components["Problem"]["additionalProperties"] = True
    components["RefusedTicket"]["additionalProperties"] = True
    either = [{"$ref": REF.format(name=name)} for name in ("Ticket", "RefusedTicket")]
    components["BatchAnswer"]["properties"]["results"] = {"type": "array", "items": {"anyOf": either}}
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, schemas)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {"title": TITLE, "version": shipped.version(), "description": ABOUT, "license": _LICENSE},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "terminal": {
                    "type": "apiKey", "in": "header", "name": "Authorization", "description": "Cardcore-HMAC signature, see above.",
                },
                "operator": {"type": "http", "scheme": "bearer", "description": "The token that login gave."},
            },
        },
        "x-problems": {code: {"status": kind.status, "title": kind.title} for code, kind in PROBLEMS.items()},
    }  # fmt: skip


def _operation(row: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {
        "operationId": row.id,
        "summary": row.summary,
        "tags": [row.tag],
        "parameters": _parameters(row),
        "responses": _responses(row, schemas),
        "x-scope": row.scope,
        "x-roles": sorted(row.roles),
        "security": _security(row),
    }
    if row.asked is not None:
        media: dict[str, Any] = {"schema": schemas[repr(row.asked)]}
        if row.id in EXAMPLES:
            media["example"] = EXAMPLES[row.id]
        out["requestBody"] = {"required": True, "content": {"application/json": media}}
        out["description"] = (row.asked.__doc__ or "").strip()
    return out


def _security(row: Operation) -> list[dict[str, list[str]]]:
    if not row.roles:
        return []
    accepted: list[dict[str, list[str]]] = []
    if "terminal" in row.roles:
        accepted.append({"terminal": []})
    if row.roles - {"terminal"}:
        accepted.append({"operator": []})
    return accepted


_PATH_SCHEMAS: dict[str, dict[str, Any]] = {
    "card": {"type": "string", "pattern": "^[0-9]{8,32}$"},
    "ticket": {"type": "string", "pattern": "^[0-9a-f]{2}-[0-9a-f]{12}$"},
}
_QUERY_SCHEMAS: dict[str, tuple[bool, str, dict[str, Any]]] = {
    "cursor": (False, "From `next_cursor` of the page before.", {"type": "string", "maxLength": 512}),
    "limit": (False, "Rows of a page; each list has a most of its own.", {"type": "integer", "minimum": 1, "maximum": 5_000}),
    "show": (False, "open (without it) or closed.", {"type": "string", "enum": ["open", "closed"]}),
    "reason": (False, "Only cases of this reason.", {"type": "string", "maxLength": 64}),
    "about": (False, "records (without it) or sequences.", {"type": "string", "enum": ["records", "sequences"]}),
    "client_key": (True, "The key the call was made under.", {"type": "string", "pattern": "^[ -~]{1,255}$"}),
    "since": (False, "The version of the list that the caller has.", {"type": "integer", "minimum": 0, "maximum": 999_999_999_999}),
    "state": (False, "Of the messages to list; due when left out.", {"type": "string", "enum": ["due", "sent", "dead"]}),
    "quarter": (True, "Such as 2026Q3.", {"type": "string", "pattern": "^[0-9]{4}Q[1-4]$"}),
    "client": (False, "Whose key: `terminal:<id>` or `operator:<id>`; the caller's own when left out.", {"type": "string"}),
}


def _parameters(row: Operation) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS.get(name, {"type": "string"})}
        for name in re.findall(r"\{(\w+)\}", row.path)
    ]
    for name in row.query:
        required, text, schema = _QUERY_SCHEMAS[name]
        out.append({"name": name, "in": "query", "required": required, "description": text, "schema": schema})
    if row.keyed:
        out.append({
            "name": "Idempotency-Key", "in": "header", "required": True, "schema": {"type": "string", "pattern": "^[ -~]{1,255}$"},
            "description": "Made by the caller before its first try; kept for ever.",
        })  # fmt: skip
    return out


def _responses(row: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done." if row.status != 202 else "Accepted; waits for a second person."}
    if row.told is not None:
        bodies = [schemas[repr(kind)] for kind in (row.told, *row.or_told)]
        done["content"] = {row.media: {"schema": bodies[0] if len(bodies) == 1 else {"anyOf": bodies}}}
    out: dict[str, Any] = {str(row.status): done}
    by_status: dict[int, list[str]] = {}
    for code in problem_codes(row):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    for status, codes in sorted(by_status.items()):
        content = {"schema": {"$ref": REF.format(name="Problem")}, "examples": {code: {"value": _example(code)} for code in codes}}
        out[str(status)] = {"description": ", ".join(codes), "content": {"application/problem+json": content}}
    return out


def _example(code: str) -> dict[str, Any]:
    kind = PROBLEMS[code]
    return {"type": TYPE_PREFIX + code, "title": kind.title, "status": kind.status, "detail": kind.title, "code": code}
