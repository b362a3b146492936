"""Goal: no request stops the shop, and no value is stuck or changes its meaning. Method: one story for each way found by review."""

from __future__ import annotations

import pytest

from cardapi.desk import work as desk_work
from cardapi.store.port import Entry
from cardcore.money import AMOUNT_MAX
from cardcore.settlement import Arrive, Capture, Expire, Load, Refund, Sale, TopUp, Void
from tests.desk.till import PLAIN, Till


def serving(till: Till) -> None:
    """The desk still takes requests, and what it wrote is sound."""
    assert till.shop.desk.failed is None
    till.card(1)
    till.sound()


def lapse(till: Till, seconds: int) -> None:
    """The desk's clock stands this much later from now on."""
    clock = till.shop.desk._clock
    till.shop.desk._clock = lambda: clock() + seconds * 1_000_000


def test_a_refund_that_does_not_fit_a_further_card_is_refused(till: Till) -> None:
    first, second = till.card(100), till.card(AMOUNT_MAX)
    sale = till.sale(first, AMOUNT_MAX - 1, further=(second,))
    till.topup(second, AMOUNT_MAX - 101)
    assert till.balance(second) == AMOUNT_MAX
    assert till.ask("refund", of=sale, command=Refund()).code == "limit_exceeded"
    assert till.ask("void", of=sale, command=Void()).code == "limit_exceeded"
    assert till.balance(second) == AMOUNT_MAX
    serving(till)


def test_a_hold_that_does_not_fit_back_on_a_further_card_stays_held(till: Till) -> None:
    first, second = till.card(100), till.card(AMOUNT_MAX)
    hold = till.sale(first, AMOUNT_MAX - 1, verb="hold", further=(second,))
    till.topup(second, AMOUNT_MAX - 101)
    assert till.ask("void", of=hold, command=Void()).code == "limit_exceeded"
    assert till.ask("capture", of=hold, command=Capture(1)).code == "limit_exceeded"
    lapse(till, 601)
    assert till.sale(first, 1).code == "insufficient_funds"
    serving(till)


def test_open_holds_of_one_account_are_bounded(till: Till) -> None:
    card = till.card(1_000)
    free = Sale("hold", [(5, 1)], shortfall_tender="cash", stored_max_fen=0, hold_seconds=600)
    asked = till.shop.desk.call_many([till.request("hold", card=card, command=free) for _ in range(257)])
    answers = [answer for answer in asked if isinstance(answer, Entry)]
    assert [answer.outcome for answer in answers] == ["applied"] * 256 + ["refused"]
    assert answers[-1].code == "limit_exceeded"
    till.done("void", of=answers[0], command=Void())
    till.done("hold", card=card, command=free)
    serving(till)


def test_all_money_together_is_bounded(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    card = till.card(70)
    monkeypatch.setattr(desk_work, "LIABILITY_MAX", 100)
    assert till.problem("topup", card=card, command=TopUp(31)) == "amount_out_of_range"
    assert till.balance(card) == 70
    till.done("topup", card=card, command=TopUp(30))
    monkeypatch.undo()
    serving(till)


@pytest.mark.parametrize("verb", ["swap", "reissue"])
def test_a_ticket_is_finished_on_the_number_its_account_has_now(till: Till, verb: str) -> None:
    """The edge names a ticket together with the card of its day."""
    card = till.card(10_000)
    hold, sale = till.sale(card, 3_000, verb="hold"), till.sale(card, 2_000)
    if verb == "reissue":
        till.done("lost", card=card)
    till.done(verb, card=card, payload={"prefix": "8801"})
    captured = till.done("capture", card=card, of=hold, command=Capture(1_000))
    assert captured.card != card
    assert till.done("refund", card=card, of=sale, command=Refund()).card == captured.card
    assert till.balance(captured.card) == 9_000
    assert till.sale(card, 1).code == "card_not_active"
    serving(till)


def test_a_card_with_value_in_its_own_memory_is_not_empty(till: Till) -> None:
    card = till.card(500)
    load = till.done("load", card=card, command=Load(500))
    assert till.ask("cancel", card=card).code == "state_not_allowed"
    till.done("arrive", of=load, command=Arrive())
    assert till.ask("take_back", card=card).code == "state_not_allowed"
    serving(till)


def test_a_lapsed_hold_ends_with_the_next_request(till: Till) -> None:
    card, other = till.card(1_000), till.card(50)
    hold = till.sale(card, 1_040, verb="hold", further=(other,))
    assert till.sale(card, 1).code == "insufficient_funds"
    lapse(till, 599)
    assert till.sale(card, 1).code == "insufficient_funds"
    lapse(till, 2)
    assert till.ask("capture", of=hold, command=Capture()).code == "hold_not_open"
    assert till.sale(card, 900).outcome == "applied"
    assert (till.balance(card), till.balance(other)) == (100, 50)
    assert till.ask("void", of=hold, command=Void()).code == "hold_not_open"
    serving(till)


def test_expire_ends_lapsed_holds(till: Till) -> None:
    card = till.card(1_000)
    holds = [till.sale(card, 100, verb="hold") for _ in range(3)]
    assert till.ask("expire", card=card, command=Expire()).code == "nothing_to_do"
    lapse(till, 601)
    done = till.done("expire", card=card, command=Expire())
    assert done.ref == holds[-1].position
    assert till.balance(card) == 1_000
    assert till.ask("expire", card=card, command=Expire()).code == "nothing_to_do"
    serving(till)


def test_nothing_is_given_back_to_a_dead_further_card(till: Till) -> None:
    card, other = till.card(100), till.card(50)
    sale = till.sale(card, 150, further=(other,))
    till.done("cancel", card=other)
    assert till.ask("refund", of=sale, command=Refund()).code == "card_not_active"
    assert till.ask("void", of=sale, command=Void()).code == "card_not_active"
    assert (till.balance(card), till.balance(other)) == (0, 0)
    serving(till)


# ---------------------------------------------------------------- programmes
POINTS = '[[purse]]\nname = "points"\nunit = "points"\nrole = "points"\n'
VERSION_2 = PLAIN.replace("version = 1", "version = 2")


@pytest.mark.parametrize(
    ("pack", "valid_from"),
    [
        (VERSION_2.replace("[[purse]]", POINTS + "[[purse]]"), 0),  # points where the money was
        (VERSION_2.replace('"principal"\nunit', '"other"\nunit'), 0),
        (VERSION_2.replace("CNY", "USD"), 0),
        (VERSION_2, "1"),
        (VERSION_2, True),
        (VERSION_2, -1),
        (7, 0),
    ],
)
def test_a_version_that_reads_the_same_card_differently_is_refused(till: Till, pack: object, valid_from: object) -> None:
    payload = {"kind": "programme", "id": "plain@2", "document": {"pack": pack, "valid_from": valid_from}}
    assert till.problem("change", payload=payload) == "invalid_document"
    serving(till)
    till.reopen()


def test_a_version_with_more_purses_and_tiers_is_taken(till: Till) -> None:
    card = till.card(500)
    pack = VERSION_2 + POINTS + '[[tier]]\nname = "standard"\n[[tier]]\nname = "gold"\norders_min = 1\n'
    till.done("change", payload={"kind": "programme", "id": "plain@2", "document": {"pack": pack, "valid_from": 0}})
    assert till.sale(card, 100).outcome == "applied"
    assert till.balance(card) == 400
    fewer = PLAIN.replace("version = 1", "version = 3")
    payload = {"kind": "programme", "id": "plain@3", "document": {"pack": fewer, "valid_from": 0}}
    assert till.problem("change", payload=payload) == "invalid_document"
    serving(till)
