"""A small synchronous ASGI client: exact bytes in, exact bytes out, no network, against the whole application or FastAPI alone."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import quote

from cardapi.http.signature import sign

NONCES = itertools.count(1)
Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class Reply(NamedTuple):
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The problem code, "" when it is none."""
        if self.headers.get("content-type") != "application/problem+json":
            return ""
        return str(self.json["code"])


class Client:
    """Calls an ASGI application on one event loop."""

    def __init__(self, app: Asgi, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self.loop = loop
        self._keys = itertools.count(1)

    def call(
        self, method: str, target: str, body: bytes | object = b"", headers: dict[str, str] | None = None, *, chunks: int = 1
    ) -> Reply:
        return self.loop.run_until_complete(self.acall(method, target, body, headers, chunks=chunks))

    async def acall(
        self, method: str, target: str, body: bytes | object = b"", headers: dict[str, str] | None = None, *, chunks: int = 1
    ) -> Reply:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        path, _, query = target.partition("?")
        sent = {"content-type": "application/json", "content-length": str(len(data)), "x-request-id": "of-the-test"}
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        if method == "GET":
            del sent["content-type"]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http", "path": path,
            "raw_path": quote(path).encode(), "query_string": query.encode(), "root_path": "", "client": ("127.0.0.1", 1),
            "server": ("test", 80), "headers": [(k.encode(), v.encode("latin-1")) for k, v in sent.items()],
        }  # fmt: skip
        size = max(1, -(-len(data) // chunks))
        parts = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        incoming = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        incoming[-1]["more_body"] = False
        messages = iter(incoming)
        out: list[Any] = []

        async def receive() -> Any:
            message = next(messages, None)
            return message if message is not None else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            out.append(message)

        await self.app(scope, receive, send)
        start = out[0]
        answer = b"".join(message.get("body", b"") for message in out[1:])
        return Reply(start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, answer)

    def key(self) -> str:
        """A client key nobody used before."""
        return f"key-{next(self._keys):06d}"


class Who:
    """A caller: knows how to put its proof on a request."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def headers(self, method: str, target: str, body: bytes, key: str) -> dict[str, str]:
        raise NotImplementedError

    def request(self, method: str, target: str, body: object = None, key: str | None = None, **more: str) -> Reply:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        used = "" if method == "GET" else self.client.key() if key is None else key
        sent = self.headers(method, target, data, used)
        if used:
            sent["Idempotency-Key"] = used
        return self.client.call(method, target, data, {**sent, **more})

    def get(self, target: str) -> Reply:
        return self.request("GET", target)

    def post(self, target: str, body: object = None, key: str | None = None, **more: str) -> Reply:
        return self.request("POST", target, {} if body is None else body, key, **more)


class Nobody(Who):
    """No proof at all."""

    def headers(self, method: str, target: str, body: bytes, key: str) -> dict[str, str]:
        return {}


class Person(Who):
    """An operator with a session."""

    def __init__(self, client: Client, token: str) -> None:
        super().__init__(client)
        self.token = token

    def headers(self, method: str, target: str, body: bytes, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


class Till(Who):
    """A terminal that signs. `now` gives epoch seconds."""

    def __init__(self, client: Client, terminal: str, version: int, key: bytes, now: Callable[[], int]) -> None:
        super().__init__(client)
        self.terminal, self.version, self.secret, self.now = terminal, version, key, now

    def nonce(self) -> str:
        return f"nonce-{self.terminal}-{next(NONCES):012d}"

    def headers(self, method: str, target: str, body: bytes, key: str) -> dict[str, str]:
        proof = sign(self.secret, self.terminal, self.version, method, target, self.now(), self.nonce(), key, body)
        return {"Authorization": proof}
