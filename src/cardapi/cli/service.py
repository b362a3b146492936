"""How commands reach the desk: always through the operations of the API, so that there is one set of checks and words.

- `--url`: a service anywhere, with a session token or a login.
- otherwise the data directory. If no service holds it, the command opens it and calls the API inside this process, as the
  operator named by `--as`: whoever can read the root secret is trusted to name themselves, and the name is journaled.
- if a service does hold it, reading opens the database beside it, and changing goes to the service at the address it
  left in `DIR/service.json`, after a login.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import quote, unquote, urlencode, urlsplit

import typer

from cardapi.cli.show import Mistake
from cardcore.errors import CardcoreError

if TYPE_CHECKING:
    from cardapi.app import Shop
    from cardapi.cli.replay.wire import TerminalSigner

SESSION_S = 3_600
TIMEOUT_S = 600  # verify and trial balance of a long journal take their time


class Refused(CardcoreError):
    """The service refused: `code` and the sentence are its problem document's."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        facts = {name: value for name, value in problem.items() if name not in ("type", "title", "detail", "code", "status")}
        super().__init__(str(problem.get("detail") or problem.get("title") or f"status {status}"), **facts)
        self.code = str(problem.get("code") or "refused")
        self.status = status


class Transport(Protocol):
    """Sends one request and gives status and body."""

    paths: dict[str, tuple[str, str]]
    """Operation id -> (METHOD, path template), as far as known without asking."""

    def send(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]: ...
    def close(self) -> None: ...


class Service:
    """Calls operations by their ids, which are the stable names; methods and paths come from the API's own description."""

    def __init__(self, transport: Transport, token: str = "") -> None:
        self._transport = transport
        self.token = token
        self._paths = transport.paths

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._transport.close()

    def document(self) -> dict[str, Any]:
        """The served OpenAPI document."""
        described: dict[str, Any] = self._json("GET", "/openapi.json", {}, None)
        return described

    def where(self, operation: str) -> tuple[str, str]:
        """`(METHOD, path template)` of an operation. Raises Mistake when the service has none of that id."""
        if not self._paths:
            self._paths = operations_of(self.document())
        try:
            return self._paths[operation]
        except KeyError:
            raise Mistake("no_such_operation", f"this service has no operation {operation!r}; is it another version?") from None

    def do(
        self,
        operation: str,
        body: Any = None,
        *,
        key: str = "",
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call an operation. Raises Refused with the service's own code."""
        method, template = self.where(operation)
        target = template.format_map({name: quote(value, safe="") for name, value in (path or {}).items()})
        asked = {name: value for name, value in (query or {}).items() if value not in ("", None)}
        if asked:
            target += "?" + urlencode(asked)
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if method != "GET":
            headers["Idempotency-Key"] = key or fresh_key()
        return self._json(method, target, headers, body)

    def pages(
        self,
        operation: str,
        member: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        most: int = 0,
    ) -> list[dict[str, Any]]:
        """All rows (or the first `most`) of a list that comes in pages."""
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.do(operation, path=path, query={**(query or {}), "cursor": cursor})
            rows += page[member]
            cursor = page.get("next_cursor", "")
            if not cursor or (most and len(rows) >= most):
                return rows[:most] if most else rows

    def log_in(self, operator: str, password: str) -> None:
        """Open a session. Raises Refused login_failed."""
        self.token = self.do("login", {"operator": operator, "password": password})["token"]

    def _json(self, method: str, target: str, headers: dict[str, str], body: Any) -> Any:
        import msgspec

        data = b"" if body is None else msgspec.json.encode(body)
        if data:
            headers = {**headers, "Content-Type": "application/json"}
        status, answer = self._transport.send(method, target, headers, data)
        try:
            document = msgspec.json.decode(answer) if answer else {}
        except msgspec.DecodeError as error:
            raise Mistake("not_cardcore", "the answer is not JSON: is this address a cardcore service?") from error
        if status >= 400:
            raise Refused(status, document if isinstance(document, dict) else {})
        return document


def operations_of(document: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Operation id -> (METHOD, path template) of an OpenAPI document."""
    return {
        operation["operationId"]: (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if isinstance(operation, dict) and "operationId" in operation
    }


def fresh_key() -> str:
    """A client key for one run of a command: time first, so that keys stay in order."""
    return f"cli-{time.time_ns() // 1_000:016d}-{os.getpid()}"


# ---------------------------------------------------------------- transports
class Remote:
    """A service over HTTP. signer: a terminal that signs each request, every attempt anew, in place of a session token."""

    def __init__(self, url: str, signer: TerminalSigner | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        import http.client

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Mistake("bad_url", f"{url!r} is not an address such as http://127.0.0.1:8080")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=timeout_s)
        self._url = url
        self._signer = signer
        self.paths: dict[str, tuple[str, str]] = {}

    def send(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        from http.client import BadStatusLine, HTTPException

        try:
            try:
                return self._exchange(method, target, headers, body)
            except (ConnectionError, BadStatusLine):
                # A connection kept open too long was closed meanwhile. Sending again is safe: what changes anything has a key.
                self._connection.close()
                return self._exchange(method, target, headers, body)
        except (OSError, HTTPException) as error:
            raise Mistake("unreachable", f"no service answers at {self._url} ({error or type(error).__name__})") from error

    def _exchange(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if self._signer is not None:
            signed = self._signer.header(method, target, headers.get("Idempotency-Key", ""), body)
            headers = {**headers, "Authorization": signed.removeprefix("Authorization: ").rstrip()}
        self._connection.request(method, target, body or None, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        self._connection.close()


class Inside:
    """The API inside this process, on an opened shop: the same edge that is served, without a socket or a web framework."""

    def __init__(self, shop: Shop) -> None:
        import asyncio

        from cardapi.http import operations
        from cardapi.http.call import Service as Backend
        from cardapi.http.edge import Edge
        from cardapi.http.tickets import Tickets

        self._shop = shop
        self._loop = asyncio.new_event_loop()
        self._backend = Backend(shop, lambda: time.time_ns() // 1_000, Tickets(shop.desk, shop.registry))
        self._backend.two_person = operations.TWO_PERSON
        self._edge = Edge(self._backend, operations.OPERATIONS)
        self._routes = [(row, re.compile(_path_pattern(row.path))) for row in operations.OPERATIONS]
        self.paths = {row.id: (row.method, row.path) for row in operations.OPERATIONS}

    def send(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        path, _, query = target.partition("?")
        for row, pattern in self._routes:
            found = pattern.fullmatch(path)
            if found is not None and row.method == method:
                named = {name: unquote(value) for name, value in found.groupdict().items()}
                status, _, answer = self._loop.run_until_complete(
                    self._edge.serve(row, _scope(method, path, query, headers, body), _once(body), named)
                )
                return status, answer
        raise AssertionError(f"no operation at {method} {path}")

    def close(self) -> None:
        self._backend.close()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        self._shop.close()


def _path_pattern(template: str) -> str:
    return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template))


def _scope(method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    lines = {"host": "inside", "content-length": str(len(body)), **{name.lower(): value for name, value in headers.items()}}
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in lines.items()],
        "client": ("127.0.0.1", 0),
    }


def _once(body: bytes) -> Callable[[], Awaitable[dict[str, Any]]]:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


# ---------------------------------------------------------------- opening
@contextmanager
def reach(data: Path, *, url: str = "", token: str = "", operator: str = "", reading: bool = False) -> Iterator[Service]:
    """The service that a command talks to; see the head of this file."""
    service = _remote(url, token, operator, data) if url else _local(data, token, operator, reading)
    with service:
        yield service


def _local(data: Path, token: str, operator: str, reading: bool) -> Service:
    from cardapi.app import open_shop

    try:
        shop = open_shop(data, read_only=reading)
    except CardcoreError as error:
        if error.code != "locked":
            raise
        return _remote(service_address(data), token, operator, data)
    return inside(shop, operator)


def inside(shop: Shop, operator: str = "") -> Service:
    """The API on an opened shop, as one of its operators. Closing the service closes the shop."""
    try:
        return Service(Inside(shop), vouch(shop, operator))
    except BaseException:
        shop.close()
        raise


def vouch(shop: Shop, operator: str, lifetime_s: int = SESSION_S, token: str = "") -> str:
    """A session in this process' memory only: what it does is journaled under the operator's name, itself it is not written."""
    import msgspec

    from cardapi.people import sessions

    name = operator or first_admin(shop)
    known = shop.registry.operator(name)
    if known is None or known.state != "active" or not known.grants:
        raise Mistake("unknown_operator", f"there is no active operator {name!r} with a role in {shop.directory}")
    token = token or sessions.new_token()
    handle = sessions.session_id(token)
    document = sessions.new_session(handle, name, known.grants[0].unit, int(time.time()), lifetime_s)
    shop.registry.put("session", handle, msgspec.json.encode(document))
    return token


def first_admin(shop: Shop) -> str:
    """The operator for whom a command acts when nobody is named. Raises Mistake no_operator."""
    for name, document in shop.registry.documents("operator"):
        if document["state"] == "active" and any(grant["role"] == "admin" for grant in document["grants"]):
            return name
    raise Mistake("no_operator", "the shop has no active operator with the role admin; name one with --as")


def _remote(url: str, token: str, operator: str, data: Path) -> Service:
    service = Service(Remote(url), token)
    if not token:
        demo = demo_credentials(data)
        if demo and not operator:
            service.log_in(demo["operator"], demo["password"])
        else:
            name = operator or typer.prompt("Operator", err=True)
            service.log_in(name, os.environ.get("CARDCORE_PASSWORD") or typer.prompt("Password", hide_input=True, err=True))
    return service


def station(data: Path, *, url: str = "", token: str = "", terminal: str = "", version: int = 1) -> Service:
    """A running service for a station at the counter: with a session token, or signed by a terminal.

    The terminal's key (hex) comes from CARDCORE_TERMINAL_KEY, or is the demo shop's. Raises Mistake.
    """
    address = url or service_address(data)
    return Service(Remote(address), token) if token else Service(Remote(address, terminal_signer(data, terminal, version)))


TERMINAL_KEY = "CARDCORE_TERMINAL_KEY"


def terminal_signer(data: Path, terminal: str, version: int) -> TerminalSigner:
    """Who signs as a terminal (see `terminal_key`). Raises Mistake no_terminal_key."""
    from cardapi.cli.replay.wire import TerminalSigner

    name, key = terminal_key(data, terminal)
    return TerminalSigner(name, version, key)


def terminal_key(data: Path, terminal: str) -> tuple[str, bytes]:
    """A terminal and its key: that in CARDCORE_TERMINAL_KEY, else the demo shop's. Raises Mistake no_terminal_key."""
    text = os.environ.get(TERMINAL_KEY, "")
    if not text:
        demo = demo_credentials(data)
        if demo is None or terminal not in ("", demo["terminal"]):
            raise Mistake("no_terminal_key", f"put the terminal's key into {TERMINAL_KEY}: it was shown when the terminal was created")
        terminal, text = demo["terminal"], demo["terminal_key"]
    try:
        return terminal, bytes.fromhex(text)
    except ValueError:
        raise Mistake("no_terminal_key", f"{TERMINAL_KEY} is not a key in hex") from None


def service_file(data: Path) -> Path:
    """Where a running service leaves its address."""
    return data / "service.json"


def service_address(data: Path) -> str:
    """The address of the service that holds this data directory. Raises Mistake when it left none."""
    import msgspec

    try:
        return str(msgspec.json.decode(service_file(data).read_bytes())["url"])
    except (OSError, msgspec.DecodeError, KeyError):
        raise Mistake(
            "locked", f"{data} is in use by another process that left no address: wait for it to end, or say --url if it is a service"
        ) from None


def demo_file(data: Path) -> Path:
    """Where `init --demo` leaves the demo's credentials (mode 0600)."""
    return data / "demo.json"


def demo_credentials(data: Path) -> dict[str, Any] | None:
    """What `init --demo` made, None for a shop that is no demo."""
    import msgspec

    try:
        made: dict[str, Any] = msgspec.json.decode(demo_file(data).read_bytes())
    except FileNotFoundError:
        return None
    return made
