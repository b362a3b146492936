"""The life of a card at the desk (K5, L01, C11, C19): every step from every state, what each state lets through, dead numbers.

The table of steps is written out here a second time, from the requirement, and compared cell by cell with what the desk does.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cardapi.custody import Pin
from cardapi.ids import card_number, is_card_number
from cardapi.store.port import Entry
from cardcore.errors import Declined
from cardcore.settlement import Arrive, Clear, Load, Refund, Sale, TopUp, Transfer
from cardcore.settlement.lifecycle import STATES, next_state
from tests.desk.till import Till

# verb -> {from: to}, by L01; what is not here must be refused
TABLE = {
    "issue": {"stock": "issued"},
    "activate": {"issued": "active"},
    "lost": {"active": "lost", "frozen": "lost"},
    "freeze": {"active": "frozen"},
    "unfreeze": {"frozen": "active", "lost": "active"},
    "swap": {"active": "swapped"},
    "reissue": {"lost": "swapped", "expired": "swapped"},
    "cancel": dict.fromkeys(("stock", "issued", "active", "frozen", "lost", "expired"), "cancelled"),
    "expire_card": dict.fromkeys(("issued", "active", "frozen", "lost"), "expired"),
    "take_back": {"active": "cancelled", "expired": "cancelled"},
    "destroy": dict.fromkeys(("stock", "cancelled", "expired", "swapped"), "destroyed"),
}
PATHS = {
    "stock": ["stock"], "issued": ["issue"], "active": ["issue", "activate"], "lost": ["issue", "activate", "lost"],
    "frozen": ["issue", "activate", "freeze"], "swapped": ["issue", "activate", "swap"], "cancelled": ["issue", "cancel"],
    "expired": ["issue", "expire_card"], "destroyed": ["issue", "cancel", "destroy"],
}  # fmt: skip


def state(till: Till, card: str) -> str:
    return till.shop.store.reader().read([card])[card].card.state


def facts(verb: str) -> dict[str, object]:
    if verb in ("stock", "issue"):
        return {"programme": "plain", "prefix": "8801"}
    return {"prefix": "8802"} if verb in ("swap", "reissue") else {}


def bring(till: Till, wanted: str) -> str:
    """A new card in this state."""
    card = ""
    for verb in PATHS[wanted]:
        entry = till.done(verb, card=card, payload=facts(verb))
        card = card or entry.card
    assert state(till, card) == wanted
    return card


@pytest.mark.parametrize("verb", TABLE)
def test_every_step_from_every_state(till: Till, verb: str) -> None:
    for start in STATES:
        card = bring(till, start)
        if verb == "issue" and start != "stock":
            assert till.problem("issue", card=card, payload=facts("issue")) == "number_taken"
            continue
        entry = till.ask(verb, card=card, payload=facts(verb))
        if start in TABLE[verb]:
            assert (entry.outcome, state(till, card)) == ("applied", TABLE[verb][start])
        else:
            assert (entry.code, state(till, card)) == ("state_not_allowed", start)
    till.sound()


def test_the_pure_table_is_the_same() -> None:
    for verb, steps in TABLE.items():
        for start in STATES:
            if start in steps:
                assert next_state(start, verb) == steps[start]
            else:
                with pytest.raises(Declined):
                    next_state(start, verb)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ("stock", "card_not_active"), ("issued", "card_not_active"), ("lost", "card_lost"), ("frozen", "card_not_active"),
        ("swapped", "card_not_active"), ("cancelled", "card_not_active"), ("expired", "card_expired"), ("destroyed", "card_not_active"),
    ],
)  # fmt: skip
def test_only_an_active_card_buys(till: Till, wanted: str, code: str) -> None:
    card = bring(till, wanted)
    assert till.ask("settle", card=card, command=Sale("settle", [(1, 1)])).code == code
    assert till.ask("topup", card=card, command=TopUp(1)).code == code
    other = till.card(10_00)
    assert till.ask("settle", card=other, further=(card,), command=Sale("settle", [(11_00, 1)])).code == code
    assert till.ask("transfer", card=other, further=(card,), command=Transfer(1)).code == code
    assert till.balance(other) == 10_00


def test_a_loss_that_does_not_count_yet_may_be_brought_forward_and_never_put_off(till: Till) -> None:
    """Else whoever reports a loss for next year keeps a card in use that its holder then cannot report."""
    card, now = till.card(10_00), int(time.time())
    till.done("lost", card=card, payload={"effective_at": now + 360 * 86_400})
    assert till.sale(card, 1_00).outcome == "applied"
    assert till.ask("lost", card=card, payload={"effective_at": now + 361 * 86_400}).code == "state_not_allowed"
    till.done("lost", card=card, payload={"effective_at": now + 86_400})
    assert till.sale(card, 1_00).outcome == "applied"
    till.done("lost", card=card)
    assert till.sale(card, 1_00).code == "card_lost"
    assert till.ask("lost", card=card, payload={"effective_at": now - 3_600}).code == "state_not_allowed", "it counts already"
    till.sound()


def test_a_lost_card_stays_lost_when_the_clock_goes_back(tmp_path: Path) -> None:
    """F1: the journal says that the loss was reported; also that a loss for later was not there yet."""
    now = int(time.time()) + 86_400
    till = Till(tmp_path / "shop", clock=lambda: now * 1_000_000)
    card, other, later = till.card(10_00), till.card(10_00), till.card(10_00)
    till.done("lost", card=card)
    till.done("lost", card=later, payload={"effective_at": now + 60})
    now -= 3_600
    assert till.sale(card, 1_00).code == "card_lost"
    assert till.sale(other, 11_00, further=(card,)).code == "card_lost"
    assert till.sale(later, 1_00).outcome == "applied"
    till.reopen()
    assert till.sale(card, 1_00).code == "card_lost"
    assert till.ask("lost", card=card).code == "state_not_allowed", "reported already"
    till.done("unfreeze", card=card)
    assert till.sale(card, 1_00).outcome == "applied"
    till.sound()
    till.shop.close()


def test_a_lost_card_still_gets_its_refund(till: Till) -> None:
    card = till.card(10_00)
    sale = till.sale(card, 6_00)
    till.done("lost", card=card)
    till.done("refund", of=sale, command=Refund())
    assert till.balance(card) == 10_00


def test_a_loss_takes_effect_when_it_says(till: Till) -> None:
    card = till.card(10_00)
    till.done("lost", card=card, payload={"effective_at": int(time.time()) + 3600})
    assert till.sale(card, 1_00).outcome == "applied"
    early = till.card(10_00)
    till.done("lost", card=early, payload={"effective_at": int(time.time()) - 3600})
    assert till.sale(early, 1_00).code == "card_lost"
    frozen = till.card(10_00)
    till.done("freeze", card=frozen)
    till.done("lost", card=frozen, payload={"effective_at": int(time.time()) + 3600})
    assert till.sale(frozen, 1_00).code == "card_lost", "reporting a frozen card must not make it usable"
    till.sound()


@pytest.mark.parametrize("verb", ["swap", "reissue"])
def test_value_and_pin_follow_the_holder(till: Till, verb: str) -> None:
    card = till.card(50_00, pin="482913")
    sale = till.sale(card, 20_00)
    if verb == "reissue":
        till.done("lost", card=card)
    entry = till.done(verb, card=card, payload={"prefix": "8802"})
    account = till.shop.store.reader().read_accounts([entry.account_id])[entry.account_id]
    new = account.card.number
    assert new != card
    assert is_card_number(new)
    assert till.ask("settle", card=card, command=Sale("settle", [(1, 1)])).code == "card_not_active"
    assert till.ask("settle", card=new, pin=Pin.parse("482913"), command=Sale("settle", [(5_00, 1)])).code == ""
    till.done("refund", of=sale, card=new, command=Refund())
    assert till.balance(new) == 45_00
    till.done("destroy", card=card)
    till.done("refund", of=till.sale(new, 1_00, pin=Pin.parse("482913")), command=Refund())
    assert till.problem("issue", card=card, payload=facts("issue")) == "number_taken", "a dead number never comes back"
    till.sound()


def test_numbers_given_by_hand_are_left_out_by_those_given_by_the_shop(till: Till) -> None:
    payload = {"programme": "plain", "prefix": "8803"}
    serial = till.done("issue", payload=payload).account_id & (1 << 40) - 1
    by_hand = [card_number("8803", serial + ahead) for ahead in range(6, 11)]  # each takes a serial of its own: these are next
    for number in by_hand:
        till.done("issue", card=number, payload=payload)
    given = [till.done("issue", payload=payload).card for _ in range(4)]
    assert len({*by_hand, *given}) == 9
    assert all(map(is_card_number, given))
    till.sound()


def test_a_prefix_without_a_free_number_near_says_so(lone: Till) -> None:
    prefix = "8" * 14  # ten numbers of 16 digits
    for place in range(3, 10):
        lone.done("issue", card=card_number(prefix, place), payload={"programme": "plain"})
    assert lone.problem("issue", payload={"programme": "plain", "prefix": prefix}) == "number_taken", "8 and 9 are taken, 11 does not fit"
    lone.sound()


def test_an_exchange_may_take_a_card_from_stock(lone: Till) -> None:
    card, blank = lone.card(50_00), bring(lone, "stock")
    lone.done("swap", card=card, payload={"to": blank})
    assert lone.balance(blank) == 50_00
    assert state(lone, blank) == "active"
    other = lone.card(1_00)
    assert lone.problem("swap", card=other, payload={"to": blank}) == "number_taken"
    assert lone.problem("swap", card=other, payload={"to": "8801000000000001"}) == "invalid_payload"
    lone.sound()


def test_a_gift_card_is_taken_back_empty_and_destroyed_by_another(till: Till) -> None:
    card = till.card(10_00)
    assert till.ask("take_back", card=card, operator="anna").code == "state_not_allowed"
    assert till.ask("cancel", card=card, operator="anna").code == "state_not_allowed"
    till.sale(card, 10_00)
    till.done("take_back", card=card, operator="anna")
    assert till.problem("destroy", card=card, operator="anna") == "maker_is_checker"
    till.done("destroy", card=card, operator="boris")
    assert state(till, card) == "destroyed"
    till.sound()


def test_validity_ends_by_the_clock(till: Till) -> None:
    number = till.issued(valid_until=int(time.time()) - 1)
    till.done("activate", card=number)
    assert till.ask("topup", card=number, command=TopUp(1)).code == "card_expired"
    till.done("expire_card", card=number)
    assert till.problem("reissue", card=number, payload={"prefix": "8802"}) == "invalid_payload"
    till.done("reissue", card=number, payload={"prefix": "8802", "valid_until": int(time.time()) + 3600})


def test_excluded_holders(till: Till) -> None:
    card = till.card(10_00)
    till.done("exclude", card=card)
    assert till.sale(card, 1_00).code == "holder_excluded"
    till.done("exclude", card=card, payload={"excluded": False})
    assert till.sale(card, 1_00).code == ""
    till.sound()


def test_numbers_of_a_retry_are_the_same(till: Till) -> None:
    """O5: the number the desk makes belongs to the key."""
    first = till.done("issue", key="issue", payload=facts("issue"))
    till.reopen()
    again = till.done("issue", key="issue", payload=facts("issue"))
    assert again == first
    requests = [till.request("issue", payload=facts("issue")) for _ in range(50)]
    numbers = {entry.card for entry in till.shop.desk.call_many(requests) if isinstance(entry, Entry)}
    assert len(numbers | {first.card}) == 51
    assert all(map(is_card_number, numbers))


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"programme": "none", "prefix": "8801"}, "unknown_programme"),
        ({"programme": "plain", "prefix": "x"}, "invalid_payload"),
        ({"programme": "plain", "prefix": "8" * 16}, "invalid_payload"),
        ({"programme": "plain", "prefix": "8801", "valid_until": 1.5}, "invalid_payload"),
        ({"programme": "plain", "prefix": "8801", "valid_until": True}, "invalid_payload"),
        ({"programme": "plain", "prefix": "8801", "valid_until": -1}, "invalid_payload"),
        ({}, "unknown_programme"),
    ],
)
def test_issue_refuses_nonsense(till: Till, payload: dict[str, object], code: str) -> None:
    before = till.shop.desk.heads
    assert till.problem("issue", payload=payload) == code
    assert till.problem("issue", card="123", payload={"programme": "plain"}) == "invalid_payload"
    assert till.shop.desk.heads == before


def test_card_numbers() -> None:
    """Luhn by the worked example of ISO/IEC 7812-1: 7992739871 has check digit 3."""
    assert is_card_number("79927398713")
    assert not any(is_card_number(f"7992739871{digit}") for digit in "012456789")
    assert card_number("8801", 7) == "8801000000000070"[:15] + card_number("8801", 7)[-1]
    for bad in (("", 1), ("88x", 1), ("8801", -1), ("8801", 10**11)):
        with pytest.raises(ValueError, match="fit"):
            card_number(*bad)


def test_a_card_with_value_in_its_memory_is_not_cancelled(till: Till) -> None:
    """M5: what was moved onto the card, or is on its way there, is still owed to the holder."""
    card = till.card(10_00)
    load = till.done("load", card=card, command=Load(10_00))
    assert till.ask("cancel", card=card).code == "state_not_allowed"
    till.done("arrive", of=load, command=Arrive())
    assert till.ask("cancel", card=card).code == "state_not_allowed"
    till.done("clear", card=card, command=Clear(10_00))
    till.done("cancel", card=card)
    till.sound()
