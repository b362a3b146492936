"""Goal: a request of a card goes to the process that has its partition and its answer comes back unchanged; whatever that process does,
each request has one answer and one effect.

Method: the application with a neighbour of our own making on a real socket: one that answers, in pieces or with an end, and ones that
are away, hang up, say nothing, too much or nonsense. `tests/postgres/test_neighbours.py` has real processes.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import pytest

from cardapi.http import neighbours
from cardapi.http.neighbours import Neighbours
from cardapi.http.operations import BY_ID, OPERATIONS
from cardapi.ids import home, ticket_id
from tests.http.client import Till
from tests.http.conftest import Chain
from tests.http.test_lane import Line, request, settle, shape, signed, split
from tests.shops import length

PARTITIONS = 64
Write = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


def said(body: bytes = b'{"theirs":true}', more: bytes = b"", status: bytes = b"200 OK") -> bytes:
    date = b"date: Mon, 23 Nov 2026 08:00:00 GMT\r\n"
    return b"HTTP/1.1 %b\r\n%b%bx-request-id: theirs\r\ncontent-length: %d\r\n\r\n%b" % (status, date, more, len(body), body)


class Other:
    """The process next door: keeps what it was asked, answers as it is told to."""

    def __init__(self, chain: Chain, card: str, write: Write | None) -> None:
        """`write` answers one request on one connection, given how many were asked before; None: it is not there."""
        meeting = secrets.token_hex(8)
        ours = 1 - home(card, PARTITIONS) % 2
        self.asked: list[bytes] = []
        self.connections = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._chain = chain
        self._write = write
        self._server: asyncio.Server | None = None
        if write is not None:
            self._server = chain.loop.run_until_complete(asyncio.start_unix_server(self._serve, f"\0cardcore-{meeting}-{1 - ours}"))
        self.neighbours = Neighbours(meeting, ours, 2, PARTITIONS, OPERATIONS, chain.shop.registry)
        chain.app.service.neighbours = self.neighbours

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                self.asked.append(head + await reader.readexactly(size))
                assert self._write is not None
                await self._write(reader, writer, len(self.asked) - 1)
        writer.close()

    def close(self) -> None:
        async def end() -> None:
            self.neighbours.close()
            if self._server is not None:
                self._server.close()
            await asyncio.gather(*self._tasks)  # each of its connections is at its end

        self._chain.app.service.neighbours = None
        self._chain.loop.run_until_complete(end())


Door = Callable[[str, Write | None], Other]


@pytest.fixture
def door(chain: Chain) -> Iterator[Door]:
    made: list[Other] = []

    def opened(card: str, write: Write | None) -> Other:
        made.append(Other(chain, card, write))
        return made[-1]

    yield opened
    for other in made:
        other.close()
    assert chain.app.edge._running == 0


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    del reader, number
    writer.write(said())


# ---------------------------------------------------------------- whose a request is
def test_whose_a_request_is(chain: Chain) -> None:
    others = Neighbours("nowhere", 1, 3, PARTITIONS, OPERATIONS, chain.shop.registry)
    card, ticket = "6200000000000013", ticket_id(5, 42)
    places = {0: others._others[0], 1: None, 2: others._others[2]}
    settle = BY_ID["settle"]
    for number in range(620000000000000, 620000000000064):
        name = f"{number}0"
        assert others.of(settle, json.dumps({"card": name, "lines": []}).encode()) is places[home(name, PARTITIONS) % 3]
    assert others.of(BY_ID["refund"], b'{"ticket_id":"%b"}' % ticket.encode()) is places[5 % 3]
    assert others.of(BY_ID["freeze"], b"{}", "6" * 5_000) is None
    assert others.of(BY_ID["freeze"], b"{}", card) is places[home(card, PARTITIONS) % 3]
    for body in (b"", b"{}", b"\xff", b'{"card":6200}', b'{"card":"x"}', b'{"client_key":"a"}', b'{"card":"6%b"}' % (b"0" * 70_000)):
        assert others.of(settle, body) is None
    for odd in (b'{"card":"---"}', b'{"ticket_id":"zz-1"}', b'{"ticket_id":"---"}', b'{"ticket_id":"ff-000000000001"}'):
        others.of(settle, odd)  # a hint, whatever it is


def test_what_is_passed_on(chain: Chain) -> None:
    """What names one card or ticket and has one effect under its key; no reads, batches, sessions with a card, documents or what waits
    for a second person."""
    others = Neighbours("nowhere", 0, 2, PARTITIONS, OPERATIONS, chain.shop.registry)
    assert others._passed == {
        "settle", "hold", "capture", "void", "refund", "reverse", "topUp", "transfer", "expire", "recordEvent", "redeem",
        "giveCoupons", "issueCards", "activateCard", "setPin", "verifyPin", "unlockPin", "reportLost", "freeze", "unfreeze", "swapCard",
        "reissueCard", "cancelCard", "takeBackCard", "destroyCard",
    }  # fmt: skip
    assert all(BY_ID[name].keyed for name in others._passed)


# ---------------------------------------------------------------- there and back
def test_a_plain_request_goes_as_it_came_and_so_does_its_answer(chain: Chain, till: Till, card: str, door: Door) -> None:
    other, line, before = door(card, answers), Line(chain), length(chain.shop)
    data = [settle(till, card, f"next-plain-{number}") for number in range(3)]
    for number, each in enumerate(data):
        line.send(each)
        line.answer(number + 1)
    assert other.asked == data
    assert split(line.transport.written) == [said()] * 3
    assert other.connections == 1, "kept from one request to the next"
    assert line.state.total_requests == 3
    assert (length(chain.shop), other.neighbours.counts) == (before, (3, 0))
    assert 'cardcore_passed_on_total{outcome="answered"} 3' in chain.admin.get("/metrics").body.decode()


def test_requests_of_several_connections_do_not_wait_for_each_other(chain: Chain, till: Till, card: str, door: Door) -> None:
    free = asyncio.Event()

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number == 0:
            await free.wait()
        writer.write(said(b"%d" % number))

    other, one, two = door(card, later), Line(chain), Line(chain)
    one.send(settle(till, card, "next-slow"))
    chain.loop.run_until_complete(asyncio.sleep(0.05))
    two.send(settle(till, card, "next-quick"))
    assert two.answer().endswith(b"\r\n\r\n1")
    assert not one.transport.written
    chain.loop.call_soon(free.set)
    assert one.answer().endswith(b"\r\n\r\n0")
    assert other.connections == 2


def test_an_unusual_request_is_passed_on_by_what_counts_of_it(chain: Chain, till: Till, card: str, door: Door) -> None:
    """What takes uvicorn's way (here in two pieces, with a path that names the card) keeps its proof, key, target and body."""
    other, line = door(card, answers), Line(chain)
    path, body = f"/v1/cards/{card}/freeze", b'{"reason":"odd"}'
    data = signed(till, path, body, "next-odd", **{"User-Agent": "x"})
    line.send(data[:20], data[20:])
    answer = shape(line.answer())
    assert answer[0] == b"HTTP/1.1 200 OK"
    assert answer[2] == b'{"theirs":true}'
    assert b"x-request-id: of-the-test" in answer[1]
    assert sum(header.startswith(b"content-length") for header in answer[1]) == 1
    (asked,) = other.asked
    head, _, sent = asked.partition(b"\r\n\r\n")
    proof = next(line for line in data.split(b"\r\n") if line.startswith(b"Authorization: "))[15:]
    assert head.split(b"\r\n") == [
        b"POST %b HTTP/1.1" % path.encode(), b"host: neighbour", b"authorization: " + proof, b"idempotency-key: next-odd",
        b"content-type: application/json", b"x-request-id: of-the-test", b"content-length: %d" % len(body),
    ]  # fmt: skip
    assert sent == body


def test_refusals_are_answers(chain: Chain, till: Till, card: str, door: Door) -> None:
    refusal = said(b'{"code":"not_covered"}', b"content-type: application/problem+json\r\nretry-after: 3\r\n", b"409 Conflict")

    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(refusal)

    other, line = door(card, refuses), Line(chain)
    line.send(settle(till, card, "next-refused"))
    assert line.answer() == refusal
    two = Line(chain)
    data = settle(till, card, "next-refused-2")
    two.send(data[:9], data[9:])
    status, headers, body = shape(two.answer())
    assert (status, body) == (b"HTTP/1.1 409 Conflict", b'{"code":"not_covered"}')
    assert {b"content-type: application/problem+json", b"retry-after: 3"} <= set(headers)
    assert other.neighbours.counts == (2, 0)


def test_an_answer_in_pieces_is_given_when_it_is_whole(chain: Chain, till: Till, card: str, door: Door) -> None:
    async def pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        for place in range(0, len(said()), 17):
            writer.write(said()[place : place + 17])
            await writer.drain()
            await asyncio.sleep(0.001)

    door(card, pieces)
    line = Line(chain)
    line.send(settle(till, card, "next-pieces"))
    assert line.answer() == said()


def test_the_order_on_a_connection_stays(chain: Chain, till: Till, card: str, door: Door) -> None:
    """Of three requests sent at once the second is ours."""
    other = door(card, answers)
    mine = next(fresh for fresh in iter(lambda: chain.card(paid_fen=100_000), "") if (home(fresh, PARTITIONS) - home(card, PARTITIONS)) % 2)
    line = Line(chain)
    line.send(b"".join(settle(till, each, f"next-order-{place}") for place, each in enumerate((card, mine, card))))
    one, two, three = (json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in split(line.answer(3)))
    assert (one, three) == ({"theirs": True}, {"theirs": True})
    assert two["client_key"] == "next-order-1"
    assert len(other.asked) == 2


# ---------------------------------------------------------------- no answer
async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.close()


async def hangs_up_half_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(said()[:-5])
    writer.close()


async def says_no_length(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nserver: other\r\n\r\n{}")


async def says_too_much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(said() + b"HTTP")


async def says_it_is_huge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n")


async def has_failed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(said(b'{"code":"not_ready"}', status=b"503 Service Unavailable"))


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    await reader.read()  # until it is left


@pytest.mark.parametrize(
    "write", [None, hangs_up, hangs_up_half_way, says_no_length, says_too_much, says_it_is_huge, has_failed, says_nothing]
)
def test_without_an_answer_it_is_done_here(
    chain: Chain, till: Till, card: str, door: Door, write: Write | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "PATIENCE_S", 0.1)
    monkeypatch.setattr(neighbours, "LOOK_S", 0.02)
    other, before = door(card, write), length(chain.shop)
    for way, pieces in enumerate((1, 2)):
        for others in other.neighbours._others:
            if others is not None:
                others._away_until = 0.0
        line = Line(chain)
        data = settle(till, card, f"next-away-{getattr(write, '__name__', write)}-{way}")
        line.send(*([data] if pieces == 1 else [data[:20], data[20:]]))
        status, _, body = shape(line.answer())
        assert status == b"HTTP/1.1 200 OK"
        assert json.loads(body)["outcome"] == "applied"
        assert len(other.asked) == (0 if write is None else way + 1)
    assert length(chain.shop) == before + 2
    assert other.neighbours.counts == (0, 2)
    line = Line(chain)
    line.send(settle(till, card, f"next-away-{write}-rest".replace(" ", "")))
    assert line.answer().startswith(b"HTTP/1.1 200 OK")
    assert other.neighbours.counts == (0, 2), "nobody is asked for a while who was away"


def test_another_users_socket_is_told_nothing(chain: Chain, till: Till, card: str, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    other, line = door(card, answers), Line(chain)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    line.send(settle(till, card, "next-stranger"))
    assert b"applied" in line.answer()
    assert (other.asked, other.neighbours.counts) == ([], (0, 1))


def both(chain: Chain, till: Till, card: str, key: str) -> Iterator[tuple[bytes, list[bytes], bytes]]:
    """The answers to two settles, one by each way through the edge, of a neighbour that is asked each time."""
    for pieces in (1, 2):
        others = chain.app.service.neighbours
        assert others is not None
        for other in others._others:
            if other is not None:
                other._away_until = 0.0
        line, data = Line(chain), settle(till, card, f"{key}-{pieces}")
        line.send(*([data] if pieces == 1 else [data[:20], data[20:]]))
        yield shape(line.answer())


@pytest.mark.parametrize(("write", "code"), [(hangs_up, "outcome_unknown"), (None, "too_many_requests"), (has_failed, "too_many_requests")])
def test_a_refusal_here_does_not_deny_what_was_done_there(
    chain: Chain, till: Till, card: str, door: Door, write: Write | None, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before its key was looked for: nothing was recorded here (O4); there it may have been, unless it said that it did nothing."""

    def full(*_: object) -> None:
        raise chain.app.service.too_many("terminal", 1.0)

    door(card, write)
    monkeypatch.setattr(chain.app.service, "take", full)
    assert [json.loads(body)["code"] for _, _, body in both(chain, till, card, f"next-denied-{code}")] == [code] * 2


def test_a_decline_here_is_the_word_of_the_books(chain: Chain, till: Till, door: Door) -> None:
    empty = chain.card()
    door(empty, hangs_up)
    for status, _, body in both(chain, till, empty, "next-declined"):
        assert status.startswith(b"HTTP/1.1 409")
        assert json.loads(body)["code"] == "insufficient_funds"


def test_one_that_began_after_a_request_was_signed_is_not_its_judge(chain: Chain, till: Till, card: str, door: Door) -> None:
    async def just_began(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(said(b'{"status":401,"code":"signature_time"}', status=b"401 Unauthorized"))

    door(card, just_began)
    assert [status for status, _, _ in both(chain, till, card, "next-began")] == [b"HTTP/1.1 200 OK"] * 2


def test_without_a_socket_to_ask_by_it_is_done_here(
    chain: Chain, till: Till, card: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door(card, answers)

    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr("cardapi.http.neighbours.socket.socket", none_left)
    assert [status for status, _, _ in both(chain, till, card, "next-files")] == [b"HTTP/1.1 200 OK"] * 2


def test_who_is_slow_to_open_is_watched_too(chain: Chain, till: Till, card: str, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch comes by while there is no link yet, and none after it."""
    monkeypatch.setattr(neighbours, "PATIENCE_S", 0.1)
    monkeypatch.setattr(neighbours, "LOOK_S", 0.01)
    user = os.geteuid()

    def stalls() -> int:
        time.sleep(0.05)
        return user

    door(card, says_nothing)
    monkeypatch.setattr(os, "geteuid", stalls)
    assert [status for status, _, _ in both(chain, till, card, "next-stall")] == [b"HTTP/1.1 200 OK"] * 2


def test_one_request_finds_out_whether_it_is_there_again(chain: Chain, till: Till, card: str, door: Door) -> None:
    other = door(card, says_nothing)
    (there,) = (each for each in other.neighbours._others if each is not None)
    there._away_until = 1.0  # a rest that is over
    one, two = Line(chain), Line(chain)
    one.send(settle(till, card, "next-first"))
    chain.loop.run_until_complete(asyncio.sleep(0.05))
    two.send(settle(till, card, "next-second"))
    assert b"applied" in two.answer()
    assert not one.transport.written
    assert len(other.asked) == 1
    there.close()
    assert b"applied" in one.answer()


def test_after_a_change_of_documents_nothing_is_passed_on_for_a_moment(
    chain: Chain, till: Till, card: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was revoked here would still be let in there."""
    monkeypatch.setattr(neighbours, "NEWS_S", 0.2)
    other, line = door(card, answers), Line(chain)
    chain.made(chain.admin.post("/v1/units", {"id": f"next-{secrets.token_hex(4)}", "name": "x", "kind": "store", "parent": "north"}))
    line.send(settle(till, card, "next-news-0"))
    assert b"applied" in line.answer()
    assert other.asked == []
    chain.loop.run_until_complete(asyncio.sleep(0.25))
    line.send(settle(till, card, "next-news-1"))
    assert split(line.answer(2))[1] == said()


def test_who_is_not_known_has_an_answer_though_looking_again_took_no_time(
    chain: Chain, card: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look() -> bool:
        await asyncio.sleep(-1)  # a bare yield
        return False

    monkeypatch.setattr(chain.app.service, "catch_up", look)
    door(card, hangs_up)
    line = Line(chain)
    body = json.dumps({"card": card, "lines": [{"amount_fen": 100}]}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": "next-who", "Authorization": "Bearer nonsense"}
    line.send(request("/v1/settle", body, headers))
    assert line.answer().startswith(b"HTTP/1.1 500")  # it was asked there, and hung up
    chain.app.service.neighbours = None
    alone = Line(chain)
    alone.send(request("/v1/settle", body, headers))
    assert alone.answer().startswith(b"HTTP/1.1 401")


def test_it_is_asked_again_after_a_while(chain: Chain, till: Till, card: str, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def first_hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number:
            writer.write(said())
        else:
            writer.close()

    monkeypatch.setattr(neighbours, "REST_S", 0.05)
    door(card, first_hangs_up)
    line = Line(chain)
    line.send(settle(till, card, "next-again-0"))
    assert b"applied" in line.answer()
    chain.loop.run_until_complete(asyncio.sleep(0.1))
    line.send(settle(till, card, "next-again-1"))
    assert split(line.answer(2))[1] == said()


def test_an_effect_whose_answer_was_lost_is_not_doubled(chain: Chain, card: str, door: Door) -> None:
    """The neighbour does the sale and dies before it says so: the same request, done here, finds it."""
    done: list[str] = []

    async def does_it_and_dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        chain.app.service.neighbours = None  # it has the card
        body = {"card": card, "lines": [{"amount_fen": 100}]}
        headers = {"Idempotency-Key": "next-lost", **chain.admin.headers("POST", "/v1/settle", b"", "")}
        reply = await chain.client.acall("POST", "/v1/settle", body, headers)
        done.append(reply.json["ticket_id"])
        writer.close()

    door(card, does_it_and_dies)
    before, line = length(chain.shop), Line(chain)
    body = json.dumps({"card": card, "lines": [{"amount_fen": 100}]}).encode()
    line.send(signed(chain.admin, "/v1/settle", body, "next-lost"))
    assert [json.loads(shape(line.answer())[2])["ticket_id"]] == done
    assert length(chain.shop) == before + 1


def test_a_neighbour_that_nobody_may_wait_for_any_more_is_not_asked(
    chain: Chain, till: Till, card: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "LINKS_MAX", 0)
    other, line = door(card, answers), Line(chain)
    line.send(settle(till, card, "next-full"))
    assert b"applied" in line.answer()
    assert (other.asked, other.neighbours.counts) == ([], (0, 0))


# ---------------------------------------------------------------- ends
def test_a_neighbour_that_drains_ends_the_connection_with_its_answer(chain: Chain, till: Till, card: str, door: Door) -> None:
    last = said(more=b"connection: close\r\n")

    async def drains(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(last)
        writer.close()

    other, line = door(card, drains), Line(chain)
    line.send(settle(till, card, "next-drains"))
    assert line.answer() == last
    assert line.transport.closed
    assert other.neighbours.counts == (1, 0)


def test_the_last_answer_here_says_so(chain: Chain, till: Till, card: str, door: Door) -> None:
    door(card, answers)
    line = Line(chain)
    line.send(settle(till, card, "next-last"))
    line.lane.drain()
    status, headers, body = shape(line.answer())
    assert b"connection: close" in headers
    assert (status, body) == (b"HTTP/1.1 200 OK", b'{"theirs":true}')
    assert line.transport.closed


def test_a_client_that_is_gone_leaves_the_link_in_order(chain: Chain, till: Till, card: str, door: Door) -> None:
    free = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number == 0:
            await free.wait()
        writer.write(said(b"%d" % number))

    other, gone, line = door(card, waits), Line(chain), Line(chain)
    gone.send(settle(till, card, "next-gone"))
    chain.loop.run_until_complete(asyncio.sleep(0.05))
    gone.transport.closed = True
    chain.loop.call_soon(free.set)
    chain.loop.run_until_complete(asyncio.sleep(0.05))
    line.send(settle(till, card, "next-after"))
    assert line.answer().endswith(b"\r\n\r\n1")
    assert gone.transport.written == b""
    assert other.connections == 1
