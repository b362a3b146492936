"""Card sessions where cards live in several partitions and several processes serve them: what one process left torn another one ends.

Method: chips of cards in every partition, loaded, paid with, torn at the commit; the next tap goes to another process of the same shop.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cardapi.ids import home
from firmware_sim.tear import Tear
from tests.media.counter import Counter
from tests.postgres.till import ServerTill

PARTITIONS = 4


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop", PARTITIONS)
    yield till
    till.sound()
    till.end()


def test_a_torn_tap_is_ended_by_another_process(till: ServerTill) -> None:
    counter = Counter(till)
    homes = set()
    for n in range(40):
        card = counter.desfire(100_00, uid=b"\x04" + n.to_bytes(6)) if n % 2 else counter.purse(100_00, serial=n + 1)
        place = home(counter.number, PARTITIONS)
        if (place, n % 2) in homes:
            continue
        homes.add((place, n % 2))
        assert counter.tap(card, "load", 30_00).outcome == "done"
        assert counter.tap(card, "pay", 5_00).outcome == "done"
        card.tears = [Tear.parse("C7:answer:0" if n % 2 else "54:answer:0")]
        assert counter.tap(card, "pay", 7_00).outcome == "in_flight"
        card.tears = []
        counter.restart(till.beside())
        settled = counter.tap(card, "show")
        assert (settled.outcome, settled.happened, settled.chip_fen) == ("settled", True, 18_00)
        assert counter.chip(card) == 18_00
        assert counter.money() == (70_00, 18_00, 0)
        counter.restart()
        if len(homes) == 2 * PARTITIONS:
            return
    raise AssertionError(f"cards were of {homes} only")
