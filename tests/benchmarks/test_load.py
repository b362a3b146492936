"""The load generator must count only successes, and stop at the first answer that is not one.

Method: a threaded server with canned answers, in pieces and whole, and the generator run in this process.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from benchmarks.load import Failed, Plan, run

REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"


def answer(status: bytes = b"200 OK", body: bytes = b'{"outcome":"applied"}') -> bytes:
    return b"HTTP/1.1 " + status + b"\r\nserver: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@contextmanager
def canned(pieces: list[bytes]) -> Iterator[tuple[int, list[int]]]:
    """A server that answers each request with these pieces; gives its port and a list that counts requests."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[int] = []

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while connection.recv(65536):
                seen.append(1)
                for piece in pieces:
                    connection.sendall(piece)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def plan(port: int, count: int = 40, *, seconds: float = 5.0, warm_seconds: float = 0.0, expect_times: int = 1) -> Plan:
    return Plan(port, [REQUEST] * count, 4, seconds, warm_seconds, b'"applied"', expect_times)


def test_each_request_is_sent_once_and_all_but_the_first_answer_counted():
    with canned([answer()]) as (port, seen):
        outcome = run(plan(port))
    assert len(seen) == 40
    assert outcome.answered == 39  # the first counted answer starts the clock
    assert 0 < outcome.p50_ms <= outcome.p99_ms <= outcome.max_ms


def test_an_answer_in_pieces_is_put_together():
    whole = answer()
    with canned([whole[:10], whole[10:40], whole[40:]]) as (port, _):
        assert run(plan(port, 10)).answered == 9


def test_the_run_ends_with_its_time():
    with canned([answer()]) as (port, seen):
        outcome = run(plan(port, 1_000_000, seconds=0.2, warm_seconds=0.1))
    assert 0 < outcome.answered < len(seen) < 1_000_000
    assert 0.1 < outcome.seconds < 0.3


BAD = [answer(b"500 Internal Server Error"), answer(b"409 Conflict"), answer(body=b'{"outcome":"refused"}'), b"HTTP/1.1 200 OK\r\n\r\n"]


@pytest.mark.parametrize("bad", BAD)
def test_anything_but_success_ends_the_run(bad):
    with canned([bad]) as (port, _), pytest.raises(Failed):
        run(plan(port))


def test_a_batch_counts_only_with_every_item_applied():
    with canned([answer(body=b'["applied","applied"]')]) as (port, _):
        assert run(plan(port, 8, expect_times=2)).answered == 7
        with pytest.raises(Failed):
            run(plan(port, 8, expect_times=3))
