"""Goal: blank cards become the cards of a batch one after the other, torn out or with the station killed in between, and every serial
is accounted for. Method: the real service and pcscd, simulated blank cards; what the cards then are is read from the cards.
"""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cardapi.cli.service import Service, reach
from firmware_sim import build
from firmware_sim.pcscd import until
from firmware_sim.tear import Tear
from tests.cli.shop import COMMAND, ENVIRONMENT, call, demo_shop, served
from tests.pcsc.daemon import Daemon

PIN: dict[str, Any] = {"CARDCORE_PIN": "271828"}


BATCHES: tuple[dict[str, Any], ...] = (
    {"id": "spring", "count": 4, "first_serial": 1, "profile": "pboc2-3des", "purse": 2},
    {"id": "summer", "count": 1, "first_serial": 100, "profile": "pboc2-3des", "purse": 2},
    {"id": "taps", "count": 1, "first_serial": 200, "profile": "desfire-ev2"},
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A demo shop with batches that two people opened, served."""
    place = tmp_path_factory.mktemp("issuing") / "shop"
    demo_shop(place)
    with reach(place, operator="manager") as maker:
        asked = [maker.do("openBatch", {"programme": "mall-vip", "unit": "store-1", **batch})["approval_id"] for batch in BATCHES]
    with reach(place) as checker:
        for approval in asked:
            checker.do("approve", {}, path={"approval": approval})
    with served(place):
        yield place


def counts(data: Path, batch: str) -> tuple[int, int, int]:
    """Serials issued, begun, left. Asked past the command line, which one thread of a process can use at a time."""
    with reach(data) as service:
        return told(service, batch)


def told(service: Service, batch: str) -> tuple[int, int, int]:
    """The same in a session that is open: many log-ins in a row are held off."""
    status = service.do("batchStatus", path={"batch": batch})
    return status["issued"], status["begun"], status["left"]


def making(pcscd: Daemon, data: Path, batch: str, *words: str) -> tuple[str, ...]:
    return ("card", "personalise", batch, "--reader", pcscd.reader, "--data", str(data), "--wait", "60", *words)


def made(result: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    cards: list[dict[str, str]] = json.loads(result.stdout)["made"]
    return cards


def test_a_batch_with_a_card_torn_out(pcscd: Daemon, data: Path):
    """Three blank cards are put on the reader, each when the one before is issued; the second leaves for a moment in the middle."""
    cards = [build.blank_purse_card() for _ in range(3)]
    cards[1].tears = [Tear.parse("D4#4:answer:0")]

    def feed() -> None:
        with reach(data) as service:
            for number, card in enumerate(cards, 1):
                with pcscd.holding(card, away=0.2):
                    until(lambda number=number: told(service, "spring")[0] == number, "the card issued", 120)  # type: ignore[misc]

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    result = call(*making(pcscd, data, "spring", "--count", "3", "--activate", "--json"), **PIN)
    feeder.join(120)
    assert [card["medium"][-4:] for card in made(result)] == ["0001", "0002", "0003"]
    assert "not made" in result.stderr, "the torn one was noticed"
    status = json.loads(call("batch", "show", "spring", "--data", data, "--json").stdout)
    assert [status[name] for name in ("issued", "begun", "spoiled", "left")] == [3, 0, 0, 1]
    with pcscd.holding(cards[1]):
        words = ("--tender", "cash", "--reader", pcscd.reader, "--data", data, "--json")
        loaded = json.loads(call("reader", "load", "100", *words, **PIN).stdout)
        assert (loaded["outcome"], loaded["chip_fen"], loaded["medium"][-4:]) == ("done", 100_00, "0002")
        again = call(*making(pcscd, data, "spring", "--wait", "4"), check=False, **PIN)
        assert "issued, or written off, already" in again.stderr
        assert "[no_card]" in again.stderr


def test_the_station_is_killed_and_goes_on(pcscd: Daemon, data: Path):
    card = build.blank_purse_card()
    plain = card.transmit
    stations: list[subprocess.Popen[bytes]] = []

    def killing(command: bytes) -> bytes:
        if command[1] == 0xD4 and stations and stations[0].poll() is None:
            stations[0].kill()
            stations[0].wait()
        return plain(command)

    card.transmit = killing  # type: ignore[method-assign]
    with pcscd.holding(card):
        command = [*COMMAND, *making(pcscd, data, "summer")]
        stations.append(subprocess.Popen(command, env={**ENVIRONMENT, **PIN}, stderr=subprocess.PIPE))
        stations[0].communicate(timeout=120)
        assert stations[0].returncode == -signal.SIGKILL
        assert counts(data, "summer") == (0, 1, 0)
        done = made(call(*making(pcscd, data, "summer", "--json"), **PIN))
        assert [entry["medium"][-4:] for entry in done] == ["0100"]
    assert counts(data, "summer") == (1, 0, 0)


def test_a_desfire_card_and_an_empty_batch(pcscd: Daemon, data: Path):
    card = build.desfire_card(uid=bytes.fromhex("04112233445566"))
    with pcscd.holding(card):
        done = made(call(*making(pcscd, data, "taps", "--activate", "--json")))
        assert [entry["medium"] for entry in done] == ["desfire:04112233445566"]
        seen = json.loads(call("reader", "show", "--reader", pcscd.reader, "--json").stdout)
        assert seen["printed_number"] == done[0]["card"]
    with pcscd.holding(build.desfire_card(uid=bytes.fromhex("04112233445577"))):
        empty = call(*making(pcscd, data, "taps"))
        assert "0 of 1 cards were made" in empty.stderr
        assert "[unknown_batch]" in call(*making(pcscd, data, "autumn"), check=False).stderr
