"""Goal: coupons hold where cards live in several partitions, and rules award them. Method: an embedded shop of four partitions.

The suite of the server store (`tests/postgres/test_coupons.py`) runs the same on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cardapi.desk import Request
from cardapi.desk import coupons as desk_coupons
from cardapi.desk.work import Work
from cardapi.store.port import Entry
from cardcore.settlement import Account, Capture, Give, Refund, Sale, Settlement, Void
from tests.coupons.desk import AWARDING, awarded_and_taken_back, coupons, publish, race_for_a_code, sale, stock_is_exact
from tests.coupons.packs import SHOP
from tests.desk.till import Till


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    till = Till(tmp_path / "shop", partitions=4)
    yield till
    till.shop.close()


def test_a_code_is_used_once_in_all_partitions(till: Till) -> None:
    publish(till)
    race_for_a_code(till, [till.shop.desk])
    till.sound()


def test_a_stock_is_never_overdrawn(till: Till) -> None:
    publish(till)
    stock_is_exact(till, [till.shop.desk])
    till.sound()


def test_what_a_rule_awards_goes_back_with_its_ticket(till: Till) -> None:
    awarded_and_taken_back(till)
    till.sound()
    till.reopen()
    till.sound()


def test_a_code_is_nowhere_to_be_read(till: Till) -> None:
    """Neither the database nor the journal's refusals have it (A6)."""
    publish(till)
    code = race_for_a_code(till, [till.shop.desk])
    plain = code.replace("-", "")
    held = b"".join(path.read_bytes() for path in till.directory.rglob("*") if path.is_file())
    assert code.encode() not in held
    assert plain.encode() not in held


def test_an_award_of_nothing_known_changes_nothing(till: Till) -> None:
    """An award whose coupon the pack does not have is somebody else's to hand out."""
    publish(till, AWARDING.replace('id = "off-20"', 'id = "elsewhere"'))
    card = till.card(0, "coupon-shop")
    assert till.shop.desk.call(sale(till, card, 500_00)).outcome == "applied"
    assert coupons(till, card) == 0


def test_an_award_that_was_used_goes_back_when_its_ticket_does(till: Till) -> None:
    """Buy, use the coupon that was awarded, return both: in whatever order no coupon is left over (P3)."""
    publish(till, AWARDING)
    for first in (0, 1):
        for undo in ("refund", "void"):
            card = till.card(0, "coupon-shop")
            bought = till.shop.desk.call(sale(till, card, 500_00))
            used = till.shop.desk.call(sale(till, card, 100_00, "off-20"))
            for ticket in (bought, used) if first == 0 else (used, bought):
                command = Refund() if undo == "refund" else Void()
                till.done(undo, card=card, of=ticket, command=command)
            assert coupons(till, card) == 0, (first, undo)
    till.sound()
    till.reopen()
    till.sound()


def test_an_award_that_is_held_goes_back_when_it_is_released(till: Till) -> None:
    publish(till, AWARDING)
    for capture in (False, True):
        card = till.card(0, "coupon-shop")
        bought = till.shop.desk.call(sale(till, card, 500_00))
        hold = Sale("hold", [(100_00, 1)], shortfall_tender="cash", coupons=("off-20",), hold_seconds=60)
        held = till.done("hold", card=card, command=hold)
        where = {"card": card, "ref": held.position, "partition": held.partition}
        till.done("refund", card=card, of=bought, command=Refund())
        assert coupons(till, card) == 0
        if capture:
            held = till.done("capture", command=Capture(50_00), **where)
            where["ref"] = held.position
        till.done("void", command=Void(), **where)
        assert coupons(till, card) == 0
    till.sound()


def test_uses_of_an_award_that_are_left_go_back_and_the_others_after_their_ticket(till: Till) -> None:
    """A coupon of three uses, one of them made: two go back with the ticket that awarded it, and one with the sale that made it."""
    publish(till, AWARDING.replace('id = "off-20"', 'id = "voucher-5"').replace("per_ticket = 16", "per_ticket = 16\nuses = 3"))
    card = till.card(0, "coupon-shop")
    bought = till.shop.desk.call(sale(till, card, 500_00))
    assert coupons(till, card) == 6
    used = till.shop.desk.call(sale(till, card, 100_00, "voucher-5"))
    for ticket in (bought, used):
        till.done("refund", card=card, of=ticket, command=Refund())
        assert coupons(till, card) == 0
    till.sound()


def test_an_award_that_cannot_be_made_leaves_its_reason(till: Till) -> None:
    """Of three rare ones the first ticket gets two, the second none: its entry says why, and taking it back takes nothing."""
    publish(till, AWARDING.replace('id = "off-20"', 'id = "rare"'))
    card = till.card(0, "coupon-shop")
    tickets = [till.shop.desk.call(sale(till, card, 500_00)) for _ in range(2)]
    assert coupons(till, card) == 2
    keys = {entry.position: [("system", f"award:{entry.partition}:{entry.position}:{place}") for place in range(8)] for entry in tickets}
    made = [[entry.code for entry in till.shop.store.reader().find_keys(keys[ticket.position]).values()] for ticket in tickets]
    assert made == [[""], ["out_of_stock"]]
    till.done("refund", card=card, of=tickets[1], command=Refund())
    assert coupons(till, card) == 2
    till.done("refund", card=card, of=tickets[0], command=Refund())
    assert coupons(till, card) == 0
    till.sound()


def test_an_award_of_more_than_one_command_gives(till: Till) -> None:
    publish(till, AWARDING.replace("amount = 2", "amount = 250"))
    card = till.card(0, "coupon-shop")
    bought = till.shop.desk.call(sale(till, card, 500_00))
    assert coupons(till, card) == 250
    till.done("refund", card=card, of=bought, command=Refund())
    assert coupons(till, card) == 0
    till.sound()


def test_a_ticket_whose_award_fails_is_not_recorded(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that anybody foresaw, after the ticket was folded: it has all of its effects or none, and those beside it have theirs."""
    publish(till, AWARDING)
    card, other = till.card(0, "coupon-shop"), till.card(0, "coupon-shop")
    requests = [sale(till, other, 500_00), sale(till, card, 500_00), sale(till, card, 100_00), sale(till, card, 500_00)]
    award = desk_coupons._award

    def broken(work: Work, request: Request, *rest: Any) -> None:
        if request in (requests[1], requests[3]):
            raise ZeroDivisionError("unforeseen")
        award(work, request, *rest)

    monkeypatch.setattr(desk_coupons, "_award", broken)
    answers = till.shop.desk.call_many(requests)
    assert [getattr(answer, "code", None) for answer in answers] == ["", "unexpected", "", "unexpected"]
    assert (coupons(till, other), coupons(till, card)) == (2, 0)
    monkeypatch.undo()
    assert till.shop.desk.failed is None
    assert [till.shop.desk.call(request).position for request in (requests[0], requests[2])] == [
        answer.position for answer in (answers[0], answers[2]) if isinstance(answer, Entry)
    ]  # fmt: skip
    assert till.shop.desk.call(requests[1]).outcome == "applied"
    assert coupons(till, card) == 2
    till.sound()


def test_a_lapsed_hold_ends_with_all_that_goes_with_it(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a lapsed hold gives back and a return claimed meanwhile goes, or the hold is still open: nothing between the two."""
    till.shop.close()
    now = [till.clock()]
    till = Till(till.directory, clock=lambda: now[0])
    publish(till, AWARDING)
    card, other = till.card(0, "coupon-shop"), till.card(0, "coupon-shop")
    bought = till.shop.desk.call(sale(till, card, 500_00))
    hold = Sale("hold", [(100_00, 1)], shortfall_tender="cash", coupons=("off-20",), hold_seconds=60)
    till.done("hold", card=card, command=hold)
    till.done("refund", card=card, of=bought, command=Refund())
    now[0] += 61_000_000

    def holds() -> int:
        return len(Account.unpack(till.shop.store.reader().read([card])[card].account.state).holds())


    def broken(*_: Any) -> None:
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr(desk_coupons, "_collect_due", broken)
    request = sale(till, card, 10_00)
    answers = till.shop.desk.call_many([request, sale(till, other, 10_00)])
    assert [getattr(answer, "code", None) for answer in answers] == ["unexpected", ""]
    assert (coupons(till, card), holds()) == (0, 1)
    monkeypatch.undo()
    assert till.shop.desk.call(request).outcome == "applied"
    assert (coupons(till, card), holds()) == (0, 0)
    till.sound()
    till.shop.close()


def test_a_rule_may_ask_whether_any_are_left(till: Till) -> None:
    few = SHOP.replace('name = "voucher-5"', 'name = "voucher-5"\nstock = 2', 1)
    half = '[[benefit]]\nname = "half"\nwhen = { stock = ["voucher-5"] }\nthen = { discount = "1/2" }\n'
    publish(till, few.replace("[[coupon]]", half + "[[coupon]]", 1))
    card = till.card(0, "coupon-shop")

    def price() -> int:
        return Settlement.unpack(till.shop.desk.call(sale(till, card, 100_00)).body).net_fen

    paid = [price()]
    for _ in range(2):
        assert till.done("give", card=card, command=Give("voucher-5")).outcome == "applied"
        paid.append(price())
    assert paid == [50_00, 50_00, 100_00]
    till.sound()
