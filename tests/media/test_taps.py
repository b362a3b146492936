"""Goal: every verb of a tap, on every make of chip, moves the same amount on the chip and in the journal, and every refusal moves none.

Method: simulated cards, which know nothing of our code, held to sessions of a fresh shop; the chip's memory is read past its commands.
"""

from __future__ import annotations

from typing import Any

import pytest

from cardapi.custody import Pin
from cardcore.card.purse import ED, EP
from firmware_sim import build
from tests.desk.till import Till
from tests.media.counter import Counter

PURSES = ("pboc2-3des", "fm1208", "transit-sm4")


@pytest.fixture
def counter(till: Till) -> Counter:
    return Counter(till)


@pytest.mark.parametrize("profile", PURSES)
def test_a_purse_is_loaded_pays_and_shows(counter: Counter, profile: str) -> None:
    card = counter.purse(100_00, profile=profile)
    loaded = counter.tap(card, "load", 60_00)
    assert (loaded.outcome, loaded.happened, loaded.chip_fen, len(loaded.proof)) == ("done", True, 60_00, 8)
    assert (counter.money(), counter.chip(card)) == ((40_00, 60_00, 0), 60_00)
    paid = counter.tap(card, "pay", 12_50, pin=None)
    assert (paid.outcome, paid.happened, paid.chip_fen) == ("done", True, 47_50)
    assert (counter.money(), counter.chip(card)) == ((40_00, 47_50, 0), 47_50)
    compound = counter.tap(card, "pay", 2_50, pin=None, records=[(2, b"\x02" + bytes(range(31)))])
    assert (compound.outcome, counter.chip(card), counter.money()) == ("done", 45_00, (40_00, 45_00, 0))
    shown = counter.tap(card, "show")
    assert (shown.chip_fen, shown.card, shown.medium) == (45_00, counter.number, counter.medium)
    assert [(line.kind, line.amount_fen) for line in shown.log] == [(9, 2_50), (6, 12_50), (2, 60_00)]
    assert {line.terminal[:2] for line in shown.log} == {"ff"}
    counter.till.sound()


@pytest.mark.parametrize(("profile", "which"), [("fm1208", EP), ("pboc2-3des", ED), ("transit-sm4", ED)])
def test_money_goes_back_from_a_purse_to_the_account(counter: Counter, profile: str, which: int) -> None:
    card = counter.purse(100_00, profile=profile, which=which)
    counter.tap(card, "load", 60_00)
    back = counter.tap(card, "unload", 25_00)
    assert (back.outcome, back.chip_fen, back.verb) == ("done", 35_00, "unload")
    assert (counter.money(), counter.chip(card)) == ((65_00, 35_00, 0), 35_00)
    assert counter.tap(card, "pay", 5_00).outcome == "done"
    assert (counter.money(), counter.chip(card)) == ((65_00, 30_00, 0), 30_00)
    counter.till.sound()


@pytest.mark.parametrize("ev2", [True, False])
def test_a_desfire_card_is_loaded_pays_and_gives_back(counter: Counter, ev2: bool) -> None:
    card = counter.desfire(100_00, ev2=ev2)
    assert counter.tap(card, "load", 60_00).chip_fen == 60_00
    assert counter.tap(card, "pay", 12_50).chip_fen == 47_50
    assert counter.tap(card, "unload", 7_50).chip_fen == 40_00
    assert counter.tap(card, "show").chip_fen == 40_00
    assert (counter.money(), counter.chip(card)) == ((47_50, 40_00, 0), 40_00)
    row = counter.till.shop.store.read_media([counter.medium])[counter.medium]
    assert (row.offline_counter, row.balance_fen, row.in_flight) == (3 if ev2 else 0, 40_00, 0)
    counter.till.sound()


def test_cash_goes_straight_to_the_chip(counter: Counter) -> None:
    card = counter.purse(10_00)
    assert counter.tap(card, "load", 60_00, tender="cash").outcome == "done"
    assert (counter.money(), counter.chip(card)) == ((10_00, 60_00, 0), 60_00)
    assert counter.till.sale(counter.number, 10_01).code == "insufficient_funds", "M5"
    counter.till.sound()


@pytest.mark.parametrize(
    ("purpose", "fen", "more", "code"),
    [
        ("load", 100_01, {}, "insufficient_funds"), ("load", 10_00, {"pin": None}, "card_refused"),
        ("load", 10_00, {"pin": Pin.parse("000000")}, "card_refused"), ("pay", 1, {}, "card_refused"), ("unload", 1, {}, "card_refused"),
        ("load", 0, {}, "amount_out_of_range"), ("pay", 0, {}, "amount_out_of_range"),
    ],
)  # fmt: skip
def test_refusals_change_nothing(counter: Counter, purpose: str, fen: int, more: dict[str, Any], code: str) -> None:
    card = counter.purse(100_00)
    result = counter.tap(card, purpose, fen, **more)
    assert (result.outcome, result.code) == ("refused", code)
    assert (counter.money(), counter.chip(card)) == ((100_00, 0, 0), 0)
    assert result.tries_left == (2 if "pin" in more and more["pin"] is not None else -1)
    counter.till.sound()


@pytest.mark.parametrize(("verb", "code"), [("freeze", "card_not_active"), ("lost", "card_lost"), ("exclude", "holder_excluded")])
@pytest.mark.parametrize("purpose", ["show", "load", "pay", "unload"])
def test_a_card_that_may_not_be_used_is_refused(counter: Counter, purpose: str, verb: str, code: str) -> None:
    card = counter.purse(100_00, profile="fm1208")
    counter.tap(card, "load", 20_00)
    counter.till.done(verb, card=counter.number)
    result = counter.tap(card, purpose, 5_00)
    assert (result.outcome, result.code) == ("refused", code)
    assert (counter.money(), counter.chip(card)) == ((80_00, 20_00, 0), 20_00)
    assert counter.tap(card, "recover").outcome == "done"


def test_a_loss_counts_from_its_time(counter: Counter) -> None:
    """K5: a loss with an effective time ahead leaves the card usable until then."""
    card = counter.purse(100_00)
    at = counter.room.clock() // 1_000_000
    counter.till.done("lost", card=counter.number, payload={"effective_at": at + 3_600})
    assert counter.tap(card, "load", 20_00).outcome == "done"
    counter.now = at + 3_601
    assert counter.tap(card, "load", 20_00).code == "card_lost"


def test_a_blocked_or_retired_medium(counter: Counter) -> None:
    card = counter.purse(100_00, profile="fm1208")
    counter.tap(card, "load", 60_00)
    counter.till.done("block_medium", payload={"medium": counter.medium})
    assert {counter.tap(card, purpose, 1_00).code for purpose in ("load", "pay", "unload")} == {"medium_not_active"}
    assert counter.tap(card, "show").chip_fen == 60_00
    counter.till.done("retire_medium", payload={"medium": counter.medium})
    assert {counter.tap(card, purpose, 1_00).code for purpose in ("load", "pay")} == {"medium_not_active"}
    assert counter.tap(card, "unload", 60_00).outcome == "done"
    assert (counter.money(), counter.chip(card)) == ((100_00, 0, 0), 0)


def test_an_exchanged_cards_money_goes_to_the_number_that_took_over(counter: Counter) -> None:
    card = counter.purse(100_00, profile="fm1208")
    counter.tap(card, "load", 60_00)
    counter.till.done("swap", card=counter.number, payload={"prefix": "8802"})
    assert counter.tap(card, "pay", 1_00).code == "medium_not_active"
    back = counter.tap(card, "unload", 60_00)
    assert back.outcome == "done"
    assert back.card != counter.number
    assert counter.places(back.card) == {"account": 100_00, "on_card": 0, "in_flight": 0, "open": 0}
    counter.till.sound()


@pytest.mark.parametrize("desfire", [False, True])
def test_a_key_version_that_the_card_may_not_use(counter: Counter, desfire: bool) -> None:
    """K6: the registry says which versions of a card's keys count, and when."""
    counter.keys = [[1, 0, counter.room.clock() // 1_000_000 + 3_600]]
    card = counter.desfire() if desfire else counter.purse()
    assert counter.tap(card, "load", 60_00).outcome == "done"
    counter.now = counter.room.clock() // 1_000_000 + 3_601
    assert counter.tap(card, "load", 1_00).code == counter.tap(card, "pay", 1_00).code == "key_version_not_allowed"
    assert (counter.money(), counter.chip(card)) == ((40_00, 60_00, 0), 60_00)


def test_an_unknown_chip_and_a_thing_that_is_no_chip(counter: Counter) -> None:
    counter.purse(100_00)
    card = counter.purse(0, serial=77)
    assert counter.tap(build.purse_card(identity=None), "show").outcome == "done"
    assert counter.tap(build.desfire_purse_card(), "show").code == "unknown_medium"
    assert counter.tap(card, "show", send=lambda command: b"\x6d\x00").code == "unexpected_answer"
    assert counter.tap(card, "show", send=lambda command: b"").outcome == "torn"


@pytest.mark.parametrize("purpose", ["load", "unload", "pay"])
def test_more_than_a_value_file_can_be_asked_for_is_refused(counter: Counter, purpose: str) -> None:
    refused = counter.tap(counter.desfire(100_00), purpose, 1 << 31)
    assert (refused.outcome, refused.code, counter.money()) == ("refused", "amount_out_of_range", (100_00, 0, 0))


@pytest.mark.parametrize("profile", ["nothing", "desfire-ev2"])
def test_a_chip_registered_with_a_profile_of_no_such_chip_is_refused(
    counter: Counter, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    register = counter.register
    monkeypatch.setattr(counter, "register", lambda medium, _, *more: register(medium, profile, *more))
    refused = counter.tap(counter.purse(100_00), "load", 10_00)
    assert (refused.outcome, refused.code, counter.money()) == ("refused", "unknown_profile", (100_00, 0, 0))
