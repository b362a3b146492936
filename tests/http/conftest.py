"""A small chain with every role in it, over a real desk and store, shared by the tests of this folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cardapi.app import Shop, open_shop
from cardapi.http.app import Application, build_app
from tests.http.client import Client, Nobody, Person, Till
from tests.shops import PASSWORD, new_shop

if TYPE_CHECKING:
    from tests.http.next_door import Door, Other, Write

SCHEMES = Path(__file__).parents[2] / "schemes"


class Clock:
    """The wall clock, which a test may set forward or back. Microseconds."""

    def __init__(self) -> None:
        self.shift_us = 0

    def __call__(self) -> int:
        return time.time_ns() // 1000 + self.shift_us

    def seconds(self) -> int:
        return self() // 1_000_000


class Chain:
    """issuer > north > store-1, store-2; issuer > south > store-3. One till per store, operators of every role."""

    def __init__(self, shop: Shop, app: Application, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self.shop, self.app, self.loop, self.clock = shop, app, loop, clock
        self.client = Client(app, loop)
        self.inner = Client(app.fastapi, loop)
        self.nobody = Nobody(self.client)
        self.admin = self.login("admin")
        for name, kind, parent in (
            ("north", "region", "issuer"), ("south", "region", "issuer"),
            ("store-1", "store", "north"), ("store-2", "store", "north"), ("store-3", "store", "south"),
        ):  # fmt: skip
            self.made(self.admin.post("/v1/units", {"id": name, "name": name, "kind": kind, "parent": parent}))
        self.tills = {unit: self.till(f"till-{unit[-1]}", unit) for unit in ("store-1", "store-2", "store-3")}
        for name in ("mall-vip", "spa"):
            self.made(self.admin.post("/v1/schemes", {"pack": (SCHEMES / f"{name}.toml").read_text()}))

    def made(self, reply):
        assert reply.status in (200, 201), reply.body
        return reply.json

    def made2(self, reply):
        """What an accepted call answered."""
        assert reply.status == 202, reply.body
        return reply.json

    def login(self, operator: str, password: str = PASSWORD, unit: str = "") -> Person:
        reply = self.client.call("POST", "/v1/login", {"operator": operator, "password": password, "unit": unit})
        assert reply.status == 200, reply.body
        return Person(self.client, reply.json["token"])

    def till(self, terminal: str, unit: str) -> Till:
        made = self.made(self.admin.post("/v1/terminals", {"id": terminal, "unit": unit, "name": terminal}))
        return Till(self.client, terminal, made["key_version"], bytes.fromhex(made["key"]), self.clock.seconds)

    def person(self, role: str, unit: str) -> Person:
        """An operator with one role, made once for the chain."""
        name = f"{role}-{unit}"
        if self.shop.registry.operator(name) is None:
            body = {"id": name, "name": name, "password": PASSWORD, "role": role, "unit": unit}
            self.made(self.admin.post("/v1/operators", body))
        self.app.service.logins.forget()
        return self.login(name)

    def card(self, *, paid_fen: int = 0, programme: str = "mall-vip", who: Person | None = None) -> str:
        """A fresh active card."""
        made = self.made((who or self.admin).post("/v1/cards", {"programme": programme, "activate": True}))
        number = str(made["cards"][0]["card"])
        if paid_fen:
            self.made(self.tills["store-1"].post("/v1/topup", {"card": number, "paid_fen": paid_fen}))
        return number


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    directory = tmp_path_factory.mktemp("chain") / "shop"
    new_shop(directory)
    loop = asyncio.new_event_loop()
    clock = Clock()
    with open_shop(directory) as shop:
        # Signatures of the second a process starts in are refused; this one pretends to have started two seconds ago.
        app = build_app(shop, clock=lambda: clock() - 2_000_000, quick_passwords=True)
        app.service.clock = clock
        app.service.signatures._clock = clock
        yield Chain(shop, app, loop, clock)
    loop.close()


@pytest.fixture
def till(chain: Chain) -> Till:
    return chain.tills["store-1"]


@pytest.fixture
def card(chain: Chain) -> str:
    """An active card with 1,000 yuan paid in (and the pack's bonus)."""
    return chain.card(paid_fen=100_000)


@pytest.fixture
def door(chain: Chain) -> Iterator[Door]:
    """Opens a process next door that has the card; closed after the test, with no request left under way."""
    from tests.http.next_door import Other  # which needs what is above

    made: list[Other] = []

    def opened(card: str, write: Write | None) -> Other:
        made.append(Other(chain, card, write))
        return made[-1]

    yield opened
    for other in made:
        other.close()
    assert chain.app.edge._running == 0
