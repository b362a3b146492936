"""Goal: a line of the log is one event that programs can read, names the request it is about, and never holds what nobody may read.

Method: lines as they are written, by both formats, of events with everything dangerous in them and of requests that carry it.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from cardapi import logs
from cardapi.custody import Pin, Secret
from cardapi.http.request_ids import RequestIds
from cardapi.people.throttle import Throttle
from cardcore.errors import CardcoreError
from tests.http.client import Till
from tests.http.conftest import Chain

CARD = "6200000000000013"
PHONE = "13800138000"
PIN = "482913"
NAME = "王小明"


class Written:
    """What a process with this format has logged."""

    def __init__(self, how: logs.Format) -> None:
        self.stream = io.StringIO()
        root = logging.getLogger()
        self._before = root.handlers[:], root.level
        logs.set_up(how, self.stream)

    def restore(self) -> None:
        root = logging.getLogger()
        root.handlers[:], root.level = self._before[0], self._before[1]

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        told = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in told if event in ("", line["event"])]


@pytest.fixture
def written(request: pytest.FixtureRequest) -> Iterator[Written]:
    one = Written(getattr(request, "param", "json"))
    yield one
    one.restore()


def dangerous() -> None:
    log = logging.getLogger("cardapi.test")
    facts = {"pin": Pin.parse(PIN), "secret": Secret(b"key"), "body": PIN.encode(), "whole": {"name": NAME}, "text": f"{CARD}\n{PHONE}"}
    logs.event(log, logging.INFO, "dangerous", duration_us=12, client="terminal:till-1", **facts)
    try:
        raise KeyError(NAME + PIN)
    except KeyError:
        log.exception("a foreign error about %s", CARD)
    try:
        raise CardcoreError(f"ours, about {CARD}")
    except CardcoreError:
        log.exception("an error of ours")


@pytest.mark.parametrize("written", ["json", "text"], indirect=True)
def test_what_nobody_may_read_is_not_written(written: Written) -> None:
    dangerous()
    for hidden in (PIN, PHONE, CARD, NAME, "482913", "b'key'"):
        assert hidden not in written.text
    assert "************0013" in written.text
    assert "<Pin>" in written.text
    assert "test_logs.py" in written.text, "where it broke is told"


def test_json_lines(written: Written) -> None:
    dangerous()
    first, second, third = written.lines()
    assert (first["level"], first["event"], first["duration_us"], first["client"]) == ("info", "dangerous", 12, "terminal:till-1")
    assert first["time"].endswith("Z")
    assert second["error"]["type"] == "KeyError"
    assert second["error"]["detail"] == ""
    assert third["error"]["detail"] == "ours, about ************0013"


@pytest.mark.parametrize("written", ["text"], indirect=True)
def test_text_lines(written: Written) -> None:
    log = logging.getLogger("cardapi.test")
    logs.event(log, logging.INFO, "two\nlines", odd='a "b"', plain="x", nothing="")
    logs.event(log, logging.DEBUG, "not logged")
    (line,) = written.text.splitlines()
    assert line.split(" ", 1)[1] == 'info two lines logger=cardapi.test odd="a \\"b\\"" plain=x nothing=""'


@pytest.mark.parametrize("text", ["1795343796", "0198c0de12345678", "terminal:20261122", "12345678901234567890", PIN])
def test_other_numbers_are_left_alone(text: str) -> None:
    assert logs.scrubbed(text) == text


# ---------------------------------------------------------------- requests
def test_ids_are_taken_or_made() -> None:
    ids, others = RequestIds(), RequestIds()
    for good in (b"a", b"0198c0de-0000", b"A.b_c:d-9", b"x" * 64):
        assert ids.of(good) == good
    for bad in (b"", b"x" * 65, b"a b", b'a"b', b"a\r\nb", "é".encode(), b"a/b"):
        made = ids.of(bad)
        assert made != bad
        assert others.of(made) == made, "what is made is well-formed"
    assert len({*(ids.of(b"") for _ in range(100)), *(others.of(b"") for _ in range(100))}) == 200


def test_every_answer_has_its_id(chain: Chain, till: Till, card: str) -> None:
    sale = {"card": card, "lines": [{"amount_fen": 100}]}
    none = {"X-Request-Id": ""}
    seen = set()
    for reply in (
        till.post("/v1/settle", sale, **none), till.post("/v1/settle", {}, **none), chain.admin.request("GET", "/v1/units", **none),
        *(chain.nobody.request("GET", target, **none) for target in ("/v1/units", "/nothing", "/health")),
    ):  # fmt: skip
        seen.add(reply.headers["x-request-id"])
    assert len(seen) == 6
    for reply in (
        till.post("/v1/settle", sale, **{"X-Request-Id": "mine"}), chain.admin.request("GET", "/v1/units", **{"X-Request-Id": "mine"}),
    ):  # fmt: skip
        assert (reply.status, reply.headers["x-request-id"]) == (200, "mine")
    assert till.post("/v1/settle", sale, **{"X-Request-Id": "not mine"}).headers["x-request-id"] != "not mine"


def test_what_broke_is_found_by_its_id(chain: Chain, till: Till, card: str, written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(CARD)

    monkeypatch.setattr("cardapi.http.lists.page", broken)
    reply = chain.admin.request("GET", "/v1/units", **{"X-Request-Id": "find-me"})
    assert (reply.status, reply.json["request_id"]) == (500, "find-me")
    (line,) = written.lines("operation broke")
    assert (line["request_id"], line["operation"], line["error"]["type"]) == ("find-me", "listUnits", "RuntimeError")
    # Only so many lines a second tell of denials, and the tests before this one had theirs.
    monkeypatch.setattr(chain.app.edge, "_denial_lines", Throttle(rate=5, burst=20, total_rate=50, total_burst=200))
    chain.nobody.post("/v1/settle", {}, **{"X-Request-Id": "who-am-i"})
    denied = written.lines("denied")[-1]
    assert (denied["request_id"], denied["code"], denied["status"], denied["level"]) == ("who-am-i", "unauthenticated", 401, "warning")


def test_one_request_of_so_many_is_logged(chain: Chain, till: Till, card: str, written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    sale = {"card": card, "lines": [{"amount_fen": 100}]}
    till.post("/v1/settle", sale)
    assert not written.lines("request"), "none is, unless it is asked for"
    monkeypatch.setattr(chain.app.edge, "log_every", 3)
    for number in range(9):
        till.post("/v1/settle", sale, **{"X-Request-Id": f"r{number}"})
    assert [line["request_id"] for line in written.lines("request")] == ["r2", "r5", "r8"]
    line = written.lines("request")[0]
    assert (line["operation"], line["client"], line["status"], line["code"]) == ("settle", "terminal:till-1", 200, "")
    assert line["elapsed_us"] >= 0


def test_nothing_personal_is_logged_of_any_request(chain: Chain, till: Till, written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is logged that can be, of requests that hold a card, a PIN, a name and a telephone, right and wrong ones."""
    logging.getLogger().setLevel(logging.DEBUG)
    monkeypatch.setattr(chain.app.edge, "log_every", 1)
    made = chain.made(chain.admin.post("/v1/cards", {"programme": "mall-vip", "activate": True}))
    card = str(made["cards"][0]["card"])
    chain.admin.post(f"/v1/cards/{card}/set-pin", {"pin": PIN})
    profile = {"programme": "mall-vip", "card": card, "profile": {"name": NAME, "phone": PHONE, "birthday": "1990-01-01"}}
    chain.admin.post("/v1/members", profile)
    chain.admin.post("/v1/members/search", {"phone": PHONE})
    for pin in (PIN, "000000"):
        till.post("/v1/settle", {"card": card, "pin": pin, "lines": [{"amount_fen": 100}], "shortfall_tender": "cash"})
    till.get(f"/v1/cards/{card}")
    chain.client.call("POST", "/v1/login", {"operator": "admin", "password": "wrong password " + PIN})
    assert len(written.lines("request")) >= 7
    for hidden in (card, PIN, PHONE, NAME, "wrong password"):
        assert hidden not in written.text
