"""kill -9 of the service in the middle of taps, again and again (F5, F6, control T): what was intended is settled by the next tap, nothing
is done twice, and chip and journal agree in the end.

Method: a child process serves a card whose memory is a file, as the simulator's `--state` has it; it is killed at a random moment, which
tears the card as well. The next one asks again for what had no answer, under the same key.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from multiprocessing.reduction import DupFd
from pathlib import Path

import pytest

from cardapi.media.profiles import desfire_medium, purse_medium
from cardcore.card.purse import Application
from cardcore.settlement import Settlement
from firmware_sim import build, pboc
from firmware_sim.nvm import Memory
from tests.desk.till import Till
from tests.media import kill_child
from tests.media.counter import Counter
from tests.shops import journal
from tests.support import sized

KILLS = sized(8, 120)
MONEY_FEN = 1_000_000


@pytest.mark.parametrize("kind", ["pboc", "desfire"])
def test_kill_nine_in_the_middle_of_taps(tmp_path: Path, kind: str) -> None:
    till = Till(tmp_path / "shop")
    counter, image = Counter(till), tmp_path / "card.img"
    memory = Memory(path=image)
    if kind == "pboc":
        identity = pboc.Identity()
        build.purse_card(memory, identity=identity)
        medium = purse_medium(Application(identity.issuer, 2, 1, identity.serial, identity.valid_from, identity.valid_to))
        counter.register(medium, "pboc2-3des", MONEY_FEN, 2)
    else:
        build.desfire_purse_card(memory)
        counter.register(desfire_medium(build.TEST_UID), "desfire-ev2", MONEY_FEN, 0)
    memory.close()
    till.shop.close()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.desk.kill_child", "tests.media.kill_child"])
    rng = random.Random(5)
    told: dict[int, tuple[str, bool]] = {}
    settled = 0
    for life in range(KILLS):
        first = max(told, default=0) + 1
        reading, writing = os.pipe()
        process = context.Process(target=kill_child.run, args=(tmp_path / "shop", image, first, life % 2 == 0, DupFd(writing)))
        process.start()
        os.close(writing)
        settled += _life(reading, process, rng.uniform(0, 0.05), told, in_flight=life % 2 == 0)
        os.close(reading)
    till.reopen()
    counter.restart()
    card = build.open_card(Memory(path=image))
    final = counter.tap(card, "recover", key="final")
    assert final.outcome in ("done", "settled"), final
    places, chip = counter.places(), counter.chip(card)
    assert places["open"] == 0
    assert places["on_card"] == chip
    assert places["account"] + chip + counter.claims_of_sales() == MONEY_FEN
    done = [number for number, (_, happened) in told.items() if happened]
    intents = [entry for entry in journal(till.shop) if entry.verb in ("load", "pay") and entry.outcome == "applied"]
    amounts = [Settlement.unpack(entry.body).net_fen for entry in intents]
    assert len(amounts) == len(set(amounts)), "no tap was intended twice"
    assert sorted(told) == list(range(1, len(told) + 1))
    assert len(done) >= KILLS // 4
    assert settled >= KILLS // 2, "every other kill hit a tap in flight"
    till.sound()
    till.shop.close()


def _life(
    reading: int, process: multiprocessing.process.BaseProcess, after_s: float, told: dict[int, tuple[str, bool]], *, in_flight: bool
) -> int:
    """One life of the child; how many taps of an earlier life it settled. Notes what it told.

    It is killed a while after its first result, or (in_flight) where the money of a later tap is under way.
    """
    data = b""
    while b"!" not in data or (in_flight and b"~" not in data[data.index(b"!") :]):
        piece = os.read(reading, 65_536)
        assert piece, "the child ended by itself"
        data += piece
    if not in_flight:
        time.sleep(after_s)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    while piece := os.read(reading, 65_536):
        data += piece
    settled = 0
    for line in data.decode().splitlines():
        if line.startswith("!") and line.count(" ") == 3:
            number, outcome, happened, _ = line[1:].split(" ")
            told[int(number)] = (outcome, happened == "1")
            settled += outcome == "settled"
    return settled
