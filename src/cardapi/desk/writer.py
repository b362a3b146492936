"""The desk: a queue, one writer at a time, group commit.

The writer takes all that queued while the last commit ran (bounded), decides each request in order, writes everything in
one transaction with one fsync, and only then answers. An idle caller waits for nobody: there is no timer.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic, perf_counter_ns
from typing import Protocol, TypeVar

import msgspec

from cardapi.custody import Custody
from cardapi.desk.one import one
from cardapi.desk.pool import Readers
from cardapi.desk.quote import quoted
from cardapi.desk.request import Problem, Request
from cardapi.desk.settles import Lone, settles
from cardapi.desk.sides import ROWS_MAX, Checkpoints, Sides
from cardapi.desk.work import Elsewhere, Spoilt, Work
from cardapi.measures import Commits
from cardapi.people.registry import Registry
from cardapi.store.port import Batch, DecideAgain, Entry, Head, KeyTaken, Record, Store
from cardcore.errors import CardcoreError
from cardcore.settlement import Settlement

T = TypeVar("T")
Answer = Entry | CardcoreError

_log = logging.getLogger("cardcore.desk")
BATCH_TRIES = 6  # a client key met elsewhere, a partition missing: each is known from then on
BATCH_MAX = 4_096  # requests in one commit; a queue item is never split
PART = 256  # of them are decided before a store may begin to write them: enough work for a thread, few enough for a cache
# Threads that read, and reads waiting or running before `busy` (F4, B): of tills, of reports, of what uploads look up.
READERS = 2
QUESTIONS_MAX = 1_000
REPORTERS = 2
REPORTS_MAX = 200
UPLOADERS = 2
UPLOADS_MAX = 200
_json = msgspec.json.Encoder(order="sorted").encode


class Taker(Protocol):
    """Whoever waits for the answers of what it handed in: an asyncio future, or an object of the edge's own. Called in its loop."""

    def done(self) -> bool: ...
    def set_result(self, answers: list[Answer], /) -> None: ...


class _Item:
    """One queue item: requests and where their answers go, in which loop (None: from the writer's thread)."""

    __slots__ = ("loop", "requests", "taker")

    def __init__(self, requests: Sequence[Request], taker: Taker, loop: asyncio.AbstractEventLoop | None) -> None:
        self.requests = requests
        self.taker = taker
        self.loop = loop


@dataclass(frozen=True)
class Parts:
    """What a desk works with beside its store."""

    custody: Custody
    registry: Registry
    clock: Callable[[], int]  # microseconds since 1970 UTC
    checkpoints: Checkpoints | None = None  # the caller starts them
    queue_max: int = 20_000  # requests waiting before `busy`
    pin_tries_max: int = 3
    coupons_a_day: int = 1_000  # of one person, without a second one
    rows_max: int = ROWS_MAX  # accounts kept from batch to batch


class Desk:
    """Owns the thread that writes. Every method may be called from any thread or event loop."""

    failed: CardcoreError | None
    """Set after a storage error or a broken invariant: nothing is acknowledged any more (F2); `health` says not ready."""

    def __init__(self, store: Store, parts: Parts) -> None:
        self.failed = None
        self._store = store
        self._custody = parts.custody
        self._registry = parts.registry
        self._clock = parts.clock
        self._checkpoints = parts.checkpoints
        self._queue_max = parts.queue_max
        self._sides = Sides(store, parts.registry, parts.custody, parts.pin_tries_max, parts.coupons_a_day, parts.rows_max)
        self._items: deque[_Item] = deque()  # taken by the writer thread alone
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()  # wakes it
        self._rung_in: asyncio.AbstractEventLoop | None = None  # the loop that rings it at the end of its round
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # held by the thread that decides and commits
        self._taking = False  # the writer thread has requests and waits for `_writing`
        self._waiting = 0
        self._working_since = 0.0  # monotonic; 0: nothing is being decided or committed
        self._running = False
        self._thread: threading.Thread | None = None
        self._commits = Commits()
        self._lone: Lone | None = None  # where a plain settle that is alone need not be a batch
        self.tills = Readers(store, "read", READERS, QUESTIONS_MAX)
        self.reports = Readers(store, "report", REPORTERS, REPORTS_MAX)
        self.uploads = Readers(store, "upload", UPLOADERS, UPLOADS_MAX)

    # ------------------------------------------------------------ life
    def start(self) -> None:
        """Read where the partitions end and start the writer thread."""
        self._sides.load()
        self._lone = self._sides.lone(self._commits, self._checkpoints)
        self._running = True
        self._thread = threading.Thread(target=self._run, name="cardcore-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is queued, write a last checkpoint, end the threads. Safe to call twice."""
        with self._lock:
            self._running = False
            self._bell.put(None)
        if self._thread is not None:
            self._thread.join()
        with self._writing:  # whoever wrote in the place of the writer thread is done
            pass
        if self._checkpoints is not None:
            self._checkpoints.stop()
        for pool in (self.tills, self.reports, self.uploads):
            pool.close()

    @property
    def head(self) -> Head:
        """The end of the first partition's journal as last committed: of the whole journal where there is only one."""
        return self.heads[0]

    @property
    def heads(self) -> list[Head]:
        """The end of each partition's journal as this process last committed or read it."""
        heads = self._sides.heads
        assert heads, "the desk is not started"
        return heads

    @property
    def waiting(self) -> int:
        """Requests handed in and not answered yet."""
        return self._waiting + bool(self._lone is not None and self._lone.since)

    @property
    def commits(self) -> Commits:
        """What was committed since the start."""
        return self._commits

    @property
    def kept(self) -> int:
        """Accounts that are kept in memory, and not read again."""
        return self._sides.kept

    @property
    def reading(self) -> int:
        """Reads under way: after `stop`, those that were not waited for."""
        return self.tills.running + self.reports.running + self.uploads.running

    def stalled_s(self) -> float:
        """For how long the batch under way has been: long means that the store does not answer."""
        since = self._working_since or (self._lone.since if self._lone is not None else 0.0)
        return monotonic() - since if since else 0.0

    def fail(self, error: CardcoreError) -> None:
        """Stop acknowledging, for good (F2)."""
        if self.failed is None:
            self.failed = error

    # ------------------------------------------------------------ doorways
    def fingerprint(self, meaning: object) -> bytes:
        """16 keyed bytes over the parsed meaning of a request: any JSON-able value; key order does not matter (O2)."""
        return self._custody.fingerprint(_json(meaning))

    async def execute(self, request: Request) -> Entry:
        """Do one request; durable when it returns (O3).

        A `Declined` is an Entry with outcome "refused", its code and its facts as msgpack in `body`. Raises Problem, and
        InvalidCommand or RegistryError when the request means nothing; then nothing was recorded.
        """
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self.hand_in(request, future)
        answer = (await future)[0]
        if isinstance(answer, Entry):
            return answer
        raise answer

    def hand_in(self, request: Request, taker: Taker) -> None:
        """`execute` for who needs no coroutine: its one answer goes to `taker` in the running loop. Raises Problem busy, not_ready."""
        self._put(_Item((request,), taker, asyncio.get_running_loop()))

    async def execute_many(self, requests: Sequence[Request]) -> list[Answer]:
        """Do many in order as one queue item; answers by position. Raises Problem only for busy and not_ready."""
        if not requests:
            return []
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Answer]] = loop.create_future()
        self._put(_Item(requests, future, loop))
        return await future

    def call(self, request: Request) -> Entry:
        """Blocking `execute`, for the command line, jobs and tests; not on an event loop's thread."""
        answer = self.call_many((request,))[0]
        if isinstance(answer, Entry):
            return answer
        raise answer

    def call_many(self, requests: Sequence[Request]) -> list[Answer]:
        """Blocking `execute_many`.

        When nothing is queued or running, the calling thread is the writer for once: a lone caller then pays no two
        changes of thread for each commit.
        """
        if not requests:
            return []
        if self._lone is not None and len(requests) == 1 and (entry := self._lone.call(self, requests[0])) is not None:
            return [entry]
        if self._writing.acquire(blocking=False):
            try:
                if not self._taking and not self._items:
                    with self._lock:
                        self._count_in(len(requests))
                    return self._answers(list(requests), tried=True)
            finally:
                self._writing.release()
        return self.begin(requests).result()

    def begin(self, requests: Sequence[Request]) -> Future[list[Answer]]:
        """Queue these and return at once. Raises Problem busy, not_ready."""
        future: Future[list[Answer]] = Future()
        self._put(_Item(requests, future, None))
        return future

    def keep(self, records: Sequence[Record]) -> None:
        """Write records beside the journal (`Record.changed_at` 0), durably, between two batches. Raises Problem not_ready.

        For what is no effect: how far a job came, whether a message was sent. Blocking; not on an event loop's thread.
        """
        assert not any(record.changed_at for record in records), "what the journal makes is written with its entry"
        with self._writing:
            if self.failed is not None or not self._running:
                raise Problem("not_ready", "the service is not taking requests")
            try:
                self._store.commit(Batch([], [], [], [], [], list(records)))
            except CardcoreError as error:
                self.fail(error)
                raise

    async def quote(self, request: Request) -> Settlement:
        """Decide without commit, client key or PIN. Raises Problem, Declined, InvalidCommand."""
        return await self.ask(lambda store: quoted(store, request, self._clock(), self._registry, self._custody))

    async def ask(self, question: Callable[[Store], T]) -> T:
        """A short read that a till waits for, off the writer thread; `reports` and `uploads` take the others. Raises Problem busy."""
        return await self.tills.ask(question)

    def look(self, question: Callable[[Store], T]) -> T:
        """Blocking `ask`, for threads of a bounded pool; not on an event loop's thread."""
        return self.tills.here(question)

    # ------------------------------------------------------------ inside
    def _put(self, item: _Item) -> None:
        with self._lock:
            self._count_in(len(item.requests))
            self._items.append(item)
        if item.loop is None:
            self._ring()
        elif item.loop is not self._rung_in:
            # When the loop has read all that has arrived: a writer woken by the first would fight it for the interpreter.
            self._rung_in = item.loop
            item.loop.call_soon(self._ring)

    def _ring(self) -> None:
        """Wake the writer thread."""
        self._bell.put(None)

    def _count_in(self, count: int) -> None:
        if self.failed is not None or not self._running:
            raise Problem("not_ready", "the service is not taking requests")
        if self._waiting and self._waiting + count > self._queue_max:
            raise Problem("busy", "too many requests are waiting; try again")
        self._waiting += count

    def _run(self) -> None:
        while self._running or self._items:
            self._bell.get()
            self._rung_in = None  # before looking: who puts something in from here on rings again
            while items := self._take(self._items):
                self._taking = True
                with self._writing:
                    self._taking = False
                    answers = self._answers([request for item in items for request in item.requests])
                self._answer(items, answers)

    @staticmethod
    def _take(queued: deque[_Item], most: int = BATCH_MAX) -> list[_Item]:
        """Of what queued, as much as one commit takes: until there are `most` requests."""
        items: list[_Item] = []
        count = 0
        while queued and count < most:
            items.append(queued.popleft())
            count += len(items[-1].requests)
        return items

    def _answers(self, requests: list[Request], *, tried: bool = False) -> list[Answer]:
        """Do these as one batch, by whoever holds `_writing` (F3: one writer at a time). `tried`: a single one was not plain."""
        self._working_since = monotonic()
        try:
            return self._done(requests, tried=tried)
        finally:
            self._working_since = 0.0
            with self._lock:
                self._waiting -= len(requests)

    def _done(self, requests: list[Request], *, tried: bool = False) -> list[Answer]:
        try:
            if self.failed is not None:
                raise Problem("not_ready", "the service is not taking requests")
            if len(requests) == 1 and self._lone is not None and not tried:
                entry = self._lone.settle(requests[0], self._clock())
                if entry is not None:
                    return [entry]
            return self._work(requests)
        except Problem as problem:
            return [problem] * len(requests)
        except Exception as error:
            return self._unknown(error, len(requests))
        except BaseException:
            self._interrupted()
            raise

    def _interrupted(self) -> None:
        """In the calling thread: what was folded may not be written."""
        self.fail(CardcoreError("interrupted while writing"))

    def _unknown(self, error: Exception, count: int) -> list[Answer]:
        """After a storage error or a broken invariant: stop for good, say "unknown", never "failed" (O4, F2)."""
        self.fail(error if isinstance(error, CardcoreError) else CardcoreError(f"{type(error).__name__}: {error}"))
        return [Problem("unexpected", "the outcome is unknown; ask again by client key")] * count

    def _answer(self, items: list[_Item], answers: list[Answer]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Taker, list[Answer]]]] = {}
        start = 0
        for item in items:
            end = start + len(item.requests)
            part = answers[start:end]
            start = end
            if item.loop is None:
                _resolve([(item.taker, part)])
            else:
                by_loop.setdefault(item.loop, []).append((item.taker, part))
        for loop, pairs in by_loop.items():
            try:
                loop.call_soon_threadsafe(_resolve, pairs)
            except RuntimeError:  # the loop is closed: its callers are gone, the effects are durable
                pass

    def _work(self, requests: list[Request]) -> list[Answer]:
        """Decide and commit.

        Decided again when a client key turned out to have its effect already (O1), somebody else to have written meanwhile, or a
        request to need a partition that nothing in the batch told of.
        """
        everywhere, extra = False, frozenset[int]()
        spoilt: dict[int, CardcoreError] = {}
        tries = 1
        while True:
            try:
                return self._batches(requests, everywhere=everywhere, extra=extra, spoilt=spoilt)
            except DecideAgain as error:
                if tries == BATCH_TRIES:
                    raise
                self._commits.tried_again += 1
                everywhere = everywhere or isinstance(error, KeyTaken)
            except Elsewhere as missing:
                self._store.abandon()
                assert tries < BATCH_TRIES, "a batch that holds every partition needs no other"
                extra = self._sides.partitions if extra else frozenset((missing.partition,))
            except Spoilt as poison:
                self._store.abandon()
                spoilt[id(poison.request)] = poison.answer
                tries -= 1  # each request once
            except BaseException:
                self._store.abandon()
                raise
            tries += 1

    def _batches(
        self, requests: list[Request], *, everywhere: bool, extra: frozenset[int], spoilt: dict[int, CardcoreError]
    ) -> list[Answer]:
        """One commit, unless a registry change must be seen by what follows it. `spoilt`: requests that are not tried again."""
        answers: list[Answer] = []
        rest = requests
        while rest:
            works = self._sides.open(rest, self._clock(), everywhere=everywhere, extra=extra)
            try:
                self._decide(works, rest, answers, spoilt)
            except (Elsewhere, Spoilt):
                self._sides.forget(works[0].works.values())
                raise
            self._commit(works[0].works.values())
            rest = requests[len(answers) :]
        return answers

    def _decide(self, works: list[Work], requests: list[Request], answers: list[Answer], spoilt: dict[int, CardcoreError]) -> None:
        """Answer these in order, up to a registry change, and let the store have them in parts. Raises Elsewhere, Spoilt."""
        place, count = 0, len(requests)
        while place < count:
            end = min(count, place + PART - len(answers) % PART)
            if not spoilt:
                place += settles(works, requests, place, end, answers)
            if place < end:
                answers.append(one(works[place], requests[place], spoilt))
                if works[place].documents:
                    return
                place += 1
            if not len(answers) % PART:
                self._sides.feed(works[0].works.values())

    def _commit(self, works: Collection[Work]) -> None:
        began = perf_counter_ns()
        try:
            heads = self._sides.commit(works)
        except DecideAgain:
            self._sides.forget(works)
            raise
        if heads:
            self._note(heads, sum([len(work.entries) for work in works]), began)

    def _note(self, heads: list[Head], entries: int, began_ns: int) -> None:
        """A commit that leaves the journal so is durable."""
        self._commits.record(entries, perf_counter_ns() - began_ns, self._store.sync_ns)
        if self._checkpoints is not None:
            self._checkpoints.committed(heads, entries)


def _resolve(pairs: list[tuple[Taker, list[Answer]]]) -> None:
    for taker, part in pairs:
        if not taker.done():
            try:
                taker.set_result(part)
            except Exception:  # the others still want theirs
                _log.exception("an answer could not be given")
