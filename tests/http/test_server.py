"""Goal: the served process says where it listens, ends cleanly on a signal with everything acknowledged kept, and ends by itself
with code 1 once the store has failed (F2).

Method: the real server in a process of its own, on a free port.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cardapi.app import open_shop
from tests.shops import PASSWORD, new_shop

SOURCE = Path(__file__).parents[2] / "src"
SERVE = """
import sys, threading
from cardapi.app import open_shop
from cardapi.http.server import serve
with open_shop(sys.argv[1]) as shop:
    if sys.argv[2:] == ["fail"]:
        from cardcore.errors import CardcoreError
        threading.Timer(1.5, shop.desk.fail, (CardcoreError("the disk is gone"),)).start()
    code = serve(shop, "127.0.0.1", 0, beside=(sys.argv[3], 0, 2) if sys.argv[2:3] == ["beside"] else None)
sys.exit(code)
"""


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("listening "), line + (process.stderr.read() if process.stderr else "")
        yield process, int(line.split()[-1])
    finally:
        process.kill()
        process.communicate()


def ask(port: int, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "shop"
    new_shop(path)
    return path


def test_it_serves_and_ends_cleanly(directory: Path) -> None:
    with serving(str(directory)) as (process, port):
        assert ask(port, "GET", "/ready") == (200, {"status": "ok", "detail": ""})
        status, session = ask(port, "POST", "/v1/login", {"operator": "admin", "password": PASSWORD})
        assert status == 200
        headers = {"Authorization": f"Bearer {session['token']}", "Idempotency-Key": "unit-1"}
        body = {"id": "store-1", "name": "one", "kind": "store", "parent": "issuer"}
        assert ask(port, "POST", "/v1/units", body, **headers)[0] == 201
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with open_shop(directory) as shop:
        assert shop.registry.unit("store-1") is not None
        assert shop.registry.document("session", _session_id(session["token"])) is not None, "sessions outlive a restart"


def _session_id(token: str) -> str:
    from cardapi.people.sessions import session_id

    return session_id(token)


def test_a_name_that_somebody_else_took_stops_nobody(directory: Path) -> None:
    """What workers call each other is to be seen by every user of the machine (`http.neighbours`)."""
    meeting = secrets.token_hex(8)
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(f"\0cardcore-{meeting}-0")
        with serving(str(directory), "beside", meeting) as (process, port):
            assert ask(port, "GET", "/ready") == (200, {"status": "ok", "detail": ""})
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert process.stderr is not None
            assert "neighbours cannot ask this process" in process.stderr.read()


def test_a_failed_store_ends_the_process(directory: Path) -> None:
    with serving(str(directory), "fail") as (process, _):
        assert process.wait(30) == 1
        assert process.stderr is not None
        assert "the disk is gone" in process.stderr.read()
