"""Serve a peer the way the product is served: one uvicorn worker, uvloop, httptools, no access log, a free port."""

from __future__ import annotations

import socket
from typing import Any, Literal

import uvicorn


def serve(application: Any, lifespan: Literal["on", "off"] = "off") -> None:
    """Run until terminated; prints the "listening" line that `benchmarks.servers.serving` waits for."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(f"listening on 127.0.0.1 {listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(application, loop="uvloop", http="httptools", access_log=False, log_level="warning", lifespan=lifespan)
    uvicorn.Server(config).run(sockets=[listener])
