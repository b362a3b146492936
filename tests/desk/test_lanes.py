"""Whichever doorway a request comes in by, the lane of its partition does it: two lanes of one partition only take it from each other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cardapi.desk import Lanes, Parts
from cardapi.desk.route import hint
from cardapi.desk.writer import _Item
from cardapi.store import sqlite
from cardcore.settlement import TopUp
from tests.desk.till import Till

PARTITIONS = 8
CARDS = [f"62000000000{number:05}" for number in range(40)]


@pytest.mark.parametrize("doorway", ["hand_in", "execute", "execute_many", "call"])
def test_a_request_goes_to_the_lane_of_its_partition(till: Till, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doorway: str) -> None:
    sqlite.create(tmp_path / "cardcore.db", PARTITIONS)
    stores = [sqlite.SqliteStore(tmp_path / "cardcore.db") for _ in range(3)]
    desk = Lanes(stores, Parts(till.shop.custody, till.shop.registry, till.clock))
    desk._sides.load()
    for lane in desk._lanes:
        lane._writing.acquire()  # somebody else writes: whoever calls has to queue
    seen: list[tuple[int, str]] = []
    for number, lane in enumerate(desk._lanes):

        def put(item: _Item, number: int = number) -> None:
            seen.extend((number, request.card) for request in item.requests)
            item.taker.set_result([])

        monkeypatch.setattr(lane, "_put", put)
    requests = [till.request("topup", card=card, command=TopUp(1)) for card in CARDS]

    async def come_in() -> None:
        for request in requests:
            if doorway == "hand_in":
                desk.hand_in(request, asyncio.get_running_loop().create_future())
            elif doorway == "execute":
                with pytest.raises(IndexError):  # no answer
                    await desk.execute(request)
            elif doorway == "execute_many":
                await desk.execute_many([request])
            else:
                with pytest.raises(IndexError):
                    desk.call(request)

    asyncio.run(come_in())
    assert seen == [(hint(request, PARTITIONS) % 3, request.card) for request in requests]
    assert {lane for lane, _ in seen} == {0, 1, 2}
    for store in stores:
        store.close()
