"""Goal: who asks too often is refused with 429 and when to come back, at no cost to others; what is refused has no effect.

Method: buckets under a clock of our own, against a plain model of them; requests against limits that hardly refill.
"""

from __future__ import annotations

import asyncio
import json
import random

import msgspec
import pytest

from cardapi.people.limits import LimitSettings
from cardapi.people.throttle import Limit, Limits, Throttle
from tests.http.client import Till
from tests.http.conftest import Chain
from tests.shops import length

SLOW = 1e-6  # tokens a second: none comes back while a test runs
OFF = 0.0
LOOK = "/v1/schemes/mall-vip/gifts"  # a call that names no card


class Bucket:
    """A token bucket as it is told: so many tokens, more with time, never more than it holds."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst, self.tokens, self.at = rate, burst, burst, 0.0

    def take(self, now: float, count: float) -> bool:
        self.tokens, self.at = min(self.burst, self.tokens + (now - self.at) * self.rate), now
        if self.tokens + 1e-6 < min(count, self.burst):
            return False
        self.tokens -= count
        return True


def test_buckets_are_what_they_are_said_to_be() -> None:
    seed = 20261122
    rng = random.Random(seed)
    for _ in range(200):
        rate, burst = rng.choice((0.5, 2, 50)), rng.choice((1, 3, 20))
        limits = Limits(Limit(rate, burst), Limit(OFF, 1), Limit(OFF, 1))
        plain = Bucket(rate, burst)
        now = 0.0
        for _ in range(60):
            now += rng.choice((0, 0, 0.25, 1, 7)) * rng.random()
            count = rng.choice((1, 1, 1, 2, 30))
            wait = limits.wait_s("a", "", now, count)
            assert (wait == 0) == plain.take(now, count), seed
            if wait:  # true to its word: refused just before, let through then
                assert limits.wait_s("a", "", now + wait * 0.99 - 1e-6, count) > 0
                now += wait
                assert limits.wait_s("a", "", now, count) == 0
                assert plain.take(now, count)


def test_throttle_arithmetic() -> None:
    throttle = Throttle(rate=1, burst=2, total_rate=10, total_burst=3, names_max=2)
    assert [throttle.wait_s("a", 0.0) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert throttle.wait_s("b", 0.0) == 0.0
    assert throttle.wait_s("c", 0.0) > 0.0, "all names together have a bound"
    assert throttle.wait_s("a", 1.0) == 0.0


def test_memory_is_bounded_and_full_buckets_go_first() -> None:
    limit = Limit(1, 10, names_max=8)
    limits = Limits(limit, Limit(OFF, 1), Limit(OFF, 1))
    for number in range(1_000):
        limits.wait_s(f"n{number}", "", number * 0.2)
        assert len(limit) <= 8
    limits.wait_s("busy", "", 300.0, 10)
    for number in range(7):
        limits.wait_s(f"short{number}", "", 300.0)
    assert limits.wait_s("another", "", 302.0) == 0
    assert limits.wait_s("busy", "", 302.0, 10) > 0, "a bucket in debt outlives those that are full again"


def test_who_is_refused_uses_up_nothing_of_the_others() -> None:
    limits = Limits(Limit(1, 5), Limit(1, 3), Limit(1, 20))
    assert [limits.wait_s("flood", "", 0.0) for _ in range(1_000)].count(0.0) == 5
    assert limits.over == "client"
    assert [limits.wait_s(f"till-{n}", "card", 0.0) for n in range(8)].count(0.0) == 3
    assert limits.over == "card"
    assert [limits.wait_s(f"other-{n}", "", 0.0) for n in range(30)].count(0.0) == 12, "what was left for all"
    assert limits.over == "all"


@pytest.mark.parametrize("numbers", [{"terminal": -1}, {"card_burst": 0}, {"every": 1}, {"all": "many"}])
def test_settings_that_mean_nothing_are_refused(numbers: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(numbers, LimitSettings)


def test_what_is_given_lets_a_busy_shop_through() -> None:
    limits = LimitSettings().made()
    assert all(limits.wait_s("terminal:gateway", "", second / 10, 1_000) == 0 for second in range(600)), "ten batches of 1,000 a second"


# ---------------------------------------------------------------- over HTTP
@pytest.fixture
def limited(chain: Chain, card: str, monkeypatch: pytest.MonkeyPatch) -> Chain:
    """Six requests for each client, four for each card; `card` was made before."""
    del card
    limits = LimitSettings(terminal=SLOW, terminal_burst=6, card=SLOW, card_burst=4, all=SLOW, all_burst=30).made()
    monkeypatch.setattr(chain.app.service, "limits", limits)
    return chain


def sale(card: str) -> dict[str, object]:
    return {"card": card, "lines": [{"amount_fen": 100}]}


def test_one_terminal_is_refused_and_another_is_not(limited: Chain, till: Till, card: str) -> None:
    head = length(limited.shop)
    looks = [till.get(f"/v1/cards/{card}") for _ in range(4)]
    assert {reply.status for reply in looks} == {200}
    refused = till.post("/v1/settle", sale(card))
    assert (refused.status, refused.code, refused.json["limit"]) == (429, "too_many_requests", "card")
    assert int(refused.headers["retry-after"]) == refused.json["retry_after_seconds"] > 0
    assert [till.get(LOOK).status for _ in range(4)] == [200, 200, 429, 429]
    assert till.get(LOOK).json["limit"] == "client"
    assert length(limited.shop) == head, "refused is not done"
    assert limited.tills["store-2"].get(LOOK).status == 200
    text = limited.app.service.metrics
    assert text.throttled["card"] >= 1
    assert text.throttled["client"] >= 3


def test_a_repeated_key_counts(limited: Chain, till: Till, card: str) -> None:
    head = length(limited.shop)
    replies = [till.post("/v1/settle", sale(card), key="limits-again") for _ in range(6)]
    assert [reply.status for reply in replies] == [200] * 4 + [429] * 2
    assert length(limited.shop) == head + 1


def test_a_batch_counts_its_tickets_and_their_cards(limited: Chain, till: Till, card: str) -> None:
    other = length(limited.shop)
    tickets = [{"client_key": f"limits-{n}", **sale(card)} for n in range(5)]
    reply = till.post("/v1/settle-batch", {"tickets": tickets})
    assert reply.status == 200, reply.body
    codes = [result.get("code", "") for result in reply.json["results"]]
    assert codes == ["", "", "", "", "too_many_requests"]
    assert (reply.json["applied"], reply.json["refused"]) == (4, 1)
    assert length(limited.shop) == other + 4
    assert [till.get(LOOK).status for _ in range(2)] == [200, 429], "five tickets and a look make six"


def test_a_flood_of_one_terminal_starves_nobody(limited: Chain, till: Till, card: str) -> None:
    async def flood() -> list[int]:
        body = json.dumps(sale(card)).encode()
        calls = []
        for number in range(300):
            headers = {**till.headers("POST", "/v1/settle", body, f"limits-flood-{number}"), "Idempotency-Key": f"limits-flood-{number}"}
            calls.append(limited.client.acall("POST", "/v1/settle", body, headers))
        return [reply.status for reply in await asyncio.gather(*calls)]

    statuses = limited.loop.run_until_complete(flood())
    assert (statuses.count(200), statuses.count(429)) == (4, 296)
    fresh = limited.shop.registry.document("unit", "store-2")
    assert fresh is not None
    assert limited.tills["store-2"].get(LOOK).status == 200
    assert limited.app.service.limits.wait_s("terminal:any", "", 0.0) == 0, "nor is what all share used up"
