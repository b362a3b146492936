"""A shop with a clock of its own, members who agreed to messages, and gateways that answer what the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from cardapi.messages.channels import Letter, SendFailed
from tests.jobs.conftest import Timed, till

__all__ = ["till"]


class Gateway:
    """A channel that keeps what it was given, or refuses."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.refuses: str = ""

    def send(self, letter: Letter, now: int) -> None:
        if self.refuses:
            raise SendFailed(self.refuses)
        self.letters.append(letter)

    def take(self) -> list[tuple[str, str]]:
        """(template, text) of what came since the last look."""
        taken = [(letter.template, letter.text) for letter in self.letters]
        self.letters.clear()
        return taken


@pytest.fixture
def sms(till: Timed) -> Gateway:
    gateway = Gateway()
    till.shop.background.courier.channels = {**till.shop.background.courier.channels, "sms": gateway}
    return gateway


class Receiver:
    """An HTTP server that keeps requests and answers with `status` (or not at all)."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.location = ""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((dict(self.headers), body))
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                del args

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?shop=1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def last(self) -> tuple[dict[str, str], dict[str, Any]]:
        headers, body = self.requests[-1]
        return headers, json.loads(body)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
