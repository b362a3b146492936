"""Goal: what one process was asked for a second person approves at another one at once (R3).

Method: two applications in this process on one database; the thread that follows the registry sleeps.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cardapi.http.app import build_app
from cardapi.people import follow
from tests.http.client import Client, Person
from tests.postgres.till import ServerTill
from tests.shops import PASSWORD


def test_asked_here_and_approved_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "INTERVAL_S", 3_600)
    monkeypatch.setattr(follow, "AT_MOST_EVERY_S", 0.2)
    loop = asyncio.new_event_loop()
    till = ServerTill(tmp_path / "shop", 2)
    try:
        apps = [build_app(shop, quick_passwords=True) for shop in (till.shop, till.beside())]
        here, there = (Client(app, loop) for app in apps)

        def login(at: Client, operator: str, password: str) -> Person:
            reply = at.call("POST", "/v1/login", {"operator": operator, "password": password})
            assert reply.status == 200, reply.body
            return Person(at, reply.json["token"])

        admin = login(here, "admin", PASSWORD)
        second = {"id": "second", "name": "second", "password": PASSWORD, "role": "admin", "unit": "issuer"}
        assert admin.post("/v1/operators", second).status == 201
        assert loop.run_until_complete(apps[1].service.catch_up())  # who may log in there
        approver = login(there, "second", PASSWORD)
        for _ in range(2):
            follower = apps[1].service.shop.follower
            assert follower is not None
            card = till.card()
            follower.poll()  # what is asked for next is not seen by this look, however lately it was
            wish = {"card": card, "purse": "principal", "amount": 100, "reason": "of a test"}
            asked = admin.post("/v1/adjust", wish)
            assert asked.status == 202, asked.body
            done = approver.post(f"/v1/approvals/{asked.json['approval_id']}/approve", {})
            assert done.status == 200, done.body
        assert approver.post("/v1/approvals/0123456789abcdef/approve", {}).code == "not_found"

        looks = []
        monkeypatch.setattr(follow, "catch_up", lambda *_: looks.append(1))

        async def many() -> list[bool]:
            return await asyncio.gather(*(apps[1].service.catch_up() for _ in range(20)))

        assert loop.run_until_complete(many()) == [True] * 20
        assert len(looks) == 1, "made-up names are looked for one by one"
    finally:
        till.end()
        loop.close()
