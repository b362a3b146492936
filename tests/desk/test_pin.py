"""PIN at the desk (L02, N, A6): the policy, the count of wrong tries before each answer, the lock across restarts and threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cardapi.custody import Custody, Pin, PinMalformed
from cardcore.settlement import Adjust, Redeem, Sale
from tests.coupons.packs import SHOP
from tests.desk.till import Till

RIGHT, WRONG = Pin.parse("482913"), Pin.parse("111111")


def spend(till: Till, card: str, fen: int, pin: Pin | None = None) -> str:
    return till.ask("settle", card=card, pin=pin, command=Sale("settle", [(fen, 1)])).code


def test_policy_above_an_amount(till: Till) -> None:
    card = till.card(100_00, "guarded", "482913")
    assert spend(till, card, 10_00) == ""
    assert spend(till, card, 10_01) == "pin_required"
    assert spend(till, card, 10_01, RIGHT) == ""
    bare = till.card(100_00, "guarded")
    assert spend(till, bare, 10_01) == "pin_required"
    assert spend(till, bare, 10_01, RIGHT) == "pin_not_set"


def test_points_are_not_spent_without_the_pin_where_it_is_always_asked_for(till: Till) -> None:
    """A gift takes value off the card as a purchase does."""
    pack = SHOP.replace("[[purse]]", '[card]\npin = "always"\n[[purse]]', 1)
    till.done("change", payload={"kind": "programme", "id": "coupon-shop@1", "document": {"valid_from": 0, "pack": pack}})
    card = till.card(0, "coupon-shop", "482913")
    till.done("adjust", card=card, command=Adjust("points", 3_000), approver="boss")
    tries = [till.ask("redeem", card=card, pin=pin, command=Redeem("voucher")).code for pin in (None, WRONG, RIGHT)]
    assert tries == ["pin_required", "pin_wrong", ""]
    till.sound()


def test_three_wrong_tries_lock_for_good(till: Till) -> None:
    card = till.card(100_00, pin="482913")
    assert [spend(till, card, 1_00, WRONG) for _ in range(2)] == ["pin_wrong"] * 2
    till.reopen()
    assert spend(till, card, 1_00, WRONG) == "pin_wrong"
    assert spend(till, card, 1_00, RIGHT) == "pin_locked"
    till.reopen()
    assert till.ask("verify_pin", card=card, pin=RIGHT).code == "pin_locked"
    assert till.balance(card) == 100_00
    till.done("set_pin", card=card, pin=RIGHT)
    assert spend(till, card, 1_00, RIGHT) == ""
    till.sound()


def test_a_right_pin_clears_the_count(till: Till) -> None:
    card = till.card(100_00, pin="482913")
    for _ in range(3):
        assert [spend(till, card, 1_00, WRONG) for _ in range(2)] == ["pin_wrong"] * 2
        assert spend(till, card, 1_00, RIGHT) == ""
    for _ in range(2):
        assert [till.ask("verify_pin", card=card, pin=WRONG).code for _ in range(2)] == ["pin_wrong"] * 2
        till.done("verify_pin", card=card, pin=RIGHT)
    till.sound()


def test_a_retry_of_a_wrong_try_counts_once(till: Till) -> None:
    card = till.card(100_00, pin="482913")
    for _ in range(5):
        assert till.ask("verify_pin", key="one", card=card, pin=WRONG).code == "pin_wrong"
    assert till.ask("verify_pin", card=card, pin=RIGHT).code == ""


def test_parallel_guesses_get_three_tries_together(till: Till) -> None:
    card = till.card(100_00, pin="482913")
    guesses = [Pin.parse(f"{n:06d}") for n in range(40)]
    with ThreadPoolExecutor(40) as pool:
        codes = list(pool.map(lambda pin: till.ask("verify_pin", key=f"g{pin.reveal()!r}", card=card, pin=pin).code, guesses))
    assert sorted(codes) == ["pin_locked"] * 37 + ["pin_wrong"] * 3
    till.sound()


def test_guesses_in_one_batch(till: Till) -> None:
    card = till.card(100_00, pin="482913")
    requests = [till.request("verify_pin", key=f"g{n}", card=card, pin=WRONG) for n in range(6)]
    assert [entry.code for entry in till.shop.desk.call_many(requests)] == ["pin_wrong"] * 3 + ["pin_locked"] * 3


def test_a_further_card_that_wants_its_own_pin_cannot_pay(till: Till) -> None:
    card, guarded = till.card(5_00), till.card(100_00, "guarded", "482913")
    paid = till.ask("settle", card=card, further=(guarded,), command=Sale("settle", [(16_00, 1)]), pin=None)
    assert paid.code == "pin_required"
    assert till.ask("settle", card=card, further=(guarded,), command=Sale("settle", [(15_00, 1)])).code == ""


def test_no_pin_in_any_file(till: Till) -> None:
    """A6: the PIN's digits, as text, stand in no file of the data directory, and a stolen database cannot confirm a guess."""
    pin = "930471826055"
    card = till.card(10_00, pin=pin)
    till.ask("verify_pin", card=card, pin=Pin.parse("930471826056"))
    till.shop.close()
    for path in till.directory.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert pin.encode() not in content, path
            assert b"930471826056" not in content, path


def test_the_value_is_keyed_outside_the_database(tmp_path: Path) -> None:
    one, two = Custody.create(tmp_path / "one"), Custody.create(tmp_path / "two")
    salt = bytes(range(16))
    assert one.pin_value(7, RIGHT, salt) != two.pin_value(7, RIGHT, salt)
    assert one.pin_value(7, RIGHT, salt) != one.pin_value(8, RIGHT, salt)
    value = one.pin_value(7, RIGHT)
    assert Custody.load(tmp_path / "one").pin_matches(7, RIGHT, value)
    assert not one.pin_matches(7, WRONG, value)
    assert not two.pin_matches(7, RIGHT, value)
    assert not one.pin_matches(7, RIGHT, b"")


@pytest.mark.parametrize("text", ["", "123", "1234567890123", "12a4", "１２３４", " 1234", "12.4"])
def test_malformed_pins(text: str) -> None:
    with pytest.raises(PinMalformed) as raised:
        Pin.parse(text)
    assert not text or text not in str(raised.value)


def test_secrets_do_not_print() -> None:
    assert f"{RIGHT} {RIGHT!r} {RIGHT:>10}" == "*** *** ***"
    with pytest.raises(TypeError):
        hash(RIGHT)
