"""Lines `postgres`, `postgres_http` and `postgres_quorum`: the server store, durable, beside pgbench on the same server in the same
rounds, beside a service that makes a database call for each request, and with a quorum of standbys.

A server of our own on the disk that is measured, `fsync` and `synchronous_commit` on. pgbench runs its own tables in another
database: `-N` is update, select and insert in one transaction, TPC-B-like adds two rows that all clients share.
"""

from __future__ import annotations

import asyncio
import gc
import re
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from cardapi.app import Shop
from cardapi.http.server import settle_memory
from cardapi.store.port import StoreError
from cardapi.store.postgres_local import OWNER, ROLE, LocalServer
from cardcore.settlement import Sale

from . import dataset, servers
from .harness import Line, LineFailed, Options, Subject, Target
from .line_http import BATCH, BATCH_CONNECTIONS, CONNECTIONS, Load, Requests, cardcore
from .line_store import raw_sync
from .peers import one_call
from .scenarios import TICKET, card_number

CALLERS = 16
PARTITIONS = 64
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min", "max_connections": "60"}


@contextmanager
def server(options: Options) -> Iterator[LocalServer]:
    """A PostgreSQL on the disk that is measured. Raises LineFailed where there is none installed."""
    room = Path(tempfile.mkdtemp(prefix="cardcore-bench-", dir=options.work if options.work.stat().st_uid else "/var/tmp"))
    room.chmod(0o755)
    try:
        local = LocalServer(room / "server", SETTINGS)
        local.create()
        local.start()
    except StoreError as error:
        shutil.rmtree(room, ignore_errors=True)
        raise LineFailed(error.detail) from error
    try:
        yield local
    finally:
        local.stop("immediate")
        shutil.rmtree(room, ignore_errors=True)


def database(local: LocalServer, name: str) -> tuple[str, str]:
    """An empty database; its addresses for who serves and who owns it."""
    local.sql(f"CREATE DATABASE {name} OWNER {OWNER}")
    return local.url(ROLE, name), local.url(OWNER, name)


class Pgbench:
    """PostgreSQL's own benchmark, 16 clients, prepared statements."""

    def __init__(self, local: LocalServer, scale: int) -> None:
        self._local = local
        local.sql("CREATE DATABASE pgbench")
        local.run("pgbench", "-h", str(local.directory), "-i", "-q", "-s", str(scale), "pgbench")

    def rate(self, seconds: float, *options: str) -> Callable[[], float]:
        """Transactions a second of one run."""

        def run() -> float:
            words = ["-n", "-M", "prepared", "-c", str(CALLERS), "-j", "1", "-T", str(max(1, round(seconds))), *options]
            said = self._local.run("pgbench", "-h", str(self._local.directory), *words, "pgbench")
            found = re.search(r"tps = ([0-9.]+) \(without", said)
            if found is None:
                raise LineFailed(f"pgbench said nothing of its rate: {said[-200:]}")
            return float(found[1])

        return run


WARM = 150  # batches: more sales than these shops have cards
REMEMBER_S = 300


@contextmanager
def served() -> Iterator[None]:
    """The collector as `cardcore serve` sets it once it has started, for a desk in this process."""
    before = gc.get_threshold()
    settle_memory()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


class Callers:
    """Callers that settle one, or a batch, at a time each, through desk and store: on one event loop, as pgbench's clients with -j 1."""

    def __init__(self, shop: Shop, data: dataset.Dataset, command: Sale, seed: int) -> None:
        self._shop, self._command, self._cards = shop, command, data.cards
        self._caller = dataset.Caller(shop, data, seed)

    def rate(self, seconds: float) -> Callable[[], float]:
        """Single settles of 16 callers."""
        return self._together(seconds, CALLERS, self._settle)

    def batches(self, seconds: float, callers: int) -> Callable[[], float]:
        """Batches of 1,000 of so many callers; settles a second."""
        return self._together(seconds, callers, self._settle_batch)

    def _together(self, seconds: float, callers: int, once: Callable[[], Awaitable[int]]) -> Callable[[], float]:
        """So many callers, each of whom does it again and again; `once` says how many settles it was."""

        async def one(ends: float) -> int:
            done = 0
            while time.perf_counter() < ends:
                done += await once()
            return done

        async def every(ends: float) -> int:
            return sum(await asyncio.gather(*(one(ends) for _ in range(callers))))

        def run() -> float:
            started = time.perf_counter()
            done = uvloop.run(every(started + seconds))
            return done / (time.perf_counter() - started)

        return run

    async def _settle(self) -> int:
        entry = await self._shop.desk.execute(self._caller.request(self._command))
        if entry.outcome != "applied":
            raise LineFailed(f"a settle was refused: {entry.code}")
        return 1

    async def _settle_batch(self) -> int:
        await self._caller.execute_many(self._command, BATCH)
        return BATCH

    @property
    def remembered(self) -> int:
        """Cards that the desk has in memory."""
        return self._shop.desk.kept

    def wait_until_remembered(self) -> None:
        """Sell a little now and then, until the desk has read all cards into memory. Raises LineFailed."""
        ends = time.monotonic() + REMEMBER_S
        while self.remembered < self._cards:
            if time.monotonic() > ends:
                raise LineFailed(f"{self.remembered:,} of {self._cards:,} cards were remembered after {REMEMBER_S} s")
            self.rate(0.01)()
            time.sleep(1)

    def settle_many(self) -> None:
        """One batch of 1,000."""
        self._caller.settle_many(self._command, BATCH)


@contextmanager
def store(options: Options) -> Iterator[Line]:
    """16 callers, and batches of 1,000, in process."""
    cards = 10_000 if options.quick else 100_000
    seconds = options.seconds(3, 1)
    with server(options) as local:
        url, owner = database(local, "shop")
        pgbench = Pgbench(local, 2 if options.quick else 20)
        data = dataset.build(options.work / "postgres", cards, store=url, owner=owner, partitions=PARTITIONS)
        local.sql("VACUUM ANALYZE", "shop")
        with dataset.opened(data) as shop:
            callers = Callers(shop, data, dataset.sale(TICKET), options.seed)
            for _ in range(5 if options.quick else WARM):
                callers.settle_many()
            settle = Subject(f"settle through the store, {CALLERS} callers", "/s", callers.rate(seconds))
            name = f"settleBatch through the store, {BATCH:,} a call"
            batch = Subject(f"{name}, {BATCH_CONNECTIONS} callers", "/s", callers.batches(seconds, BATCH_CONNECTIONS))
            alone = Subject(f"{name}, one caller", "/s", callers.batches(seconds, 1))
            simple = Subject(f"pgbench -N, {CALLERS} clients", "/s", pgbench.rate(seconds, "-N"))
            tpcb = Subject(f"pgbench TPC-B-like, {CALLERS} clients", "/s", pgbench.rate(seconds))
            targets = [
                Target("PostgreSQL: settle vs pgbench -N", settle.name, simple.name, 1.0),
                Target("PostgreSQL: settle vs pgbench TPC-B-like", settle.name, tpcb.name, 1.5),
                Target("PostgreSQL: settleBatch vs settle", batch.name, settle.name, 2.5),
                Target("PostgreSQL: settleBatch vs pgbench -N", batch.name, simple.name, 3),
            ]
            notes = [
                f"{cards:,} cards in {PARTITIONS} partitions; fsync, synchronous_commit and full_page_writes on; unix socket",
                "most cards have been used before, as pgbench's tables have just been filled",
            ]
            subjects = [settle, batch, alone, simple, tpcb, raw_sync(options, seconds / 3)]
            with served():
                yield Line("postgres", "server store, in process", subjects, targets, notes)


@contextmanager
def http(options: Options) -> Iterator[Line]:
    """64 connections over HTTP: a shop of one process, and a shop of two."""
    cards = 10_000 if options.quick else 100_000
    seconds = options.seconds(2, 1)
    with server(options) as local:
        pgbench = Pgbench(local, 2 if options.quick else 20)
        shops = []
        for name in ("one", "two"):  # a process beside them would have the first begin each slice by taking its partitions back
            url, owner = database(local, name)
            shops.append(dataset.build(options.work / f"postgres-{name}", cards, store=url, owner=owner, partitions=PARTITIONS))
            local.sql("VACUUM ANALYZE", name)
        made, others = (Requests(data, options.seed) for data in shops)
        _, peer = database(local, "peer")
        one_call.fill(peer, (card_number(number) for number in range(1, cards + 1)))
        local.sql("VACUUM ANALYZE", "peer")
        with (
            servers.serving(servers.python("benchmarks.peers.one_call", peer, made.key.hex()), options.work / "postgres-0.log") as apart,
            servers.serving(cardcore(shops[0]), options.work / "postgres-1.log") as one,
            servers.serving([*cardcore(shops[1]), "--workers", "2"], options.work / "postgres-2.log") as two,
        ):
            gathered = Subject("settle over HTTP, 1 process", "/s", Load(one, made.settles, seconds, CONNECTIONS, 6_000))
            pair = Subject("settle over HTTP, 2 processes", "/s", Load(two, others.settles, seconds, CONNECTIONS, 6_000))
            batch = Subject(
                f"settleBatch over HTTP, {BATCH:,} a call", "/s", Load(one, made.batches, seconds, BATCH_CONNECTIONS, 20_000, items=BATCH)
            )
            each = Subject(
                f"a database call each, pool of {one_call.CONNECTIONS}", "/s", Load(apart, made.settles, seconds, CONNECTIONS, 2_000)
            )
            simple = Subject(f"pgbench -N, {CALLERS} clients", "/s", pgbench.rate(seconds, "-N"))
            targets = [
                Target("PostgreSQL over HTTP, gathered, vs a call each", gathered.name, each.name, 2),
                Target("PostgreSQL over HTTP, gathered, vs pgbench -N", gathered.name, simple.name, 1.0),
                Target("PostgreSQL over HTTP, 2 processes vs 1", pair.name, gathered.name, 0.5),
            ]
            notes = [f"{CONNECTIONS} connections, {cards:,} cards in {PARTITIONS} partitions, every request signed"]
            subjects = [gathered, pair, batch, each, simple]
            yield Line("postgres_http", "server store over HTTP", subjects, targets, notes)


@contextmanager
def quorum(options: Options) -> Iterator[Line]:
    """16 callers on a primary that waits for one of two standbys, all on this machine, and on the same primary without."""
    cards = 5_000 if options.quick else 20_000
    seconds = options.seconds(3, 1)
    with server(options) as local:
        url, owner = database(local, "shop")
        data = dataset.build(options.work / "postgres-quorum", cards, store=url, owner=owner, partitions=PARTITIONS)
        local.sql("VACUUM ANALYZE", "shop")
        standbys = [LocalServer(local.directory.with_name(name), SETTINGS) for name in ("s1", "s2")]
        for standby in standbys:
            standby.follow(local)
            standby.start()
        with (data.directory / "settings.toml").open("a") as settings:
            settings.write('standby = "reports"\n')  # the line itself says in turn whether it waits for them
        try:
            with dataset.opened(data) as shop:
                callers = Callers(shop, data, dataset.sale(TICKET), options.seed)

                def waiting(names: str) -> Callable[[], float]:
                    run = callers.rate(seconds)

                    def settled() -> float:
                        _require(local, names)
                        return run()

                    return settled

                alone = Subject("settle, 16 callers, no standby waited for", "/s", waiting(""))
                together = Subject("settle, 16 callers, ANY 1 (s1, s2)", "/s", waiting("ANY 1 (s1, s2)"))
                targets = [Target("PostgreSQL: quorum of one of two vs none", together.name, alone.name, 0.4)]
                notes = [f"{cards:,} cards in {PARTITIONS} partitions; three servers on one machine and one disk"]
                yield Line("postgres_quorum", "server store with a quorum", [alone, together], targets, notes)
        finally:
            _require(local, "")
            for standby in standbys:
                standby.stop("immediate")


def _require(local: LocalServer, names: str) -> None:
    """Set what a commit waits for, and see that it counts."""
    local.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
    local.sql("SELECT pg_reload_conf()")
    while local.sql("SHOW synchronous_standby_names") != [(names,)]:
        time.sleep(0.01)
    while names and local.sql("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'quorum' AND state = 'streaming'") == []:
        time.sleep(0.01)
