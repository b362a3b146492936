"""A lean HTTP/1.1 client for load: one keep-alive connection per link, one request at a time on it, signed by a terminal.

General clients spend more on a request than the service does; here a request is one write and one parse of the answer's
head. A request whose answer is lost is sent again, byte for byte the same but for time and nonce: its client key makes
that safe (O1).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import ssl
import time
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from cardcore.errors import CardcoreError

TIMEOUT_S = 30.0
HEAD_MAX = 65_536
RETRY_STATUS = frozenset({429, 502, 503, 504})
RETRY_CODE = b'"signature_time"'
"""A service that has just started refuses what was signed before its first whole second."""


class Unreachable(CardcoreError):
    """The service did not answer in the time allowed; nothing is known about the last requests but that resending is safe."""

    code = "unreachable"


class Answer(NamedTuple):
    """What came back: the status and the whole body."""

    status: int
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Address(NamedTuple):
    """Where the service listens."""

    host: str
    port: int
    tls: bool

    @classmethod
    def parse(cls, url: str) -> Address:
        """Raises CardcoreError for anything but http(s)://host[:port]."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise Unreachable(f"{url!r} is not an address such as http://127.0.0.1:8080")
        tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls)


class TerminalSigner:
    """Signs requests as one terminal: header Cardcore-HMAC, see docs/api.md, "Signed requests"."""

    def __init__(self, terminal: str, version: int, key: bytes) -> None:
        self._key = key
        self._label = f"Authorization: Cardcore-HMAC terminal={terminal},version={version},time="
        self._nonce = secrets.token_urlsafe(12)
        self._count = count()

    def header(self, method: str, path: str, client_key: str, body: bytes) -> str:
        """The Authorization header line of one attempt; every call has its own nonce."""
        now = int(time.time())
        nonce = f"{self._nonce}{next(self._count):x}"
        text = signed_text(method, path, now, nonce, client_key, body)
        return f"{self._label}{now},nonce={nonce},mac={hmac.digest(self._key, text, 'sha256').hex()}\r\n"


def signed_text(method: str, path: str, at: int, nonce: str, client_key: str, body: bytes) -> bytes:
    """What the MAC of a signed request covers, in its fixed layout."""
    digest = hashlib.sha256(body).hexdigest()
    return f"cardcore-hmac-1\n{method}\n{path}\n{at}\n{nonce}\n{client_key}\n{digest}".encode()


class BearerSigner:
    """An operator's session."""

    def __init__(self, token: str) -> None:
        self._line = f"Authorization: Bearer {token}\r\n"

    def header(self, method: str, path: str, client_key: str, body: bytes) -> str:
        return self._line


Signer = TerminalSigner | BearerSigner


class Link(asyncio.Protocol):
    """One connection. `request` retries until an answer comes or `patience_s` has passed without one."""

    def __init__(self, address: Address, patience_s: float = TIMEOUT_S) -> None:
        self._address = address
        self._patience_s = patience_s
        self._host = f"Host: {address.host}:{address.port}\r\n"
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._buffer = bytearray()
        self._need = -1  # length of head + body once the head is read
        self._status = 0
        self._head = 0
        self.retries = 0

    async def request(self, signer: Signer, method: str, path: str, body: bytes = b"", client_key: str = "") -> Answer:
        """Send, and send again while the service is away or asks to come back later. Raises Unreachable."""
        deadline = time.monotonic() + self._patience_s
        pause = 0.02
        while True:
            try:
                answer = await self._once(signer, method, path, body, client_key)
                if answer.status not in RETRY_STATUS and not (answer.status == 401 and RETRY_CODE in answer.body):
                    return answer
                reason = f"status {answer.status}"
            except (OSError, TimeoutError) as error:
                self.close()
                reason = str(error) or type(error).__name__
            if time.monotonic() >= deadline:
                raise Unreachable(f"{self._address.host}:{self._address.port} does not serve requests ({reason})")
            self.retries += 1
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def _once(self, signer: Signer, method: str, path: str, body: bytes, client_key: str) -> Answer:
        if self._transport is None or self._transport.is_closing():
            await self._connect()
        assert self._transport is not None
        keyed = f"Idempotency-Key: {client_key}\r\n" if client_key else ""
        typed = "Content-Type: application/json\r\n" if body else ""
        signed = signer.header(method, path, client_key, body)
        head = f"{method} {path} HTTP/1.1\r\n{self._host}{signed}{keyed}{typed}Content-Length: {len(body)}\r\n\r\n"
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        self._transport.write(head.encode() + body)
        timer = loop.call_later(min(TIMEOUT_S, self._patience_s), self._transport.abort)
        try:
            return await self._waiting
        finally:
            timer.cancel()
            self._waiting = None

    async def _connect(self) -> None:
        self._buffer.clear()
        self._need = -1
        loop = asyncio.get_running_loop()
        tls = ssl.create_default_context() if self._address.tls else None
        await asyncio.wait_for(loop.create_connection(lambda: self, self._address.host, self._address.port, ssl=tls), 5.0)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    # ------------------------------------------------------------ asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(str(exc) if exc else "connection closed before the answer")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._need < 0 and not self._read_head():
            return
        if len(self._buffer) >= self._need:
            answer = Answer(self._status, bytes(self._buffer[self._head : self._need]))
            del self._buffer[: self._need]
            self._need = -1
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(answer)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_MAX:
                self._give_up("an answer without an end of its head")
            return False
        head = bytes(self._buffer[:end]).lower()
        length = head.find(b"\r\ncontent-length:")
        if not head.startswith(b"http/1.1 ") or length < 0:
            self._give_up("an answer that is not HTTP/1.1 with a content length")
            return False
        self._status = int(head[9:12])
        stop = head.find(b"\r\n", length + 2)
        self._head = end + 4
        self._need = self._head + int(head[length + 17 : stop if stop > 0 else None])
        return True

    def _give_up(self, reason: str) -> None:
        self._fail(reason)
        self.close()

    def _fail(self, reason: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError(reason))
