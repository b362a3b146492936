"""Off-line clearing over HTTP: what a station may send, what it is told, and what a hostile body gets.

Method: signed calls of the shop of this suite; keys of the card simulator are not there, so records end as cases, which is enough here.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any

from cardapi.clearing.board import KEEP_S
from cardapi.desk import Request
from cardapi.media.purse_chip import terminal_id
from cardapi.pcsc.blocked import BlockedCards
from cardcore.clearing import Header, PurseRecord, Seal
from cardcore.clearing.layout import encode_all
from tests.shops import length

SAM = bytes.fromhex("0a0b0c0d0e0f")
HEADER = Header(SAM, 3, 0, bytes.fromhex("20261122080000"))


def record(number: int, fen: int = 1_00) -> PurseRecord:
    return PurseRecord(fen, 6, SAM, number, bytes.fromhex("20261122101112"), bytes(4), bytes(8), bytes(10), 0, 500)


def body(*numbers: int, seal: Seal | None = None) -> dict[str, Any]:
    return {"batch": b64encode(encode_all(HEADER, [record(n) for n in numbers]) + (seal.encode() if seal else b"")).decode()}


def test_a_batch_its_status_and_its_cases(chain: Any, till: Any) -> None:
    chain.made(chain.admin.post("/v1/sams", {"sam": SAM.hex(), "terminal": "till-1"}))
    first = till.post("/v1/clearing", body(1, 2, 2), "piece-1")
    assert first.status == 200
    told = first.json
    assert (told["received"], told["repeated"], told["outcomes"]) == (3, 1, {"unknown_card": 2})
    assert till.post("/v1/clearing", body(1, 2, 2), "piece-1").body == first.body
    assert till.post("/v1/clearing", body(9), "piece-1").code == "key_reused"
    again = till.post("/v1/clearing", body(2, 1, 3, seal=Seal(3, 3_00, bytes(32)))).json
    assert (again["received"], again["repeated"], again["outcomes"]) == (3, 2, {"unknown_card": 1})
    name = f"{SAM.hex()}-3"
    status = till.get(f"/v1/clearing/{name}").json
    assert (status["received"], status["cases"], status["sealed"], status["sealed_fen"]) == (3, 3, 3, 3_00)
    assert till.get("/v1/clearing/none").status == 404
    cases = chain.admin.get("/v1/cases?limit=2&reason=unknown_card").json
    assert len(cases["cases"]) == 2
    rest = chain.admin.get(f"/v1/cases?reason=unknown_card&cursor={cases['next_cursor']}").json
    ids = {row["case"] for row in (*cases["cases"], *rest["cases"])}
    assert len(ids) >= 3
    assert chain.admin.get("/v1/cases?about=nothing").code == "query_malformed"
    assert chain.admin.get("/v1/cases?about=sequences").status == 200


def test_octets_that_are_no_batch_are_refused_whole(chain: Any, till: Any) -> None:
    position = length(chain.shop)
    whole = encode_all(HEADER, [record(1)])
    for octets in (b"x", whole[:-1], whole[1:], whole[:-1] + bytes([whole[-1] ^ 1]), whole + whole[:72]):
        reply = till.post("/v1/clearing", {"batch": b64encode(octets).decode()})
        assert (reply.status, reply.code) == (422, "invalid_batch"), octets
    assert till.post("/v1/clearing", {"batch": "not base64!"}).status == 422
    assert till.post("/v1/clearing", {"batch": ""}).status == 422
    assert length(chain.shop) == position


def test_a_suspended_terminal_is_told_so_until_it_is_released(chain: Any, till: Any) -> None:
    document = {"id": "till-1", "day": 0, "bad": 10, "state": "suspended"}
    request = Request("change", "system", "suspend", bytes(16), payload={"kind": "suspension", "id": "till-1", "document": document})
    chain.loop.run_until_complete(chain.shop.desk.execute(request))
    reply = till.post("/v1/clearing", body(50))
    assert (reply.status, reply.code) == (403, "terminal_suspended")
    chain.made(chain.admin.post("/v1/terminals/till-1/release", {"reason": "looked at"}))
    assert till.post("/v1/clearing", body(50)).status == 200


def test_what_a_terminal_number_stood_for_cannot_be_changed(chain: Any) -> None:
    number = "0a0b0c0d0e10"
    made = chain.made(chain.admin.post("/v1/sams", {"sam": number, "terminal": "till-1", "valid_from": 100}, "sam-1"))
    assert chain.admin.post("/v1/sams", {"sam": number, "terminal": "till-1", "valid_from": 100}, "sam-1").json == made
    late = chain.admin.post("/v1/sams", {"sam": number, "terminal": "till-2", "valid_from": 100})
    assert (late.status, late.code) == (422, "invalid_document")
    moved = chain.made(chain.admin.post("/v1/sams", {"sam": number, "terminal": "till-2", "valid_from": 200}))
    assert [(row["valid_from"], row["unit"]) for row in moved["periods"]] == [(100, "store-1"), (200, "store-2")]
    assert number in {row["sam"] for row in chain.admin.get("/v1/sams?limit=200").json["sams"]}


def test_terminal_ids_of_on_line_sessions_are_no_modules(chain: Any) -> None:
    """Else the TAC of a payment that was posted on-line could be uploaded once more as an off-line purchase (K2, C1)."""
    number = terminal_id("terminal:till-1").hex()
    refused = chain.admin.post("/v1/sams", {"sam": number, "terminal": "till-1"})
    assert (refused.status, refused.code) == (422, "invalid_document")


def test_a_person_suspends_no_till_of_others_by_wrong_macs(chain: Any) -> None:
    number = bytes.fromhex("0a0b0c0d0e20")
    chain.made(chain.admin.post("/v1/sams", {"sam": number.hex(), "terminal": "till-2"}))
    octets = encode_all(Header(number, 1, 0, HEADER.opened), [replace(record(1), terminal=number)])
    batch = {"batch": b64encode(octets).decode()}
    manager = chain.person("manager", "store-1")
    other = manager.post("/v1/clearing", batch)
    assert (other.status, other.code) == (404, "not_found")
    assert chain.admin.get(f"/v1/clearing/{number.hex()}-1").status == 404, "nothing of it was posted"
    assert chain.person("manager", "store-2").post("/v1/clearing", batch).status == 200
    assert chain.tills["store-1"].post("/v1/clearing", batch).status == 200, "a till may carry for others, and is blamed itself"


def test_a_till_fetches_the_blocked_cards_by_pages_and_then_what_changed(chain: Any, till: Any) -> None:
    """With the till's own copy of the list at the other end, which believes nothing that its key does not prove."""

    def ask(query: dict[str, Any]) -> Any:
        given = {**query, "limit": 2}
        reply = till.get("/v1/blocked-cards?" + "&".join(f"{name}={value}" for name, value in given.items() if value != ""))
        assert reply.status == 200, reply.body
        return reply.json

    def fetch(known: BlockedCards | None = None) -> BlockedCards:
        chain.clock.shift_us += KEEP_S * 1_000_000
        return BlockedCards.fetch(ask, "till-1", till.secret, known)

    cards = []
    for n in range(5):
        number = chain.card()
        medium = f"desfire:06b10c0000{n:04x}"
        chain.made(chain.admin.post(f"/v1/cards/{number}/media", {"medium": medium, "profile": "desfire-ev2", "keys": [[1, 0, 0]]}))
        cards.append((number, medium))
    for number, _ in cards[:3]:
        chain.made(till.post(f"/v1/cards/{number}/lost", {"reason": "left on the bus"}))
    chain.made(chain.admin.post("/v1/media/block", {"medium": cards[3][1], "reason": "test"}))
    shift = chain.clock.shift_us
    try:
        first = fetch()
        states = {row.medium: row.state for row in first.rows}
        assert [states.get(medium) for _, medium in cards] == ["lost", "lost", "lost", "blocked", None]
        chain.made(chain.admin.post(f"/v1/cards/{cards[0][0]}/unfreeze", {"reason": "found"}))
        chain.made(chain.admin.post(f"/v1/cards/{cards[4][0]}/cancel", {"reason": "holder left"}))
        later = fetch(first)
        assert later.version > first.version
        states = {row.medium: row.state for row in later.rows}
        assert [states.get(medium) for _, medium in cards] == [None, "lost", "lost", "blocked", "cancelled"]
        changed = ask({"since": first.version})
        assert (changed["since"], len(changed["cards"])) == (first.version, 2)
        assert ask({"since": 5})["since"] == 0, "what changed since then is not known: the whole list"
        page = ask({})["next_cursor"]
        for _ in range(5):
            fetch()
        gone = till.get(f"/v1/blocked-cards?cursor={page}")
        assert (gone.status, gone.code) == (400, "cursor_malformed")
        for wrong in ("since=x", "since=-1", "limit=0", "limit=5001"):
            assert till.get(f"/v1/blocked-cards?{wrong}").code == "query_malformed"
        for wrong in ("bm9uZQ", "MXwwfA", "x"):
            assert till.get(f"/v1/blocked-cards?cursor={wrong}").code == "cursor_malformed"
    finally:
        chain.clock.shift_us = shift
