"""One call on its way through the edge, and what every handler may use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from cardapi.clearing.board import Board
from cardapi.desk import Desk, Request
from cardapi.desk.pool import Pool
from cardapi.http.fields import encode_hook
from cardapi.http.gauges import Counts
from cardapi.http.metrics import Metrics
from cardapi.http.problems import Answer, HttpProblem
from cardapi.http.signature import Signatures
from cardapi.http.tap_pool import TapPool
from cardapi.people import follow
from cardapi.people.passwords import Passwords
from cardapi.people.registry import Registry
from cardapi.people.scope import Caller, reaches
from cardapi.people.throttle import Throttle

if TYPE_CHECKING:
    from cardapi.app import Shop
    from cardapi.http.approve import TwoPerson
    from cardapi.http.neighbours import Neighbours
    from cardapi.http.operations import Operation
    from cardapi.http.tickets import Tickets
    from cardapi.store.port import Entry

CHORES = 2  # threads for what is neither a till's nor a read: sending messages, running jobs, changing keys
CHORES_MAX = 50
JSON = ((b"content-type", b"application/json"),)
# Fields of a body in the order its schema declares them, names of a mapping sorted: a schema never changes that order.
_pack = msgspec.msgpack.Encoder(enc_hook=encode_hook, order="deterministic").encode
_encode = msgspec.json.Encoder().encode
_sorted = msgspec.json.Encoder(order="sorted").encode

NOBODY = Caller("", "")


class Call:
    """What a handler gets: already authenticated, allowed by role, its body decoded."""

    __slots__ = ("caller", "data", "key", "operation", "path", "query")

    def __init__(self, operation: Operation, caller: Caller, key: str, data: Any, path: dict[str, str], query: dict[str, str]) -> None:
        self.operation = operation
        self.caller = caller
        self.key = key
        self.data = data
        self.path = path
        self.query = query


class Service:
    """An opened shop with the edge's own state: signatures, throttles, the order of registry changes, metrics."""

    def __init__(self, shop: Shop, clock: Callable[[], int], tickets: Tickets, *, quick_passwords: bool = False) -> None:
        self.shop = shop
        self.desk: Desk = shop.desk
        self.registry: Registry = shop.registry
        self.custody = shop.custody
        self.clock = clock  # microseconds since 1970
        self.tickets = tickets
        self.passwords = Passwords(quick=quick_passwords)
        self.signatures = Signatures(shop.custody, shop.registry, clock)
        self.logins = Throttle(rate=1 / 6, burst=10, total_rate=10, total_burst=30)
        self.limits = shop.settings.limits.made()
        self.metrics = Metrics()
        self.counts = Counts()
        self.changes = asyncio.Lock()  # registry documents are read, changed and written whole: one at a time
        self._catching_up = asyncio.Lock()
        self.chores = Pool("chore", CHORES, CHORES_MAX)
        self.blocked = Board()
        self.taps = TapPool(shop, clock)
        self.neighbours: Neighbours | None = None  # other processes of this machine that serve the shop
        self.draining = False
        self.document = b""  # the OpenAPI document, and its page
        self.page = b""
        self.two_person: dict[str, TwoPerson] = {}  # by operation id; filled by the operations table

    def close(self) -> None:
        """Let go of what the edge itself holds; the shop is closed by whoever opened it."""
        self.draining = True
        self.passwords.close()
        self.taps.close()
        self.chores.close(wait=False)  # a job ends at its next step, since the desk takes no more

    async def catch_up(self) -> bool:
        """Take in what other processes changed in the registry before this call; False where there are none.

        Whoever calls while others wait is served by the same look at the journal, as there may be many with made-up names.
        """
        follower = self.shop.follower
        if follower is None:
            return False
        called = monotonic()
        async with self._catching_up:
            if follower.asked_at <= called:
                await asyncio.sleep(follower.asked_at + follow.AT_MOST_EVERY_S - monotonic())
                await asyncio.get_running_loop().run_in_executor(None, follower.poll)
        return True

    def take(self, client: str, card: str, count: int, now: float) -> None:
        """Count a request, or as many tickets, against the shop's limits. Raises HttpProblem too_many_requests."""
        wait = self.limits.wait_s(client, card, now, count)
        if wait:
            raise self.too_many(self.limits.over, wait)

    def take_card(self, card: str) -> None:
        """Count one more card of a request. Raises HttpProblem too_many_requests."""
        wait = self.limits.card_wait_s(card, monotonic())
        if wait:
            raise self.too_many("card", wait)

    def too_many(self, limit: str, wait_s: float) -> HttpProblem:
        """The refusal of a caller who reached this limit; counted."""
        throttled = self.metrics.throttled
        throttled[limit] = throttled.get(limit, 0) + 1
        seconds = max(1, ceil(wait_s))
        headers = ((b"retry-after", b"%d" % seconds),)
        return HttpProblem("too_many_requests", headers=headers, limit=limit, retry_after_seconds=seconds)

    def now(self) -> int:
        """Epoch seconds."""
        return self.clock() // 1_000_000

    def fingerprint(self, operation: str, data: object) -> bytes:
        """16 keyed bytes over the meaning of a request: operation and decoded body, whatever its bytes looked like (O2)."""
        return self.custody.fingerprint(operation.encode() + b"\0" + _pack(data))

    def request(self, call: Call, verb: str, **facts: Any) -> Request:
        """The desk's request of one call, under the caller's key and at the caller's unit (R2)."""
        caller = call.caller
        if "fingerprint" not in facts:
            facts["fingerprint"] = self.fingerprint(call.operation.id, (call.path, call.data) if call.path else call.data)
        return Request(
            verb, caller.client, call.key, unit=caller.unit, terminal=caller.terminal, operator=caller.operator, **facts
        )  # fmt: skip

    async def change(self, call: Call, kind: str, name: str, document: dict[str, Any], reason: str = "", approver: str = "") -> Entry:
        """Write one registry document under the caller's key (A1). The caller holds `changes` while it read the old one."""
        payload = {"kind": kind, "id": name, "document": document, "seen": _sorted(self.registry.document(kind, name))}
        return await self.desk.execute(self.request(call, "change", payload=payload, reason=reason, approver=approver))

    async def is_retry(self, call: Call) -> bool:
        """Whether this very call was done before. Raises HttpProblem key_reused when its key was used for another (O2)."""
        entry = await self.seen(call)
        if entry is None:
            return False
        if entry.fingerprint != self.request(call, "").fingerprint:
            raise HttpProblem("key_reused")
        return True

    async def seen(self, call: Call) -> Entry | None:
        """The entry this caller's key already has, if any: for calls whose checks would judge a retry differently."""
        name = (call.caller.client, call.key)
        return (await self.desk.ask(lambda store: store.find_keys([name]))).get(name)

    async def report(self, question: Callable[[Any], Any]) -> Any:
        """A long read, on threads of its own so that it holds up no till (B). Raises Problem busy."""
        return await self.desk.reports.ask(question)

    def reaches(self, call: Call, unit: str) -> bool:
        """Whether the call's operation is allowed to its caller at `unit`."""
        return reaches(self.registry, call.caller, unit, call.operation.roles)

    def need_reach(self, call: Call, unit: str, code: str = "not_found") -> None:
        """Out of scope looks like absent (R4)."""
        if not self.reaches(call, unit):
            raise HttpProblem(code)


Handler = Callable[[Service, Call], Awaitable[Answer]]


def ok(data: object, status: int = 200) -> Answer:
    """A JSON answer."""
    return status, JSON, _encode(data)
