"""Goal: fees are money (L06, L07): the till's tender in, the shop's income out, in the commit of what they are paid for, once for ever.

Method: the numbers of the feature list (fee 5, group 20 % off, free from 288 on, replacement 2) at the desk, on both sides of each limit;
the entry, its receipt, the trial balance and the Z report; waivers, reversals, retries and refusals; then the journal is replayed.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cardapi.desk.fees import enrolment_key, replacement_key
from cardapi.members.enrol import Claim
from cardapi.reports import close
from cardapi.reports.export import export_rows
from cardapi.reports.trial import trial_balance
from cardapi.store.port import Entry
from cardcore.settlement import Refund, Reverse, Settlement, Void, receipt
from tests.http.conftest import Chain
from tests.jobs.conftest import Timed
from tests.members.conftest import People
from tests.members.till import MARKET, enrol, fee_of, fees_are_taken_once, person, publish, request
from tests.shops import length

CHINA = datetime.timezone(datetime.timedelta(hours=8))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Timed]:
    till = Timed(tmp_path / "shop")
    publish(till, MARKET)
    yield till
    till.shop.close()


def joined(shop: Timed, claim: Claim, **known: Any) -> tuple[str, str, Entry | None]:
    """A card, its new member, and the fee entry if there is one."""
    card = shop.card(0, "market")
    member = enrol(shop, person(**known), card=card, claim=claim)
    return card, member, fee_of(shop, enrolment_key(member))


def reissued(shop: Timed, card: str, **payload: Any) -> tuple[Entry, Entry | None]:
    shop.done("lost", card=card)
    entry = shop.done("reissue", card=card, payload={"prefix": "8803", **payload})
    return entry, fee_of(shop, replacement_key(entry))


def printed(shop: Timed, entry: Entry, language: str) -> list[str]:
    programme = shop.shop.registry.programme("market", shop.clock.at_s)
    lines = receipt.lines(Settlement.unpack(entry.body), programme, receipt.Heading(card=entry.card), language)
    return [" ".join(line.split()) for line in lines]


def money(entry: Entry) -> list[tuple[str, str, str, int]]:
    return [(p.source, p.target, p.unit, p.amount) for p in Settlement.unpack(entry.body).postings()]


@pytest.mark.parametrize(("claim", "list_fen", "due"), [
    (Claim("fee", fee_fen=5_00), 5_00, 5_00), (Claim("group", organisation="school", fee_fen=4_00), 5_00, 4_00),
    (Claim("fee", single_fen=287_99, fee_fen=5_00), 5_00, 5_00), (Claim("fee", single_fen=288_00), 0, 0),
    (Claim("group", single_fen=288_01, organisation="school"), 0, 0), (Claim(), 0, 0),
])  # fmt: skip
def test_l06_the_fee_of_membership_is_an_entry(shop: Timed, claim: Claim, list_fen: int, due: int) -> None:
    card, _, paid = joined(shop, claim)
    if not due:
        assert paid is None, "what is free leaves no money entry"
    else:
        assert paid is not None
        done = Settlement.unpack(paid.body)
        assert (paid.verb, paid.card, paid.unit, paid.terminal) == ("fee", card, "issuer", "t1")
        assert (done.gross_fen, done.discount_fen, done.net_fen, done.outside_fen) == (list_fen, list_fen - due, due, due)
        assert (done.outside_tender, done.liability_delta_fen, money(paid)) == ("cash", 0, [("outside", "fees", "fen", due)])
    shop.sound()


@pytest.mark.parametrize(("claim", "due"), [
    (Claim("fee"), 5_00), (Claim("group"), 4_00), (Claim("fee", single_fen=287_99), 5_00), (Claim("fee", single_fen=288_00), 0),
])  # fmt: skip
def test_another_amount_than_the_fee_changes_nothing(shop: Timed, claim: Claim, due: int) -> None:
    card = shop.card(0, "market")
    head = length(shop.shop)
    for stated in {0, due - 1, due + 1} - {due}:
        if stated >= 0:
            wrong = Claim(claim.route, claim.single_fen, fee_fen=stated)
            asked = request(shop, person(), card=card, claim=wrong)
            with pytest.raises(Exception, match=f"the fee is {due} fen") as refused:
                shop.shop.desk.call(asked)
            assert (refused.value.code, refused.value.facts["fee_due_fen"]) == ("fee_differs", due)  # type: ignore[attr-defined]
    asked = request(shop, person(), programme="market", claim=Claim("fee", fee_fen=5_00))
    with pytest.raises(Exception, match="name it") as refused:
        shop.shop.desk.call(asked)
    assert refused.value.code == "fee_needs_card"  # type: ignore[attr-defined]
    assert length(shop.shop) == head
    shop.sound()


def test_l07_a_card_for_one_that_was_lost_or_has_expired_costs_two(shop: Timed) -> None:
    lost, expired, damaged = (shop.card(0, "market") for _ in range(3))
    entry, paid = reissued(shop, lost, fee_fen=2_00, fee_tender="bank")
    assert paid is not None
    assert (money(paid), paid.position) == ([("outside", "fees", "fen", 2_00)], entry.position + 1)
    assert Settlement.unpack(paid.body).outside_tender == "bank"
    assert paid.card != lost, "it is on the new card"
    assert printed(shop, paid, "zh")[1:] == [
        "卡号 " + receipt.mask(paid.card), "-" * 40, "补卡费 2.00", "合计 2.00", "银行卡 2.00", "-" * 40, "卡余额 0.00",
    ]  # fmt: skip
    shop.done("expire_card", card=expired)
    until = {"valid_until": shop.clock.at_s + 86_400, "prefix": "8803"}
    assert shop.problem("reissue", card=expired, payload=until) == "fee_differs"
    entry = shop.done("reissue", card=expired, payload={**until, "fee_fen": 2_00})
    assert fee_of(shop, replacement_key(entry)) is not None
    assert shop.problem("swap", card=damaged, payload={"prefix": "8803", "fee_fen": 2_00}) == "fee_differs", "an exchange is free"
    assert fee_of(shop, replacement_key(shop.done("swap", card=damaged, payload={"prefix": "8803"}))) is None
    plain, paid = reissued(shop, shop.card(0), prefix="8804")
    assert (plain.outcome, paid) == ("applied", None), "a pack without the word asks for nothing"
    shop.sound()


def test_the_receipt_of_membership(shop: Timed) -> None:
    _, _, paid = joined(shop, Claim("group", organisation="school", fee_fen=4_00))
    assert paid is not None
    assert printed(shop, paid, "en")[:1] + printed(shop, paid, "en")[3:7] == [
        "Fee", "Enrolment fee 5.00", "Discount -1.00", "Total 4.00", "Cash 4.00",
    ]  # fmt: skip


def test_the_books_and_the_z_report_count_fees(shop: Timed) -> None:
    card, _, _ = joined(shop, Claim("fee", fee_fen=5_00))
    joined(shop, Claim("group", organisation="school", fee_fen=4_00))
    reissued(shop, card, fee_fen=2_00, fee_tender="bank")
    reader = shop.shop.store.reader()
    found = trial_balance(reader)
    assert found["ok"]
    assert {(row["account"], row["balance"]) for row in found["accounts"]} == {("outside", -11_00), ("fees", 11_00)}
    assert sum(row["amount"] for row in export_rows(reader) if row["account"] == "fees") == 11_00
    day = datetime.datetime.fromtimestamp(shop.clock.at_s, CHINA).date()
    document = close.plan_close(reader, [], day, zone=CHINA, now_us=shop.clock())
    report = close.report(reader, document)
    till = next(row for row in report["terminals"] if row["terminal"] == "t1")
    for row in (report["total"], till, next(row for row in report["stores"] if row["unit"] == "issuer")):
        assert (row["fees"], row["fees_fen"], row["drawer_fen"], row["tickets"]) == (3, 11_00, {"cash": 9_00, "bank": 2_00}, 0)
    assert report["ok"]


def test_a_close_without_fees_says_nothing_of_them(shop: Timed) -> None:
    """So that closes of the last release keep their digests."""
    shop.card(10_00)
    assert not {"fees", "fees_fen"} & trial_balance(shop.shop.store.reader())["total"].keys()


def test_a_rule_waives_a_fee(shop: Timed) -> None:
    """The rule word `waive` names the kind of fee; the entry tells what was waived, moves nothing, and uses the quota up (L06)."""
    card, member, paid = joined(shop, Claim("fee"), tags=("staff",))
    assert paid is not None
    done = Settlement.unpack(paid.body)
    assert (done.gross_fen, done.discount_fen, done.net_fen, done.postings(), done.outside_tender) == (5_00, 5_00, 0, [], "")
    assert receipt.explain(done, shop.shop.registry.programme("market", shop.clock.at_s), "en") == ["Waived (staff): 5.00, 5.00 -> 0.00"]
    entry, paid = reissued(shop, card)
    assert paid is not None
    assert Settlement.unpack(paid.body).net_fen == 0
    second = paid.card
    shop.done("lost", card=second)
    assert shop.problem("reissue", card=second, payload={"prefix": "8803"}) == "fee_differs", "once in a life"
    shop.done("reverse", of=paid, command=Reverse(), reason="not theirs to waive")
    entry = shop.done("reissue", card=second, payload={"prefix": "8803"})
    third = fee_of(shop, replacement_key(entry))
    assert third is not None
    assert Settlement.unpack(third.body).net_fen == 0, "what is taken back may be waived again"
    assert member
    shop.sound()


def test_who_is_suspended_pays(shop: Timed) -> None:
    card, member, _ = joined(shop, Claim("fee"), tags=("staff",))
    shop.done("member_state", payload={"member": member, "state": "suspended"})
    shop.done("lost", card=card)
    assert shop.problem("reissue", card=card, payload={"prefix": "8803"}) == "fee_differs"
    assert shop.done("reissue", card=card, payload={"prefix": "8803", "fee_fen": 2_00}).outcome == "applied"
    shop.sound()


def test_a_fee_is_reversed_once_and_whole(shop: Timed) -> None:
    """The money goes back as it came; membership is ended by hand. It is no sale: nothing of it is refunded or voided."""
    _, member, paid = joined(shop, Claim("fee", fee_fen=5_00))
    assert paid is not None
    for verb, command in (("refund", Refund()), ("void", Void())):
        assert shop.ask(verb, of=paid, command=command).code == "not_refundable"
    back = shop.done("reverse", of=paid, command=Reverse(), reason="changed their mind")
    assert money(back) == [("fees", "outside", "fen", 5_00)]
    assert shop.ask("reverse", of=paid, command=Reverse()).code == "already_reversed"
    found = trial_balance(shop.shop.store.reader())
    assert {row["balance"] for row in found["accounts"]} == {0}
    assert (found["total"]["fees_fen"], found["total"]["reversals"], found["total"]["drawer_fen"]) == (5_00, 1, {"cash": 0})
    kept = shop.shop.store.reader().records("member", [member])[member]
    assert kept.body
    shop.sound()


def test_a_fee_is_taken_once(shop: Timed) -> None:
    other = Timed(shop.directory.parent / "other")
    fees_are_taken_once(other, [other.shop.desk])
    other.sound()
    other.shop.close()


def test_over_http_from_enrolment_to_the_z_report(chain: Chain, people: People) -> None:
    chain.made(chain.admin.post("/v1/schemes", {"pack": MARKET}, "market"))
    card = chain.card(programme="market")
    body = people.body(card=card, route="group", organisation="school")
    reply = people.manager.post("/v1/members", {**body, "fee_fen": 500})
    assert (reply.status, reply.code, reply.json["fee_due_fen"]) == (409, "fee_differs", 400)
    reply = people.manager.post("/v1/members", {**body, "card": "", "programme": "market", "fee_fen": 400})
    assert (reply.status, reply.code) == (422, "fee_needs_card")
    made = chain.made(people.manager.post("/v1/members", {**body, "fee_fen": 400, "fee_tender": "bank"}, "join"))
    again = chain.made(people.manager.post("/v1/members", {**body, "fee_fen": 400, "fee_tender": "bank"}, "join"))
    assert again == made
    ticket = chain.made(people.manager.get(f"/v1/tickets/{made['fee_ticket_id']}"))
    assert (ticket["verb"], ticket["net_fen"], ticket["outside_tender"]) == ("fee", 4_00, "bank")
    assert any(line.split() == ["入会费", "5.00"] for line in ticket["receipt"])
    assert "fee_ticket_id" not in people.get(made["member"]) or not people.get(made["member"])["fee_ticket_id"]
    chain.made(people.manager.post(f"/v1/cards/{card}/lost", {"reason": "lost"}))
    reply = people.manager.post(f"/v1/cards/{card}/reissue", {"reason": "lost"})
    assert (reply.status, reply.code, reply.json["fee_due_fen"]) == (409, "fee_differs", 200)
    step = chain.made(people.manager.post(f"/v1/cards/{card}/reissue", {"reason": "lost", "fee_fen": 200}))
    ticket = chain.made(people.manager.get(f"/v1/tickets/{step['fee_ticket_id']}"))
    assert (ticket["verb"], ticket["net_fen"], ticket["card"]) == ("fee", 2_00, step["new_card"])
    back = chain.made(people.manager.post("/v1/reverse", {"ticket_id": step["fee_ticket_id"], "reason": "found again"}))
    assert (back["verb"], back["net_fen"]) == ("reverse", 2_00)
    day = datetime.datetime.now(CHINA).date().isoformat()
    report = chain.made(chain.admin.post("/v1/closes", {"day": day, "utc_offset": "+08:00"}))
    assert (report["total"]["fees"], report["total"]["fees_fen"], report["total"]["drawer_fen"]) == (2, 6_00, {"bank": 4_00, "cash": 0})
