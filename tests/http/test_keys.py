"""Goal: a card key is retired while the service runs and counts at once (R5), by administrators only, and no answer holds a key (A6).

Method: the simulator's keys in a served shop; what the key store then says is asked of the store that card sessions use.
"""

from __future__ import annotations

import asyncio

import pytest

from cardapi.app import open_shop
from cardapi.http.app import build_app
from cardapi.keys.errors import KeyNotValid
from cardapi.keys.known import demo_key
from tests.http.conftest import Chain, Clock
from tests.shops import new_shop

NAME = "pboc-load-tdes-1"
PATH = f"/v1/keys/{NAME}/retire"


@pytest.fixture
def keyed(tmp_path):
    """A chain of its own with the simulator's keys."""
    new_shop(tmp_path / "shop")
    loop, clock = asyncio.new_event_loop(), Clock()
    with open_shop(tmp_path / "shop") as shop:
        keeper = shop.create_keys(mode="test", protection="root", by="admin")
        keeper.add_demo_keys(by="admin", at=clock.seconds())
        app = build_app(shop, clock=lambda: clock() - 2_000_000, quick_passwords=True)
        app.service.clock = clock
        app.service.signatures._clock = clock
        yield Chain(shop, app, loop, clock)
    loop.close()


def retired(chain, **body):
    return chain.admin.post(PATH, {"reason": "lost paper", **body})


def test_all_is_told_of_a_key_but_the_key(keyed):
    told = keyed.made(keyed.admin.get("/v1/keys"))
    assert told["mode"] == "test"
    assert len(told["keys"]) == 29
    shown = next(key for key in told["keys"] if key["id"] == NAME)
    assert (shown["state"], shown["test"], shown["valid_to"]) == ("active", True, 0)
    assert shown["check_value"]
    assert demo_key("pboc-load").hex() not in str(told)


def test_retiring_counts_at_once_and_twice_is_once(keyed):
    store, now = keyed.shop.keys, keyed.clock.seconds()
    first = keyed.made(retired(keyed))
    assert (first["state"], first["valid_to"]) == ("retired", 0)
    with pytest.raises(KeyNotValid):
        store.current("pboc-load", now, "tdes")
    assert store.version("pboc-load", 1, now, "tdes")  # cards that have it go on
    generation = keyed.shop.keeper.generation
    assert keyed.made(retired(keyed)) == first
    assert keyed.shop.keeper.generation == generation == keyed.shop.registry.key_file().generation
    ended = keyed.made(retired(keyed, ends_at=now))
    assert ended["valid_to"] == now
    with pytest.raises(KeyNotValid):
        store.version("pboc-load", 1, now, "tdes")
    late = retired(keyed, ends_at=now + 1)
    assert (late.status, late.json["code"]) == (409, "key_state")
    document = dict(keyed.shop.registry.documents("key"))[NAME]
    assert (document["event"], document["by"], document["valid_to"]) == ("retired", "admin", now)


def test_who_may_and_what_is_not_there(keyed):
    body = {"reason": "lost paper"}
    missing = keyed.admin.post("/v1/keys/pboc-load-tdes-9/retire", body)
    assert (missing.status, missing.json["code"]) == (404, "unknown_key")
    assert keyed.tills["store-1"].post(PATH, body).status == 403
    assert keyed.tills["store-1"].get("/v1/keys").status == 403
    assert keyed.admin.post(PATH, {}).status == 422


def test_a_shop_without_card_keys(chain):
    assert chain.made(chain.admin.get("/v1/keys")) == {"mode": "", "keys": []}
    assert chain.admin.post(PATH, {"reason": "none"}).status == 404


def test_a_key_file_that_does_not_open_is_said(keyed):
    path = keyed.shop.directory / "secrets" / "cards.keys"
    path.write_bytes(b"{}")
    del keyed.shop.__dict__["keeper"]
    answer = keyed.admin.get("/v1/keys")
    assert (answer.status, answer.json["code"]) == (503, "keys_unavailable")
