"""kill -9 under load, again and again (O1, O3, F6): no acknowledged sale is lost, none is done twice, and every restart opens.

A child forked from a prepared process serves eight callers; it is killed after a random time in which at least one sale was
acknowledged. The next one repeats the keys that had no answer. In the end balance, journal and acknowledgements are compared.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from multiprocessing.reduction import DupFd
from pathlib import Path

from tests.desk import kill_child
from tests.desk.till import Till
from tests.shops import journal
from tests.support import sized

KILLS = sized(30, 300)
MONEY_FEN = 10_000_000


def read_until_killed(pipe: int, process: multiprocessing.process.BaseProcess, after_s: float) -> tuple[list[str], dict[str, int]]:
    """Keys sent, and keys acknowledged with their positions, of one life that ends `after_s` after its first answer."""
    data = b""
    while b"!" not in data:
        piece = os.read(pipe, 65_536)
        assert piece, "the child ended by itself"
        data += piece
    time.sleep(after_s)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    while piece := os.read(pipe, 65_536):
        data += piece
    lines = data.decode().splitlines()
    acknowledged = dict(line[1:].split() for line in lines if line.startswith("!") and " " in line)
    return [line[1:] for line in lines if line.startswith("?")], {key: int(position) for key, position in acknowledged.items()}


def test_kill_nine(tmp_path: Path) -> None:
    directory = tmp_path / "shop"
    till = Till(directory)
    card = till.card(MONEY_FEN)
    till.shop.close()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.desk.kill_child"])
    rng = random.Random(11)
    acknowledged: dict[str, int] = {}
    sent: list[str] = []
    for _ in range(KILLS):
        reading, writing = os.pipe()
        unanswered = [key for key in sent if key not in acknowledged]
        first = max(map(int, sent), default=0) + 1
        process = context.Process(target=kill_child.run, args=(directory, card, first, unanswered, DupFd(writing)))
        process.start()
        os.close(writing)
        keys, answers = read_until_killed(reading, process, rng.uniform(0, 0.06))
        os.close(reading)
        for key, position in answers.items():
            assert acknowledged.setdefault(key, position) == position, f"key {key} was answered with two effects"
        sent.extend(key for key in keys if key not in unanswered)
    till.reopen()
    entries = [entry for entry in journal(till.shop) if entry.verb == "settle"]
    by_key = {entry.client_key: entry.position for entry in entries}
    assert len(by_key) == len(entries), "a key has two entries"
    lost = {key: position for key, position in acknowledged.items() if by_key.get(key) != position}
    assert not lost, f"acknowledged and lost: {lost}"
    assert set(by_key) <= set(sent)
    assert till.balance(card) == MONEY_FEN - len(entries)
    assert len(acknowledged) >= KILLS
    till.sound()
    till.shop.close()
