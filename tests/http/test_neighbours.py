"""Goal: a request of a card goes to the process that has its partition and its answer comes back unchanged.

Method: the application with a neighbour of our own making (`next_door`). What becomes of requests that it does not answer is in
`test_neighbours_away.py`; `tests/postgres/test_neighbours.py` has real processes.
"""

from __future__ import annotations

import asyncio
import json

from cardapi.http.neighbours import Neighbours
from cardapi.http.operations import BY_ID, OPERATIONS
from cardapi.ids import home, ticket_id
from tests.http.client import Till
from tests.http.conftest import Chain
from tests.http.next_door import PARTITIONS, Door, answers, first_waits, said
from tests.http.test_lane import Line, settle, shape, signed, split
from tests.shops import length


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
    other, one, two = door(card, first_waits(free)), Line(chain), Line(chain)
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
    other, gone, line = door(card, first_waits(free)), Line(chain), Line(chain)
    gone.send(settle(till, card, "next-gone"))
    chain.loop.run_until_complete(asyncio.sleep(0.05))
    gone.transport.closed = True
    chain.loop.call_soon(free.set)
    chain.loop.run_until_complete(asyncio.sleep(0.05))
    line.send(settle(till, card, "next-after"))
    assert line.answer().endswith(b"\r\n\r\n1")
    assert gone.transport.written == b""
    assert other.connections == 1
