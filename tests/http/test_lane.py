"""Goal: the short way of a hot request answers as uvicorn's ordinary way does, and leaves everything out of the ordinary to it.

Method: our protocol over a transport in memory, one request whole (the short way) and the same one in two pieces (uvicorn's
parser, cycle and task); the head's reader against httptools on thousands of damaged requests.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

import httptools
import pytest
import uvicorn
from uvicorn.server import ServerState

from cardapi.http import call, money_schemas, sales
from cardapi.http.head import plain
from cardapi.http.lane import LATER_MAX, Lane
from cardapi.http.sales import ticket_fingerprint
from cardcore.errors import CardcoreError
from tests.http.client import Till, Who
from tests.http.conftest import Chain
from tests.http.test_openapi import cases
from tests.shops import length


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = self.paused = False
        self.pauses = 0

    def write(self, data: Any) -> None:
        assert not self.closed, "written after the end"
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True
        self.pauses += 1

    def resume_reading(self) -> None:
        self.paused = False


class Line:
    """One connection to the application."""

    def __init__(self, chain: Chain, **settings: Any) -> None:
        config = uvicorn.Config(chain.app, http=Lane, access_log=False, server_header=False, log_level="critical", **settings)
        config.load()
        self.loop, self.state, self.transport = chain.loop, ServerState(), Transport()
        self.state.default_headers = [(b"date", b"Sun, 22 Nov 2026 06:17:06 GMT")]
        self.lane = Lane(config, self.state, {}, chain.loop)
        self.lane.connection_made(self.transport)

    def send(self, *pieces: bytes) -> None:
        async def feed() -> None:
            for piece in pieces:
                self.lane.data_received(piece)

        self.loop.run_until_complete(feed())

    def answer(self, count: int = 1) -> bytes:
        """What was written once `count` whole answers are."""

        async def wait() -> None:
            for _ in range(2_000):
                if len(split(self.transport.written)) >= count or self.transport.closed:
                    return
                await asyncio.sleep(0.002)
            raise AssertionError(f"no answer: {self.transport.written!r}")

        self.loop.run_until_complete(wait())
        return self.transport.written

    @property
    def ordinary(self) -> bool:
        """Whether uvicorn's own cycle saw a request."""
        return self.lane.cycle is not None


def split(written: bytes) -> list[bytes]:
    """The whole answers in what was written."""
    answers = []
    while b"\r\n\r\n" in written:
        head, _, rest = written.partition(b"\r\n\r\n")
        size = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        if len(rest) < size:
            break
        answers.append(head + b"\r\n\r\n" + rest[:size])
        written = rest[size:]
    return answers


def shape(answer: bytes) -> tuple[bytes, list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    return line, sorted(headers), body


def request(path: str, body: bytes, headers: dict[str, str], method: str = "POST", version: str = "1.1") -> bytes:
    always = {"Host": "shop", "X-Request-Id": "of-the-test", "Content-Length": str(len(body))}
    lines = [f"{method} {path} HTTP/{version}", *(f"{k}: {v}" for k, v in {**always, **headers}.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def signed(who: Who, path: str, body: bytes, key: str = "", **more: str) -> bytes:
    headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {}), **more}
    return request(path, body, {**headers, **who.headers("POST", path, body, key)})


def settle(till: Till, card: str, key: str, **more: str) -> bytes:
    return signed(till, "/v1/settle", json.dumps({"card": card, "lines": [{"amount_fen": 100}]}).encode(), key, **more)


# ---------------------------------------------------------------- the two ways are one
def test_both_ways_answer_the_same(chain: Chain, till: Till, card: str) -> None:
    seen = set()
    for path, body, headers in cases(chain, till, card):
        for who in (till, chain.admin, chain.nobody):
            answers = []
            for pieces in (1, 2):
                data = signed(who, path, body, headers.get("Idempotency-Key", ""))
                line = Line(chain)
                line.send(*([data] if pieces == 1 else [data[:20], data[20:]]))
                answers.append(shape(line.answer()))
                assert line.ordinary == (pieces == 2), path
                assert line.transport.closed == (b"connection: close" in answers[-1][1]), path
            assert answers[0] == answers[1], path
            seen.add(answers[0][0])
    assert len(seen) >= 6, "successes and refusals of several kinds"


def both_ways(chain: Chain, till: Till, card: str, key: str) -> list[tuple[bytes, list[bytes], bytes]]:
    """The same settle whole and in two pieces."""
    answers = []
    for pieces in (1, 2):
        data = settle(till, card, key)
        line = Line(chain)
        line.send(*([data] if pieces == 1 else [data[:20], data[20:]]))
        answers.append(shape(line.answer()))
        assert line.ordinary == (pieces == 2)
    return answers


def test_a_plain_settle_needs_no_coroutine(chain: Chain, till: Till, card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain.app.edge, "serve_whole", lambda *_: pytest.fail("a plain settle went the longer way"))
    line = Line(chain)
    line.send(settle(till, card, "lane-plain"))
    assert b"200 OK" in line.answer()
    monkeypatch.undo()
    assert both_ways(chain, till, card, "lane-plain")[0][2] == shape(line.transport.written)[2], "the same answer to a retry, either way"


def test_a_programme_that_is_not_in_memory_is_read(chain: Chain, till: Till, card: str) -> None:
    for key in ("lane-read", "lane-read", "lane-read-2"):
        chain.app.service.tickets._names.clear()
        one, two = both_ways(chain, till, card, key)
        assert one == two
        assert b"200 OK" in one[0]
    assert not chain.app.edge._tasks
    assert chain.app.edge._running == 0


def test_a_desk_that_takes_nothing_says_so_both_ways(chain: Chain, till: Till, card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain.shop.desk, "failed", CardcoreError("the disk is gone"))
    one, two = both_ways(chain, till, card, "lane-not-ready")
    assert one == two
    assert b"503" in one[0]
    assert json.loads(one[2])["code"] == "not_ready"
    assert chain.app.edge._running == 0


def test_who_guesses_waits_both_ways(chain: Chain, till: Till, card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain.app.edge, "_guessing", {"terminal:till-1": time.monotonic() + 3_000})
    one, two = both_ways(chain, till, card, "lane-guess")
    assert (one[0], one[2]) == (two[0], two[2])
    assert b"429" in one[0]
    assert [line.split(b":")[0] for line in one[1]] == [line.split(b":")[0] for line in two[1]], "retry-after is there, and counts down"


@pytest.mark.parametrize("place", ["plain_request", "told", "check"])
def test_the_unforeseen_is_an_answer_both_ways(chain: Chain, till: Till, card: str, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    owner = {"plain_request": sales, "told": chain.app.service.tickets, "check": chain.app.service.signatures}[place]
    monkeypatch.setattr(owner, place, broken)
    one, two = both_ways(chain, till, card, f"lane-broken-{place}")
    assert one == two
    assert b"500" in one[0]
    assert chain.app.edge._running == 0


def test_a_refusal_before_the_desk_leaves_the_connection_in_order(chain: Chain, till: Till, card: str) -> None:
    """A bad MAC, a used nonce and a good request in one packet and one by one: three answers, in order."""
    good = settle(till, card, "lane-mixed")
    bad = good.replace(b"mac=", b"mac=0")
    for packets, codes in (([bad + good + good], [b"401", b"200", b"401"]), ([bad, good, good], [b"401"] * 3)):
        line = Line(chain)
        line.send(*packets)
        assert [answer[9:12] for answer in split(line.answer(3))] == codes


def test_many_requests_on_one_connection(chain: Chain, till: Till, card: str) -> None:
    line = Line(chain)
    for number in range(5):
        line.send(settle(till, card, f"lane-many-{number}"))
        line.answer(number + 1)
    assert all(b"200 OK" in answer for answer in split(line.transport.written))
    assert not line.ordinary
    assert line.state.total_requests == 5


@pytest.mark.parametrize("headers", [
    {"Connection": "close"}, {"Connection": "keep-alive"}, {"Upgrade": "h2c"}, {"Expect": "100-continue"}, {"X-Odd": "caf\u00e9"},
])  # fmt: skip
def test_headers_that_steer_are_left_to_uvicorn(chain: Chain, till: Till, card: str, headers: dict[str, str]) -> None:
    line = Line(chain)
    line.send(settle(till, card, f"lane-steer-{next(iter(headers.items()))}".encode("ascii", "replace").decode(), **headers))
    line.answer()
    assert line.ordinary
    assert line.transport.closed == (headers.get("Connection") == "close")


def test_two_lengths_are_refused_by_uvicorn(chain: Chain, till: Till, card: str) -> None:
    line = Line(chain)
    line.send(settle(till, card, "lane-two-lengths", **{"Transfer-Encoding": "chunked"}))
    assert line.answer().startswith(b"HTTP/1.1 400")
    assert line.transport.closed


def test_other_operations_take_the_ordinary_way(chain: Chain, till: Till) -> None:
    line = Line(chain)
    line.send(request("/v1/login", b"{}", {"Content-Type": "application/json"}))
    assert line.answer().startswith(b"HTTP/1.1 422")
    assert line.ordinary


# ---------------------------------------------------------------- order on a connection
def test_answers_come_in_the_order_of_requests(chain: Chain, till: Till, card: str) -> None:
    """One packet with three requests, and three packets at once."""
    for at_once in (True, False):
        data = [settle(till, card, f"lane-order-{at_once}-{number}") for number in range(3)]
        line = Line(chain)
        line.send(*([b"".join(data)] if at_once else data))
        keys = [json.loads(answer.partition(b"\r\n\r\n")[2])["client_key"] for answer in split(line.answer(3))]
        assert keys == [f"lane-order-{at_once}-{number}" for number in range(3)]


def test_a_client_that_never_waits_is_not_read_for_ever(chain: Chain, till: Till, card: str) -> None:
    line = Line(chain)
    data = [settle(till, card, f"lane-flood-{number}") for number in range(2)]
    line.send(data[0], b"x" * (LATER_MAX + 1))
    assert line.transport.pauses == 1
    line.answer()
    assert not line.transport.paused
    assert b"400 Bad Request" in line.transport.written


def test_answers_that_nobody_reads_do_not_pile_up(chain: Chain, till: Till, card: str) -> None:
    """While what was written waits to be read, the next answer waits, and after it no further request is taken in."""
    line = Line(chain)
    line.send(settle(till, card, "lane-unread-0"))
    before = line.answer()
    line.lane.pause_writing()  # as the transport says it once its buffer is full
    line.send(settle(till, card, "lane-unread-1"))
    assert line.ordinary
    chain.loop.run_until_complete(asyncio.sleep(0))  # its task has begun, and read
    line.send(settle(till, card, "lane-unread-2"))
    assert line.transport.paused
    assert line.transport.written == before
    line.lane.resume_writing()
    keys = [json.loads(answer.partition(b"\r\n\r\n")[2])["client_key"] for answer in split(line.answer(3))]
    assert keys == [f"lane-unread-{number}" for number in range(3)]
    assert not line.transport.paused


def test_a_request_in_pieces_then_a_whole_one(chain: Chain, till: Till, card: str) -> None:
    """While uvicorn's parser stands inside a message, what comes belongs to that message, whatever it looks like."""
    inner = settle(till, card, "lane-inside")
    outer = request("/v1/settle", inner, {"Content-Type": "application/json"})
    head = length(chain.shop)
    for line, pieces in ((Line(chain), (outer[: -len(inner)], inner)), (Line(chain), (b"POST /v1/sett", inner))):
        line.send(*pieces)
        assert line.answer()[9:12] in (b"400", b"401")
    line = Line(chain)
    line.send(outer[: -len(inner)], inner)
    line.answer()
    line.send(settle(till, card, "lane-after"))
    assert split(line.answer(2))[1].startswith(b"HTTP/1.1 200")
    assert length(chain.shop) == head + 1


# ---------------------------------------------------------------- the connection's life
def test_the_answer_under_way_is_given_before_the_end(chain: Chain, till: Till, card: str) -> None:
    line = Line(chain)
    line.send(settle(till, card, "lane-drain"))
    line.lane.shutdown()
    assert b"connection: close" in line.answer()
    assert line.transport.closed
    assert line.lane in line.state.connections, "until the transport says it is gone: that is what the server waits for"


def test_an_idle_connection_ends_with_the_server(chain: Chain, till: Till, card: str) -> None:
    line = Line(chain)
    line.send(settle(till, card, "lane-idle"))
    line.answer()
    line.lane.shutdown()
    assert line.transport.closed


def test_a_caller_that_is_gone_keeps_its_effect(chain: Chain, till: Till, card: str) -> None:
    line = Line(chain)
    head = length(chain.shop)
    line.send(settle(till, card, "lane-gone"))
    line.transport.closed = True
    line.lane.connection_lost(None)
    for _ in range(500):
        if not line.lane._busy:
            break
        chain.loop.run_until_complete(asyncio.sleep(0.002))
    assert line.transport.written == b""
    assert length(chain.shop) == head + 1
    assert line.lane.timeout_keep_alive_task is None


def test_a_silent_connection_is_closed_after_a_while(chain: Chain, till: Till, card: str) -> None:
    """Its timer is run by hand: half an hour after the last answer, then more than an hour after it."""
    line = Line(chain, timeout_keep_alive=3_600)
    for number in range(2):
        line.send(settle(till, card, f"lane-silent-{number}"))
        line.answer(number + 1)
        line.lane._idle_since -= 1_800
        line.lane.timeout_keep_alive_handler()
        assert not line.transport.closed, "a connection in use is kept"
        assert line.lane.timeout_keep_alive_task is not None, "and looked at again"
    line.lane._idle_since -= 1_801
    line.lane.timeout_keep_alive_handler()
    assert line.transport.closed


def test_what_breaks_outside_a_handler_is_an_answer(chain: Chain, till: Till, card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(chain.app.edge, "count", broken)
    line = Line(chain)
    with pytest.raises(ZeroDivisionError):
        line.send(signed(chain.nobody, "/v1/settle", b"{}"))
    assert line.transport.written.startswith(b"HTTP/1.1 500")
    assert line.transport.closed


# ---------------------------------------------------------------- reading heads
class Reading:
    """What httptools says of the same bytes."""

    def __init__(self) -> None:
        self.url = self.body = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


SAMPLE = (
    b"POST /v1/settle HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-Id: a-1\r\nContent-Type: application/json\r\nIdempotency-Key: 0198c0de\r\n"
    b"Authorization: Cardcore-HMAC terminal=till-1,version=1,time=1,nonce=0123456789abcdef,mac=00\r\nContent-Length: 13\r\n\r\n"
    b'{"card":"12"}'
)
SCRAPS = [
    b"\r\n", b"\r", b"\n", b" ", b"\t", b":", b"\0", b"\x01", b"\x80", b"\x7f", b"0", b"?a=b", b"%2f", b"HTTP/1.0", b"X: y\r\n",
    b"Content-Length: 3\r\n", b"Connection: close\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n folded", b"content-type:\r\n",
]  # fmt: skip


def test_a_plain_head_reads_as_the_server_reads_it() -> None:
    """Whenever the short reader takes a request, httptools finds the same one in it, whole, and stays on the connection."""
    draw = random.Random(20261122)
    taken = 0
    for _ in range(20_000):
        data = bytearray(SAMPLE)
        for _ in range(draw.randrange(3)):
            at = draw.randrange(len(data))
            what = draw.randrange(4)
            if what == 0:
                data[at:at] = draw.choice(SCRAPS)
            elif what == 1:
                del data[at : at + draw.randrange(1, 4)]
            elif what == 2:
                data[at] = draw.randrange(256)
            else:
                data[at : at + 1] = bytes(data[at : at + 1]).swapcase()
        found = plain(bytes(data))
        if found is None:
            continue
        taken += 1
        target, authorization, key, media, request_id, body = found
        reading = Reading()
        parser = httptools.HttpRequestParser(reading)
        parser.feed_data(bytes(data))
        headers = dict(reading.headers)
        assert reading.complete == 1, data
        assert parser.should_keep_alive(), data
        assert not parser.should_upgrade(), data
        assert (parser.get_method(), parser.get_http_version(), reading.url, reading.body) == (b"POST", "1.1", target, body), data
        named = (headers.get(b"authorization", b""), headers.get(b"idempotency-key", b""), headers.get(b"content-type", b""))
        assert named == (authorization, key, media), data
        assert headers.get(b"x-request-id", b"") == request_id, data
    assert 2_000 < taken < 19_000


@pytest.mark.parametrize("size", [len(SAMPLE) - 1, 40, 0])
def test_a_part_of_a_request_is_not_plain(size: int) -> None:
    assert plain(SAMPLE) is not None
    assert plain(SAMPLE[:size]) is None
    assert plain(SAMPLE + b"x") is None


# ---------------------------------------------------------------- what a request means
MEANING = (
    "8aa463617264a83632303030303138a56c696e65739188aa616d6f756e745f66656e64a87175616e7469747902a863617465676f7279a161a3736b75"
    "a162a5666c61677391a5636f766572ac636f756e7465725f72617465a4382f3130ac646973636f756e745f66656e01aa636f75706f6e5f66656e02a6"
    "706f696e747305b073686f727466616c6c5f74656e646572a463617368b173686f727466616c6c5f6d61785f66656e03ae73746f7265645f6d61785f"
    "66656e04ad667572746865725f636172647391a83632303030303236a76368616e6e656ca3776562a97265666572656e6365a172a76578706c61696e"
    "c3"
)


def test_a_fingerprint_outlives_a_release() -> None:
    """The packed meaning of a body never changes: it is compared with what an earlier release has written (O2)."""
    line = money_schemas.SaleLine(amount_fen=100, quantity=2, category="a", sku="b", flags=("cover",), counter_rate="8/10", discount_fen=1,
                                  coupon_fen=2)  # fmt: skip
    facts: dict[str, Any] = {
        "card": "62000018", "lines": (line,), "points": 5, "shortfall_tender": "cash", "shortfall_max_fen": 3, "stored_max_fen": 4,
        "further_cards": ("62000026",), "channel": "web", "reference": "r", "explain": True,
    }  # fmt: skip
    told: list[tuple[str, bytes]] = []
    ticket = money_schemas.BatchTicket(client_key="k", **facts)

    class Kept:
        def fingerprint(self, operation: str, data: object) -> bytes:
            told.append((operation, call._pack(data)))
            return b""

    ticket_fingerprint(Kept(), ticket)  # type: ignore[arg-type]
    told.append(("settle", call._pack(money_schemas.Settle(**facts))))
    assert told[0] == told[1], "a ticket of a batch means what its settle means"
    assert told[0][1].hex() == MEANING
    assert ticket.client_key == "k"
    assert call._pack(({"b": 1, "a": 2}, None)) == call._pack(({"a": 2, "b": 1}, None))


def test_a_retry_in_other_words_is_the_same_request(chain: Chain, till: Till, card: str) -> None:
    """The short reader's fingerprint and the other one's are of one meaning: in a batch, alone, plain, or with an escape in it (O2)."""
    plain = f'{{"card":"{card}","lines":[{{"amount_fen":250,"category":"food"}}],"explain":false}}'
    odd = plain.replace("food", "f\\u006fod").replace(",", " , ")
    batch = '{"tickets":[' + plain.replace("{", '{"client_key":"lane-words",', 1) + "]}"
    tickets = [json.loads(till.post("/v1/settle-batch", batch.encode()).body)["results"][0]["ticket_id"]]
    for body in (plain, odd):
        reply = till.post("/v1/settle", body.encode(), "lane-words")
        assert reply.status == 200, reply.body
        tickets.append(reply.json["ticket_id"])
    assert len(set(tickets)) == 1
    assert till.post("/v1/settle", plain.replace("250", "251").encode(), "lane-words").code == "key_reused"
