"""Goal: W1-W4 and W6 hold inside the transaction that posts, at limit-1, limit and limit+1 (M11); figures from the feature list.

Method: the desk of a shop that chose the shipped pack; every refusal is recorded and moves nothing; the journal is replayed.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cardapi.members.profile import Evidence
from cardapi.store.fold import unpack_facts
from cardcore.settlement import Account, Adjust, Expire, Refund, Reverse, Sale, TopUp, Transfer, Void
from tests.laws.conftest import LASTING, China
from tests.members.till import enrol, person
from tests.shops import length

NAMED, UNNAMED = 5000_00, 1000_00


@pytest.mark.parametrize(("kind", "most"), [("named", NAMED), ("empty", UNNAMED)])
def test_a_top_up_at_the_cap(china: China, kind: str, most: int) -> None:
    """W1: one fen below, at, above; a second top-up counts what is there."""
    make = getattr(china, kind)
    assert china.pay_in(make(), most - 1) == ""
    assert china.pay_in(make(), most) == ""
    card = make()
    assert china.pay_in(card, most + 1) == "law_card_cap"
    assert china.balance(card) == 0
    assert china.pay_in(card, most - 1) == ""
    assert china.pay_in(card, 2) == "law_card_cap"
    assert china.pay_in(card, 1) == ""
    assert china.pay_in(card, 1) == "law_card_cap"
    assert china.balance(card) == most
    china.sound()


def test_bonus_counts(china: China) -> None:
    """A top-up whose bonus would lift the card over its cap is refused (M11: bonus included)."""
    card = china.named("mall-vip")
    assert china.pay_in(card, 4_000_00) == ""
    found = china.balance(card)
    assert found > 4_000_00, "mall-vip gives a bonus"
    left = NAMED - found
    assert left > 0
    assert china.pay_in(card, left) in ("", "law_card_cap")
    assert china.balance(card) <= NAMED
    china.sound()


@pytest.mark.parametrize("over", [-1, 0, 1])
@pytest.mark.parametrize("way", ["refund", "void"])
def test_what_is_given_back_counts_too(china: China, way: str, over: int) -> None:
    """1000 on the card, 300 spent, 300 + over paid in: giving back the 300 ends at the cap + over."""
    card = china.empty()
    china.pay_in(card, UNNAMED)
    sale = china.spend(card, 300_00)
    assert china.pay_in(card, 300_00) == ""
    china.spend(card, 300_00 - over)
    command = Refund() if way == "refund" else Void()
    assert china.code(way, of=sale, command=command) == ("law_card_cap" if over > 0 else "")
    assert china.balance(card) == (UNNAMED - 300_00 + over if over > 0 else UNNAMED + over)
    china.sound()


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_transfer_counts_at_its_target(china: China, over: int) -> None:
    source, target = china.empty(), china.empty()
    china.pay_in(source, 500_00)
    china.pay_in(target, UNNAMED - 200_00)
    code = china.code("transfer", card=source, further=(target,), command=Transfer(200_00 + over))
    assert code == ("law_card_cap" if over > 0 else "")
    assert china.balance(target) == (UNNAMED - 200_00 if over > 0 else UNNAMED + over)
    china.sound()


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_correction_and_a_reversal_count(china: China, over: int) -> None:
    card = china.empty()
    assert china.correct(card, UNNAMED + over) == ("law_card_cap" if over > 0 else "")
    other, target = china.empty(), china.empty()
    china.pay_in(other, UNNAMED)
    moved = china.done("transfer", card=other, further=(target,), command=Transfer(100_00))
    if over:
        assert china.correct(other, over) == ""
    code = china.code("reverse", of=moved, command=Reverse())
    assert code == ("law_card_cap" if over > 0 else "")


def test_what_is_held_counts(china: China) -> None:
    """Reserved money is still the card's: holding it makes no room."""
    card = china.empty()
    china.pay_in(card, UNNAMED)
    assert china.sale(card, 400_00, verb="hold").outcome == "applied"
    assert china.pay_in(card, 1) == "law_card_cap"
    china.clock.at_s += 601
    assert china.code("expire", card=card, command=Expire()) == "", "a hold that lapses gives back what was there"
    assert china.balance(card) == UNNAMED


def test_a_member_without_evidence_has_no_named_card(china: China) -> None:
    card = china.empty()
    member = enrol(china, person(), card=card)
    assert china.pay_in(card, UNNAMED + 1) == "law_card_cap"
    china.done("profile", payload={"member": member, "changes": {"evidence": Evidence("passport", "P1234", "Li")}})
    assert china.pay_in(card, UNNAMED + 1) == ""
    china.sound()


def test_the_refusal_says_the_rule_and_is_the_answer_of_a_retry(china: China) -> None:
    card = china.empty()
    first = china.ask("topup", key="again", card=card, meaning="x", command=TopUp(UNNAMED + 1))
    assert unpack_facts(first.body) == {"limit_fen": UNNAMED, "after_fen": UNNAMED + 1, "named": False, "rule": "W1"}
    china.law(state="off")
    assert china.ask("topup", key="again", card=card, meaning="x", command=TopUp(UNNAMED + 1)) == first
    assert china.pay_in(card, 90_000_00) == "", "off where none is chosen"


def test_value_does_not_end_too_soon(china: China) -> None:
    """W2: an unnamed card's money lasts three years or more, a named card's for ever."""
    assert china.pay_in(china.empty("ending"), 100) == "law_validity"
    assert china.pay_in(china.empty("lasting"), 100) == ""
    assert china.pay_in(china.named("lasting"), 100) == "law_validity"
    assert china.pay_in(china.named("plain"), 100) == ""


def test_principal_stays_the_holders_after_its_end(china: China) -> None:
    card = china.empty("lasting")
    china.pay_in(card, 100)
    china.clock.pass_days(4 * 366)
    assert china.code("expire", card=card, command=Expire()) == "law_validity"
    done = china.shop.background.jobs.run("expiry")
    assert (done.state, done.counts["expired"]) == ("done", 0)
    assert china.balance(card) == 100
    head = length(china.shop)
    china.clock.pass_days(1)
    china.shop.background.jobs.run("expiry")
    assert length(china.shop) == head, "what is refused is not asked for every day"
    china.sound()


def test_unnamed_cards_of_ten_thousand_at_once_need_a_name(china: China) -> None:
    """W3: ten cards of 1,000 in one purchase are 10,000; across two purchases they are not at once."""
    for _ in range(9):
        assert china.pay_in(china.empty(), UNNAMED, purchase="po-1") == ""
    assert china.pay_in(china.empty(), UNNAMED - 1, purchase="po-1") == ""
    assert china.pay_in(china.empty(), 1, purchase="po-1") == "law_real_name"
    assert china.pay_in(china.empty(), UNNAMED, purchase="po-2") == ""
    buyer = enrol(china, person(evidence=Evidence("licence", "91110000XXXX", "Company")))
    anybody = enrol(china, person())
    assert china.pay_in(china.empty(), 1, purchase="po-1", buyer_member=anybody) == "law_real_name"
    assert china.pay_in(china.empty(), 1, purchase="po-1", buyer_member=buyer) == ""
    china.sound()


@pytest.mark.parametrize(("buyer", "limit"), [("company", 5_000_00), ("person", 50_000_00), ("", 50_000_00)])
def test_cash_at_once(china: China, buyer: str, limit: int) -> None:
    """W4: no cash from 5,000 for a company, from 50,000 for a person; bank money does not count."""
    facts = {"purchase": "po", "buyer": buyer}
    paid = 0
    while limit - 1 - paid:
        part = min(NAMED, limit - 1 - paid)
        assert china.pay_in(china.named(), part, tender="cash", **facts) == ""
        paid += part
    assert china.pay_in(china.named(), 1, tender="cash", **facts) == "law_cash"
    assert china.pay_in(china.named(), NAMED, tender="bank", **facts) == ""
    china.sound()


def test_a_refused_part_does_not_count_and_a_retry_counts_once(china: China) -> None:
    payload = {"purchase": "po", "buyer": "company"}
    card = china.named()
    for _ in range(3):
        china.ask("topup", key="same", card=card, meaning="same", command=TopUp(2_500_00, tender="cash"), payload=payload)
    assert china.pay_in(card, 2_500_00, tender="cash", **payload) == "law_cash"
    assert china.pay_in(card, 2_499_99, tender="cash", **payload) == ""


def test_stored_value_of_another_legal_entity_needs_a_licence(china: China) -> None:
    """W6: the switch is explicit and off."""
    for unit, entity in (("east", "east-ltd"), ("east-1", ""), ("west", "west-ltd")):
        document = {"name": unit, "kind": "store", "parent": "east" if unit == "east-1" else "issuer", "entity": entity}
        china.done("change", payload={"kind": "unit", "id": unit, "document": document})
    card = issued_at(china, "east")
    assert pay_at(china, card, "east") == pay_at(china, card, "east-1") == ""
    assert pay_at(china, card, "west") == "law_licence"
    china.law(licensed=True)
    assert pay_at(china, card, "west") == ""
    china.law(state="off")
    assert pay_at(china, card, "west") == ""


def issued_at(china: China, unit: str) -> str:
    request = replace(china.request("issue", payload={"programme": "plain", "prefix": "8809"}), unit=unit)
    card = china.shop.desk.call(request).card
    china.done("activate", card=card)
    china.pay_in(card, 500_00)
    return card


def pay_at(china: China, card: str, unit: str) -> str:
    request = replace(china.request("settle", card=card, command=Sale("settle", [(1_00, 1)]), meaning=unit), unit=unit)
    return china.shop.desk.call(request).code


def test_sums_of_purchases_are_pruned(china: China) -> None:
    china.pay_in(china.empty(), 1, purchase="po")
    china.clock.pass_days(3)
    assert china.shop.background.jobs.run("pruning").counts == {"purchases": 1}
    china.sound()


def test_lapsed_principal_does_not_keep_points_from_lapsing(china: China) -> None:
    """W2 keeps what was paid; points that ended at the same time go all the same (X01)."""
    points = '[[purse]]\nname = "points"\nunit = "points"\nrole = "points"\nexpires_after = "P1Y"\n'
    text = LASTING.replace('"lasting"', '"pointed"') + points
    payload = {"kind": "programme", "id": "pointed@1", "document": {"valid_from": 0, "pack": text}}
    china.done("change", payload=payload)
    card = china.empty("pointed")
    china.pay_in(card, 100)
    china.done("adjust", card=card, command=Adjust("points", 50))
    china.clock.pass_days(4 * 366)
    assert china.code("expire", card=card, command=Expire()) == ""
    assert china.balance(card) == 100
    account = Account.unpack(china.shop.store.reader().read([card])[card].account.state)
    assert [lot.amount for lot in account.lots()] == [100], "the points are gone, the principal is there"
    assert china.code("expire", card=card, command=Expire()) == "law_validity"
    china.sound()
