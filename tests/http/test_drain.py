"""Goal: a service that is told to end under load ends as docs/operations.md says: what it acknowledged is there, what it does not
answer it has not begun to answer, a client that is at work gets its last answer with `Connection: close`, and the exit code is 0.

Method: connections put together by hand; then real processes, on a file with one and on a server with two workers. Their clients are
bare sockets, some of which keep their connection and some make one for each request, until nobody listens any more.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cardapi.app import open_shop
from cardapi.http.signature import sign
from cardapi.ids import ticket_id
from tests.cli.shop import COMMAND, ENVIRONMENT, call, demo_shop
from tests.http.client import Till
from tests.http.conftest import Chain
from tests.http.test_lane import Line, settle, signed
from tests.postgres.server import empty, needs_postgres

CLIENTS = 8
ANSWERS = 100  # before the signal
WAIT_S = 120  # for what comes by itself


# ---------------------------------------------------------------- one connection
def ordinary(till: Till, card: str, key: str) -> bytes:
    """A request that goes the ordinary way."""
    return signed(till, f"/v1/cards/{card}/lost", b"{}", key)


@pytest.mark.parametrize("asked", [settle, ordinary])
@pytest.mark.parametrize("begun", ["before", "after"])
def test_the_next_answer_is_the_last(chain: Chain, till: Till, asked: Any, begun: str) -> None:
    """Of a connection that asks nothing at the moment: it may be about to."""
    card, line = chain.card(paid_fen=10_00), Line(chain)
    if begun == "before":
        line.send(settle(till, card, f"drain-first-{asked.__name__}"))
        assert b"connection: close" not in line.answer()
        line.transport.written = b""
    line.lane.drain()
    assert not line.transport.closed
    line.send(asked(till, card, f"drain-{begun}-{asked.__name__}"))
    assert b"connection: close" in line.answer()
    assert line.transport.closed


@pytest.mark.parametrize("asked", [settle, ordinary])
def test_the_answer_under_way_is_the_last(chain: Chain, till: Till, asked: Any) -> None:
    card, line = chain.card(paid_fen=10_00), Line(chain)
    line.send(asked(till, card, f"drain-while-{asked.__name__}"))
    line.lane.drain()
    assert b"connection: close" in line.answer()
    assert line.transport.closed


def test_who_was_let_in_at_the_end_has_one_answer(chain: Chain, till: Till, card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain.app.service, "draining", True)
    line = Line(chain)
    line.send(settle(till, card, "drain-late"))
    assert b"connection: close" in line.answer()


# ---------------------------------------------------------------- whole processes
class Client(threading.Thread):
    """Sells until nobody listens any more."""

    def __init__(self, port: int, name: str, key: bytes, card: str, *, keeps: bool) -> None:
        super().__init__(name=name, daemon=True)
        self._port, self._key, self._card, self._keeps = port, key, card, keeps
        self.told: dict[str, str] = {}  # ticket ids by client key
        self.ends: Counter[str] = Counter()  # cut: before the first byte of an answer; torn: within it
        self.strange: list[bytes] = []

    def run(self) -> None:
        line: socket.socket | None = None
        for number in itertools.count(1):
            try:
                line = line or socket.create_connection(("127.0.0.1", self._port), WAIT_S)
            except ConnectionRefusedError:
                return
            except OSError:
                continue
            key = f"{self.name}-{number}"
            got = self._ask(line, key)
            self._count(key, got)
            if not self._keeps or not got or b"connection: close" in got:
                line.close()
                line = None

    def _ask(self, line: socket.socket, key: str) -> bytes:
        """All that came, up to a whole answer or the end of the connection."""
        body = json.dumps({"card": self._card, "lines": [{"amount_fen": 1}]}).encode()
        proof = sign(self._key, "till-1", 1, "POST", "/v1/settle", int(time.time()), secrets.token_hex(12), key, body)
        head = f"POST /v1/settle HTTP/1.1\r\nHost: x\r\nAuthorization: {proof}\r\nIdempotency-Key: {key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        got = b""
        with suppress(ConnectionError):
            line.sendall(head.encode() + body)
            while not whole(got) and (more := line.recv(65_536)):
                got += more
        return got

    def _count(self, key: str, got: bytes) -> None:
        end = "answered" if whole(got) else "torn" if got else "cut"
        self.ends[end] += 1
        answer = json.loads(got.partition(b"\r\n\r\n")[2]) if end == "answered" else {}
        if answer.get("outcome") == "applied":
            self.told[key] = answer["ticket_id"]
        elif got:
            self.strange.append(got)


def whole(got: bytes) -> bool:
    head, found, body = got.partition(b"\r\n\r\n")
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(found) and len(body) == int(length[0].split(b":")[1])


@contextmanager
def serving(data: Path, workers: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    words = [*COMMAND, "serve", "--data", str(data), "--port", "0", "--workers", str(workers)]
    process = subprocess.Popen(
        words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )  # fmt: skip
    try:
        assert process.stdout is not None
        last = next((line for line in process.stdout if line.startswith("listening")), "")
        assert last, process.communicate()
        yield process, int(last.split()[-1])
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers too, which hold the pipes
        process.communicate()


def drained(data: Path, workers: int) -> None:
    made = json.loads((data / "demo.json").read_bytes())
    with serving(data, workers) as (process, port):
        key, cards = bytes.fromhex(made["terminal_key"]), itertools.cycle(made["cards"].values())
        clients = [Client(port, f"client-{n}", key, next(cards), keeps=n % 2 == 0) for n in range(CLIENTS)]
        for client in clients:
            client.start()
        deadline = time.monotonic() + WAIT_S
        while sum(len(client.told) for client in clients) < ANSWERS:
            assert time.monotonic() < deadline, [(client.ends, client.strange) for client in clients]
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0, errors
        for client in clients:
            client.join(WAIT_S)
            assert not client.is_alive(), f"{client.name} still finds somebody who listens"
    assert [client.strange for client in clients if client.strange] == [], "torn, or another answer than a sale's"
    told = {key: ticket for client in clients for key, ticket in client.told.items()}
    with open_shop(data, read_only=True) as shop:
        entries = [entry for partition in shop.store.partitions() for entry in shop.store.journal(partition)]
    there = {entry.client_key: ticket_id(entry.partition, entry.position) for entry in entries}
    assert {key: there.get(key) for key in told} == told, "acknowledged and lost"


def test_one_process_on_a_file(tmp_path: Path) -> None:
    demo_shop(tmp_path / "shop")
    drained(tmp_path / "shop", 1)


def test_two_workers_on_a_server(tmp_path: Path) -> None:
    needs_postgres()
    base = empty("drain", 4)
    call("init", "--data", tmp_path / "shop", "--demo", "--store", base.url, "--owner", base.owner, "--partitions", "4")
    drained(tmp_path / "shop", 2)
    base.drop()
