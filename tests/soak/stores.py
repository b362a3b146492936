"""What a soak runs on: a demo shop in its file, or on a PostgreSQL primary with a synchronous standby; and what can be done to it."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from cardapi.app import Shop as OpenShop
from cardapi.app import open_shop
from cardapi.store.port import StoreError
from cardapi.store.postgres_local import OWNER, LocalServer
from tests.clearing.demo import with_purse
from tests.cli.shop import demo_shop, run
from tests.desk.preload import Faults, compiled
from tests.postgres import pair as pairs
from tests.postgres.server import SETTINGS
from tests.soak.service import Service

Until = Callable[[str, Callable[[], object]], None]
"""Waits for something that comes by itself, and says what did not."""

CHIP_FEN = 500_00  # on a chip that pays off line
STEPS_S = (-1_800, -60, 90, 1_800)
AHEAD_MAX_S = 6 * 3_600  # never behind the time at which the shop was made: nothing of it would be valid yet


class Shop:
    """A demo shop and the processes that serve it."""

    def __init__(self, data: Path, made: dict[str, Any], services: list[Service]) -> None:
        self.data, self.made, self.services = data, made, services

    def opened(self) -> OpenShop:
        """To read from, beside the processes. Raises CardcoreError while the store is away."""
        return open_shop(self.data, read_only=True)

    def end(self) -> None:
        for service in self.services:
            service.end()

    # ------------------------------------------------------------ faults
    def faults(self) -> Mapping[str, Callable[[random.Random, Until], None]]:
        """By name. Each returns when it has happened, not when all is well again."""
        return {"a process is killed": self.kill, "a clock is stepped": self.step_clock}

    def kill(self, rng: random.Random, until: Until) -> None:
        service = rng.choice(self.services)
        until("the process that is to be killed serves", lambda: service.port)
        lives = service.lives
        service.kill()
        until("a killed process is back", lambda: service.lives > lives)

    def step_clock(self, rng: random.Random, until: Until) -> None:
        del until
        faults = rng.choice(self.services).faults
        faults.step_clock(min(AHEAD_MAX_S, max(0, faults.clock_s + rng.choice(STEPS_S))))

    @staticmethod
    def disk(faults: Faults, reason: int, rng: random.Random, until: Until) -> None:
        """Some of the next writes and syncs fail: one, or all of some time."""
        faults.fail(rng.randrange(1, 30), rng.choice((1, 20)), reason)
        try:
            until("the disk failed a call", lambda: faults.fired)
        finally:
            faults.heal()


class Embedded(Shop):
    """One process on its own database."""

    def faults(self) -> Mapping[str, Callable[[random.Random, Until], None]]:
        own = self.services[0].faults
        return {
            **super().faults(),
            "EIO": lambda rng, until: self.disk(own, errno.EIO, rng, until),
            "ENOSPC": lambda rng, until: self.disk(own, errno.ENOSPC, rng, until),
        }


class FaultyServer(LocalServer):
    """A PostgreSQL whose disk can be made to fail."""

    def __init__(self, library: Path, directory: Path) -> None:
        super().__init__(directory, SETTINGS | {"wal_retrieve_retry_interval": "200ms"})
        self.faults = Faults(library, directory.with_name(f"{directory.name}.faults"))

    def options(self) -> dict[str, object]:
        return super().options() | {"env": os.environ | self.faults.environment}


class Served(Shop):
    """Two processes on a primary with a synchronous standby."""

    def __init__(self, data: Path, made: dict[str, Any], services: list[Service], pair: pairs.Pair) -> None:
        super().__init__(data, made, services)
        self.pair = pair

    def faults(self) -> Mapping[str, Callable[[random.Random, Until], None]]:
        return {
            **super().faults(),
            "PostgreSQL is restarted": self.restart,
            "failover": self.fail_over,
            "EIO under PostgreSQL": lambda rng, until: self.bad_disk(errno.EIO, rng, until),
            "ENOSPC under PostgreSQL": lambda rng, until: self.bad_disk(errno.ENOSPC, rng, until),
        }

    def bad_disk(self, reason: int, rng: random.Random, until: Until) -> None:
        self.disk(self._primary.faults, reason, rng, until)
        until("PostgreSQL answers after a fault of its disk", self._answers)

    def _answers(self) -> bool:
        """Started again where the fault ended it, as its supervisor would."""
        try:
            if not self.pair.primary.running:
                self.pair.primary.start()
            return bool(self.pair.primary.sql("SELECT 1"))
        except (StoreError, psycopg.Error):
            return False

    @property
    def _primary(self) -> FaultyServer:
        assert isinstance(self.pair.primary, FaultyServer)
        return self.pair.primary

    def restart(self, rng: random.Random, until: Until) -> None:
        self.pair.primary.stop(rng.choice(("fast", "immediate")))
        until("PostgreSQL is started again", self._answers)

    def fail_over(self, rng: random.Random, until: Until) -> None:
        """The primary's machine is gone; its standby is promoted and gets one of its own."""
        del rng, until
        self.pair.kill()
        self.pair.promote()
        self.pair.standbys = [self.pair.join()]
        self.pair.require(self.pair.standbys[0].directory.name)
        point(self.data, self.pair)

    def end(self) -> None:
        try:
            super().end()
        finally:
            self.pair.end()


def embedded(room: Path, library: Path) -> Embedded:
    """A demo shop in its file."""
    data = room / "shop"
    made = demo_shop(data)
    with_purse(data, made["cards"]["mall-vip"], fen=CHIP_FEN)
    return Embedded(data, made, [Service("service", data, library)])


def on_server(room: Path, shared: Path) -> Served:
    """A demo shop on servers in `shared`, which their user may enter."""
    library = compiled("fault", shared)
    pair = pairs.Pair(shared, 1, "s1", lambda directory: FaultyServer(library, directory))
    try:
        data = room / "shop"
        run("init", "--data", data, "--demo", "--store", pair.address(), "--owner", pair.address(OWNER), "--partitions", "4")
        point(data, pair)
        made = msgspec.json.decode((data / "demo.json").read_bytes())
        with_purse(data, made["cards"]["mall-vip"], fen=CHIP_FEN)
        return Served(data, made, [Service(name, data, library) for name in ("one", "two")], pair)
    except BaseException:
        pair.end()
        raise


def point(data: Path, pair: pairs.Pair) -> None:
    """Let a shop find whichever of the servers is the primary."""
    fresh = data / "settings.new"
    fresh.write_text(f'store = "{pair.address()}"\nstandby = "synchronous"\n')
    fresh.replace(data / "settings.toml")
