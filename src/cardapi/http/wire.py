"""Write a whole answer to the connection at once, where the server is uvicorn with httptools.

ASGI sends an answer as two messages, which uvicorn checks header by header: 10 us of the 60 that a settle costs the event
loop. Answers of the hot path are built by our own code, whole and with their length, so they can be written as they are.
Everywhere else, and whenever the connection is not simply waiting for this answer, `write` says no and ASGI is used.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

try:
    from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
except ImportError:  # another server, or another uvicorn: ASGI does
    STATUS_LINE, RequestResponseCycle = {}, None  # type: ignore[assignment,misc]

Headers = tuple[tuple[bytes, bytes], ...]


def write(send: Any, status: int, headers: Headers, body: bytes, request_id: bytes) -> bool:
    """True when the answer is written and the exchange complete; False when nothing was done."""
    cycle = getattr(send, "__self__", None)
    if cycle is None or type(cycle) is not RequestResponseCycle:
        return False
    if cycle.disconnected or cycle.response_started or cycle.more_body or not cycle.keep_alive:
        return False
    if cycle.flow.write_paused or cycle.access_log:
        return False
    head = _head(status, headers)
    if head is None:
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    cycle.transport.write(_joined(head, cycle.default_headers, body, request_id))
    cycle.on_response()
    return True


def whole(default_headers: list[tuple[bytes, bytes]], status: int, headers: Headers, body: bytes, request_id: bytes) -> bytes:
    """The bytes of an answer of our own."""
    return _joined(_lines(status, headers), default_headers, body, request_id)


def _joined(head: bytes, default_headers: list[tuple[bytes, bytes]], body: bytes, request_id: bytes) -> bytes:
    return b"%b%bx-request-id: %b\r\ncontent-length: %d\r\n\r\n%b" % (head, _dates(default_headers), request_id, len(body), body)


_written: tuple[Any, bytes] = (None, b"")


def _dates(default_headers: list[tuple[bytes, bytes]]) -> bytes:
    """The headers that the server adds to every answer; it makes a new list of them every second."""
    global _written
    known, text = _written
    if known is not default_headers:
        text = b"".join([b"%b: %b\r\n" % pair for pair in default_headers])
        _written = (default_headers, text)
    return text


@lru_cache(maxsize=64)
def _head(status: int, headers: Headers) -> bytes | None:
    """Status line and headers; None for those that ask for more than being written."""
    if status not in STATUS_LINE or any(name in (b"connection", b"transfer-encoding", b"content-length") for name, _ in headers):
        return None
    if any(not name.isascii() or b"\r" in value or b"\n" in value for name, value in headers):
        return None
    return _lines(status, headers)


@lru_cache(maxsize=64)
def _lines(status: int, headers: Headers) -> bytes:
    return STATUS_LINE[status] + b"".join([b"%b: %b\r\n" % pair for pair in headers])
