"""Serve an opened shop with uvicorn: one worker, uvloop where it is installed, no access log, a graceful end.

F2: when the desk has failed nothing is acknowledged any more, so the process ends and says so with exit code 1.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from cardapi import logs
from cardapi.http.app import Application, build_app
from cardapi.http.lane import Lane
from cardapi.http.neighbours import Neighbours
from cardapi.http.observe import Observer
from cardapi.http.operations import OPERATIONS

if TYPE_CHECKING:
    from cardapi.app import Shop

LAST_ANSWERS_S = 0.25  # what tills that are at work need to send their next request
DRAIN_S = 20
WATCH_S = 0.25
BACKLOG = 1024

log = logging.getLogger("cardapi.serve")


class Server(uvicorn.Server):
    """uvicorn that announces its address once it accepts, and leaves when the desk has failed."""

    def __init__(self, config: uvicorn.Config, application: Application, announce: Callable[[], None], metrics_port: int = 0) -> None:
        super().__init__(config)
        self.application = application
        self.announce = announce
        self._observer = Observer(application.service)
        self._metrics_port = metrics_port
        self._watching: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the serving, not the process: the shop still has to be closed behind us."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept; then say where. Raises OSError for a port beside that cannot be had."""
        if self._metrics_port:
            await self._observer.start(self._metrics_port)
        await super().startup(sockets)
        neighbours = self.application.service.neighbours
        if neighbours is not None:
            loop = asyncio.get_running_loop()
            try:
                self.servers.append(await loop.create_unix_server(self._neighbour, neighbours.name, backlog=BACKLOG))
            except OSError as error:  # somebody else has the name: the others do without us
                log.error("neighbours cannot ask this process: %s", error)
        self._watching = asyncio.create_task(self._watch())
        self.announce()  # whoever started us waits for it

    def _neighbour(self) -> Lane:
        return Lane(self.config, self.server_state, self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell load balancers, accept no more, let each connection have its last answer, then end those that ask nothing.

        Without the pause a request that is just being sent would meet a closed connection, and its client could not tell what
        became of it.
        """
        service = self.application.service
        service.draining = True
        logs.event(log, logging.INFO, "draining", waiting=service.desk.waiting)
        if self._watching is not None:
            self._watching.cancel()
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            if isinstance(connection, Lane):
                connection.drain()
        await asyncio.sleep(LAST_ANSWERS_S)
        await super().shutdown(sockets)
        if self.application.service.neighbours is not None:
            self.application.service.neighbours.close()
        self._observer.stop()

    async def _watch(self) -> None:
        while not self.should_exit:
            if self.application.service.desk.failed is not None:
                self.should_exit = True
            await asyncio.sleep(WATCH_S)


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound socket; port 0 picks a free one. `shared`: beside other processes on the same port. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def settle_memory() -> None:
    """Take what was built at start out of the collector's rounds, and make those rarer.

    A request leaves no reference cycles behind, and looking through half a million long-lived objects takes tens of
    milliseconds: without this every few thousand requests one batch of tills would wait that long.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def serve(
    shop: Shop, host: str = "127.0.0.1", port: int = 0, greet: Callable[[int], str] = lambda port: "",
    *, certificate: str = "", key: str = "", accepting: Callable[[], None] | None = None, jobs: bool = True, log_every: int = 0,
    metrics_port: int = 0, beside: tuple[str, int, int] | None = None,
) -> int:  # fmt: skip
    """Serve until a signal or a failed desk; prints `listening on <url> port <port>`. Returns the exit code: 0, or 1 after a failure.

    `greet` is told the port and gives lines to print before that one. `certificate` and `key` are PEM files for TLS; without
    them only a loopback address, or a network behind a TLS proxy, is safe. The caller closes the shop afterwards, which
    drains the desk. `accepting`: this is one of several processes on the port; called instead of printing the line. `jobs`:
    whether this process does the work of the day, if the settings say so at all. `log_every`: of so many requests one is logged, 0
    none. `metrics_port`: a loopback port for this process' figures alone (`http.observe`), 0 none. `beside`: of the processes that pass
    requests to each other (`http.neighbours`) a word of theirs alone, our number and their count. Raises OSError when an address
    cannot be bound or a file not be read.
    """
    application = build_app(shop)
    application.edge.log_every = log_every
    if beside is not None:
        application.service.neighbours = Neighbours(*beside, len(shop.store.partitions()), OPERATIONS, shop.registry)
    bound = listen(host, port, shared=accepting is not None)
    chosen = bound.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if certificate else "http"
    config = uvicorn.Config(
        application, loop="auto", http=Lane, ws="none", lifespan="on", log_config=None, log_level="warning", access_log=False,
        server_header=False, proxy_headers=False, backlog=BACKLOG, timeout_keep_alive=75, timeout_graceful_shutdown=DRAIN_S,
        ssl_certfile=certificate or None, ssl_keyfile=key or None,
    )  # fmt: skip
    line = f"listening on {scheme}://{shown}:{chosen} port {chosen}"
    server = Server(config, application, accepting or (lambda: print(f"{greet(chosen)}{line}", flush=True)), metrics_port)
    # Signatures of the second we started in are refused (see http.signature); accept only from the next one on.
    while application.service.now() < application.service.signatures.ready_at:
        time.sleep(0.02)
    settle_memory()
    if jobs and shop.settings.jobs:
        shop.background.start()
    try:
        server.run(sockets=[bound])
    finally:
        bound.close()
    failed = shop.desk.failed
    if failed is not None:
        log.error("stopped: %s", failed.detail)
    else:
        logs.event(log, logging.INFO, "stopped")
    return 1 if failed is not None else 0
