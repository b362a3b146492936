"""Goal: of two processes each writes its own partitions whichever a request came to, and one that is killed, or stopped, costs nobody
an answer or an effect (O1, O3, F3).

Method: real workers on a real server, clients that repeat the key that had no answer; `tests/http/test_neighbours.py` has the rest.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import secrets
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cardapi.app import open_shop
from cardapi.http import neighbours
from cardapi.http.signature import sign
from cardapi.ids import home, ticket_id
from tests.cli.shop import call
from tests.http.test_drain import serving
from tests.postgres.server import Database, empty, server
from tests.support import sized

PARTITIONS = 4
LINES = 12  # connections: the system gives each worker some of them
KILLS = sized(3, 20)
WAIT_S = 60.0


class Client:
    """One connection that sells, 1 fen each; a key that had no answer is sent again."""

    def __init__(self, port: int, name: str, key: bytes, cards: list[str]) -> None:
        self._port, self._name, self._key = port, name, key
        self._cards = itertools.cycle(cards)
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        self.told: dict[str, str] = {}  # ticket ids by client key
        self.strange: list[tuple[int, bytes]] = []
        self.longest_s = 0.0

    def sell(self, count: int) -> None:
        for number in itertools.count(len(self.told)):
            if number >= count:
                return
            key, began = f"{self._name}-{number}", time.monotonic()
            body = json.dumps({"card": next(self._cards), "lines": [{"amount_fen": 1}], "shortfall_tender": "cash"}).encode()
            while key not in self.told:
                assert time.monotonic() - began < WAIT_S, f"{key} has no answer"
                self._ask(key, body)
            self.longest_s = max(self.longest_s, time.monotonic() - began)

    def _ask(self, key: str, body: bytes) -> None:
        proof = sign(self._key, "till-1", 1, "POST", "/v1/settle", int(time.time()), secrets.token_hex(12), key, body)
        headers = {"Authorization": proof, "Idempotency-Key": key, "Content-Type": "application/json"}
        try:
            self._line.request("POST", "/v1/settle", body, headers)
            answer = self._line.getresponse()
            status, said = answer.status, answer.read()
        except (OSError, http.client.HTTPException):  # its worker is gone, or nobody listens for a moment
            self._line.close()
            time.sleep(0.02)
            return
        if status == 200:
            self.told[key] = json.loads(said)["ticket_id"]
        else:
            self.strange.append((status, said))
            time.sleep(0.02)

    def close(self) -> None:
        self._line.close()


class Shop:
    """A demo shop on the server, and its cards by the worker that has them, of two."""

    def __init__(self, directory: Path, base: Database) -> None:
        self.directory, self.base = directory, base
        call("init", "--data", directory, "--demo", "--store", base.url, "--owner", base.owner, "--partitions", str(PARTITIONS))
        with (directory / "settings.toml").open("a") as settings:
            settings.write("\njobs = false\n")
        made = json.loads((directory / "demo.json").read_bytes())
        self.key = bytes.fromhex(made["terminal_key"])
        more = ("--count", "13", "--activate", "--as", "admin", "--data", directory, "--json")
        issue = call("card", "issue", "--programme", "mall-vip", *more)
        self.cards = [*made["cards"].values(), *(card["card"] for card in json.loads(issue.stdout))]  # three of them with money

    def clients(self, port: int, name: str, cards: list[str]) -> list[Client]:
        return [Client(port, f"{name}-{number}", self.key, cards) for number in range(LINES)]

    def holders(self) -> dict[object, tuple[object, object]]:
        """Who wrote each partition last, and how often it changed hands."""
        rows = server().sql("SELECT number, holder, token FROM partition", self.base.name)
        return {number: (holder, token) for number, holder, token in rows}

    def judge(self, clients: list[Client]) -> None:
        """What was told is there, each key once, and the books verify."""
        told = {key: ticket for client in clients for key, ticket in client.told.items()}
        with open_shop(self.directory, read_only=True) as shop:
            entries = [entry for partition in shop.store.partitions() for entry in shop.store.journal(partition)]
        there = Counter(entry.client_key for entry in entries)
        names = {entry.client_key: ticket_id(entry.partition, entry.position) for entry in entries}
        assert [key for key, count in there.items() if count > 1 and key in told] == [], "an effect was doubled"
        assert {key: names.get(key) for key in told} == told, "acknowledged and lost"
        assert json.loads(call("verify", "--data", self.directory, "--json").stdout)["ok"]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    base = empty("next_door", PARTITIONS)
    try:
        yield Shop(tmp_path / "shop", base)
    finally:
        base.drop()


@contextmanager
def selling(clients: list[Client], count: int) -> Iterator[None]:
    """All of them at once, until each has so many answers."""
    threads = [threading.Thread(target=client.sell, args=(count,)) for client in clients]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(2 * WAIT_S)
    assert [client.strange for client in clients if client.strange] == []


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Their process ids, once both are there; as long as none was killed, by number."""
    deadline = time.monotonic() + WAIT_S
    while len(found := Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()) < 2:
        assert time.monotonic() < deadline, "a worker was not started again"
        time.sleep(0.02)
    return sorted(map(int, found))


def test_each_process_writes_its_own_partitions(shop: Shop) -> None:
    with serving(shop.directory, 2) as (_, port):
        clients = shop.clients(port, "own", shop.cards)
        with selling(clients, 20):
            pass
        before = shop.holders()
        with selling(clients, 60):
            pass
        after = shop.holders()
        for client in clients:
            client.close()
    used = {home(card, PARTITIONS) for card in shop.cards}
    assert {place: after[place] for place in used} == {place: before[place] for place in used}, "no partition changed hands"
    assert len({holder for holder, _ in after.values() if holder}) == 2
    assert len({(place % 2, after[place][0]) for place in used}) == 2, "one process for the even ones, one for the odd ones"
    shop.judge(clients)


def test_one_that_is_killed_costs_nobody_an_effect(shop: Shop) -> None:
    with serving(shop.directory, 2) as (process, port):
        clients = shop.clients(port, "killed", shop.cards)
        for number in range(1, KILLS + 1):
            with selling(clients, 40 * number):
                time.sleep(0.05 * number % 0.3)
                os.kill(workers(process)[-1], signal.SIGKILL)
        assert process.poll() is None
        for client in clients:
            client.close()
    shop.judge(clients)


def test_one_that_is_stopped_is_not_waited_for(shop: Shop) -> None:
    """It has its requests, and does them when it goes on; whoever asked elsewhere has had the answer then."""
    with serving(shop.directory, 2) as (process, port):
        cards = [card for card in shop.cards if home(card, PARTITIONS) % 2 == 1]
        clients = shop.clients(port, "stopped", cards)
        with selling(clients, 3):
            pass
        stopped = workers(process)[1]
        os.kill(stopped, signal.SIGSTOP)
        try:
            threads = [threading.Thread(target=client.sell, args=(6,)) for client in clients]
            for thread in threads:
                thread.start()
            deadline = time.monotonic() + 4 * neighbours.PATIENCE_S
            while not any(len(client.told) == 6 for client in clients):
                assert time.monotonic() < deadline, "nobody has an answer while one process is stopped"
                time.sleep(0.05)
        finally:
            os.kill(stopped, signal.SIGCONT)
        for thread in threads:
            thread.join(WAIT_S)
        assert [len(client.told) for client in clients] == [6] * LINES
        for client in clients:
            client.close()
    shop.judge(clients)
