"""The races of `tests.desk.test_histories` with two processes' worth of desks on one server, and keys that outlive a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desk.test_histories import one_card, race_and_judge, transfers_in_snapshots
from tests.postgres.till import ServerTill


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop", 4)
    yield till
    till.end()


def test_concurrent_histories_of_two_processes(till: ServerTill) -> None:
    history = race_and_judge(till, [till.shop.desk, till.beside().desk])
    applied = next(one for one in history if one.verb == "settle" and one.told.endswith("applied"))
    till.reopen()
    request = till.request("settle", key=applied.key, meaning=applied.key, card=applied.card)
    entry = till.shop.desk.call(request)
    assert f"{entry.partition}:{entry.position}:{entry.outcome}" == applied.told, "a key is for ever"


def test_one_card_and_many_tills_of_two_processes(till: ServerTill) -> None:
    one_card(till, [till.shop.desk, till.beside().desk])


def test_the_sum_is_constant_while_two_processes_transfer(till: ServerTill) -> None:
    transfers_in_snapshots(till, [till.shop.desk, till.beside().desk])
