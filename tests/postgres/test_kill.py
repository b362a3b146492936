"""Two processes on one server under load, one of them killed again and again (O1, O3, F3, F6).

The killed one comes back and repeats the keys that had no answer, while the other goes on. In the end: no acknowledged entry is
missing, no key has two, what was sold is what is gone, and the books verify. The canaries are the same checks on a store that
answers before its commit, and one that forgets keys: they must fail.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import serve_child
from tests.postgres.till import ServerTill
from tests.support import sized

KILLS = sized(3, 60)
MONEY_FEN = 1_000_000
CARDS = 8


class Life:
    """One life of a process, and what it said until it ended."""

    def __init__(self, context: Any, till: ServerTill, cards: list[str], name: str, retry: list[str]) -> None:
        self._reading, writing = os.pipe()
        self._data = b""
        self.process = context.Process(target=serve_child.run, args=(till.directory, cards, name, retry, DupFd(writing)))
        self.process.start()
        os.close(writing)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while piece := os.read(self._reading, 65_536):
            self._data += piece
        os.close(self._reading)

    def wait(self, answers: int) -> None:
        """Until that many answers came."""
        deadline = time.monotonic() + 60
        while self._data.count(b"!") < answers:
            assert time.monotonic() < deadline, "no answers"
            assert self.process.is_alive(), "the process ended by itself"
            time.sleep(0.005)

    def kill(self) -> tuple[set[str], dict[str, str]]:
        """Keys sent, and answers by key."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        self._thread.join()
        lines = self._data.decode().split("\n")[:-1]
        return {line[1:] for line in lines if line[0] == "?"}, dict(line[1:].split(" ") for line in lines if line[0] == "!")


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop", 4)
    yield till
    till.end()


def judge(till: ServerTill, cards: list[str], sent: set[str], answered: dict[str, str]) -> None:
    """The checks; an AssertionError says which one failed."""
    reader = till.shop.store.reader()
    first: dict[str, str] = {}
    sold = 0
    for partition in reader.partitions():
        for entry in reader.journal(partition):
            if entry.client != "terminal:t1" or ":" not in entry.client_key:
                continue
            assert entry.client_key not in first, f"key {entry.client_key} has two effects"
            first[entry.client_key] = f"{entry.partition}:{entry.position}:{entry.outcome}"
            sold += entry.verb == "settle" and entry.outcome == "applied"
    lost = {key: answer for key, answer in answered.items() if first.get(key) != answer}
    assert not lost, f"acknowledged and lost: {lost}"
    assert set(first) <= sent
    assert sum(map(till.balance, cards)) == CARDS * MONEY_FEN - sold
    reader.close()
    till.sound()


def test_one_of_two_processes_is_killed_again_and_again(till: ServerTill) -> None:
    cards = [till.card(MONEY_FEN) for _ in range(CARDS)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.postgres.serve_child"])
    rng = random.Random(3)
    steady = Life(context, till, cards, "steady", [])
    steady.wait(5)
    sent: set[str] = set()
    answered: dict[str, str] = {}
    for number in range(KILLS):
        life = Life(context, till, cards, f"life-{number}", sorted(sent - answered.keys()))
        life.wait(rng.randrange(1, 40))
        keys, answers = life.kill()
        sent |= keys
        for key, answer in answers.items():
            assert answered.setdefault(key, answer) == answer, f"key {key} was answered twice, differently"
        before = steady._data.count(b"!")
        steady.wait(before + 3)  # the other one goes on: what the dead one held is free
    keys, answers = steady.kill()
    judge(till, cards, sent | keys, answered | answers)
    assert len(answered) > KILLS


def test_the_checks_find_a_lost_and_a_doubled_effect(till: ServerTill) -> None:
    """Canaries: an answer that no entry stands for, an answer with another entry, money that moved without a sale."""
    cards = [till.card(MONEY_FEN) for _ in range(CARDS)]
    key = f"canary:1:{cards[0]}"
    entry = till.sale(cards[0], 1, key=key)
    answer = f"{entry.partition}:{entry.position}:{entry.outcome}"
    judge(till, cards, {key}, {key: answer})
    with pytest.raises(AssertionError, match="acknowledged and lost"):
        judge(till, cards, {key, "canary:2:x"}, {key: answer, "canary:2:x": "0:99:applied"})
    with pytest.raises(AssertionError, match="acknowledged and lost"):
        judge(till, cards, {key}, {key: f"{entry.partition}:{entry.position + 1}:applied"})
    with pytest.raises(AssertionError):
        judge(till, cards, set(), {})
    till.topup(cards[1], 1)
    with pytest.raises(AssertionError):
        judge(till, cards, {key}, {key: answer})
