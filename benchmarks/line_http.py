"""Lines `http` and `http_batch`: signed, durable settles over HTTP, against the disk, the usual way and the bare floor.

Every server is one uvicorn worker in a process of its own, and all of them live through the whole line; the load
generator is another process on the same machine. A slice builds and signs its requests first, then the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from cardapi.custody import Custody

from . import dataset, servers
from .harness import LIMIT, Line, Options, Sample, Subject, Target
from .line_store import rate, raw_sync
from .load import Plan
from .peers import fastapi_commit, rows
from .scenarios import OrderedKeys, TicketLine, Till, card_number, plain_post, sale_json, tickets

CONNECTIONS = 64
BATCH = 1000
BATCH_CONNECTIONS = 4
WARM_SECONDS = 0.25
SETTLE = "/v1/settle"
SETTLE_BATCH = "/v1/settle-batch"

Build = Callable[[int], list[bytes]]


class Load:
    """Slices against one server: builds enough requests for the time, by the rate seen last."""

    def __init__(
        self, port: int, build: Build, seconds: float, connections: int, guess: float,
        *, items: int = 1, expect: bytes = b'"outcome":"applied"',
    ) -> None:  # fmt: skip
        self._port, self._build, self._seconds, self._connections = port, build, seconds, connections
        self._rate, self._items, self._expect = guess, items, expect

    def __call__(self) -> Sample:
        requests = self._build(int(1.5 * self._rate / self._items * (self._seconds + WARM_SECONDS)) + 2 * self._connections)
        plan = Plan(self._port, requests, self._connections, self._seconds, WARM_SECONDS, self._expect, self._items, self._items)
        sample = servers.drive(plan)
        self._rate = max(self._rate / 2, sample.value)
        return sample


class Requests:
    """Builds requests for the cards of one data set."""

    def __init__(self, data: dataset.Dataset, seed: int) -> None:
        custody = Custody.load(data.directory / "secrets")
        self.key = custody.terminal_key(dataset.TERMINAL, 1).reveal()  # that signs them
        self._till = Till(dataset.TERMINAL, 1, self.key)
        self._cards, self._tickets, self._keys = data.numbers(seed), tickets(seed), OrderedKeys(seed)

    def settles(self, count: int) -> list[bytes]:
        post, keys = self._till.post, self._keys
        return [post(SETTLE, sale_json(card, lines), keys()) for card, lines in self._sales(count)]

    def unsigned(self, count: int) -> list[bytes]:
        """The same bodies for peers that check no signature."""
        keys = self._keys
        return [plain_post(SETTLE, sale_json(card, lines), keys()) for card, lines in self._sales(count)]

    def batches(self, count: int) -> list[bytes]:
        post, keys = self._till.post, self._keys
        made = []
        for _ in range(count):
            items = b",".join(sale_json(card, lines, keys()) for card, lines in self._sales(BATCH))
            made.append(post(SETTLE_BATCH, b'{"tickets":[' + items + b"]}", keys()))
        return made

    def _sales(self, count: int) -> Iterator[tuple[str, tuple[TicketLine, ...]]]:
        return islice(zip(self._cards, self._tickets, strict=False), count)


def cardcore(data: dataset.Dataset) -> list[str]:
    """The product as a shop runs it."""
    return servers.python("cardapi.cli", "serve", "--data", str(data.directory), "--host", "127.0.0.1", "--port", "0")


@contextmanager
def settle(options: Options) -> Iterator[Line]:
    """Durable settle: one worker, 64 connections, 10^5 cards."""
    cards = 10_000 if options.quick else 100_000
    seconds = options.seconds(1.5, 0.7)
    data = dataset.build(options.work / "http", cards)
    usual, floor = options.work / "usual.db", options.work / "floor.db"
    fastapi_commit.fill(usual, [card_number(number) for number in range(1, cards + 1)])
    _fill_rows(floor, cards)
    made = Requests(data, options.seed)
    with ExitStack() as stack:
        ports = [
            stack.enter_context(servers.serving(command, options.work / f"http-{place}.log"))
            for place, command in enumerate(
                (
                    cardcore(data),
                    servers.python("benchmarks.peers.fastapi_commit", str(usual)),
                    servers.python("benchmarks.peers.asgi_group", str(floor), str(cards)),
                )
            )
        ]
        ours = Subject("durable settle over HTTP, signed", "/s", Load(ports[0], made.settles, seconds, CONNECTIONS, 9_000))
        fastapi = Subject("FastAPI route, commit per request", "/s", Load(ports[1], made.unsigned, seconds, CONNECTIONS, 2_500))
        echo = Subject("bare ASGI echo, group commit", "/s", Load(ports[2], made.unsigned, seconds, CONNECTIONS, 18_000, expect=b'"card"'))
        raw = raw_sync(options, seconds / 2)
        targets = [
            Target("settle over HTTP vs raw sync", ours.name, raw.name, 1.5, 2.5),
            Target("settle over HTTP vs FastAPI + commit", ours.name, fastapi.name, 4),
            Target("settle over HTTP vs bare ASGI echo", ours.name, echo.name, 0.5),
            Target("settle over HTTP, p99", ours.name, LIMIT, 1, ratio="cost", limit=25, metric="p99_ms", metric_unit="ms"),
        ]
        notes = [f"1 worker, {CONNECTIONS} connections, {cards:,} cards; ours checks a signature each, the peers check none"]
        yield Line("http", "durable settle over HTTP", [ours, fastapi, echo, raw], targets, notes)


@contextmanager
def settle_batch(options: Options) -> Iterator[Line]:
    """Durable settleBatch: 1,000 a call."""
    cards = 10_000 if options.quick else 100_000
    seconds = options.seconds(1.5, 0.7)
    data = dataset.build(options.work / "batch", cards)
    made = Requests(data, options.seed)
    bare = BareLoop(options.work / "bare.db", cards, options.seed)
    with servers.serving(cardcore(data), options.work / "batch.log") as port:
        ours = Subject(
            f"settleBatch over HTTP, {BATCH:,} a call", "/s", Load(port, made.batches, seconds, BATCH_CONNECTIONS, 60_000, items=BATCH)
        )
        loop = Subject("bare executemany of as many rows", "/s", rate(bare.write, seconds / 2, BATCH))
        targets = [
            Target("settleBatch over HTTP vs bare executemany", ours.name, loop.name, 0.3, 0.6),
            Target("settleBatch over HTTP, a second", ours.name, LIMIT, 1, 2.4, limit=25_000),
        ]
        notes = [f"{BATCH_CONNECTIONS} connections, {cards:,} cards; bare: a journal row and an account row a settle, {BATCH:,} a commit"]
        try:
            yield Line("http_batch", "durable settleBatch over HTTP", [ours, loop, raw_sync(options, seconds / 3)], targets, notes)
        finally:
            bare.close()


class BareLoop:
    """As many rows as settles write, 1,000 settles a commit, cards drawn evenly."""

    def __init__(self, path: Path, cards: int, seed: int, keys: Callable[[], str] | None = None) -> None:
        self._connection = rows.connect(path)
        rows.fill(self._connection, cards)
        self._rows, self._keys = rows.Rows(self._connection), keys or OrderedKeys(seed)
        self._accounts = dataset.Dataset(path, cards).places(seed)

    def write(self) -> None:
        keys = self._keys
        self._rows.write([(keys(), account) for account in islice(self._accounts, BATCH)])

    def close(self) -> None:
        self._connection.close()


def _fill_rows(path: Path, accounts: int) -> None:
    connection = rows.connect(path)
    rows.fill(connection, accounts)
    connection.close()
