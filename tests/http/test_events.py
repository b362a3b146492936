"""Goal: what people record without a sale is decided by the pack once, what only the system says is refused, and a card's tier can tell
how it came about. Method: the served API, with a pack of check-ins, a jump and a ranking."""

from __future__ import annotations

from tests.http.client import Till
from tests.http.conftest import Chain
from tests.settlement.test_counters import counter
from tests.settlement.test_events import E09
from tests.settlement.test_grants import BASE, TIERS, rule

PACK = BASE.replace('"plan"', '"club"') + TIERS + "".join((
    *E09, counter("spent", "paid", "month"), '[[ranking]]\nname = "best"\ncounter = "spent"\n',
    rule("vip", 'promote = "gold"', 'event = ["vip"]'),
))  # fmt: skip


def club(chain: Chain) -> str:
    if chain.shop.registry.version("club", chain.clock.seconds()) is None:
        chain.made(chain.admin.post("/v1/schemes", {"pack": PACK}))
    return chain.card(programme="club")


def test_a_check_in_is_decided_once_for_its_key(chain: Chain, till: Till) -> None:
    card = club(chain)
    body = {"card": card, "event": "check-in", "explain": True}
    first = till.post("/v1/events", body, "in-1")
    assert first.status == 200, first.body
    assert (first.json["verb"], first.json["points_earned"], first.json["points"]) == ("event", 5, 5)
    assert first.json["explanation"] == ["加赠积分 (check-in): 5 分, 0 分 -> 5 分"]
    assert till.post("/v1/events", body, "in-1").body == first.body
    again = till.post("/v1/events", body, "in-2")
    assert (again.status, again.code) == (409, "nothing_to_do")  # the day's points were given


def test_what_only_the_system_says_is_refused_and_writes_nothing(chain: Chain, till: Till) -> None:
    card = club(chain)
    heads = chain.shop.store.heads()
    for name in ("birthday", "registration", "referral", "month", "year", "best-1", "best-99"):
        reply = till.post("/v1/events", {"card": card, "event": name})
        assert (reply.status, reply.code) == (422, "reserved_event"), name
    assert chain.shop.store.heads() == heads
    reply = till.post("/v1/events", {"card": card, "event": "dance"})
    assert (reply.status, reply.code) == (409, "nothing_to_do")


def test_a_tier_tells_how_it_came_about(chain: Chain, till: Till) -> None:
    card = club(chain)
    assert chain.admin.get(f"/v1/cards/{card}/tiers").json == {"card": card, "moves": [], "next_cursor": ""}
    ticket = till.post("/v1/events", {"card": card, "event": "vip"}).json
    manager = chain.person("manager", "store-1")
    undone = manager.post("/v1/reverse", {"ticket_id": ticket["ticket_id"], "reason": "wrong card"})
    assert undone.status == 200, undone.body
    moves = chain.admin.get(f"/v1/cards/{card}/tiers").json["moves"]
    told = [(move["before"], move["after"], move["reason"]) for move in moves]
    assert told == [("gold", "ordinary", "reversed"), ("ordinary", "gold", "vip")]
    page = chain.admin.get(f"/v1/cards/{card}/tiers?limit=1").json
    assert [move["reason"] for move in page["moves"]] == ["reversed"]
    rest = chain.admin.get(f"/v1/cards/{card}/tiers?limit=1&cursor={page['next_cursor']}").json
    assert ([move["reason"] for move in rest["moves"]], rest["next_cursor"]) == (["vip"], "")


def test_a_quote_says_why_a_rule_did_not_act(chain: Chain, till: Till) -> None:
    card = chain.card()
    body = {"card": card, "lines": [{"amount_fen": 100_00}], "shortfall_tender": "cash", "why_not": True}
    for path in ("quote", "settle"):
        told = till.post(f"/v1/{path}", body).json["explanation"]
        assert any(line.startswith("未生效 (") for line in told), told
    plain = till.post("/v1/quote", {**body, "why_not": False, "explain": True}).json["explanation"]
    assert not any(line.startswith("未生效") for line in plain)
