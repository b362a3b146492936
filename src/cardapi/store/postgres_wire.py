"""Several prepared statements in one flush, their parameters in wire form already (`postgres_arrays`).

This drives libpq's pipeline itself: psycopg's pipeline costs the client several times as much processor time for the few large
statements of a batch, and what the client spends under the interpreter lock is what bounds a server's rate. libpq's
`PQgetResult` would wait while holding that lock, so this waits for the socket instead.
"""

from __future__ import annotations

import itertools
import re
import select
from collections import deque
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer

from cardapi.store import postgres_arrays as arrays

Row = tuple[Any, ...]
Step = tuple[str, Sequence[bytes]]
"""A statement with `%b` for each parameter, and its parameters."""

BEGIN: Step = ("BEGIN", ())
COMMIT: Step = ("COMMIT", ())
ROLLBACK: Step = ("ROLLBACK", ())

_BINARY = 1
_PLACE = re.compile("%b")


def _numbered(statement: str) -> bytes:
    """The statement with $1, $2 ... for its parameters."""
    parts = _PLACE.split(statement)
    return (parts[0] + "".join(f"${place}{part}" for place, part in enumerate(parts[1:], 1))).encode()


class _Flush:
    """What was sent at once, and what has come back of it."""

    __slots__ = ("answering", "ended", "prepared", "results")

    def __init__(self) -> None:
        self.results: list[pq.abc.PGresult] = []
        self.answering: list[int] = []  # places of the statements' own results
        self.prepared: dict[int, tuple[str, bytes]] = {}  # place among the results -> what is known by this name if it went well
        self.ended = False


class Wire:
    """Runs statements on a connection that nobody else uses meanwhile."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._names: dict[str, bytes] = {}  # statement -> what it was prepared as
        self._numbers = itertools.count()
        self._sent: deque[_Flush] = deque()  # whose results were not taken yet
        self._result: pq.abc.PGresult | None = None  # of a statement that is not over yet
        self._socket = self._pgconn.socket
        self._lost = False  # what the server sends cannot be taken in any more
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._files: tuple[int, ...] = ()  # that were waited for together
        self._any = select.poll()  # of these

    @property
    def busy(self) -> bool:
        """Whether statements were sent whose results were not taken yet."""
        return bool(self._sent)

    @property
    def flushes(self) -> int:
        """How many times `send` was called whose results were not taken yet."""
        return len(self._sent)

    def run(self, steps: Sequence[Step]) -> list[list[Row]]:
        """Run these in order, after what was sent before; the rows that each of these returned.

        Raises psycopg.Error of the first that failed of all, after which none of its flush was run; a transaction they began is then to
        be rolled back. Raises psycopg.OperationalError when the server is gone: what came of them is not known then.
        """
        self.send(steps)
        last = self._sent[-1]
        self.take(len(self._sent))
        return [self._rows(last.results[place]) for place in last.answering]

    def rows(self) -> list[Row]:
        """Wait for what a statement returned that was sent alone. Raises as `run` does."""
        (flush,) = self._sent
        self.take(1)
        return self._rows(flush.results[flush.answering[0]])

    def take(self, flushes: int) -> None:
        """Wait for the results of the oldest `flushes`. Raises as `run` does."""
        error: pq.abc.PGresult | None = None
        try:
            for place in range(flushes):
                self._collect(self._sent[place], wait=True)
        except psycopg.Error:
            self._sent.clear()
            self._result = None
            raise
        for _ in range(flushes):
            flush = self._sent.popleft()
            for place, known in flush.prepared.items():
                if flush.results[place].status == pq.ExecStatus.COMMAND_OK:
                    self._names[known[0]] = known[1]
            if error is None:
                error = next((result for result in flush.results if result.status == pq.ExecStatus.FATAL_ERROR), None)
        if not self._sent:
            self._pgconn.exit_pipeline_mode()
        if error is not None:
            raise psycopg.errors.error_from_result(error)

    def arrived(self, flushes: int) -> bool:
        """Whether `take` of these has nothing to wait for, as far as `wait` took in what the server sent. Raises as `take` does."""
        return self._lost or all(self._collect(self._sent[place], wait=False) for place in range(flushes))

    def wait(self, other: int | None, beside: Wire | None = None) -> bool:
        """Until something was sent here or on the wire `beside`, which is taken in, or the file `other` can be read: whether that can.

        Not for what was taken in before, of which `arrived` knows.
        """
        wires = (self,) if beside is None else (self, beside)
        files = tuple([wire._socket for wire in wires] if other is None else [other, *[wire._socket for wire in wires]])
        if files != self._files:
            self._files, self._any = files, select.poll()
            for file in files:
                self._any.register(file, select.POLLIN)
        ready = [file for file, _ in self._any.poll()]
        for wire in wires:
            if wire._socket in ready:
                wire._take_in()
        return other in ready

    def _take_in(self) -> None:
        try:
            self._pgconn.consume_input()
        except psycopg.OperationalError:  # which `take` meets as well
            self._lost = True

    def send(self, steps: Sequence[Step]) -> None:
        """Let the server begin with these, and go on; `run` or `take` says what became of them. Raises psycopg.OperationalError."""
        pgconn = self._pgconn
        flush, count = _Flush(), 0
        names = self._names
        if not self._sent:
            pgconn.enter_pipeline_mode()
        elif any(earlier.prepared for earlier in self._sent):
            names = names | {statement: name for earlier in self._sent for statement, name in earlier.prepared.values()}
        for statement, parameters in steps:
            name = names.get(statement)
            if name is None:
                name = f"cardcore_{next(self._numbers)}".encode()
                pgconn.send_prepare(name, _numbered(statement), [arrays.OIDS[type(value)] for value in parameters])
                flush.prepared[count] = (statement, name)
                count += 1
            pgconn.send_query_prepared(name, parameters, [_BINARY] * len(parameters), result_format=_BINARY)
            flush.answering.append(count)
            count += 1
        # Each flush ends so that the server waits for the next one within a transaction, where it has a limit, not within a statement.
        pgconn.pipeline_sync()
        self._sent.append(flush)
        self._flush()

    def _rows(self, result: pq.abc.PGresult) -> list[Row]:
        if result.status != pq.ExecStatus.TUPLES_OK or not result.ntuples:
            return []
        transformer = Transformer(self._connection)
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)

    def _flush(self) -> None:
        """Send all; what the server sends meanwhile is taken in, or both would wait for each other."""
        while self._pgconn.flush():
            self._poll.modify(self._socket, select.POLLIN | select.POLLOUT)
            try:
                ((_, event),) = self._poll.poll()
            finally:
                self._poll.modify(self._socket, select.POLLIN)
            if event & ~select.POLLOUT:
                self._pgconn.consume_input()

    def _collect(self, flush: _Flush, *, wait: bool) -> bool:
        """Take in the results of the oldest flush that has not ended; False when more of them has to come and nobody waits."""
        pgconn = self._pgconn
        while not flush.ended:
            while pgconn.is_busy():
                if not wait:
                    return False
                self._poll.poll()
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                if self._result is None:
                    raise psycopg.OperationalError("the server sent no answer")
                flush.results.append(self._result)
                self._result = None
            elif result.status == pq.ExecStatus.PIPELINE_SYNC:
                flush.ended = True
            else:
                self._result = result  # of a statement the last one counts
        return True
