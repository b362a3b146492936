"""Goal: the statutory refund is the figure a person works out by hand from the law, with a line for each part (W5, N5).

Method: hand-made histories for the three grounds, then a real card through the served operation; the lines sum to the refund.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardapi import shipped
from cardapi.laws.refund import Left, NoRefund, Paid, Used, consumer, merchant, regret
from tests.http.conftest import Chain
from tests.members.conftest import People, chain, people

__all__ = ["chain", "people"]
DAY_S = 86_400


def test_merchants_reason_is_the_paid_share_of_what_is_left() -> None:
    """1000 paid, 200 given, 480 used: of 720 left 5/6 was paid for: 600."""
    statement = merchant([Left(720_00, 1000, 1200)])
    assert statement.refund_fen == 600_00
    assert statement.lines[0].en == "left, at the share paid for: 1000/1200"
    assert merchant([Left(1, 1, 2)]).refund_fen == 1, "half a fen is the customer's"
    assert merchant([]).refund_fen == 0


def test_consumers_reason_prices_the_used_part_before_discount() -> None:
    """1000 paid in; 880 paid with the card for goods of 1000 at 8.8折... of 400 list price 352 was paid: 600 comes back, not 648."""
    paid = [Paid(0, 1000_00, 648_00, "t1")]
    assert consumer(paid, [Used(400_00, 352_00, 352_00, "t2")]).refund_fen == 600_00
    half = consumer(paid, [Used(400_00, 352_00, 176_00, "t2")])
    assert half.refund_fen == 800_00, "half of the ticket was paid in cash: only the other half counts"
    nothing = consumer(paid, [Used(1200_00, 1000_00, 1000_00, "t2")])
    assert nothing.refund_fen == 0
    assert [line.amount_fen for line in nothing.lines] == [1000_00, -1200_00, 200_00]


@pytest.mark.parametrize(("age_s", "refund"), [(0, 300_00), (7 * DAY_S - 1, 300_00), (7 * DAY_S, 0), (8 * DAY_S, 0)])
def test_regret_within_seven_days(age_s: int, refund: int) -> None:
    assert regret([Paid(1_000_000_000 - age_s, 500_00, 300_00, "t1")], 1_000_000_000, 7).refund_fen == refund


def test_there_was_no_right_of_regret_before_the_law_had_it() -> None:
    with pytest.raises(NoRefund):
        regret([Paid(0, 1, 1, "t")], 1, 0)


_fen = st.integers(1, 10**9)


@given(st.lists(st.tuples(_fen, _fen, _fen), max_size=5), st.lists(st.tuples(_fen, _fen, _fen), max_size=5))
def test_lines_sum_and_nothing_is_below_zero(tops: list[tuple[int, int, int]], sales: list[tuple[int, int, int]]) -> None:
    paid = [Paid(0, max(a, b), min(a, b), "p") for a, b, _ in tops]
    used = [Used(max(three), sorted(three)[1], min(three), "u") for three in sales]
    for statement in (consumer(paid, used), merchant([Left(a, min(b, c), max(b, c)) for a, b, c in tops]), regret(paid, 1, 7)):
        assert statement.refund_fen == sum(line.amount_fen for line in statement.lines) >= 0
    assert consumer(paid, used).refund_fen <= sum(top.paid_fen for top in paid)
    assert merchant([Left(a, min(b, c), max(b, c)) for a, b, c in tops]).refund_fen <= sum(a for a, _, _ in tops)


def chosen(chain: Chain, people: People) -> None:
    body = {"pack": shipped.law_text("cn-prepaid"), "issuer_class": "scale", "reason": "opening"}
    admin = chain.person("admin", "issuer")
    asked = chain.made2(chain.admin.post("/v1/law", body))
    told = chain.made(admin.post(f"/v1/approvals/{asked['approval_id']}/approve", {}))
    assert (told["name"], told["state"], told["rules"]["named_fen"]) == ("cn-prepaid", "on", 5000_00)


def test_a_real_card_through_the_service(chain: Chain, people: People) -> None:
    """Bonus of mall-vip, a sale at the gold card's 8.8折, part of it given back; the figures are worked out by hand here."""
    document = {"document": "passport", "number": "P98765432", "name": "Li"}
    card = chain.card()
    people.enrol(card=card, evidence=document)
    assert people.manager.post(f"/v1/cards/{card}/refund-quote", {"ground": "merchant"}).code == "no_law"
    chosen(chain, people)
    try:
        top = chain.made(people.manager.post("/v1/topup", {"card": card, "paid_fen": 1000_00, "tender": "bank"}))
        assert top["balance_fen"] == 1200_00
        sale = chain.made(people.manager.post("/v1/settle", {"card": card, "lines": [{"amount_fen": 300_00}, {"amount_fen": 100_00}]}))
        assert sale["net_fen"] == 352_00
        chain.made(people.manager.post("/v1/refund", {"ticket_id": sale["ticket_id"], "lines": [1], "reason": "returned"}))

        def quote(ground: str) -> dict[str, object]:
            told: dict[str, object] = chain.made(people.manager.post(f"/v1/cards/{card}/refund-quote", {"ground": ground}))
            assert told["refund_fen"] == sum(line["amount_fen"] for line in told["lines"])  # type: ignore[attr-defined]
            assert told["balance_fen"] == 1200_00 - 264_00
            return told

        assert quote("merchant")["refund_fen"] == (1200_00 - 264_00) * 5 // 6
        assert quote("consumer")["refund_fen"] == 1000_00 - 300_00
        # 352 took 200 of bonus and 152 of principal; a quarter of it came back the same way: 50 and 38.
        assert quote("regret")["refund_fen"] == 1000_00 - (152_00 - 38_00)
    finally:
        chain.shop.registry._law = None


def test_choosing_a_law_takes_two_people_and_a_sound_pack(chain: Chain, people: People) -> None:
    body = {"pack": shipped.law_text("cn-prepaid"), "issuer_class": "scale", "reason": "opening"}
    asked = chain.made2(chain.admin.post("/v1/law", body))
    assert chain.admin.post(f"/v1/approvals/{asked['approval_id']}/approve", {}).code == "maker_is_checker"
    broken = chain.admin.post("/v1/law", {**body, "pack": body["pack"].replace("named_fen = 5000_00", "named_fen = 5.5")})
    assert (broken.status, broken.code) == (422, "invalid_law")
    assert "named_fen" in broken.json["detail"]
