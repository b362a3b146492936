"""Lives of a serving process that is killed, and what must hold of a shop after them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from cardapi.store.port import Store
from tests.postgres import serve_child


def context() -> Any:
    """Where lives come from: a process prepared once."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["tests.postgres.serve_child"])
    return found


class Life:
    """One life of a process, and what it said until it ended."""

    def __init__(self, context: Any, directory: Path, cards: list[str], name: str, retry: list[str]) -> None:
        self._reading, writing = os.pipe()
        self._data = b""
        self.process = context.Process(target=serve_child.run, args=(directory, cards, name, retry, DupFd(writing)))
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

    @property
    def answers(self) -> int:
        """How many answers came so far."""
        return self._data.count(b"!")

    def kill(self) -> tuple[set[str], dict[str, str]]:
        """Keys sent, and answers by key."""
        os.kill(self.process.pid, signal.SIGKILL)
        return self.end()

    def end(self) -> tuple[set[str], dict[str, str]]:
        """The same of a process that ends by itself."""
        self.process.join()
        self._thread.join()
        lines = self._data.decode().split("\n")[:-1]
        return {line[1:] for line in lines if line[0] == "?"}, dict(line[1:].split(" ") for line in lines if line[0] == "!")


def judge_journal(reader: Store, sent: set[str], answered: dict[str, str]) -> int:
    """No key has two effects, and what was acknowledged is there as it was. Returns the fen sold by these processes.

    An AssertionError says what failed.
    """
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
    return sold
