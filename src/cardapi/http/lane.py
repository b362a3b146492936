"""The short way of a plain request to a hot operation: from the bytes on the connection to `Edge`, and its answer back.

uvicorn makes an ASGI scope, a request cycle, an event and a task for each request: a third of what a settle costs the event
loop. A request that arrived whole, to an operation of the hot path and with nothing out of the ordinary in its head, needs
none of them; a plain settle needs no coroutine either. Everything else, and every server but uvicorn with httptools, takes the
ordinary way; a test holds the two equal.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cardapi.http import wire
from cardapi.http.edge import Sent
from cardapi.http.head import plain
from cardapi.http.operations import Operation
from cardapi.http.problems import Answer, answer

if TYPE_CHECKING:
    from cardapi.http.app import Application

LATER_MAX = 1 << 16  # bytes kept of requests that a client sends before it has its answer

log = logging.getLogger("cardapi.http")


class Lane(HttpToolsProtocol):
    """One connection. `step` drives the handler's coroutine, where there is one, so that a request needs no task of its own."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        application: Application = self.config.app  # type: ignore[assignment]
        self._edge = application.edge
        self._hot = application.hot_targets
        self._neighbours = application.service.neighbours
        self._inside = self.access_log  # True while uvicorn's parser stands inside a message, or has to see them all
        self._busy = False  # a request of the short way has no answer yet
        self._running: Coroutine[Any, Any, Answer] | None = None  # what makes it, unless the desk does
        self._id = b""  # of the request of the short way that is or was last under way
        self._later = b""
        self._last = application.service.draining  # the answer under way, or the next one, is the last one of this connection
        self._idle_since = 0.0

    # ---- in
    def data_received(self, data: bytes) -> None:
        """Take the short way if the request is whole and plain, nothing else is under way here and the client reads its answers."""
        if self._busy:  # sent before its answer: it waits its turn
            self._later += data
            if len(self._later) > LATER_MAX:
                self.flow.pause_reading()
            return
        if not self._inside and not self.flow.write_paused and (self.cycle is None or self.cycle.response_complete):
            head = plain(data)
            if head is not None:
                operation = self._hot.get(head[0])
                if operation is not None:
                    self._busy = True
                    sent = Sent(b"POST", *head)
                    other = None if self._neighbours is None else self._neighbours.of(operation, sent.body)
                    if other is None or not other.ask(data, partial(self._passed, operation, sent)):
                        self._begin(operation, sent)
                    return
        super().data_received(data)

    def _begin(self, operation: Operation, sent: Sent) -> None:
        self._id = sent.request_id = self._edge.ids.of(sent.request_id)
        if not self._edge.hand_in(operation, sent, self._write):
            self._running = self._edge.serve_whole(operation, sent)
            self.step()

    def _passed(self, operation: Operation, sent: Sent, answer: bytes | None) -> None:
        """The word of the neighbour that a request was passed on to."""
        if not answer:
            sent.lost = answer is not None
            self._begin(operation, sent)
        elif b"\r\nconnection: close\r\n" in answer:
            self._last = True
            self._send(answer)
        else:
            self._send(answer.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1) if self._last else answer)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._last and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_begin(self) -> None:
        self._inside = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._inside = self.access_log
        super().on_message_complete()

    # ---- through
    def step(self, waited: Any = None) -> None:
        """Run the handler up to the next future it waits for (what a task does, PEP 492 and 3156), or to its answer."""
        del waited
        assert self._running is not None, "nothing is under way"
        try:
            future = self._running.send(None)
        except StopIteration as done:
            self._running = None
            self._write(done.value)
        except BaseException:
            self._running = None
            log.exception("a request broke outside its handler")
            self._last = True
            self._write(answer("unexpected"))
            raise
        else:
            if future is None:  # a bare yield: `asyncio.sleep` of nothing
                self.loop.call_soon(self.step)
                return
            future._asyncio_future_blocking = False
            future.add_done_callback(self.step)

    # ---- out
    def _write(self, done: Answer) -> None:
        status, headers, body = done
        if (b"connection", b"close") in headers:
            self._last = True
        elif self._last:
            headers = (*headers, (b"connection", b"close"))
        self._send(wire.whole(self.server_state.default_headers, status, headers, body, self._id))

    def _send(self, whole: bytes) -> None:
        self._busy = False
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.transport.write(whole)
        if self._last:
            self.transport.close()
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        if self._later:
            data, self._later = self._later, b""
            self.flow.resume_reading()
            self.data_received(data)

    # ---- the connection's life
    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been idle for long; one timer serves many requests."""
        self.timeout_keep_alive_task = None
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if self._busy:
            left = self.timeout_keep_alive
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def drain(self) -> None:
        """End after the answer under way or, if there is none, after the next one."""
        self._last = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """End after the answer under way, if there is one."""
        if self._busy:
            self._last = True
        else:
            super().shutdown()
