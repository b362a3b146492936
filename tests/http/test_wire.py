"""An answer written at once must be, byte for byte, the answer ASGI would have sent, and leave the exchange in the same state.

Method: uvicorn's own cycle over a transport in memory, answered once by `wire.write` and once by two ASGI messages.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from cardapi.http import wire

JSON = ((b"content-type", b"application/json"),)
PROBLEM = ((b"content-type", b"application/problem+json"), (b"retry-after", b"1"))


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def resume_reading(self) -> None:
        pass


def exchange(**changes: Any) -> tuple[RequestResponseCycle, Transport, list[int]]:
    """A cycle whose request has arrived whole."""
    transport, done = Transport(), []
    cycle = RequestResponseCycle(
        scope={"type": "http", "method": "POST"}, transport=transport, flow=FlowControl(transport),  # type: ignore[arg-type, typeddict-item]
        logger=logging.getLogger("test"), access_logger=logging.getLogger("test"), access_log=False,
        default_headers=[(b"date", b"Sun, 22 Nov 2026 06:17:06 GMT")], message_event=asyncio.Event(), expect_100_continue=False,
        keep_alive=True, on_response=lambda: done.append(1),
    )  # fmt: skip
    cycle.more_body = False
    for name, value in changes.items():
        setattr(cycle, name, value)
    return cycle, transport, done


def by_asgi(cycle: RequestResponseCycle, status: int, headers: wire.Headers, body: bytes) -> None:
    async def send() -> None:
        sent = [*headers, (b"x-request-id", b"a-1"), (b"content-length", b"%d" % len(body))]
        await cycle.send({"type": "http.response.start", "status": status, "headers": sent})
        await cycle.send({"type": "http.response.body", "body": body})  # type: ignore[typeddict-item]

    asyncio.run(send())


def parts(written: bytes) -> tuple[bytes, list[bytes], bytes]:
    head, _, body = written.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    return line, sorted(headers), body


@pytest.mark.parametrize("headers", [JSON, PROBLEM, ()])
@pytest.mark.parametrize("status", [200, 202, 409, 422, 500])
@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 70_000])
def test_the_same_bytes_and_the_same_end(status, headers, body):
    ours, our_transport, our_end = exchange()
    theirs, their_transport, their_end = exchange()
    assert wire.write(ours.send, status, headers, body, b"a-1")
    by_asgi(theirs, status, headers, body)
    assert parts(our_transport.written) == parts(their_transport.written)
    assert our_end == their_end == [1]
    for name in ("response_started", "response_complete", "keep_alive", "disconnected"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.message_event.is_set()
    assert not our_transport.closed


@pytest.mark.parametrize(
    "state",
    [{"disconnected": True}, {"response_started": True}, {"more_body": True}, {"keep_alive": False}, {"access_log": True}],
)
def test_any_other_state_is_left_to_asgi(state):
    cycle, transport, end = exchange(**state)
    assert not wire.write(cycle.send, 200, JSON, b"{}", b"a-1")
    assert transport.written == b""
    assert end == []


def test_a_full_connection_is_left_to_asgi():
    cycle, transport, _ = exchange()
    cycle.flow.pause_writing()
    assert not wire.write(cycle.send, 200, JSON, b"{}", b"a-1")
    assert transport.written == b""


@pytest.mark.parametrize("headers", [((b"connection", b"close"),), ((b"transfer-encoding", b"chunked"),), ((b"x", b"a\r\nb: c"),)])
def test_headers_that_steer_the_connection_are_left_to_asgi(headers):
    cycle, transport, _ = exchange()
    assert not wire.write(cycle.send, 413, headers, b"{}", b"a-1")
    assert transport.written == b""


def test_other_servers_are_left_to_asgi():
    async def send(message: Any) -> None:
        raise AssertionError(message)

    assert not wire.write(send, 200, JSON, b"{}", b"a-1")
