"""Everything at once, for as long as wanted (O1-O3, M1, M5, M6, F2, F5, F6): processes killed, PostgreSQL restarted and failed over,
disks that fail, clocks that step, clients that hang up and repeat themselves, every verb in parallel.

Method: a shop as it is served, real processes; faults in an order from a seed, each followed by a number of answers, so that a slow
machine takes longer and nothing else. In the end nothing acknowledged is lost or doubled, histories replay in commit order, every
snapshot on the way had as much money as its heads say, nothing is in flight, and the books verify. `make test-long` runs it for
CARDCORE_SOAK_S seconds (600).
"""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cardapi.store.port import Store
from cardcore.errors import CardcoreError
from cardcore.settlement import Account
from firmware_sim import build
from tests import leftovers
from tests.desk.history import effects_of, judge
from tests.desk.preload import compiled
from tests.desk.till import PLAIN
from tests.postgres.server import needs_postgres
from tests.soak.client import PATIENCE_S, Client, Office, Racer, Stage, Tapper, Till
from tests.soak.crowd import CLUB, Club, Station
from tests.soak.service import Service
from tests.soak.stores import CHIP_FEN, Shop, embedded, on_server
from tests.support import LONG, sized

SEED = 20_261_122
SOAK_S = int(os.environ.get("CARDCORE_SOAK_S", "600")) if LONG else 0  # 0: each fault once
BETWEEN = sized(30, 300)  # answers between two faults
TILLS, RACERS = sized(4, 8), sized(16, 64)
CARDS, MONEY_FEN = 8, 5_000
MONEY = {0, 1}  # purses that hold it, in every pack that is used here
LONG_ONLY = {"PostgreSQL is restarted", "ENOSPC under PostgreSQL"}  # each ends both processes, and their starts cost most of the time
CLIENTS = {"terminal:till-1", "operator:admin", "operator:manager", "system"}


pytestmark = pytest.mark.timeout(SOAK_S + 1_200)


class Watch(threading.Thread):
    """Adds up all money, snapshot after snapshot: what accounts hold must always be what the heads say is owed (M1, M10)."""

    def __init__(self, shop: Shop, stage: Stage) -> None:
        super().__init__(name="watch", daemon=True)
        self._shop, self._stage = shop, stage
        self.snapshots = 0
        self.differences: set[int] = set()

    def run(self) -> None:
        while not self._stage.stop.wait(0.05):
            try:
                with self._shop.opened() as shop:
                    while not self._stage.stop.wait(0.05):
                        self.look(shop.store)
            except CardcoreError:  # the store is away, for now
                continue
            except BaseException as error:
                self._stage.trouble.append(f"{self.name}: {error!r}")

    def look(self, store: Store) -> None:
        with store.snapshot():
            owed = sum(head.liability_fen for head in store.heads())
            held = sum(money(Account.unpack(row.state)) for row in store.accounts())
        self.differences.add(held - owed)
        self.snapshots += 1


def money(account: Account) -> int:
    """All money in an account's lots, holds and chip, and on the way to it."""
    lots = sum(lot.amount for lot in account.lots() if lot.purse in MONEY) + sum(hold.amount_fen for hold in account.holds())
    return lots + account.on_card_fen + sum(flight.amount_fen for flight in account.flights() if flight.kind == "load")


def until(stage: Stage, what: str, true: Callable[[], object]) -> None:
    """Wait for something that comes by itself; a client in trouble ends the waiting."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert not stage.trouble, stage.trouble
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain: {what}"
        time.sleep(0.02)


def laid_out(shop: Shop) -> tuple[Stage, list[Client], dict[str, int]]:
    """Cards and chips with money on them; who will use them; the money on everybody's cards."""
    stage = Stage(shop.services, bytes.fromhex(shop.made["terminal_key"]), {}, [])
    maker = Client(stage, "maker")

    def done(path: str, body: dict[str, Any], operator: str = "", status: int = 201) -> dict[str, Any]:
        found, answer = maker.send("POST", path, body, maker.key() if path != "/v1/login" else "", operator, shop.services[0])
        assert found == status, answer
        return answer

    people = {"admin": shop.made["password"], "manager": shop.made["manager_password"]}
    for name, password in people.items():
        stage.people[name] = done("/v1/login", {"operator": name, "password": password}, status=200)["token"]
    for pack in (CLUB, PLAIN):
        done("/v1/schemes", {"pack": pack}, "admin")

    def card(fen: int) -> str:
        number: str = done("/v1/cards", {"programme": "plain", "activate": True}, "admin")["cards"][0]["card"]
        done("/v1/topup", {"card": number, "paid_fen": fen}, status=200)
        return number

    def tapper(number: int) -> Tapper:
        uid, carrier = (0x05 << 48 | number).to_bytes(7), card(100_000)
        medium = {"medium": f"desfire:{uid.hex()}", "profile": "desfire-ev2", "keys": [[1, 0, 0]]}
        done(f"/v1/cards/{carrier}/media", medium, "admin", 200)
        return Tapper(stage, f"tapper-{number}", build.desfire_purse_card(uid=uid), carrier)

    for service in shop.services:  # what one process was told counts in the others within a second
        for name in people:
            until(stage, f"{service.name} knows the programme and {name}", partial(knows, maker, service, name))
    last_money(stage, card(100))
    stage.cards = [card(MONEY_FEN) for _ in range(CARDS)]
    station = Station(stage, shop.made["cards"]["mall-vip"], CHIP_FEN)
    clients = [*(Till(stage, f"till-{number}") for number in range(TILLS)), Office(stage, "office"), Club(stage, "club"), station,
               tapper(1), tapper(2)]  # fmt: skip
    return stage, clients, dict.fromkeys(stage.cards, MONEY_FEN)


def knows(client: Client, service: Service, operator: str) -> bool:
    status, answer = client.send("GET", "/v1/schemes", operator=operator, at=service)
    return status == 200 and "plain" in {scheme["name"] for scheme in answer["schemes"]}


def answers(stage: Stage, when: str) -> None:
    """Let the clients get on."""
    enough = stage.answers + BETWEEN
    until(stage, f"{BETWEEN} answers {when}", lambda: stage.answers >= enough)


def fault_after_fault(shop: Shop, stage: Stage) -> list[str]:
    """Every fault in an order from the seed, again until the time is over; what happened."""
    rng = random.Random(SEED)
    ends = time.monotonic() + SOAK_S
    faults = [name for name in shop.faults() if LONG or name not in LONG_ONLY]
    happened: list[str] = []
    while not happened or time.monotonic() < ends:
        for name in rng.sample(faults, len(faults)):
            answers(stage, f"before {name!r}")
            shop.faults()[name](rng, partial(until, stage))
            happened.append(name)
    answers(stage, "after the last fault")
    return happened


def has_both(racer: Racer) -> bool:
    return len(racer.history) == 2


def last_money(stage: Stage, card: str) -> None:
    """Many clients at once at all processes, and 100 fen: three get their 30, and each key has one answer (O1, O2, M4)."""
    racers = [Racer(stage, number, card) for number in range(RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        until(stage, f"{racer.name} has its two answers", partial(has_both, racer))
    answers = [{one.told for one in racer.history} for racer in racers]
    assert all(len(each) == 1 for each in answers), "a key had two answers"
    assert sum(each.pop().endswith("applied") for each in answers) == 3


def soak(shop: Shop) -> None:
    """The whole of it on one shop."""
    stage, clients, start = laid_out(shop)
    watch = Watch(shop, stage)
    threads: list[threading.Thread] = [watch, *clients]
    for thread in threads:
        thread.start()
    try:
        happened = fault_after_fault(shop, stage)
    finally:
        stage.stop.set()
        for thread in threads:
            thread.join(2 * PATIENCE_S)
    for client in clients:
        assert not client.is_alive(), f"{client.name} does not end; it was at {client.doing}"
    assert not stage.trouble, stage.trouble
    for service in shop.services:
        service.end()
    judged(shop, clients, start)
    assert watch.differences == {0}, f"seed {SEED}: snapshots differ by {watch.differences} after {happened}"
    assert watch.snapshots > len(happened)


def judged(shop: Shop, clients: list[Client], start: dict[str, int]) -> None:
    """What must hold of the shop, and of what its clients were told, when all is over."""
    with shop.opened() as opened:
        store = opened.store
        journal = [effect for partition in store.partitions() for effect in effects_of(store.journal(partition))]
        found = store.read([*start, *(client.card for client in clients if isinstance(client, Tapper | Station))])
        accounts = {card: Account.unpack(row.account.state) for card, row in found.items()}
        assert store.in_flight(0, 10) == [], "something is still in flight"
        open_holds = [row.account_id for row in store.accounts() if Account.unpack(row.state).holds()]
        assert not open_holds, f"holds stay open: {open_holds}"
        report = opened.verify(store)
    assert report.ok, report.first_bad
    history = [one for client in clients for one in client.history]
    ends = {card: sum(lot.amount for lot in accounts[card].lots()) for card in start}
    judge(start, history, journal, ends, CLIENTS)
    for client in clients:
        if isinstance(client, Tapper | Station):
            assert accounts[client.card].on_card_fen == client.chip_fen, "the chip holds another amount than the books say"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return compiled("fault", tmp_path)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that PostgreSQL's user may enter."""
    room = leftovers.room("soak")
    yield room
    shutil.rmtree(room, ignore_errors=True)


def test_a_shop_in_a_file(tmp_path: Path, library: Path) -> None:
    shop = embedded(tmp_path, library)
    try:
        soak(shop)
    finally:
        shop.end()


def test_a_shop_on_servers(tmp_path: Path, shared: Path) -> None:
    needs_postgres()
    shop = on_server(tmp_path, shared)
    try:
        soak(shop)
    finally:
        shop.end()
