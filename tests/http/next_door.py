"""A process next door of our own making: it keeps what it is asked on a real socket, and answers, or does not, as a test tells it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from cardapi.http.neighbours import Neighbours
from cardapi.http.operations import OPERATIONS
from cardapi.ids import home
from tests.http.client import Till
from tests.http.test_lane import Line, settle, shape

if TYPE_CHECKING:
    from tests.http.conftest import Chain

PARTITIONS = 64
Write = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


def said(body: bytes = b'{"theirs":true}', more: bytes = b"", status: bytes = b"200 OK") -> bytes:
    date = b"date: Mon, 23 Nov 2026 08:00:00 GMT\r\n"
    return b"HTTP/1.1 %b\r\n%b%bx-request-id: theirs\r\ncontent-length: %d\r\n\r\n%b" % (status, date, more, len(body), body)


class Other:
    """The process next door: keeps what it was asked, answers as it is told to."""

    def __init__(self, chain: Chain, card: str, write: Write | None) -> None:
        """`write` answers one request on one connection, given how many were asked before; None: it is not there."""
        meeting = secrets.token_hex(8)
        ours = 1 - home(card, PARTITIONS) % 2
        self.asked: list[bytes] = []
        self.connections = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._chain = chain
        self._write = write
        self._server: asyncio.Server | None = None
        if write is not None:
            self._server = chain.loop.run_until_complete(asyncio.start_unix_server(self._serve, f"\0cardcore-{meeting}-{1 - ours}"))
        self.neighbours = Neighbours(meeting, ours, 2, PARTITIONS, OPERATIONS, chain.shop.registry)
        chain.app.service.neighbours = self.neighbours

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                self.asked.append(head + await reader.readexactly(size))
                assert self._write is not None
                await self._write(reader, writer, len(self.asked) - 1)
        writer.close()

    def close(self) -> None:
        async def end() -> None:
            self.neighbours.close()
            if self._server is not None:
                self._server.close()
            await asyncio.gather(*self._tasks)  # each of its connections is at its end

        self._chain.app.service.neighbours = None
        self._chain.loop.run_until_complete(end())


Door = Callable[[str, Write | None], Other]


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    del reader, number
    writer.write(said())


def first_waits(free: asyncio.Event) -> Write:
    """Answers each request with its number, the first one when it is let."""

    async def numbers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number == 0:
            await free.wait()
        writer.write(said(b"%d" % number))

    return numbers


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.close()


async def hangs_up_half_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(said()[:-5])
    writer.close()


async def says_no_length(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nserver: other\r\n\r\n{}")


async def says_too_much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(said() + b"HTTP")


async def says_it_is_huge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n")


async def has_failed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(said(b'{"code":"not_ready"}', status=b"503 Service Unavailable"))


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    await reader.read()  # until it is left


def both(chain: Chain, till: Till, card: str, key: str) -> Iterator[tuple[bytes, list[bytes], bytes]]:
    """The answers to two settles, one by each way through the edge, of a neighbour that is asked each time."""
    for pieces in (1, 2):
        others = chain.app.service.neighbours
        assert others is not None
        for other in others._others:
            if other is not None:
                other._away_until = 0.0
        line, data = Line(chain), settle(till, card, f"{key}-{pieces}")
        line.send(*([data] if pieces == 1 else [data[:20], data[20:]]))
        yield shape(line.answer())
