"""Goal: every money verb works over HTTP and keeps O1-O6. Method: short stories of one card, checked against sums done by hand."""

from __future__ import annotations

import asyncio
import json

import pytest

from cardapi.ids import home
from tests.http.client import Till
from tests.http.conftest import Chain
from tests.settlement.cards import SCHEMES
from tests.shops import length

LINES = [{"amount_fen": 10_000}]  # mall-vip gold pays 88/100


def settle(who: Till, card: str, key: str | None = None, **more: object):
    return who.post("/v1/settle", {"card": card, "lines": LINES, **more}, key)


def balance(chain: Chain, card: str) -> int:
    return int(chain.admin.get(f"/v1/cards/{card}").json["balance_fen"])


def test_a_settle_answers_with_everything_a_till_needs(chain: Chain, till: Till, card: str) -> None:
    before = balance(chain, card)
    reply = settle(till, card, "till-key-1", explain=True)
    ticket = reply.json
    assert reply.status == 200
    assert ticket["net_fen"] == 8_800
    assert ticket["gross_fen"] - ticket["discount_fen"] == 8_800
    tenders = sum(ticket[f"{name}_fen"] for name in ("principal", "bonus", "points", "further", "outside"))
    assert tenders == ticket["net_fen"]
    assert ticket["balance_fen"] == before - 8_800 == balance(chain, card)
    assert ticket["client_key"] == "till-key-1"
    assert ticket["outcome"] == "applied"
    partition = home(card, len(chain.shop.desk.heads))
    assert ticket["ticket_id"] == f"{partition:02x}-{ticket['journal_position']:012x}"
    assert ticket["at"].endswith("+00:00")
    assert ticket["lines"] == [
        {"amount_fen": 10_000, "quantity": 1, "discount_fen": 1_200, "coupon_fen": 0, "covered_fen": 0, "net_fen": 8_800}
    ]
    assert any(card[-4:] in line for line in ticket["receipt"])
    assert ticket["explanation"]


def test_the_same_key_and_meaning_is_the_same_answer(chain: Chain, till: Till, card: str) -> None:
    first = settle(till, card, "same-1")
    # Other bytes, same meaning: order, blanks, defaults spelled out (O2).
    body = json.dumps({"points": 0, "lines": [{"quantity": 1, "amount_fen": 10_000}], "card": card}, indent=3).encode()
    again = till.post("/v1/settle", body, "same-1")
    assert again.body == first.body
    assert balance(chain, card) == first.json["balance_fen"]


def test_the_same_key_with_another_meaning_is_refused(chain: Chain, till: Till, card: str) -> None:
    first = settle(till, card, "other-1")
    reply = till.post("/v1/settle", {"card": card, "lines": [{"amount_fen": 10_001}]}, "other-1")
    assert (reply.status, reply.code) == (422, "key_reused")
    reply = till.post("/v1/hold", {"card": card, "lines": LINES}, "other-1")
    assert (reply.status, reply.code) == (422, "key_reused")
    assert balance(chain, card) == first.json["balance_fen"]


def test_the_same_key_of_another_terminal_is_another_key(chain: Chain, till: Till, card: str) -> None:
    first = settle(till, card, "mine-1")
    second = settle(chain.tills["store-2"], card, "mine-1")
    assert second.status == 200
    assert second.json["ticket_id"] != first.json["ticket_id"]


def test_parallel_copies_have_one_effect(chain: Chain, till: Till, card: str) -> None:
    before = balance(chain, card)
    body = json.dumps({"card": card, "lines": LINES}).encode()

    async def all_at_once():
        calls = [
            chain.client.acall(
                "POST", "/v1/settle", body, {**till.headers("POST", "/v1/settle", body, "par-1"), "Idempotency-Key": "par-1"}
            )
            for _ in range(32)
        ]
        return await asyncio.gather(*calls)

    replies = chain.loop.run_until_complete(all_at_once())
    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1
    assert balance(chain, card) == before - 8_800


def test_a_refusal_is_kept_under_its_key(chain: Chain, till: Till) -> None:
    poor = chain.card()
    first = settle(till, poor, "poor-1")
    assert (first.status, first.code) == (409, "insufficient_funds")
    assert first.json["shortfall_fen"] == 8_800
    assert first.json["outcome"] == "refused"
    chain.made(till.post("/v1/topup", {"card": poor, "paid_fen": 100_000}))
    assert settle(till, poor, "poor-1").body == first.body
    shown = till.get("/v1/tickets?client_key=poor-1")
    assert shown.status == 200
    assert shown.json["code"] == "insufficient_funds"


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "caf\u00e9"])
def test_bad_keys_are_told_apart(chain: Chain, card: str, key: str) -> None:
    body = {"card": card, "lines": LINES}
    headers = {"Authorization": f"Bearer {chain.admin.token}"}
    if key:
        headers["Idempotency-Key"] = key
    reply = chain.client.call("POST", "/v1/settle", body, headers)
    assert (reply.status, reply.code) == (400, "key_malformed" if key else "key_required")


def test_a_key_of_255_characters_is_fine(chain: Chain, till: Till, card: str) -> None:
    key = "~" + " " * 253 + "!"
    assert settle(till, card, key).json["client_key"] == key


def test_a_lost_answer_is_found_by_its_key(chain: Chain, till: Till, card: str) -> None:
    ticket = settle(till, card, "lost/1 #?&").json
    found = till.get("/v1/tickets?client_key=lost%2F1%20%23%3F%26").json
    assert {key: found[key] for key in ticket if key != "lines"} == {key: ticket[key] for key in ticket if key != "lines"}
    assert till.get(f"/v1/tickets/{ticket['ticket_id']}").json == found
    assert till.get("/v1/tickets?client_key=never-seen").code == "unknown_ticket"


def test_hold_capture_and_release(chain: Chain, till: Till, card: str) -> None:
    before = balance(chain, card)
    held = till.post("/v1/hold", {"card": card, "lines": LINES, "hold_seconds": 3_600}).json
    view = chain.admin.get(f"/v1/cards/{card}").json
    assert (view["balance_fen"], view["held_fen"]) == (before - 8_800, 8_800)
    caught = till.post("/v1/capture", {"ticket_id": held["ticket_id"], "amount_fen": 5_000})
    assert caught.status == 200, caught.body
    assert caught.json["net_fen"] == 5_000
    assert balance(chain, card) == before - 5_000
    again = till.post("/v1/capture", {"ticket_id": held["ticket_id"]})
    assert (again.status, again.code) == (409, "hold_not_open")


def test_refunds_never_exceed_the_ticket(chain: Chain, till: Till, card: str) -> None:
    ticket = settle(till, card).json
    part = till.post("/v1/refund", {"ticket_id": ticket["ticket_id"], "amount_fen": 3_000, "reason": "one of three"})
    assert part.json["net_fen"] == 3_000
    more = till.post("/v1/refund", {"ticket_id": ticket["ticket_id"], "amount_fen": 5_801, "reason": "too much"})
    assert (more.status, more.code) == (409, "over_refund")
    rest = till.post("/v1/refund", {"ticket_id": ticket["ticket_id"], "reason": "the rest"})
    assert rest.json["net_fen"] == 5_800
    assert till.post("/v1/void", {"ticket_id": ticket["ticket_id"]}).status == 409


def test_void_by_client_key_also_before_the_request_arrives(chain: Chain, till: Till, card: str) -> None:
    before = balance(chain, card)
    settle(till, card, "void-me")
    assert till.post("/v1/void", {"client_key": "void-me"}).json["net_fen"] == 8_800
    assert balance(chain, card) == before
    early = till.post("/v1/void", {"client_key": "not-yet"})
    assert early.status == 200, early.body
    late = settle(till, card, "not-yet")
    assert (late.status, late.code) == (409, "key_voided")
    assert balance(chain, card) == before


def test_a_ticket_is_named_one_way(chain: Chain, till: Till, card: str) -> None:
    ticket = settle(till, card, "named").json
    both = till.post("/v1/void", {"ticket_id": ticket["ticket_id"], "client_key": "named"})
    assert (both.status, both.code) == (422, "bad_value")
    assert till.post("/v1/void", {}).code == "bad_value"
    assert till.post("/v1/void", {"ticket_id": "00-ffffffffffff"}).code == "unknown_ticket"


def test_reverse_takes_a_top_up_back_or_says_it_is_spent(chain: Chain, till: Till) -> None:
    number = chain.card()
    bought = till.post("/v1/topup", {"card": number, "paid_fen": 100_000}).json
    undone = chain.admin.post("/v1/reverse", {"ticket_id": bought["ticket_id"], "reason": "wrong card"})
    assert undone.status == 200, undone.body
    assert balance(chain, number) == 0
    bought = till.post("/v1/topup", {"card": number, "paid_fen": 100_000}).json
    settle(till, number)
    spent = chain.admin.post("/v1/reverse", {"ticket_id": bought["ticket_id"], "reason": "wrong card"})
    assert (spent.status, spent.code) == (409, "value_spent")


def test_points_move_where_the_programme_allows_it(chain: Chain, till: Till, card: str) -> None:
    """R10: by `points` in place of `amount_fen`; the mall's card allows money only."""
    pack = (SCHEMES / "alliance.toml").read_text(encoding="utf-8")
    chain.made(chain.admin.post("/v1/schemes", {"pack": pack}))
    one, two = chain.card(programme="alliance"), chain.card(programme="alliance")
    settle(till, one, shortfall_tender="cash")
    moved = till.post("/v1/transfer", {"card": one, "to_card": two, "points": 60}).json
    assert (moved["points_used"], moved["net_fen"], moved["points"]) == (60, 0, 40)
    assert chain.admin.get(f"/v1/cards/{two}").json["points"] == 60
    other = chain.card()
    for body, status, code in (
        ({"card": one, "to_card": two, "points": 41}, 409, "insufficient_points"),
        ({"card": one, "to_card": two, "amount_fen": 1}, 409, "transfer_not_allowed"),
        ({"card": card, "to_card": other, "points": 1}, 409, "transfer_not_allowed"),
        ({"card": one, "to_card": two, "points": 0}, 422, "amount_out_of_range"),
        ({"card": one, "to_card": two}, 422, "bad_value"),
        ({"card": one, "to_card": two, "points": 1, "amount_fen": 1}, 422, "bad_value"),
    ):
        reply = till.post("/v1/transfer", body)
        assert (reply.status, reply.code) == (status, code), body
    back = chain.admin.post("/v1/reverse", {"ticket_id": moved["ticket_id"], "reason": "wrong card"})
    assert back.status == 200, back.body
    assert chain.admin.get(f"/v1/cards/{one}").json["points"] == 100


def test_a_quote_changes_nothing(chain: Chain, till: Till, card: str) -> None:
    before = balance(chain, card)
    head = length(chain.shop)
    quoted = till.request("POST", "/v1/quote", {"card": card, "lines": LINES, "explain": True}, "")
    assert quoted.status == 200, quoted.body
    assert (quoted.json["net_fen"], quoted.json["outcome"]) == (8_800, "quoted")
    assert quoted.json["explanation"]
    assert balance(chain, card) == before
    assert length(chain.shop) == head


def test_a_shortfall_needs_a_tender(chain: Chain, till: Till) -> None:
    number = chain.card()
    paid = till.post("/v1/settle", {"card": number, "lines": LINES, "shortfall_tender": "cash"}).json
    assert (paid["outside_fen"], paid["outside_tender"]) == (8_800, "cash")
    bounded = till.post("/v1/settle", {"card": number, "lines": LINES, "shortfall_tender": "cash", "shortfall_max_fen": 8_799})
    assert bounded.status == 409


def test_unknown_cards_answer_alike(chain: Chain, till: Till) -> None:
    for number in ("62000000", "6" * 32, "6200000000000000"):
        reply = settle(till, number)
        assert (reply.status, reply.code) == (404, "unknown_card")


def test_a_batch_is_many_settles(chain: Chain, till: Till, card: str) -> None:
    before = balance(chain, card)
    poor = chain.card()
    single = settle(till, card, "b-1")
    tickets = [
        {"client_key": "b-1", "card": card, "lines": LINES},  # done before: same answer
        {"client_key": "b-2", "card": card, "lines": LINES},
        {"client_key": "b-2", "card": card, "lines": LINES},  # twice in one batch: one effect
        {"client_key": "b-3", "card": poor, "lines": LINES},
        {"client_key": "b-1", "card": card, "lines": [{"amount_fen": 1}]},  # other meaning
        {"client_key": "b-4", "card": "62000000", "lines": LINES},
    ]
    reply = till.request("POST", "/v1/settle-batch", {"tickets": tickets}, "")
    assert reply.status == 200, reply.body
    results = reply.json["results"]
    assert results[0]["ticket_id"] == single.json["ticket_id"]
    assert results[1] == results[2]
    assert results[1]["net_fen"] == 8_800
    assert [result.get("code", "") for result in results] == ["", "", "", "insufficient_funds", "key_reused", "unknown_card"]
    assert [result["client_key"] for result in results] == [ticket["client_key"] for ticket in tickets]
    assert (reply.json["applied"], reply.json["refused"]) == (3, 3)
    assert balance(chain, card) == before - 2 * 8_800
    assert settle(till, card, "b-2").json["ticket_id"] == results[1]["ticket_id"]  # a batch ticket may be retried alone


def test_the_books_add_up_after_all_this(chain: Chain) -> None:
    trial = chain.admin.get("/v1/trial-balance")
    assert trial.status == 200, trial.body
    assert trial.json["ok"] is True
    page = chain.admin.get("/v1/journal?limit=1000").json
    sums: dict[tuple[str, str], int] = {}
    for line in page["lines"]:
        name = (line["ticket_id"], line["unit"])
        sums[name] = sums.get(name, 0) + line["amount"]
    assert sums
    assert set(sums.values()) == {0}
    verdict = chain.admin.request("POST", "/v1/verify").json
    assert verdict["ok"] is True, verdict


@pytest.mark.parametrize("ticket", ["00-000000000000", "ff-ffffffffffff"])
@pytest.mark.parametrize("verb", ["capture", "void", "refund", "reverse"])
def test_a_ticket_id_that_names_nothing_is_an_unknown_ticket(chain: Chain, verb: str, ticket: str) -> None:
    reason = {} if verb == "capture" else {"reason": "returned"}
    reply = chain.admin.post(f"/v1/{verb}", {"ticket_id": ticket, **reason})
    assert (reply.status, reply.code) == (404, "unknown_ticket")
