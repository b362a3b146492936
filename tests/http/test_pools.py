"""Goal: reports, uploads and chores have threads and bounds of their own: whatever fills those, a till is served at once.

Method: work of each kind that does not end until the test lets it, a thousand at once, and sales meanwhile. No clock is looked at:
a sale that waited for any of them would never be answered.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cardapi.desk.request import Problem
from cardapi.desk.writer import REPORTS_MAX, UPLOADS_MAX
from cardapi.http.call import CHORES_MAX
from cardapi.http.edge import UPLOADS_MAX as BODIES_AT_ONCE
from cardapi.http.edge import UPLOADS_WAITING_MAX
from tests.http.client import Till
from tests.http.conftest import Chain

MANY = 1_000


def a_sale(chain: Chain, till: Till, card: str, key: str) -> Any:
    """A sale, a quote, a look at the ticket and at the card: all that a till does, the reads included."""
    body = json.dumps({"card": card, "lines": [{"amount_fen": 100}]}).encode()

    async def post(path: str, key: str) -> Any:
        return await chain.client.acall("POST", path, body, {**till.headers("POST", path, body, key), "Idempotency-Key": key})

    async def get(path: str) -> Any:
        return await chain.client.acall("GET", path, b"", till.headers("GET", path, b"", ""))

    async def all_of_it() -> None:
        chain.app.service.tickets._names.clear()  # so that the answer has to be read for
        ticket = await post("/v1/settle", key)
        assert ticket.status == 200, ticket.body
        assert (await get(f"/v1/tickets/{ticket.json['ticket_id']}")).status == 200
        assert (await get(f"/v1/cards/{card}")).status == 200
        headers = till.headers("POST", "/v1/quote", body, "")
        assert (await chain.client.acall("POST", "/v1/quote", body, headers)).status == 200

    return all_of_it()


@pytest.mark.parametrize(("pool", "most"), [("reports", REPORTS_MAX), ("uploads", UPLOADS_MAX), ("chores", CHORES_MAX)])
def test_a_thousand_slow_ones_delay_no_sale(chain: Chain, till: Till, card: str, pool: str, most: int) -> None:
    release = threading.Event()
    service = chain.app.service
    hand_in: dict[str, Callable[[], Any]] = {
        "reports": lambda: service.report(lambda _: release.wait(600)),
        "uploads": lambda: service.desk.uploads.ask(lambda _: release.wait(600)),
        "chores": lambda: service.chores.run(lambda: release.wait(600)),
    }

    async def run() -> list[Any]:
        waiting = [asyncio.ensure_future(hand_in[pool]()) for _ in range(MANY)]
        await asyncio.sleep(0)
        try:
            for number in range(3):
                await a_sale(chain, till, card, f"pools-{pool}-{number}")
        finally:
            release.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    answers = chain.loop.run_until_complete(run())
    assert answers.count(True) == most
    busy = [answer for answer in answers if isinstance(answer, Problem)]
    assert len(busy) == MANY - most
    assert {problem.code for problem in busy} == {"busy"}
    assert service.desk.reports.waiting == service.desk.uploads.waiting == service.chores.waiting == 0


def test_reports_over_http_are_busy_beyond_their_bound(chain: Chain, till: Till, card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr("cardapi.http.books.trial.trial_balance", lambda _: release.wait(600) and {"ok": True})

    async def run() -> list[Any]:
        headers = chain.admin.headers("GET", "/v1/trial-balance", b"", "")
        calls = [asyncio.ensure_future(chain.client.acall("GET", "/v1/trial-balance", b"", headers)) for _ in range(REPORTS_MAX + 20)]
        while chain.app.service.desk.reports.waiting < REPORTS_MAX:  # noqa: ASYNC110 (nobody tells when a pool is full)
            await asyncio.sleep(0)
        try:
            await a_sale(chain, till, card, "pools-http")
        finally:
            release.set()
        return await asyncio.gather(*calls)

    replies = chain.loop.run_until_complete(run())
    codes = [reply.code for reply in replies]
    assert (codes.count("busy"), codes.count("")) == (20, REPORTS_MAX)
    assert all(reply.headers["retry-after"] for reply in replies if reply.code == "busy")


def test_bodies_that_never_end_delay_no_sale(chain: Chain, till: Till, card: str) -> None:
    """A thousand uploads that stop half way."""
    edge = chain.app.edge
    body = json.dumps({"tickets": []}).encode()

    async def hang(number: int) -> Any:
        scope = {
            "type": "http", "method": "POST", "path": "/v1/settle-batch", "raw_path": b"/v1/settle-batch", "query_string": b"",
            "headers": [], "root_path": "", "scheme": "http",
            "server": ("t", 80), "client": ("c", 1), "http_version": "1.1", "asgi": {"version": "3.0"},
        }  # fmt: skip
        sent: list[Any] = []
        first = [{"type": "http.request", "body": body[:5], "more_body": True}]

        async def receive() -> Any:
            if first:
                return first.pop()
            await ended.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await chain.app(scope, receive, send)
        return sent[0]["status"] if sent else 0

    ended = asyncio.Event()

    async def run() -> list[Any]:
        calls = [asyncio.ensure_future(hang(number)) for number in range(MANY)]
        await asyncio.sleep(0)
        assert edge._uploading == UPLOADS_WAITING_MAX
        assert edge._uploads.locked(), f"{BODIES_AT_ONCE} are being read"
        try:
            await a_sale(chain, till, card, "pools-bodies")
        finally:
            ended.set()
        return await asyncio.gather(*calls)

    statuses = chain.loop.run_until_complete(run())
    assert (statuses.count(503), statuses.count(0)) == (MANY - UPLOADS_WAITING_MAX, UPLOADS_WAITING_MAX)
    assert edge._uploading == edge._running == 0
