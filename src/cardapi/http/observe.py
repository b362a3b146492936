"""A port for whoever watches this process: its own /metrics, /health and /ready, over plain HTTP and without credentials.

Several processes on one port are told apart by nobody, and a scraper has no session: so each process can have a port beside,
on the machine itself. Nothing else is served there, and nothing that names a person or a card.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from cardapi.http import gauges, status
from cardapi.http.problems import Answer, answer, from_error
from cardcore.errors import CardcoreError

if TYPE_CHECKING:
    from cardapi.http.call import Service

HOST = "127.0.0.1"
HEAD_MAX = 8_192
HEAD_TIMEOUT_S = 5
AT_ONCE = 16


class Observer:
    """Serves one request a connection."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self, port: int) -> int:
        """Listen on the loopback address; the port (0: a free one). Raises OSError."""
        self._server = await asyncio.start_server(self._serve, HOST, port, limit=HEAD_MAX)
        return int(self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Listen no more. Safe to call twice."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > AT_ONCE:
                done = answer("busy")
            else:
                async with asyncio.timeout(HEAD_TIMEOUT_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                done = await self._answer(head.split(b"\r\n", 1)[0])
            writer.write(_written(done))
            await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # nobody is there, or nobody who speaks HTTP
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        method, _, target = line.removesuffix(b" HTTP/1.1").removesuffix(b" HTTP/1.0").partition(b" ")
        if method != b"GET":
            return answer("method_not_allowed", headers=((b"allow", b"GET"),))
        try:
            if target == b"/metrics":
                return 200, status.METRICS, (await gauges.page(self._service)).encode()
            if target in (b"/health", b"/ready"):
                return status.said(self._service, ready=target == b"/ready")
        except CardcoreError as error:
            return from_error(error)
        return answer("not_found")


def _written(done: Answer) -> bytes:
    code, headers, body = done
    lines = [f"HTTP/1.1 {code} {HTTPStatus(code).phrase}".encode(), *(b"%b: %b" % pair for pair in headers)]
    return b"\r\n".join([*lines, b"connection: close", b"content-length: %d" % len(body), b"", body])
