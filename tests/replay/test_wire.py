"""Goal: the client survives what networks and restarts do, and never gives an answer to another request. Method: a server of odd habits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cardapi.cli.replay.wire import Address, Link, TerminalSigner, Unreachable
from cardapi.http.signature import sign

KEY = bytes(range(32))
Script = Callable[[int, bytes, asyncio.StreamWriter], Any]


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nServer: odd\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


async def drive(script: Script, count: int, patience: float = 5.0) -> tuple[list[Any], int, list[bytes]]:
    """Run a server by `script(request number, request, writer)` and send `count` requests to it."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                seen.append(head + await reader.readexactly(size))
                await script(len(seen), seen[-1], writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = Link(Address("127.0.0.1", port, False), patience)
    signer = TerminalSigner("till-1", 1, KEY)
    try:
        answers = [await link.request(signer, "POST", "/v1/settle", b"{%d}" % number, f"key-{number}") for number in range(count)]
        return answers, link.retries, seen
    finally:
        link.close()
        server.close()


def run(script: Script, count: int = 1, patience: float = 5.0) -> tuple[list[Any], int, list[bytes]]:
    return asyncio.run(drive(script, count, patience))


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


def test_answers_in_pieces_and_kept_connections():
    async def script(number: int, request: bytes, writer: asyncio.StreamWriter) -> None:
        for byte in answer(body_of(request)):
            writer.write(bytes([byte]))
            await writer.drain()

    answers, retries, _ = run(script, 3)
    assert [row.body for row in answers] == [b"{0}", b"{1}", b"{2}"]
    assert retries == 0


def test_a_lost_answer_is_asked_for_again_under_the_same_key_with_another_nonce():
    async def script(number: int, request: bytes, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            writer.write(answer(body_of(request))[:20])
            writer.close()
        else:
            writer.write(answer(body_of(request)))

    answers, retries, seen = run(script)
    assert (answers[0].body, retries, len(seen)) == (b"{0}", 1, 2)
    assert body_of(seen[0]) == body_of(seen[1])
    assert all(b"Idempotency-Key: key-0\r\n" in request for request in seen)
    nonces = [request.split(b"nonce=")[1].split(b",")[0] for request in seen]
    assert nonces[0] != nonces[1]


@pytest.mark.parametrize(
    "first",
    [answer(b"{}", "503 Service Unavailable"), answer(b"{}", "429 Too Many Requests"), answer(b'{"code":"signature_time"}', "401 No")],
)
def test_come_back_later_is_obeyed(first: bytes):
    async def script(number: int, request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(first if number == 1 else answer(b"done"))

    answers, retries, _ = run(script)
    assert (answers[0].status, answers[0].body, retries) == (200, b"done", 1)


@pytest.mark.parametrize("status", ["401 No", "404 Not Found", "409 Conflict", "422 No", "500 Broken"])
def test_other_refusals_are_answers(status: str):
    async def script(number: int, request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"no", status))

    answers, retries, seen = run(script)
    assert (answers[0].status, retries, len(seen)) == (int(status[:3]), 0, 1)


@pytest.mark.parametrize("noise", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 70_000])
def test_what_is_not_http_ends_as_unreachable(noise: bytes):
    async def script(number: int, request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(noise)

    with pytest.raises(Unreachable):
        run(script, patience=0.3)


def test_nobody_there():
    async def nobody() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await Link(Address("127.0.0.1", port, False), 0.2).request(TerminalSigner("t", 1, KEY), "GET", "/")

    with pytest.raises(Unreachable):
        asyncio.run(nobody())


def test_the_signature_is_the_one_the_service_expects():
    signer = TerminalSigner("till-1", 3, KEY)
    line = signer.header("POST", "/v1/settle?a=1", "key-1", b'{"a":1}')
    facts = dict(pair.split("=", 1) for pair in line.removeprefix("Authorization: Cardcore-HMAC ").strip().split(","))
    expected = sign(KEY, "till-1", 3, "POST", "/v1/settle?a=1", int(facts["time"]), facts["nonce"], "key-1", b'{"a":1}')
    assert line == f"Authorization: {expected}\r\n"
    assert 16 <= len(facts["nonce"]) <= 64


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:80", "http://", "http://x/path", ""])
def test_addresses(url: str):
    with pytest.raises(Unreachable):
        Address.parse(url)
    assert Address.parse("http://127.0.0.1:81") == ("127.0.0.1", 81, False)
    assert Address.parse("https://shop.example") == ("shop.example", 443, True)
