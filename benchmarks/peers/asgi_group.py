"""Peer: a bare ASGI application that echoes the body once it is on disk, with group commit of as many rows.

No authentication, no JSON, no deciding: the floor that an HTTP route with group commit has in Python.
`python -m benchmarks.peers.asgi_group DATABASE ACCOUNTS` serves on a free port.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from pathlib import Path
from typing import Any

from . import rows
from .serve import serve

BOUND = 4096
"""Requests that one commit may take."""

START = {"type": "http.response.start", "status": 200}

Waiting = tuple[asyncio.Future[None], tuple[str, int]]


class Group:
    """The writer thread: whatever queued while the last commit ran goes into the next."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._queue: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        self._loop = loop
        self._path = path
        threading.Thread(target=self._work, daemon=True).start()

    def write(self, key: str, account: int) -> asyncio.Future[None]:
        done: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((done, (key, account)))
        return done

    def _work(self) -> None:
        writer = rows.Rows(rows.connect(self._path, any_thread=True))
        while True:
            batch = [self._queue.get()]
            while len(batch) < BOUND:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            writer.write([item for _, item in batch])
            self._loop.call_soon_threadsafe(_release, [done for done, _ in batch])


def _release(waiting: list[asyncio.Future[None]]) -> None:
    for done in waiting:
        if not done.done():
            done.set_result(None)


def build(path: Path, accounts: int) -> Any:
    group: Group | None = None
    number = 0

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        nonlocal group, number
        if scope["type"] != "http":
            return
        if group is None:
            group = Group(path, asyncio.get_running_loop())
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        key = next(value for name, value in scope["headers"] if name == b"idempotency-key").decode()
        number += 1
        await group.write(key, number * 7919 % accounts)
        await send(START | {"headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    return application


if __name__ == "__main__":
    serve(build(Path(sys.argv[1]), int(sys.argv[2])))
