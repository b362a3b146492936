"""Goal: while PostgreSQL is stopped a service acknowledges nothing, and it is ready again by itself once PostgreSQL is (F2, F5).

Method: two real workers; the server stopped under them and started again. A client asks all the time, and repeats the key that had
no answer.
"""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cardapi.http.signature import sign
from tests.cli.shop import call
from tests.http.test_drain import serving
from tests.postgres.server import empty, server

WAIT_S = 120  # for what comes by itself
Answer = tuple[int, dict[str, Any]]


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """The answer; (0, {}) when there was none."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        line.request(method, path, body or None, headers)
        answer = line.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, http.client.HTTPException):
        return 0, {}
    finally:
        line.close()


def until(what: str, ask: Callable[[], Answer], good: Callable[[Answer], bool]) -> list[Answer]:
    """All answers up to the good one."""
    deadline = time.monotonic() + WAIT_S
    answers = [ask()]
    while not good(answers[-1]):
        assert time.monotonic() < deadline, f"waited {WAIT_S} s in vain: {what}; last {answers[-3:]}"
        time.sleep(0.05)
        answers.append(ask())
    return answers


def test_stopped_and_started_again(tmp_path: Path) -> None:
    base, data = empty("outage", 4), tmp_path / "shop"
    call("init", "--data", data, "--demo", "--store", base.url, "--owner", base.owner, "--partitions", "4")
    made = json.loads((data / "demo.json").read_bytes())
    key = bytes.fromhex(made["terminal_key"])
    body = json.dumps({"card": made["cards"]["gift-card"], "lines": [{"amount_fen": 100}]}).encode()

    with serving(data, 2) as (process, port):

        def ready() -> Answer:
            return ask(port, "GET", "/ready")

        def sale(name: str) -> Answer:
            proof = sign(key, "till-1", 1, "POST", "/v1/settle", int(time.time()), secrets.token_hex(12), name, body)
            more = {"Authorization": proof, "Idempotency-Key": name, "Content-Type": "application/json"}
            return ask(port, "POST", "/v1/settle", body, **more)

        assert ready()[0] == 200
        assert sale("before")[0] == 200
        server().stop()
        try:
            seen = until("somebody is not ready", ready, lambda answer: answer[0] != 200)  # the other one may see it a moment later
            sales = [sale("while") for _ in range(4)]
        finally:
            server().start()
        said = {(status, answer["code"]) for status, answer in seen if status not in (0, 200)}
        assert said <= {(503, "not_ready")}
        assert not [answer for answer in sales if answer[0] not in (0, 500, 503)], "acknowledged without a store, or refused for good"
        until("ready again", ready, lambda answer: answer[0] == 200)
        first = until("the sale that had no answer", lambda: sale("while"), lambda answer: answer[0] == 200)[-1]
        assert sale("while")[1]["ticket_id"] == first[1]["ticket_id"]
        before = sale("before")
        assert before[0] == 200
        assert process.poll() is None, "the process that watches the workers goes on"
    report = json.loads(call("verify", "--data", data, "--json").stdout)
    assert report["ok"]
    base.drop()
