"""The way of every request through the edge: authenticate, allow, check the body, decode, handle, answer.

The hot path and the FastAPI routes both call `Edge.answer`; there is no second way in. Nothing here decides about money.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from cardapi import logs
from cardapi.http import sales
from cardapi.http.call import NOBODY, Call, Service
from cardapi.http.explain import explain
from cardapi.http.fields import KEY, decode_hook
from cardapi.http.operations import Operation
from cardapi.http.problems import Answer, HttpProblem, answer, from_error, problem_code
from cardapi.http.request_ids import KEPT, RequestIds
from cardapi.http.signature import SCHEME
from cardapi.people import roles, sessions
from cardapi.people.scope import Caller, reaches
from cardapi.people.throttle import Throttle
from cardapi.store.port import Entry
from cardcore.errors import CardcoreError
from cardcore.strictjson import check as check_json

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

RUNNING_MAX = 5_000
UPLOADS_MAX = 32
UPLOADS_WAITING_MAX = 200  # uploads waiting or running before `busy`: they fill a bound of their own, not that of the tills
BODY_TIMEOUT_S = 30
GUESSES = 300  # misses one client may have at once, and after that a second
GUESSES_A_SECOND = 2
PATIENCE_S = 30
CLOSE = ((b"connection", b"close"),)

log = logging.getLogger("cardapi.http")
denials = logging.getLogger("cardapi.denials")
access = logging.getLogger("cardapi.access")

_KEY = re.compile(KEY.encode())
_JSON_TYPES = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
_MISSES = frozenset({"unknown_card", "unknown_ticket"})
_UNKNOWN = frozenset({"session_invalid", "signature_invalid"})
_DENIED = frozenset({401, 403})


class ClientGone(Exception):
    """The caller hung up before its request was whole; nobody is left to answer."""


class Sent(msgspec.Struct, gc=False):
    """What the edge reads of a request; an absent header is empty."""

    method: bytes
    target: bytes  # the path as sent, with its query
    authorization: bytes
    key: bytes  # Idempotency-Key
    media: bytes  # Content-Type
    request_id: bytes  # X-Request-Id, or ours
    body: bytes
    query: bytes = b""
    lost: bool = False  # another process was asked, and nobody knows what it did


class Edge:
    """Answers calls of the operations table."""

    def __init__(self, service: Service, operations: tuple[Operation, ...]) -> None:
        self.service = service
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {
            row.id: msgspec.json.Decoder(row.read or row.asked, dec_hook=decode_hook) for row in operations if row.asked is not None
        }
        self._uploads = asyncio.Semaphore(UPLOADS_MAX)
        self._running = self._uploading = 0
        self._tasks: set[asyncio.Task[None]] = set()
        # N: whoever names many things that are not there is guessing, and is answered nothing for a while.
        self._guesses = Throttle(rate=GUESSES_A_SECOND, burst=GUESSES, total_rate=1_000, total_burst=10_000)
        self._guessing: dict[str, float] = {}
        self.ids = RequestIds()
        self.log_every = 0  # of so many requests one is logged; 0: none
        self._unlogged = 0
        # A5: each denial is counted in the metrics; a line names who and what, at a rate no flood can raise.
        self._denial_lines = Throttle(rate=5, burst=20, total_rate=50, total_burst=200)

    async def serve(self, operation: Operation, scope: Scope, receive: Receive, path: dict[str, str]) -> Answer:
        """One request from its ASGI messages to its answer; never raises but ClientGone and cancellation."""
        started = time.perf_counter_ns()
        request_id: bytes = scope.get(KEPT, b"")
        upload = operation.body_max > 1 << 20
        if self._running >= RUNNING_MAX or (upload and self._uploading >= UPLOADS_WAITING_MAX):
            return self.count(operation, answer("busy"), "busy", started, "", request_id)
        self._running += 1
        try:
            if upload:
                self._uploading += 1
                try:
                    async with self._uploads:
                        return await self._serve(operation, scope, receive, path, started)
                finally:
                    self._uploading -= 1
            return await self._serve(operation, scope, receive, path, started)
        finally:
            self._running -= 1

    async def _serve(self, operation: Operation, scope: Scope, receive: Receive, path: dict[str, str], started: int) -> Answer:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id: bytes = scope.get(KEPT, b"")
        try:
            body = await read_body(receive, headers, operation.body_max)
        except HttpProblem as error:
            return self.count(operation, from_error(error), error.code, started, "", request_id)
        target = scope.get("raw_path") or scope["path"].encode()
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        sent = Sent(
            scope["method"].encode(), target, headers.get(b"authorization", b""), headers.get(b"idempotency-key", b""),
            headers.get(b"content-type", b""), request_id, body, scope["query_string"],
        )  # fmt: skip
        neighbours = self.service.neighbours
        other = None if neighbours is None else neighbours.of(operation, body, path.get("card", ""))
        passed = None if other is None else await other.answer(sent)
        return passed or await self._answer(operation, sent, path, started)

    async def serve_whole(self, operation: Operation, sent: Sent) -> Answer:
        """One request that has arrived whole, to an operation without parameters in its path. Raises nothing but cancellation."""
        started = time.perf_counter_ns()
        if self._running >= RUNNING_MAX:
            return self.count(operation, answer("busy"), "busy", started, "", sent.request_id, lost=sent.lost)
        self._running += 1
        try:
            if len(sent.body) > operation.body_max:
                error = too_large(operation.body_max)
                return self.count(operation, from_error(error), error.code, started, "", sent.request_id, lost=sent.lost)
            return await self._answer(operation, sent, {}, started)
        finally:
            self._running -= 1

    async def _answer(self, operation: Operation, sent: Sent, path: dict[str, str], started: int) -> Answer:
        caller = NOBODY
        code = ""
        try:
            if operation.roles:
                try:
                    caller = self.authenticate(sent)
                except HttpProblem as problem:
                    caller = await self._look_again(sent, problem)
                self.allow(operation, caller)
                if caller.client in self._guessing:
                    self._need_patience(caller.client)
            if any("\0" in value for value in path.values()):  # no name has it, and not every store may be asked for one
                raise HttpProblem("not_found")
            call = Call(operation, caller, self._key(operation, sent.key), self.decode(operation, sent), path, query(operation, sent.query))
            if operation.roles:
                self._count_in(call, started)
            done = await operation.handler(self.service, call)
        except Exception as error:
            done, code = failed(operation, error, sent.request_id)
        return self.count(operation, done, code, started, caller.client, sent.request_id, lost=sent.lost)

    # ---- the same without a coroutine
    def hand_in(self, operation: Operation, sent: Sent, give: Callable[[Answer], None]) -> bool:
        """Begin a settle that needs nothing out of the ordinary; `give` gets its answer, later and in this loop.

        False when it does need something, or is to be refused before it counts: then nothing has happened, not even to its nonce,
        and `serve_whole` does it. The steps are those of `_answer` and `sales.settle`, which a test holds equal.
        """
        if operation.plain is None or self._running >= RUNNING_MAX or sent.media not in _JSON_TYPES or _KEY.fullmatch(sent.key) is None:
            return False
        if len(sent.body) > operation.body_max or not sent.authorization.startswith(SCHEME):
            return False
        asked = operation.plain(sent.body)
        if asked is None:
            return False
        started = time.perf_counter_ns()
        try:
            caller = self.service.signatures.check(sent.authorization, sent.method, sent.target, sent.key, sent.body)
        except Exception:  # the other way meets it again, and answers
            return False
        turn = Turn(self, operation, caller.client, asked.explain, started, sent.request_id, sent.lost, give)
        self._running += 1
        try:
            self.allow(operation, caller)
            if caller.client in self._guessing:
                self._need_patience(caller.client)
            self.service.take(caller.client, asked.card, 1, started * 1e-9)
            self.service.desk.hand_in(sales.plain_request(self.service, caller, sent.key.decode("ascii"), asked), turn)
        except Exception as error:
            turn.end(*failed(operation, error, sent.request_id))
        return True

    def count(
        self, operation: Operation, done: Answer, code: str, started: int, client: str, request_id: bytes, *, lost: bool = False
    ) -> Answer:  # fmt: skip
        """Take an answer into the metrics and the log, and a refusal into what is known of its caller.

        `lost`: the request may have had its effect in another process. Only an entry says whether it did (O4).
        """
        if lost and code:
            done, code = answer("outcome_unknown"), "outcome_unknown"
        metrics = self.service.metrics
        elapsed_us = (time.perf_counter_ns() - started) // 1000
        metrics.record(operation.id, done[0], elapsed_us)
        if not code and done[0] >= 400:  # a refusal that is an entry: the desk's answer, not an error
            code = problem_code(done[2])
        if code:
            metrics.problem(operation.id, code)
            if code in _MISSES and client and self._guesses.wait_s(client, time.monotonic()):
                self._guessing[client] = time.monotonic() + PATIENCE_S
            if done[0] in _DENIED:
                metrics.denied(code)
                if not self._denial_lines.wait_s(client, time.monotonic()):
                    self._tell(denials, logging.WARNING, "denied", operation, done[0], code, elapsed_us, client, request_id)
            elif done[0] >= 500 and request_id:  # who was told of it can name it to whoever reads the log
                done = (done[0], done[1], b'%b,"request_id":"%b"}' % (done[2][:-1], request_id))
        if self.log_every:
            self._unlogged += 1
            if self._unlogged >= self.log_every:
                self._unlogged = 0
                self._tell(access, logging.INFO, "request", operation, done[0], code, elapsed_us, client, request_id)
        return done

    @staticmethod
    def _tell(
        logger: logging.Logger, level: int, name: str, operation: Operation, status: int, code: str, elapsed_us: int, client: str,
        request_id: bytes,
    ) -> None:  # fmt: skip
        logs.event(
            logger, level, name, request_id=request_id.decode(), operation=operation.id, client=client, status=status, code=code,
            elapsed_us=elapsed_us,
        )  # fmt: skip

    def leave(self) -> None:
        """A request that was handed in has its answer."""
        self._running -= 1

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run what a request still waits for beside the others."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _need_patience(self, client: str) -> None:
        """Refuse a guesser until its time is over. Raises HttpProblem too_many_requests."""
        left = self._guessing[client] - time.monotonic()
        if left > 0:
            raise self.service.too_many("guesses", left)
        del self._guessing[client]

    def _count_in(self, call: Call, now_ns: int) -> None:
        """Count a request against the shop's limits, a batch by its tickets (its handler counts their cards).

        Raises HttpProblem too_many_requests.
        """
        card = getattr(call.data, "card", "") or call.path.get("card", "")
        tickets = getattr(call.data, "tickets", None)
        count = max(1, len(tickets)) if isinstance(tickets, tuple) else 1
        self.service.take(call.caller.client, card if isinstance(card, str) else "", count, now_ns * 1e-9)

    # ---- who
    async def _look_again(self, sent: Sent, problem: HttpProblem) -> Caller:
        """A session or terminal that is not known here may have been made a moment ago by another process. Raises HttpProblem."""
        if problem.code not in _UNKNOWN or not await self.service.catch_up():
            raise problem
        return self.authenticate(sent)

    def authenticate(self, sent: Sent) -> Caller:
        """The terminal that signed or the operator whose session it is. Raises HttpProblem (401)."""
        header = sent.authorization
        if header.startswith(SCHEME):
            return self.service.signatures.check(header, sent.method, sent.target, sent.key, sent.body)
        if header.startswith(b"Bearer "):
            caller = sessions.find(self.service.registry, header[7:].decode("ascii", "replace"), self.service.now())
            if caller is None:
                raise HttpProblem("session_invalid")
            return caller
        raise HttpProblem("unauthenticated")

    def allow(self, operation: Operation, caller: Caller) -> None:
        """The access table's word on role and scope; what a request names is compared by its handler. Raises HttpProblem not_allowed."""
        if caller.terminal:
            allowed = roles.TERMINAL in operation.roles
        elif operation.scope == "caller":
            allowed = reaches(self.service.registry, caller, caller.unit, operation.roles)
        elif operation.scope == "issuer":
            unit = self.service.registry.unit(caller.unit)
            allowed = unit is not None and reaches(self.service.registry, caller, unit.path[0], operation.roles)
        else:
            allowed = caller.has_role(operation.roles)
        if not allowed:
            raise HttpProblem("not_allowed")

    # ---- what
    @staticmethod
    def _key(operation: Operation, key: bytes) -> str:
        if not operation.keyed:
            return ""
        if not key:
            raise HttpProblem("key_required")
        if _KEY.fullmatch(key) is None:
            raise HttpProblem("key_malformed")
        return key.decode("ascii")

    def decode(self, operation: Operation, sent: Sent) -> Any:
        """The body as the operation's struct: strict JSON first, then its schema; or what the operation's reader of plain bodies gives.

        Raises HttpProblem, StrictJsonError, PinMalformed.
        """
        decoder = self._decoders.get(operation.id)
        body = sent.body
        if decoder is None:
            if body:
                raise HttpProblem("body_not_expected")
            return None
        media = sent.media
        if media not in _JSON_TYPES and media.lower() not in _JSON_TYPES:
            raise HttpProblem("media_type")
        if operation.plain is not None:
            plain = operation.plain(body)
            if plain is not None:
                return plain
        check_json(body)
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            raise explain(error) from error


class Turn:
    """A settle at the desk: takes its entry and gives its answer."""

    __slots__ = ("_client", "_edge", "_explain", "_give", "_lost", "_operation", "_request_id", "_started")

    def __init__(
        self, edge: Edge, operation: Operation, client: str, explain: bool, started: int, request_id: bytes, lost: bool,
        give: Callable[[Answer], None],
    ) -> None:  # fmt: skip
        self._edge = edge
        self._operation = operation
        self._client = client
        self._explain = explain
        self._started = started
        self._request_id = request_id
        self._lost = lost
        self._give = give

    def done(self) -> bool:
        """Nobody takes a request back: what is durable is answered, or counted where the caller is gone."""
        return False

    def set_result(self, answers: list[Entry | CardcoreError]) -> None:
        """The desk's word."""
        (entry,) = answers
        tickets = self._edge.service.tickets
        try:
            if not isinstance(entry, Entry):
                raise entry
            if entry.outcome == "applied" and not tickets.known_name(entry.card):
                self._edge.spawn(self._read_on(entry))
                return
            done, code = tickets.answer_known(entry, explain=self._explain), ""
        except Exception as error:
            done, code = failed(self._operation, error, self._request_id)
        self.end(done, code)

    async def _read_on(self, entry: Entry) -> None:
        """The answer when the card's programme has to be read first: after a restart, in a shop with several."""
        try:
            done, code = await self._edge.service.tickets.answer(entry, explain=self._explain), ""
        except Exception as error:
            done, code = failed(self._operation, error, self._request_id)
        self.end(done, code)

    def end(self, done: Answer, code: str) -> None:
        """Count the answer and give it."""
        self._edge.leave()
        try:
            done = self._edge.count(self._operation, done, code, self._started, self._client, self._request_id, lost=self._lost)
        except Exception:
            log.exception("an answer could not be counted")
            done = answer("unexpected")
        self._give(done)


def failed(operation: Operation, error: Exception, request_id: bytes) -> tuple[Answer, str]:
    """What an error says to the caller, and its code: the one place where the unforeseen becomes an answer. Its traceback is logged."""
    if isinstance(error, CardcoreError):
        return from_error(error), getattr(error, "declined_code", error.code)
    log.error("operation broke", exc_info=error, extra={"facts": {"operation": operation.id, "request_id": request_id.decode()}})
    return answer("unexpected"), "unexpected"


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], most: int) -> bytes:
    """The whole body, at most `most` bytes, in bounded time. Raises HttpProblem body_too_large, body_timeout; ClientGone."""
    length = headers.get(b"content-length", b"")
    if length and (not length.isdigit() or int(length[:20]) > most):
        raise too_large(most)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > most:
            raise too_large(most)
        return body
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _read_rest(receive, body, most)
    except TimeoutError as error:
        raise HttpProblem("body_timeout", headers=CLOSE) from error


async def _read_rest(receive: Receive, first: bytes, most: int) -> bytes:
    chunks = [first]
    size = len(first)
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
        size += len(chunks[-1])
        if size > most:
            raise too_large(most)
    return b"".join(chunks)


def too_large(most: int) -> HttpProblem:
    """The refusal of a body; the connection is not worth keeping, its rest was not read."""
    return HttpProblem("body_too_large", f"at most {most} bytes", headers=CLOSE, limit_bytes=most)


def query(operation: Operation, raw: bytes) -> dict[str, str]:
    """The query parameters, each known and given once. Raises HttpProblem query_malformed."""
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=16)
    except ValueError as error:
        raise HttpProblem("query_malformed") from error
    found = dict(pairs)
    if len(found) != len(pairs):
        raise HttpProblem("query_malformed", "a parameter is given twice")
    for name, value in pairs:
        if name not in operation.query:
            raise HttpProblem("query_malformed", "an unknown parameter", parameter=name[:64])
        if "\0" in value:
            raise HttpProblem("query_malformed", "a parameter holds a character that no name has", parameter=name)
    return found
