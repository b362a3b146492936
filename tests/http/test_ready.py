"""Goal: health and readiness say what is so: a store that failed or hangs, checkpoints that stay away, a service that ends.

Method: each state brought about in a running application, and what both doors (the API and the port beside) say of it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from cardapi.desk.pool import Pool, Readers
from cardapi.http import status
from cardapi.http.observe import HEAD_MAX, Observer
from cardapi.store.checkpoint import Checkpointer, Lag
from cardapi.store.port import Batch, Head, Pipelined, Store
from cardcore.errors import CardcoreError
from tests.http.client import Till
from tests.http.conftest import Chain


def reason(chain: Chain, path: str) -> str:
    reply = chain.nobody.get(path)
    assert (reply.status, reply.code) in ((200, ""), (503, "not_ready"))
    return str(reply.json["reason"]) if reply.code else ""


def test_both_are_well_at_first(chain: Chain) -> None:
    assert (reason(chain, "/health"), reason(chain, "/ready")) == ("", "")


def test_not_ready_after_a_storage_error(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain.shop.desk, "failed", CardcoreError("the disk is gone"))
    assert (reason(chain, "/health"), reason(chain, "/ready")) == ("storage", "storage")


def test_not_ready_while_draining_but_alive(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain.app.service, "draining", True)
    assert (reason(chain, "/health"), reason(chain, "/ready")) == ("", "draining")


def test_not_ready_while_the_store_hangs(chain: Chain, till: Till, card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit of a sale does not come back; ten seconds pass at once."""
    release, inside = threading.Event(), threading.Event()

    def slowly(write: Callable[[Batch], None]) -> Callable[[Batch], None]:
        def slow(batch: Batch) -> None:
            inside.set()
            assert release.wait(600)
            write(batch)

        return slow

    store = chain.shop.store
    for name in ("commit", "launch") if isinstance(store, Pipelined) else ("commit",):
        monkeypatch.setattr(store, name, slowly(getattr(store, name)))

    async def run() -> tuple[str, str, int]:
        sale = asyncio.ensure_future(asyncio.to_thread(inside.wait, 600))
        body = b'{"card":"%b","lines":[{"amount_fen":100}]}' % card.encode()
        headers = {**till.headers("POST", "/v1/settle", body, "ready-hangs"), "Idempotency-Key": "ready-hangs"}
        settle = asyncio.ensure_future(chain.client.acall("POST", "/v1/settle", body, headers))
        await sale
        try:
            at_first = (await chain.client.acall("GET", "/ready")).json["status"]
            monkeypatch.setattr(status, "STALLED_S", 0)
            later = (await chain.client.acall("GET", "/ready")).json["reason"]
        finally:
            release.set()
        return at_first, later, (await settle).status

    assert chain.loop.run_until_complete(run()) == ("ok", "stalled", 200)
    assert reason(chain, "/ready") == "", "and ready again once it answers"


def test_not_ready_when_checkpoints_stay_away(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain.shop, "checkpoint_lag", lambda: Lag(1_000, status.BEHIND_S + 1))
    assert (reason(chain, "/health"), reason(chain, "/ready")) == ("", "checkpoint")


def test_the_lag_of_checkpoints_is_what_waits() -> None:
    """Through a file whose writing can be held up."""
    writing, release = threading.Event(), threading.Event()

    class File:
        def append(self, heads: object) -> None:
            writing.set()
            assert release.wait(600)

    heads = [Head(0, 5, b"", 0, 0)]
    one = Checkpointer(File(), lambda error: None, interval_s=600, entries_max=10)  # type: ignore[arg-type]
    one.start()
    assert one.lag() == (0, 0.0)
    one.committed(heads, 4)
    assert one.lag().entries == 4
    assert one.lag().age_s > 0
    one.committed(heads, 6)
    assert writing.wait(600)
    assert one.lag().entries == 10, "what is being written is not signed yet"
    age = one.lag().age_s
    assert one.lag().age_s > age > 0
    release.set()
    one.stop()
    assert one.lag() == (0, 0.0)


# ---------------------------------------------------------------- the port beside
def ask(chain: Chain, sent: bytes) -> bytes:
    async def run() -> bytes:
        observer = Observer(chain.app.service)
        port = await observer.start(0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        await writer.drain()
        got = await reader.read()
        writer.close()
        observer.stop()
        return got

    return chain.loop.run_until_complete(run())


def test_the_port_beside_serves_three_pages_and_no_more(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ask(chain, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = page.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4")
    assert b"content-length: %d" % len(body) in head
    assert b"cardcore_build_info{" in body
    assert ask(chain, b"GET /ready HTTP/1.0\r\n\r\n").endswith(b'{"status":"ok","detail":""}')
    monkeypatch.setattr(chain.app.service, "draining", True)
    assert b"503 Service Unavailable" in ask(chain, b"GET /ready HTTP/1.1\r\n\r\n")
    assert b"200 OK" in ask(chain, b"GET /health HTTP/1.1\r\n\r\n")
    for line, code in ((b"GET /v1/units", b"404"), (b"POST /metrics", b"405"), (b"\0", b"405"), (b"GET /metrics?x=1", b"404")):
        assert ask(chain, line + b" HTTP/1.1\r\n\r\n")[9:12] == code
    assert ask(chain, b"GET /metrics HTTP/1.1\r\nX: " + b"y" * (2 * HEAD_MAX)) == b"", "nobody who speaks HTTP"


# ---------------------------------------------------------------- the end
def test_reads_that_last_do_not_hold_up_the_end(chain: Chain) -> None:
    """A report under way is left alone after the grace, and what waits behind it is given up."""
    readers = Readers(chain.shop.store, "test", 1, 10)
    begun, release = threading.Event(), threading.Event()

    def endless(store: Store) -> int:
        begun.set()
        assert release.wait(600)
        return len(store.heads())

    async def run() -> list[object]:
        calls = [asyncio.ensure_future(readers.ask(endless)) for _ in range(3)]
        await asyncio.to_thread(begun.wait, 600)
        await asyncio.to_thread(readers.close, grace_s=0.0)
        assert readers.running == 1
        release.set()
        return await asyncio.gather(*calls, return_exceptions=True)

    first, *others = chain.loop.run_until_complete(run())
    assert first == len(chain.shop.desk.heads), "its store was not taken from under it"
    assert [isinstance(one, asyncio.CancelledError) for one in others] == [True, True]


def test_work_under_way_is_finished(chain: Chain) -> None:
    pool = Pool("test", 1, 10)

    async def run() -> list[object]:
        calls = [asyncio.ensure_future(pool.run(lambda: time.sleep(0.05) or "done")) for _ in range(2)]  # type: ignore[func-returns-value]
        await asyncio.sleep(0)
        await asyncio.to_thread(pool.close)
        return await asyncio.gather(*calls, return_exceptions=True)

    assert chain.loop.run_until_complete(run())[0] == "done"
