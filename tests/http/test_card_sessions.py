"""Goal: a card session works through the served API as it does in process, and belongs to whoever opened it (R1, R4).

Method: a simulated DESFire card and a signed till; what the desk and the card do is tested in `tests/media`.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from cardapi.keys.known import demo_keys
from cardapi.media.sessions import CardSessions
from cardapi.media.tap import Room
from firmware_sim import build
from firmware_sim.card import Card
from firmware_sim.desfire import ready
from tests.http.client import Reply, Who
from tests.http.conftest import Chain

UIDS = iter(range(1, 1_000))


@pytest.fixture
def service(chain: Chain) -> Any:
    """The service, with the simulator's keys."""
    rng, shop = random.Random(5), chain.shop
    room = Room(shop.desk, shop.registry, demo_keys(), lambda: chain.clock(), rng.randbytes, ready.SYSTEM)
    chain.app.service.taps._sessions = CardSessions(room)
    yield chain.app.service
    chain.app.service.taps._sessions = None


def chip(chain: Chain) -> tuple[Card, str, str]:
    """A card of the simulator on a card with money."""
    uid = (0x05 << 48 | next(UIDS)).to_bytes(7)
    number, medium = chain.card(paid_fen=100_000), f"desfire:{uid.hex()}"
    body = {"medium": medium, "profile": "desfire-ev2", "keys": [[1, 0, 0]]}
    chain.made(chain.admin.post(f"/v1/cards/{number}/media", body))
    card = build.desfire_purse_card(uid=uid)
    card.reset()
    return card, number, medium


def carry(who: Who, card: Card, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    """A whole session; its result."""
    step = who.post("/v1/card-sessions", body, key)
    while step.status == 200 and step.json["result"] is None:
        answers = [card.transmit(bytes.fromhex(command)).hex() for command in step.json["commands"]]
        path = f"/v1/card-sessions/{step.json['session']}/step"
        step = who.post(path, {"step": step.json["step"], "answers": answers}, "")
    assert step.status == 200, step.body
    result: dict[str, Any] = step.json["result"]
    return result


def test_load_pay_and_look(chain: Chain, service: Any) -> None:
    card, number, medium = chip(chain)
    till = chain.tills["store-1"]
    loaded = carry(till, card, {"purpose": "load", "amount_fen": 60_000})
    assert loaded["code"] == ""
    assert (loaded["outcome"], loaded["card"], loaded["medium"], loaded["chip_fen"]) == ("done", number, medium, 60_000)
    paid = carry(till, card, {"purpose": "pay", "amount_fen": 1_250})
    assert (paid["outcome"], paid["chip_fen"]) == ("done", 58_750)
    ticket = till.get(f"/v1/tickets/{paid['end_ticket_id']}").json
    assert (ticket["verb"], ticket["net_fen"]) == ("arrive", 1_250)
    (shown,) = till.get(f"/v1/cards/{number}/media").json["media"]
    assert (shown["chip_fen"], shown["offline_counter"], shown["in_flight"], shown["state"]) == (58_750, 2, "", "active")
    assert chain.made(till.get(f"/v1/cards/{number}"))["balance_fen"] < 100_000, "the chip's money is not the account's"


@pytest.mark.parametrize(
    ("medium", "profile"),
    [("desfire:05ffffffffffff", "ev2"), ("desfire:05ffffffffffff", "pboc2-3des"), ("desfire:05ffffffffffff", ""), ("uid:01", "fm1208")],
)
def test_no_medium_is_registered_as_a_make_it_cannot_be(chain: Chain, service: Any, medium: str, profile: str) -> None:
    number = chain.card()
    refused = chain.admin.post(f"/v1/cards/{number}/media", {"medium": medium, "profile": profile})
    assert (refused.status, refused.code) == (422, "unknown_profile")
    assert chain.admin.get(f"/v1/cards/{number}/media").json["media"] == []
    chain.made(chain.admin.post(f"/v1/cards/{number}/media", {"medium": f"uid:{number}"}))


def test_a_session_is_its_openers(chain: Chain, service: Any) -> None:
    till, other = chain.tills["store-1"], chain.tills["store-2"]
    opened = till.post("/v1/card-sessions", {"purpose": "show"}, "mine").json
    path = f"/v1/card-sessions/{opened['session']}"
    replies: list[Reply] = [
        other.post(f"{path}/step", {"step": 0, "answers": ["9000"]}, ""), other.post(f"{path}/close", b"", ""),
        till.post(f"/v1/card-sessions/{'00' * 16}/step", {"step": 0, "answers": ["9000"]}, ""),
    ]  # fmt: skip
    assert {(reply.status, reply.code) for reply in replies} == {(404, "unknown_session")}
    assert till.post("/v1/card-sessions", {"purpose": "show"}, "mine").json == opened
    assert till.post("/v1/card-sessions", {"purpose": "recover"}, "mine").code == "key_reused"
    assert till.post(f"{path}/step", {"step": 5, "answers": ["9000"]}, "").code == "step_out_of_order"
    assert till.post(f"{path}/close", b"", "").json["result"]["outcome"] == "torn"


@pytest.mark.parametrize(
    "body",
    [
        {}, {"purpose": "steal"}, {"purpose": "load"}, {"purpose": "load", "amount_fen": -1}, {"purpose": "load", "amount_fen": 1.5},
        {"purpose": "pay", "amount_fen": 1, "records": [{"number": 300, "data": "00"}]}, {"purpose": "show", "pin": "12"},
        {"purpose": "pay", "amount_fen": 1, "records": [{"number": 1, "data": "0"}]}, {"purpose": "show", "more": 1},
    ],
)  # fmt: skip
def test_a_malformed_opening_begins_nothing(chain: Chain, service: Any, body: dict[str, Any]) -> None:
    before = len(service.taps._sessions)
    reply = chain.tills["store-1"].post("/v1/card-sessions", body)
    assert 400 <= reply.status < 500
    assert len(service.taps._sessions) == before
    for answers in ([], ["9"], ["00" * 300], ["9000"] * 9, "9000", [1]):
        reply = chain.tills["store-1"].post("/v1/card-sessions/x/step", {"step": 0, "answers": answers}, "")
        assert 400 <= reply.status < 500


def test_what_is_in_flight_is_listed_by_pages_within_reach(chain: Chain, service: Any) -> None:
    till, tickets = chain.tills["store-2"], []
    for _ in range(3):
        card, number, medium = chip(chain)

        class Torn:
            def transmit(self, command: bytes, card: Card = card) -> bytes:
                return b"" if command[1] == 0xC7 else card.transmit(command)

        result = carry(till, Torn(), {"purpose": "load", "amount_fen": 700})  # type: ignore[arg-type]
        assert result["outcome"] == "in_flight"
        tickets.append((result["ticket_id"], number, medium))
    listed: list[dict[str, Any]] = []
    manager, cursor = chain.person("manager", "store-2"), ""
    for _ in range(20):
        page = manager.get(f"/v1/in-flight?limit=2{f'&cursor={cursor}' if cursor else ''}").json
        assert len(page["items"]) <= 1 + len(chain.shop.desk.heads), "more than two only where entries of one position stand side by side"
        listed += page["items"]
        cursor = page["next_cursor"]
        if not cursor:
            break
    oldest_first = sorted(tickets, key=lambda ticket: ticket[0].split("-")[::-1])  # by position, then partition
    assert [(item["ticket_id"], item["card"], item["medium"]) for item in listed] == oldest_first
    assert {(item["verb"], item["amount_fen"], item["unit"]) for item in listed} == {("load", 700, "store-2")}
    assert not [item for item in chain.tills["store-3"].get("/v1/in-flight").json["items"] if item["unit"] == "store-2"]
    # The card was not taken away: it is still in the session that was torn.
    assert carry(chain.tills["store-1"], card, {"purpose": "recover"})["happened"] is False
    assert len(manager.get("/v1/in-flight").json["items"]) == 2


def test_two_people_open_a_batch_and_every_serial_is_counted(chain: Chain, service: Any) -> None:
    maker, checker = chain.person("manager", "store-1"), chain.person("hq", "issuer")
    body = {"id": "autumn", "unit": "store-1", "programme": "mall-vip", "profile": "desfire-ev2", "count": 3, "first_serial": 900_001}
    asked = chain.made2(maker.post("/v1/batches", body))
    assert maker.post(f"/v1/approvals/{asked['approval_id']}/approve", {}).code == "maker_is_checker"
    assert chain.tills["store-1"].get("/v1/batches/autumn").status in (403, 404)
    opened = chain.made(checker.post(f"/v1/approvals/{asked['approval_id']}/approve", {}))
    assert (opened["state"], opened["left"], opened["maker"], opened["approver"]) == ("open", 3, "manager-store-1", "hq-issuer")
    assert maker.post("/v1/batches", body).code == "exists"
    assert maker.post("/v1/batches", body | {"id": "winter", "first_serial": 900_003}).code == "bad_value"
    till = chain.tills["store-1"]
    card = build.desfire_card(uid=bytes.fromhex("06000000000001"))
    card.reset()
    made = carry(till, card, {"purpose": "personalise", "batch": "autumn"})
    assert (made["outcome"], made["medium"]) == ("done", "desfire:06000000000001")
    half = build.desfire_card(uid=bytes.fromhex("06000000000002"))
    half.reset()

    class Torn:
        def transmit(self, command: bytes) -> bytes:
            return b"" if command[1] == 0xC4 else half.transmit(command)

    assert carry(till, Torn(), {"purpose": "personalise", "batch": "autumn"})["outcome"] == "torn"  # type: ignore[arg-type]
    counted = maker.get("/v1/batches/autumn").json
    assert (counted["issued"], counted["begun"], counted["spoiled"], counted["left"]) == (1, 1, 0, 1)
    wrong = {"medium": "desfire:06000000000001", "reason": "test"}
    assert maker.post("/v1/batches/autumn/spoil", wrong).code == "state_not_allowed"
    right = {"medium": "desfire:06000000000002", "reason": "chip dead"}
    assert maker.post("/v1/batches/autumn/spoil", right, "spoil-1").status == 200
    assert maker.post("/v1/batches/autumn/spoil", right, "spoil-1").status == 200
    closed = maker.post("/v1/batches/autumn/close", {"reason": "done"}).json
    assert (closed["state"], closed["issued"], closed["begun"], closed["spoiled"], closed["left"]) == ("closed", 1, 0, 1, 1)
    assert carry(till, half, {"purpose": "personalise", "batch": "autumn"})["code"] == "batch_closed"
    assert carry(chain.tills["store-2"], half, {"purpose": "personalise", "batch": "autumn"})["code"] == "unknown_batch"


def test_one_serial_makes_no_two_cards_with_the_same_keys(chain: Chain, service: Any) -> None:
    """A TAC covers no issuer number: where keys come from the serial alone, a record could be written over to the other card (K3)."""
    maker, checker = chain.person("manager", "store-1"), chain.person("hq", "issuer")
    body = {"id": "one", "unit": "store-1", "programme": "mall-vip", "profile": "pboc2-3des", "purse": 2, "first_serial": 800_001}
    asked = chain.made2(maker.post("/v1/batches", body | {"issuer": "1000000010000000"}))
    chain.made(checker.post(f"/v1/approvals/{asked['approval_id']}/approve", {}))
    other = body | {"id": "two", "issuer": "2000000020000000"}
    assert maker.post("/v1/batches", other).code == "bad_value"
    assert maker.post("/v1/batches", other | {"first_serial": 800_002}).status == 202
    assert maker.post("/v1/batches", other | {"profile": "fm1208"}).status == 202, "its keys are made from the issuer's number too"
