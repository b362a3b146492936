"""The load generator: a process of its own that speaks HTTP/1.1 over many connections, one request in flight on each.

It reads a pickled `Plan` on standard input and prints one JSON object. All requests are built, and signed by whoever
made the plan, before the clock starts. Anything but a 2xx that holds the expected bytes ends the run with an error:
a server that refuses quickly is not fast. It uses bare sockets and epoll, so that on a machine with two cores it takes
as little as it can from the server beside it.
"""

from __future__ import annotations

import json
import pickle
import select
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Plan:
    """What to send where. `requests` are whole HTTP requests; each is sent at most once.

    `expect` must occur `expect_times` in every answer; `items` is how many settlements one request carries.
    """

    port: int
    requests: Sequence[bytes]
    connections: int
    seconds: float
    warm_seconds: float
    expect: bytes
    expect_times: int = 1
    items: int = 1


@dataclass(frozen=True)
class Outcome:
    """What came back after the warm-up: answered requests, the seconds they took, and latencies in milliseconds."""

    answered: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    failure: str = ""

    def rate(self, items: int) -> float:
        return self.answered * items / self.seconds


class Failed(Exception):
    """The server answered with something that was not asked for."""


class Channel:
    """One connection: at most one request in flight, and the bytes of its answer so far."""

    __slots__ = ("buffer", "need", "sent_at", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.need = 0  # bytes of the whole answer, 0 while its head is incomplete
        self.sent_at = 0

    def receive(self) -> bytes | None:
        """Take what has arrived; the whole answer once it is complete."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise Failed("the server closed a connection")
        self.buffer = buffer = self.buffer + data if self.buffer else data
        if not self.need:
            head = buffer.find(b"\r\n\r\n")
            if head < 0:
                return None
            self.need = head + 4 + content_length(buffer[:head])
        if len(buffer) < self.need:
            return None
        if len(buffer) > self.need:
            raise Failed("the server sent more than one answer")
        self.buffer, self.need = b"", 0
        return buffer


def content_length(head: bytes) -> int:
    place = head.lower().find(b"\r\ncontent-length:")
    if place < 0:
        raise Failed(f"an answer without content-length: {head[:200]!r}")
    return int(head[place + 17 :].split(b"\r\n", 1)[0])


def run(plan: Plan) -> Outcome:
    """Send until the time is over or the requests are; then wait for what is in flight, uncounted."""
    channels = {(channel := Channel(plan.port)).socket.fileno(): channel for _ in range(plan.connections)}
    poll = select.epoll()
    for number in channels:
        poll.register(number, select.EPOLLIN)
    latencies: list[int] = []
    try:
        first, last = _exchange(plan, channels, poll, latencies)
    finally:
        for channel in channels.values():
            channel.socket.close()
        poll.close()
    if not latencies:
        raise Failed("no answer within the time")
    latencies.sort()
    ms = [value / 1e6 for value in latencies]
    return Outcome(len(ms), (last - first) / 1e9, ms[len(ms) // 2], ms[min(len(ms) - 1, len(ms) * 99 // 100)], ms[-1])


def _exchange(plan: Plan, channels: dict[int, Channel], poll: select.epoll, latencies: list[int]) -> tuple[int, int]:
    """The timed loop. Returns the nanoseconds at which counting began and ended."""
    clock = time.perf_counter_ns
    waiting = iter(plan.requests)
    began = clock()
    counted_from, until = began + int(plan.warm_seconds * 1e9), began + int((plan.warm_seconds + plan.seconds) * 1e9)
    flying = now = 0
    for channel, opening in zip(channels.values(), waiting, strict=False):
        channel.sent_at = clock()
        channel.socket.sendall(opening)
        flying += 1
    first = 0  # the clock at the first counted answer's predecessor
    expect, times = plan.expect, plan.expect_times
    while flying:
        events = poll.poll(10)
        if not events:
            raise Failed("no answer for 10 seconds")
        for number, _ in events:
            channel = channels[number]
            answer = channel.receive()
            if answer is None:
                continue
            now = clock()
            if answer[9:10] != b"2" or answer.count(expect) != times:
                raise Failed(f"an answer that is not a success: {answer[:1500].decode('utf-8', 'replace')}")
            if first and now < until:
                latencies.append(now - channel.sent_at)
                last = now
            elif not first and now >= counted_from:
                first = last = now
            request = next(waiting, None) if now < until else None
            if request is None:
                flying -= 1
                continue
            channel.sent_at = now
            channel.socket.sendall(request)
    return first, last if first else now


def main() -> int:
    plan = pickle.load(sys.stdin.buffer)  # from our own parent process
    try:
        outcome = run(plan)
    except (Failed, OSError) as failure:
        outcome = Outcome(0, 1.0, 0.0, 0.0, 0.0, failure=f"{type(failure).__name__}: {failure}")
    print(json.dumps(asdict(outcome)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
