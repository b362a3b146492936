"""Goal: what is served is what is described, and the thin path is the FastAPI route (item "hot route" of the design).

Method: the document is validated as OpenAPI 3.1 and held to the operations table and to the list of ids; the same requests
go through both doors and must give the same bytes; every example decodes.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route

from cardapi.http import problems
from cardapi.http.examples import EXAMPLES
from cardapi.http.fields import decode_hook
from cardapi.http.openapi import problem_codes
from cardapi.http.operations import BY_ID, OPERATIONS
from cardcore.errors import DECLINE_CODES
from tests.http.client import Till
from tests.http.conftest import Chain
from tests.shops import length

PROMISED = """
quote settle hold capture void refund reverse topUp transfer adjust settleBatch getTicket getByClientKey issueCards activateCard
getCard setPin verifyPin reportLost freeze unfreeze swapCard reissueCard cancelCard cardStatement publishScheme listSchemes
createUnit createOperator grantRole createTerminal revokeTerminal closeDay trialBalance exportJournal verifyLedger health ready
metrics openapi login logout rotateTerminalKey revokeOperator unlockPin expire takeBackCard destroyCard listUnits listTerminals
listOperators listApprovals approve
"""


@pytest.fixture(scope="module")
def document(chain: Chain) -> dict:
    reply = chain.client.call("GET", "/openapi.json")
    assert reply.status == 200
    return reply.json


def described(document: dict) -> dict[str, tuple[str, str, dict]]:
    return {
        row["operationId"]: (method.upper(), path, row) for path, methods in document["paths"].items() for method, row in methods.items()
    }


def test_it_is_valid_openapi(document: dict) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_every_promised_id_is_there(document: dict) -> None:
    assert set(PROMISED.split()) <= set(described(document))


def test_document_table_and_routes_are_the_same_set(chain: Chain, document: dict) -> None:
    table = {(row.id, row.method, row.path) for row in OPERATIONS}
    assert {(name, method, path) for name, (method, path, _) in described(document).items()} == table
    routes = {
        (route.name, method, route.path) for route in chain.app.fastapi.routes if isinstance(route, Route) for method in route.methods or ()
    }
    assert routes == table


def test_each_operation_says_who_what_and_how_it_fails(document: dict) -> None:
    for name, (_, _, row) in described(document).items():
        operation = BY_ID[name]
        assert row["summary"]
        assert row["x-roles"] == sorted(operation.roles)
        assert bool(row["security"]) == bool(operation.roles)
        told = {
            code
            for answer in row["responses"].values()
            for media in answer.get("content", {}).values()
            for code in media.get("examples", {})
        }
        assert told == set(problem_codes(operation)), name
        keyed = [parameter["name"] for parameter in row["parameters"] if parameter["in"] == "header"]
        assert keyed == (["Idempotency-Key"] if operation.keyed else [])


def test_every_problem_code_is_registered_and_stays_in_its_place() -> None:
    for code, kind in problems.PROBLEMS.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]+", code)
        assert 400 <= kind.status <= 503
        assert kind.title
        assert not kind.title.endswith(".")
    assert all(problems.PROBLEMS[code].status == 409 for code in DECLINE_CODES)


def test_examples_are_bodies(document: dict) -> None:
    assert set(EXAMPLES) == {row.id for row in OPERATIONS if row.asked is not None}
    for name, example in EXAMPLES.items():
        kind = BY_ID[name].asked
        assert kind is not None
        msgspec.json.decode(json.dumps(example), type=kind, dec_hook=decode_hook)
        schema = {
            **described(document)[name][2]["requestBody"]["content"]["application/json"]["schema"],
            "components": document["components"],
        }
        Draft202012Validator(schema).validate(example)


def test_answers_fit_their_schemas(chain: Chain, document: dict, till: Till, card: str) -> None:
    ticket = till.post("/v1/settle", {"card": card, "lines": [{"amount_fen": 100}], "explain": True})
    seen = [
        ("settle", ticket),
        ("topUp", till.post("/v1/topup", {"card": card, "paid_fen": 100_000})),
        ("getCard", till.get(f"/v1/cards/{card}")),
        ("cardStatement", till.get(f"/v1/cards/{card}/statement")),
        ("getTicket", till.get(f"/v1/tickets/{ticket.json['ticket_id']}")),
        ("activateCard", till.post(f"/v1/cards/{card}/activate", {})),
        ("listUnits", chain.admin.get("/v1/units")),
        ("listTerminals", chain.admin.get("/v1/terminals")),
        ("listOperators", chain.admin.get("/v1/operators")),
        ("listSchemes", chain.admin.get("/v1/schemes")),
        ("listApprovals", chain.admin.get("/v1/approvals")),
        ("exportJournal", chain.admin.get("/v1/journal?limit=20")),
        ("verifyLedger", chain.admin.request("POST", "/v1/verify")),
        ("health", chain.nobody.get("/health")),
        ("ready", chain.nobody.get("/ready")),
        ("settle", till.post("/v1/settle", {"card": "62000000", "lines": [{"amount_fen": 100}]})),
    ]
    for name, reply in seen:
        answer = described(document)[name][2]["responses"][str(reply.status)]["content"][reply.headers["content-type"]]
        Draft202012Validator({**answer["schema"], "components": document["components"]}).validate(reply.json)


# ---------------------------------------------------------------- two doors, one edge
def cases(chain: Chain, till: Till, card: str) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """Requests to hot operations, good and bad, each with a key of its own that both doors use."""
    lines = [{"amount_fen": 1_000}]
    bodies: list[tuple[str, object]] = [
        ("/v1/settle", {"card": card, "lines": lines, "explain": True}), ("/v1/settle", {"card": card, "lines": [{"amount_fen": 10**9}]}),
        ("/v1/hold", {"card": card, "lines": lines}), ("/v1/topup", {"card": card, "paid_fen": 100_000}),
        ("/v1/void", {"client_key": "unseen-twin"}), ("/v1/refund", {"ticket_id": "00-0000ffffffff", "reason": "x"}),
        ("/v1/capture", {"ticket_id": "nonsense"}), ("/v1/settle", {"card": card}), ("/v1/settle", {"card": card, "lines": lines, "x": 1}),
        ("/v1/settle-batch", {"tickets": [{"client_key": "twin-batch", "card": card, "lines": lines}]}), ("/v1/reverse", {}),
        ("/v1/settle", {"card": card, "lines": [{"amount_fen": 900, "quantity": 3, "sku": "a"}], "shortfall_tender": "cash"}),
        ("/v1/settle", {"card": card, "lines": [{"amount_fen": 900, "flags": ["special"]}], "reference": "\u5355"}),
        ("/v1/settle", {"card": "6200000000999999", "lines": lines}), ("/v1/settle", {"card": card, "lines": lines, "pin": "1234"}),
    ]  # fmt: skip
    raw = [("/v1/settle", text) for text in (b"", b"{", b'{"a":1.5}', b'{"a":1,"a":1}', b"\xff", b"[]", b" " * 1_100_000)]
    for number, (path, body) in enumerate([*((path, json.dumps(body).encode()) for path, body in bodies), *raw]):
        yield path, body, {"Idempotency-Key": f"twin-{number}"}
        yield path, body, {}


def test_both_doors_answer_the_same(chain: Chain, till: Till, card: str) -> None:
    doors = (chain.client, chain.inner)
    for path, body, headers in cases(chain, till, card):
        for who in (till, chain.admin, chain.nobody):
            replies = []
            for door in doors:
                proof = who.headers("POST", path, body, headers.get("Idempotency-Key", ""))
                replies.append(door.call("POST", path, body, {**headers, **proof}))
            assert replies[0].headers.pop("x-request-id") == "of-the-test", "which the application adds to either"
            assert replies[0] == replies[1], path


def test_the_hot_path_does_not_enter_fastapi(chain: Chain, till: Till, card: str) -> None:
    async def closed(scope, receive, send):
        raise AssertionError("the thin path went through FastAPI")

    inner, chain.app.fastapi = chain.app.fastapi, closed  # type: ignore[assignment]
    try:
        assert till.post("/v1/settle", {"card": card, "lines": [{"amount_fen": 100}]}).status == 200
    finally:
        chain.app.fastapi = inner


# ---------------------------------------------------------------- the page
def test_the_page_needs_nothing_from_elsewhere(chain: Chain) -> None:
    page = chain.client.call("GET", "/docs")
    assert page.status == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    text = page.body.decode()
    assert not re.search(r"https?://", text), "a link that leaves the house"
    assert not re.search(r"<script>|<style|style=|onclick=|onload=", text), "inline code, which the policy forbids"
    for name in re.findall(r'(?:src|href)="(/docs/[^"]+)"', text):
        assert chain.client.call("GET", name).status == 200
    for operation in OPERATIONS:
        assert f"id='{operation.id}'" in text


def test_text_on_the_page_is_escaped() -> None:
    from cardapi.http import docs_page

    evil = "<script>alert(1)</script>"
    row = {
        "operationId": "x",
        "summary": evil,
        "description": evil,
        "tags": ["t"],
        "parameters": [],
        "responses": {},
        "security": [],
        "x-roles": [],
        "x-scope": "",
    }
    info = {"title": evil, "version": evil, "description": evil}
    made = docs_page.render(
        {"info": info, "tags": [{"name": "t", "description": evil}], "paths": {evil: {"get": row}}, "components": {"schemas": {}}}
    )
    assert evil not in made


# ---------------------------------------------------------------- bounds
def test_too_many_at_once_is_busy(chain: Chain, till: Till, card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cardapi.http.edge.RUNNING_MAX", 4)
    body = json.dumps({"card": card, "lines": [{"amount_fen": 1}]}).encode()

    async def flood():
        calls = []
        for number in range(12):
            headers = {**till.headers("POST", "/v1/settle", body, f"flood-{number}"), "Idempotency-Key": f"flood-{number}"}
            calls.append(chain.client.acall("POST", "/v1/settle", body, headers))
        return await asyncio.gather(*calls)

    replies = chain.loop.run_until_complete(flood())
    codes = [reply.code for reply in replies]
    assert codes.count("busy") == 8
    assert codes.count("") == 4
    assert all(reply.headers["retry-after"] for reply in replies if reply.code == "busy")


def test_a_caller_that_hangs_up_changes_nothing(chain: Chain, till: Till, card: str) -> None:
    """The body never becomes whole: no answer, no entry, from either door."""
    head = length(chain.shop)
    for app in (chain.app, chain.app.fastapi):
        messages = iter([{"type": "http.request", "body": b'{"card":', "more_body": True}, {"type": "http.disconnect"}])

        async def receive(messages=messages):
            return next(messages)

        async def send(message) -> None:
            pass

        scope = {
            "type": "http", "method": "POST", "path": "/v1/settle", "raw_path": b"/v1/settle", "query_string": b"", "headers": [],
            "root_path": "", "scheme": "http", "server": ("t", 80), "client": ("c", 1), "http_version": "1.1", "asgi": {"version": "3.0"},
        }  # fmt: skip
        chain.loop.run_until_complete(app(scope, receive, send))
    assert length(chain.shop) == head


def test_an_unforeseen_error_tells_nothing(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail 4711")

    monkeypatch.setattr("cardapi.http.lists.page", broken)
    reply = chain.admin.get("/v1/units")
    assert (reply.status, reply.code) == (500, "unexpected")
    assert b"4711" not in reply.body


def test_guessing_card_numbers_is_slowed_down(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    from cardapi.people.throttle import Throttle

    monkeypatch.setattr(chain.app.edge, "_guesses", Throttle(rate=2, burst=5, total_rate=100, total_burst=100))
    guesser = chain.till("till-5", "store-1")
    known = chain.card()
    codes = [guesser.get(f"/v1/cards/62000000{number:08d}").code for number in range(8)]
    assert codes == ["unknown_card"] * 6 + ["too_many_requests"] * 2
    slow = guesser.get(f"/v1/cards/{known}")
    assert slow.code == "too_many_requests", "a hit must not be told from a miss"
    assert int(slow.headers["retry-after"]) <= 31
    assert chain.tills["store-1"].get(f"/v1/cards/{known}").status == 200, "others are not held up"
    chain.app.edge._guessing.clear()
    assert guesser.get(f"/v1/cards/{known}").status == 200


def test_a_slow_body_is_given_up(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    from cardapi.http import edge

    monkeypatch.setattr(edge, "BODY_TIMEOUT_S", 0.05)
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive():
        message = next(messages, None)
        if message is None:
            await asyncio.sleep(60)
        return message

    async def read() -> bytes:
        return await edge.read_body(receive, {}, 100)

    with pytest.raises(problems.HttpProblem) as caught:
        chain.loop.run_until_complete(read())
    assert caught.value.code == "body_timeout"
