"""`cardcore serve`: open a data directory, serve the API on a port, close it cleanly; also `openapi` and `version`."""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cardapi.cli.options import DEFAULT_DATA, DataDir, Json
from cardapi.cli.show import Mistake, emit_json, note, say

if TYPE_CHECKING:
    from cardapi.app import Shop


class LogFormat(StrEnum):
    """How `serve` logs."""

    text = "text"
    json = "json"


OPENS = {"root": "root secret", "passphrase": "passphrase", "module": "security module"}
DEMO_SESSION_S = 30 * 86_400


def serve(
    data: DataDir = DEFAULT_DATA,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Processes on the port; more than 1 needs a server store.")] = 1,
    log_format: Annotated[LogFormat, typer.Option("--log-format", help="How events are logged to standard error.")] = LogFormat.text,
    access_log: Annotated[int, typer.Option("--access-log", min=0, metavar="N", help="Log one request of N; 1: each, 0: none.")] = 0,
    metrics_port: Annotated[
        int,
        typer.Option("--metrics-port", min=0, max=65471, help="Loopback port with /metrics, /health and /ready of the first process alone, "
                     "the next port for the next process; 0: none."),
    ] = 0,
) -> None:
    """Serve the API. The line that starts with "listening" ends with the port. Ctrl-C ends it cleanly.

    Example: cardcore serve --data var/shop --port 8080
    """
    from cardapi import logs

    logs.set_up(log_format.value)
    watched = {"log_every": access_log, "metrics_port": metrics_port}
    raise typer.Exit(run(data, host, port, **watched) if workers == 1 else run_many(data, host, port, workers, **watched))


def leave(shop: Shop, code: int) -> int:
    """End the process at once if a report still runs on a thread, which the interpreter would wait for; else give `code` back.

    The shop is closed: all that was acknowledged is durable and under a checkpoint.
    """
    if shop.desk.reading:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def run(data: Path, host: str, port: int, *, log_every: int = 0, metrics_port: int = 0) -> int:
    """Serve until stopped; returns the exit code. Raises Mistake cannot_listen."""
    from cardapi.app import open_shop
    from cardapi.cli.service import service_file
    from cardapi.http.server import serve as serve_shop

    with open_shop(data) as shop:
        if shop.has_key_file:
            say(f"card keys: mode {shop.keeper.mode}, opened with the {OPENS[shop.keeper.protection]}")
        try:
            code = serve_shop(
                shop, host, port, lambda chosen: greeting(shop, data, address(host, chosen)), log_every=log_every, metrics_port=metrics_port
            )  # fmt: skip
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
                raise
            raise Mistake("cannot_listen", f"cannot listen on {host} port {port}: {error.strerror}") from error
        finally:
            service_file(data).unlink(missing_ok=True)
    return leave(shop, code)


def run_many(data: Path, host: str, port: int, count: int, *, log_every: int = 0, metrics_port: int = 0) -> int:
    """Serve with several processes until stopped; returns the exit code. Raises Mistake cannot_listen, one_process; CardcoreError."""
    from cardapi.app import open_shop
    from cardapi.cli.service import demo_credentials, service_file, vouch
    from cardapi.cli.workers import Workers
    from cardapi.http.server import listen
    from cardapi.http.server import serve as serve_shop
    from cardapi.people import sessions

    token, meeting = sessions.new_token(), secrets.token_hex(16)
    with open_shop(data, read_only=True) as shop:  # what is wrong with the shop is said once, here
        if shop.embedded:
            raise Mistake("one_process", "an embedded store has one process; a shop for more is made with: cardcore init --store")
    try:
        bound = listen(host, port, shared=True)  # bound and no more, so that every worker can: they accept, this process does not
    except OSError as error:
        raise Mistake("cannot_listen", f"cannot listen on {host} port {port}: {error.strerror}") from error
    chosen = bound.getsockname()[1]

    def work(number: int, accepting: Callable[[], None]) -> int:
        with open_shop(data) as shop:
            demo = demo_credentials(data)
            if demo is not None:  # the session of the demo is in every worker's memory; the address is left by `ready`, once
                vouch(shop, demo["cashier"], DEMO_SESSION_S, token)
            # One worker does the work of the day: each message is sent once, not once a worker.
            beside = metrics_port + number if metrics_port else 0
            return serve_shop(
                shop, host, chosen, accepting=accepting, jobs=number == 0, log_every=log_every, metrics_port=beside,
                beside=(meeting, number, count),
            )  # fmt: skip

    def ready() -> None:
        url = address(host, chosen)
        with open_shop(data, read_only=True) as shop:
            print(f"{greeting(shop, data, url, token)}listening on http://{host}:{chosen} port {chosen}", flush=True)

    try:
        return Workers(count, work).run(ready)
    finally:
        service_file(data).unlink(missing_ok=True)


def address(host: str, port: int) -> str:
    """The URL that reaches a listener from this machine."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 (compared with, not bound)
    return f"http://[{reachable}]:{port}" if ":" in reachable and not reachable.startswith("[") else f"http://{reachable}:{port}"


def greeting(shop: Shop, data: Path, url: str, token: str = "") -> str:
    """Leave the address for other commands. In a demo shop: who can log in, and a first purchase to paste.

    The session in it is in this process' memory only, and ends with it.
    """
    from cardapi.cli.service import demo_credentials, service_file, vouch
    from cardapi.cli.setup import demo_text

    write_private(service_file(data), b'{"url":"%s","pid":%d}\n' % (url.encode(), os.getpid()))
    demo = demo_credentials(data)
    if demo is None:
        return ""
    return demo_text(demo, url, vouch(shop, demo["cashier"], DEMO_SESSION_S, token)) + "\n\n"


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
    from cardapi.http.operations import OPERATIONS

    text = msgspec.json.format(msgspec.json.encode(document(OPERATIONS)), indent=2)
    if output is None:
        say(text.decode())
    else:
        output.write_bytes(text + b"\n")
        note(f"wrote {output}")


def version(as_json: Json = False) -> None:
    """Print the version of cardcore and of what it runs on."""
    import platform
    import sqlite3

    from cardapi import shipped

    found = {"cardcore": shipped.version(), "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    if as_json:
        emit_json(found)
    else:
        say(", ".join(f"{name} {value}" for name, value in found.items()))
