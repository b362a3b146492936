"""Goal: every bad amount and every bad body gets its own specific code and changes nothing. Method: one table, sent to settle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from cardapi.http.fields import BEHIND
from cardapi.http.lists import cursor_text
from cardapi.http.operations import OPERATIONS
from tests.http.client import Till
from tests.http.conftest import Chain
from tests.shops import length

AMOUNTS = [  # JSON text of an amount -> status, code
    ("1.0", 400, "json_fraction"),
    ("1.5", 400, "json_fraction"),
    ("-0.0", 400, "json_fraction"),
    ("1e3", 400, "json_exponent"),
    ("1E3", 400, "json_exponent"),
    ("NaN", 400, "json_not_a_number"),
    ("Infinity", 400, "json_not_a_number"),
    ("-Infinity", 400, "json_not_a_number"),
    ("01", 400, "json_syntax"),
    ("+1", 400, "json_syntax"),
    ("0x10", 400, "json_syntax"),
    ("1_000", 400, "json_syntax"),
    ("9" * 20, 400, "json_integer_too_long"),
    ("9" * 5_000, 400, "json_integer_too_long"),
    (str(2**63), 422, "amount_out_of_range"),
    (str(2**63 - 1), 422, "amount_out_of_range"),
    (str(2**53 + 1), 422, "amount_out_of_range"),
    (str(10**15 + 1), 422, "amount_out_of_range"),
    ("-1", 422, "amount_out_of_range"),
    ("-9223372036854775808", 422, "amount_out_of_range"),
    ("true", 422, "amount_not_integer"),
    ("false", 422, "amount_not_integer"),
    ("null", 422, "amount_not_integer"),
    ('"100"', 422, "amount_not_integer"),
    ('""', 422, "amount_not_integer"),
    ("[]", 422, "amount_not_integer"),
    ("[100]", 422, "amount_not_integer"),
    ("{}", 422, "amount_not_integer"),
    ('{"amount":1}', 422, "amount_not_integer"),
]


def refused(chain: Chain, till: Till, body: bytes, **headers: str) -> tuple[int, str]:
    head = length(chain.shop)
    reply = till.post("/v1/settle", body, **headers)
    assert length(chain.shop) == head, "a bad body changed the journal"
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json["status"] == reply.status
    return reply.status, reply.code


@pytest.mark.parametrize(("text", "status", "code"), AMOUNTS, ids=[row[0][:24] for row in AMOUNTS])
@pytest.mark.parametrize("field", ["amount_fen", "discount_fen"])
def test_amounts(chain: Chain, till: Till, card: str, field: str, text: str, status: int, code: str) -> None:
    line = f'"{field}":{text}' if field == "amount_fen" else f'"amount_fen":1,"{field}":{text}'
    body = f'{{"card":"{card}","lines":[{{{line}}}]}}'.encode()
    assert refused(chain, till, body) == (status, code)


def test_the_largest_amount_is_not_refused_for_its_size(till: Till, card: str) -> None:
    assert till.post("/v1/settle", {"card": card, "lines": [{"amount_fen": 10**15}]}).code == "insufficient_funds"


GOOD = '{"card":"%s","lines":[{"amount_fen":1}]}'
DEEP = "[" * 9 + "]" * 9
BODIES: list[tuple[str, bytes, int, str]] = [
    ("empty", b"", 400, "json_empty"),
    ("blank", b" \n\t\r ", 400, "json_empty"),
    ("cut", b'{"card":"6200000000000018"', 400, "json_truncated"),
    ("two", b"{} {}", 400, "json_trailing"),
    ("nul behind", b'{"card":"1"}\0', 400, "json_trailing"),
    ("not json", b"card=62&amount=1", 400, "json_syntax"),
    ("byte order mark", b"\xef\xbb\xbf{}", 400, "json_syntax"),
    ("utf-16", '{"card":"1"}'.encode("utf-16"), 400, "json_syntax"),
    ("bad utf-8", b'{"card":"\xff"}', 400, "json_invalid_utf8"),
    ("overlong utf-8", b'{"card":"\xc0\xaf"}', 400, "json_invalid_utf8"),
    ("surrogate in utf-8", b'{"card":"\xed\xa0\x80"}', 400, "json_invalid_utf8"),
    ("lone surrogate", b'{"card":"\\ud800"}', 400, "json_lone_surrogate"),
    ("bad escape", b'{"card":"\\x41"}', 400, "json_bad_escape"),
    ("control character", b'{"card":"a\nb"}', 400, "json_control_character"),
    ("escaped nul", b'{"card":"\\u0000"}', 400, "json_nul_character"),
    ("key twice", b'{"card":"6200000000000018","card":"6200000000000026","lines":[]}', 400, "json_duplicate_key"),
    ("key twice below", b'{"card":"6200000000000018","lines":[{"amount_fen":1,"amount_fen":2}]}', 400, "json_duplicate_key"),
    ("key twice by escape", b'{"card":"6200000000000018","c\\u0061rd":"6200000000000026"}', 400, "json_escaped_key"),
    ("comma at the end", b'{"card":"6200000000000018",}', 400, "json_syntax"),
    ("comment", b'{"card":"1"/*x*/}', 400, "json_syntax"),
    ("single quotes", b"{'card':'1'}", 400, "json_syntax"),
    ("too deep", b'{"card":' + DEEP.encode() + b"}", 400, "json_too_deep"),
    ("very deep", b"[" * 500_000, 400, "json_too_deep"),
    ("many keys", ("{" + ",".join(f'"k{i}":1' for i in range(65)) + "}").encode(), 400, "json_too_many_keys"),
    ("array", b"[]", 422, "wrong_type"),
    ("string", b'"settle"', 422, "wrong_type"),
    ("number", b"1", 422, "wrong_type"),
    ("null", b"null", 422, "wrong_type"),
    ("no card", b'{"lines":[{"amount_fen":1}]}', 422, "missing_field"),
    ("no lines", b'{"card":"6200000000000018"}', 422, "missing_field"),
    ("no amount", b'{"card":"6200000000000018","lines":[{}]}', 422, "missing_field"),
    ("unknown field", b'{"card":"6200000000000018","lines":[{"amount_fen":1}],"unit":"store-2"}', 422, "unknown_field"),
    ("unknown field below", b'{"card":"6200000000000018","lines":[{"amount_fen":1,"amount":1}]}', 422, "unknown_field"),
    ("scope in the body", b'{"card":"6200000000000018","lines":[{"amount_fen":1}],"terminal":"till-2"}', 422, "unknown_field"),
    ("empty lines", b'{"card":"6200000000000018","lines":[]}', 422, "bad_value"),
    ("lines an object", b'{"card":"6200000000000018","lines":{}}', 422, "wrong_type"),
    ("card a number", b'{"card":6200000000000018,"lines":[{"amount_fen":1}]}', 422, "wrong_type"),
    ("card of letters", b'{"card":"abcdefgh","lines":[{"amount_fen":1}]}', 422, "bad_value"),
    ("card of fullwidth digits", '{"card":"６２００００００","lines":[{"amount_fen":1}]}'.encode(), 422, "bad_value"),
    ("quantity 0", b'{"card":"6200000000000018","lines":[{"amount_fen":1,"quantity":0}]}', 422, "amount_out_of_range"),
    ("flag unknown", b'{"card":"6200000000000018","lines":[{"amount_fen":1,"flags":["free"]}]}', 422, "bad_value"),
    ("rate above one", b'{"card":"6200000000000018","lines":[{"amount_fen":1,"counter_rate":"11/10"}]}', 422, "invalid_command"),
    ("rate by zero", b'{"card":"6200000000000018","lines":[{"amount_fen":1,"counter_rate":"1/0"}]}', 422, "bad_value"),
    ("points a string", b'{"card":"6200000000000018","lines":[{"amount_fen":1}],"points":"1"}', 422, "amount_not_integer"),
    ("points -2", b'{"card":"6200000000000018","lines":[{"amount_fen":1}],"points":-2}', 422, "amount_out_of_range"),
    ("pin of letters", b'{"card":"6200000000000018","lines":[{"amount_fen":1}],"pin":"12a4"}', 422, "pin_malformed"),
    ("pin a number", b'{"card":"6200000000000018","lines":[{"amount_fen":1}],"pin":1234}', 422, "pin_malformed"),
    ("501 lines", json.dumps({"card": "6200000000000018", "lines": [{"amount_fen": 1}] * 501}).encode(), 422, "bad_value"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "code"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
def test_bodies(chain: Chain, till: Till, body: bytes, status: int, code: str) -> None:
    assert refused(chain, till, body) == (status, code)


def patterns() -> Iterator[str]:
    """Every pattern of every request body."""
    seen: set[int] = set()

    def walk(part: Any) -> Iterator[str]:
        if id(part) in seen or not isinstance(part, msgspec.inspect.Type | msgspec.inspect.Field):
            return
        seen.add(id(part))
        if isinstance(part, msgspec.inspect.StrType) and part.pattern is not None:
            yield part.pattern
        for name in part.__struct_fields__:
            inner = getattr(part, name)
            for each in inner if isinstance(inner, tuple) else (inner,):
                yield from walk(each)

    for told in msgspec.inspect.multi_type_info([row.asked for row in OPERATIONS if row.asked is not None]):
        yield from walk(told)


def test_a_pattern_ends_where_its_text_ends(chain: Chain, till: Till, card: str) -> None:
    """In Python `$` also stands before a line end: a rate of nothing but that was an unexpected error, and "cash" with it no cash."""
    found = list(patterns())
    assert len(found) > 30
    assert [pattern for pattern in found if not pattern.endswith(f"${BEHIND}")] == []
    line = {"amount_fen": 100}
    for body in (
        {"card": f"{card}\n", "lines": [line]}, {"card": card, "lines": [{**line, "counter_rate": "\n"}]},
        {"card": card, "lines": [{**line, "counter_rate": "8/10\n"}]}, {"card": card, "lines": [line], "coupons": ["off-20\n"]},
        {"card": card, "lines": [line], "shortfall_tender": "cash\n"},
    ):  # fmt: skip
        assert refused(chain, till, json.dumps(body).encode()) == (422, "bad_value"), body
    assert till.post("/v1/topup", {"card": card, "paid_fen": 100, "tender": "cash\n"}).code == "bad_value"


def test_a_malformed_pin_is_not_repeated(chain: Chain, till: Till, card: str) -> None:
    reply = till.post("/v1/settle", {"card": card, "lines": [{"amount_fen": 1}], "pin": "98 76-543"})
    assert reply.code == "pin_malformed"
    assert b"98 76" not in reply.body


def test_huge_bodies(chain: Chain, till: Till) -> None:
    blank = b" " * (1 << 20)
    assert refused(chain, till, blank) == (400, "json_empty")  # 1 MiB exactly is read
    assert refused(chain, till, blank + b" ") == (413, "body_too_large")
    reply = till.client.call("POST", "/v1/settle", blank + b" ", {"content-length": ""}, chunks=64)  # not announced
    assert (reply.status, reply.code) == (413, "body_too_large")
    many = {"tickets": [{"client_key": f"h{i}", "card": "62000000", "lines": [{"amount_fen": 1}]} for i in range(1_001)]}
    reply = till.request("POST", "/v1/settle-batch", many, "")
    assert (reply.status, reply.code) == (422, "bad_value")


@pytest.mark.parametrize(
    "media", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "application/xml"]
)
def test_media_types(chain: Chain, till: Till, card: str, media: str) -> None:
    assert refused(chain, till, (GOOD % card).encode(), **{"content-type": media}) == (415, "media_type")


def test_media_type_spelled_otherwise_is_fine(till: Till, card: str) -> None:
    assert till.post("/v1/settle", (GOOD % card).encode(), **{"content-type": "Application/JSON; Charset=UTF-8"}).status == 200


def test_calls_without_a_body_take_none(chain: Chain) -> None:
    reply = chain.admin.request("POST", "/v1/verify", b"{}")
    assert (reply.status, reply.code) == (400, "body_not_expected")


@pytest.mark.parametrize(
    "target", ["/v1/units?limit=0", "/v1/units?limit=1.5", "/v1/units?page=2", "/v1/units?limit=1&limit=2", "/v1/units?x"]
)
def test_queries(chain: Chain, target: str) -> None:
    reply = chain.admin.get(target)
    assert (reply.status, reply.code) == (400, "query_malformed")


@pytest.mark.parametrize("cursor", ["!", "bm90IHRoZXJl", "x" * 600, "%ff"])
def test_cursors(chain: Chain, cursor: str) -> None:
    reply = chain.admin.get(f"/v1/units?cursor={cursor}")
    assert reply.status == 400
    assert reply.code in ("cursor_malformed", "query_malformed")


def test_no_name_has_a_nul(chain: Chain) -> None:
    """Not every store may be asked for one: a server's database answers with an error, which looks like a failure of ours."""
    for path in ("/v1/members/a\0", "/v1/cards/\0", "/v1/cards/\0/media", "/v1/clearing/\0", "/v1/tickets/\0"):
        reply = chain.admin.get(path)
        assert (reply.status, reply.code) == (404, "not_found"), path
    assert chain.admin.post("/v1/members/\0/export", {"reason": "x"}).code == "not_found"
    assert chain.admin.get("/v1/tickets?client_key=a&client=%00").code == "query_malformed"
    for path in ("/v1/cases", "/v1/messages", "/v1/in-flight", "/v1/units"):
        assert chain.admin.get(f"{path}?cursor={cursor_text('a' + chr(0))}").code == "cursor_malformed", path
    assert chain.admin.post("/v1/members/search", {"phone": "13800138000", "cursor": cursor_text("\0")}, "").code == "cursor_malformed"


def test_pages_cover_the_list_once(chain: Chain) -> None:
    seen, cursor = [], ""
    while True:
        page = chain.admin.get(f"/v1/units?limit=2{'&cursor=' + cursor if cursor else ''}").json
        seen += [unit["id"] for unit in page["units"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert seen == sorted(set(seen))
    assert {"issuer", "north", "store-1"} <= set(seen)


def test_paths_and_methods(chain: Chain, till: Till) -> None:
    assert chain.client.call("GET", "/v1/settle").code == "method_not_allowed"
    assert chain.client.call("GET", "/v1/settle").headers["allow"] == "POST"
    assert chain.client.call("DELETE", "/v1/cards/62000000").code == "method_not_allowed"
    for path in ("/", "/v1", "/v1/nothing", "/v1/settle/", "/v1//settle", "/docs/nothing"):
        assert chain.client.call("GET", path).code == "not_found", path


def test_a_bad_ticket_of_a_batch_is_named_and_nothing_is_settled(chain: Chain, till: Till, card: str) -> None:
    """Tickets are decoded one by one; a body that is refused has still no effect, not even of the tickets before it."""
    head = length(chain.shop)
    good = {"client_key": "lazy-good", "card": card, "lines": [{"amount_fen": 100}]}
    for bad, code, field in (
        ({**good, "lines": [{"amount_fen": 100}, {"amount_fen": "1"}]}, "amount_not_integer", "tickets[1].lines[1].amount_fen"),
        ({**good, "surprise": 1}, "unknown_field", "tickets[1].surprise"),
        ({"card": card, "lines": [{"amount_fen": 100}]}, "missing_field", "tickets[1].client_key"),
        (7, "wrong_type", "tickets[1]"),
    ):
        reply = till.post("/v1/settle-batch", {"tickets": [good, bad]})
        assert (reply.status, reply.code, reply.json["field"]) == (422, code, field)
    assert length(chain.shop) == head
