"""`cardcore serve`: open a data directory, serve the API on a port, close it cleanly; also `openapi` and `version`."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cardapi.cli.options import DEFAULT_DATA, DataDir, Json
from cardapi.cli.show import Mistake, emit_json, note, say

if TYPE_CHECKING:
    from cardapi.app import Shop

BACKLOG = 2_048
DRAIN_S = 10


def serve(
    data: DataDir = DEFAULT_DATA,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 0,
) -> None:
    """Serve the API. The line that starts with "listening" ends with the port. Ctrl-C ends it cleanly.

    Example: cardcore serve --data var/shop --port 8080
    """
    from cardapi.app import open_shop

    listener = _listen(host, port)
    try:
        with open_shop(data) as shop:
            failed = _serve(shop, data, listener, host)
    finally:
        listener.close()
    if failed is not None:
        # F2: after a storage error nothing is acknowledged any more; the process ends and says so.
        raise failed


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Mistake("cannot_listen", f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    listener.listen(BACKLOG)
    return listener


def _serve(shop: Shop, data: Path, listener: socket.socket, host: str) -> Any:
    """Run until a signal or a storage error. Returns the error that stopped the desk, if one did."""
    import uvicorn

    from cardapi.cli.service import service_file
    from cardapi.http.app import build_app

    port = listener.getsockname()[1]
    url = address(host, port)

    class Server(uvicorn.Server):
        """uvicorn, saying where it listens, and stopping when the desk has failed."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                write_private(service_file(data), b'{"url":"%s","pid":%d}\n' % (url.encode(), os.getpid()))
                announce(shop, data, url)
                say(f"listening on {url} port {port}")
                sys.stdout.flush()

        async def on_tick(self, counter: int) -> bool:
            return await super().on_tick(counter) or shop.desk.failed is not None

    config = uvicorn.Config(
        build_app(shop), http="httptools", loop="uvloop" if _has_uvloop() else "asyncio", log_level="warning", access_log=False,
        server_header=False, date_header=False, timeout_graceful_shutdown=DRAIN_S, backlog=BACKLOG,
    )  # fmt: skip
    # uvicorn raises the signal that stopped it again when it is done: by then the shop must still be closed by us.
    previous = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        Server(config).run(sockets=[listener])
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        service_file(data).unlink(missing_ok=True)
    return shop.desk.failed


def _has_uvloop() -> bool:
    from importlib.util import find_spec

    return find_spec("uvloop") is not None


def address(host: str, port: int) -> str:
    """The URL that reaches a listener from this machine."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 (compared with, not bound)
    return f"http://[{reachable}]:{port}" if ":" in reachable and not reachable.startswith("[") else f"http://{reachable}:{port}"


def announce(shop: Shop, data: Path, url: str) -> None:
    """In a demo shop: who can log in, and a first purchase to paste. Its session lives as long as this process."""
    from cardapi.cli.service import demo_credentials, vouch
    from cardapi.cli.setup import demo_text

    demo = demo_credentials(data)
    if demo is not None:
        say(demo_text(demo, url, vouch(shop, demo["cashier"])))
        say()


def write_private(path: Path, content: bytes) -> None:
    """Write a small file that only its owner may read, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def openapi(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to this file instead of standard output.")] = None,
) -> None:
    """Print the OpenAPI document of the API, as it is served at /openapi.json."""
    import msgspec

    from cardapi.http.openapi import document

    text = msgspec.json.format(msgspec.json.encode(document()), indent=2)
    if output is None:
        say(text.decode())
    else:
        output.write_bytes(text + b"\n")
        note(f"wrote {output}")


def version(as_json: Json = False) -> None:
    """Print the version of cardcore and of what it runs on."""
    import platform
    import sqlite3
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        own = installed("cardcore")
    except PackageNotFoundError:
        own = "source tree"
    found = {"cardcore": own, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    if as_json:
        emit_json(found)
    else:
        say(", ".join(f"{name} {value}" for name, value in found.items()))
