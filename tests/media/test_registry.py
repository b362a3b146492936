"""Goal: a medium lives by journal entries alone, one active medium a card unless the programme says more (K9), and what holds no
value only identifies (K8).

Method: the desk of a fresh shop; after each story `verify` folds the journal again, and a rebuild gives the same rows.
"""

from __future__ import annotations

from typing import Any

import pytest

from cardapi.store.media import COUNTER_RETIRE, KeyPeriod, Shown, key_allowed, pack_shown, unpack_keys
from cardapi.store.port import Entry, MediumRow
from cardapi.store.verify import rebuild
from cardcore.settlement import Arrive, Clear, Load, Pay, Return, Unload
from firmware_sim import build
from tests.desk.till import PLAIN, Till
from tests.media.counter import Counter
from tests.shops import length

CHIP = "pboc:1000000010000000" + "00" * 9 + "01"


def chip(till: Till, card: str, name: str = CHIP, **facts: Any) -> Entry:
    """Register a medium of a card."""
    given = {"medium": name, "profile": "pboc2-3des", "keys": [[1, 0, 0]], "purse": 2 * name.startswith("pboc"), **facts}
    return till.ask("register_medium", card=card, payload=given)


def row(till: Till, name: str = CHIP) -> MediumRow:
    return till.shop.store.read_media([name])[name]


def shown(name: str = CHIP, online: int = -1, offline: int = -1, balance: int = -1) -> bytes:
    return pack_shown(Shown(name, online, offline, balance))


def sound(till: Till) -> None:
    """The journal folds to the projections, and a rebuild gives the very same rows."""
    till.sound()
    before = list(till.shop.store.reader().media())
    assert rebuild(till.shop.store, till.shop.custody.chain_key, checkpoints=till.shop.checkpoints.read()).ok
    assert list(till.shop.store.reader().media()) == before


def test_a_registered_medium(till: Till) -> None:
    card = till.card()
    entry = chip(till, card, keys=[[1, 100, 200], [2, 200, 0]], offline_counter=5)
    made = row(till)
    assert (made.card, made.state, made.purse, made.offline_counter, made.changed_at) == (card, "active", 2, 5, entry.position)
    assert unpack_keys(made.keys) == [KeyPeriod(1, 100, 200), KeyPeriod(2, 200, 0)]
    times = ((1, 99), (1, 100), (1, 199), (1, 200), (2, 200), (2, 1 << 40), (3, 150))
    assert [key_allowed(made, version, at) for version, at in times] == [False, True, True, False, True, True, False]
    assert till.shop.store.statement(entry.account_id, None, 1)[0].verb == "register_medium"
    sound(till)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"medium": ""}, "invalid_payload"), ({"medium": "pboc:"}, "invalid_payload"), ({"medium": "rfid:01"}, "invalid_payload"),
        ({"medium": "uid:" + "0" * 125}, "invalid_payload"), ({"medium": "uid:é"}, "invalid_payload"), ({"medium": 7}, "invalid_payload"),
        ({"purse": 0}, "invalid_payload"), ({"purse": 3}, "invalid_payload"), ({"purse": True}, "invalid_payload"),
        ({"medium": "uid:01", "purse": 1}, "invalid_payload"), ({"profile": "x" * 33}, "invalid_payload"),
        ({"keys": 1}, "invalid_payload"), ({"keys": [[256, 0, 0]]}, "invalid_payload"), ({"keys": [[1, -1, 0]]}, "invalid_payload"),
        ({"keys": [[1, 0, 0, 0]]}, "invalid_payload"), ({"keys": [[1, 0, 0]] * 17}, "invalid_payload"),
        ({"offline_counter": 65_536}, "invalid_payload"), ({"offline_counter": -1}, "invalid_payload"),
    ],
)  # fmt: skip
def test_a_malformed_medium_is_refused_and_changes_nothing(till: Till, facts: dict[str, Any], code: str) -> None:
    card, before = till.card(), length(till.shop)
    name = facts.pop("medium", CHIP)
    given = {"medium": name, "profile": "pboc2-3des", "keys": [[1, 0, 0]], "purse": 2, **facts}
    assert till.problem("register_medium", card=card, payload=given) == code
    assert length(till.shop) == before
    assert list(till.shop.store.reader().media()) == []


def test_one_active_medium_of_a_card_and_never_two_cards_of_a_medium(till: Till) -> None:
    card, other = till.card(), till.card()
    chip(till, card)
    assert chip(till, card, "uid:01").code == "too_many_media"
    assert till.problem("register_medium", card=other, payload={"medium": CHIP, "purse": 2}) == "medium_taken"
    till.done("retire_medium", payload={"medium": CHIP})
    assert chip(till, card, "uid:01").outcome == "applied"
    assert till.ask("unblock_medium", payload={"medium": CHIP}).code == "state_not_allowed"
    assert till.problem("register_medium", card=other, payload={"medium": CHIP, "purse": 2}) == "medium_taken"
    till.done("block_medium", payload={"medium": "uid:01"})
    chip(till, card, "uid:02")
    assert till.ask("unblock_medium", payload={"medium": "uid:01"}).code == "too_many_media"
    assert till.problem("block_medium", payload={"medium": "uid:03"}) == "unknown_medium"
    assert till.problem("block_medium", card=other, payload={"medium": "uid:01"}) == "unknown_medium"
    assert till.problem("register_medium", card="8801999999999990", payload={"medium": "uid:04"}) == "unknown_card"
    till.done("freeze", card=other)
    assert chip(till, other, "uid:05").code == "state_not_allowed"
    sound(till)


def test_a_programme_may_declare_more_media(till: Till) -> None:
    pack = PLAIN.replace('"plain"', '"double"').replace("[card]", "[card]\nmedia_max = 2")
    till.done("change", payload={"kind": "programme", "id": "double@1", "document": {"valid_from": 0, "pack": pack}})
    card = till.card(programme="double")
    assert [chip(till, card, f"uid:0{n}").code for n in range(3)] == ["", "", "too_many_media"]


@pytest.mark.parametrize("verb", ["swap", "reissue"])
def test_an_exchanged_number_takes_its_media_out_of_use(till: Till, verb: str) -> None:
    card = till.card(10_00)
    chip(till, card)
    if verb == "reissue":
        till.done("lost", card=card)
    entry = till.done(verb, card=card, payload={"prefix": "8802"})
    assert (row(till).state, row(till).changed_at) == ("retired", entry.position)
    new = next(found.number for found in till.shop.store.reader().cards() if found.kind == "replacement")
    assert chip(till, new, "uid:77").outcome == "applied"
    assert till.ask("load", card=new, command=Load(1_00, memo=shown())).code == "medium_not_active"
    sound(till)


def load(till: Till, card: str, fen: int, online: int, balance: int, *, offline: int = 0) -> None:
    intent = till.done("load", card=card, command=Load(fen, memo=shown(CHIP, online, offline, balance)))
    till.done("arrive", of=intent, command=Arrive(memo=shown(CHIP, online + 1, offline, balance + fen)))


def test_what_a_chip_showed_is_kept_and_counters_only_rise(till: Till) -> None:
    card = till.card(100_00)
    chip(till, card)
    load(till, card, 60_00, 0, 0)
    assert (row(till).online_counter, row(till).offline_counter, row(till).balance_fen) == (1, 0, 60_00)
    till.done("clear", card=card, command=Clear(5_00, memo=shown(CHIP, -1, 3, 55_00)))
    assert (row(till).online_counter, row(till).offline_counter, row(till).balance_fen) == (1, 3, 55_00)
    till.done("clear", card=card, command=Clear(1_00, memo=shown(CHIP, -1, 2, 59_00)))
    assert (row(till).online_counter, row(till).offline_counter, row(till).balance_fen) == (1, 3, 55_00), "an older record came later"
    sound(till)


def test_what_is_in_flight_stands_on_the_medium_until_it_ended(lone: Till) -> None:
    card, other = lone.card(100_00), lone.card(100_00)
    chip(lone, card)
    chip(lone, other, "desfire:04010203040506")
    intent = lone.done("load", card=card, command=Load(60_00, memo=shown()))
    assert [found.medium for found in lone.shop.store.in_flight(0, 10)] == [CHIP]
    assert row(lone).in_flight == intent.position
    assert lone.ask("unload", card=card, command=Unload(1, memo=shown())).code == "in_flight_open"
    assert lone.ask("arrive", of=intent, command=Arrive(memo=shown("desfire:04010203040506"))).code == "not_same_card"
    lone.done("return", of=intent, command=Return(memo=shown(CHIP, 0, 0, 0)))
    assert row(lone).in_flight == 0
    assert lone.ask("return", of=intent, command=Return(memo=shown())).code == "not_in_flight"
    assert lone.problem("load", card=card, command=Load(1_00, memo=shown("pboc:99"))) == "unknown_medium"
    assert lone.problem("load", card=card, command=Load(1_00, memo=b"\x00")) == "invalid_payload"
    assert lone.problem("load", card=card, command=Load(1_00, memo=shown(CHIP, 65_536))) == "invalid_payload"
    sound(lone)


def test_a_blocked_medium_takes_no_money_in_or_out(till: Till) -> None:
    card = till.card(100_00)
    chip(till, card)
    load(till, card, 60_00, 0, 0)
    till.done("block_medium", payload={"medium": CHIP})
    for verb, command in (("load", Load), ("unload", Unload), ("pay", Pay)):
        assert till.ask(verb, card=card, command=command(1_00, memo=shown())).code == "medium_not_active"
    till.done("clear", card=card, command=Clear(1_00, memo=shown(CHIP, -1, 1, 59_00)))
    sound(till)


def test_a_medium_that_only_identifies_holds_no_value(till: Till) -> None:
    card = till.card(100_00)
    chip(till, card, "uid:04112233")
    assert till.problem("load", card=card, command=Load(1_00, memo=shown("uid:04112233"))) == "unknown_medium"


def test_a_purse_is_retired_before_its_counter_runs_out(till: Till) -> None:
    card = till.card(100_00)
    chip(till, card)
    load(till, card, 10_00, COUNTER_RETIRE - 2, 0)
    assert row(till).state == "active"
    load(till, card, 10_00, COUNTER_RETIRE - 1, 10_00)
    assert row(till).state == "retired"
    assert till.ask("load", card=card, command=Load(1_00, memo=shown())).code == "medium_not_active"
    intent = till.done("unload", card=card, command=Unload(20_00, memo=shown()))
    till.done("arrive", of=intent, command=Arrive(memo=shown(CHIP, COUNTER_RETIRE + 1, 0, 0)))
    assert till.balance(card) == 100_00
    sound(till)


def test_a_chips_money_is_not_spendable_on_line(till: Till) -> None:
    """M5: what is on the chip, or on its way there, is in no other place."""
    card = till.card(100_00)
    chip(till, card)
    load(till, card, 60_00, 0, 0)
    assert till.sale(card, 40_01).code == "insufficient_funds"
    assert till.sale(card, 40_00).outcome == "applied"
    assert till.sale(card, 1).code == "insufficient_funds"
    assert till.ask("load", card=card, command=Load(1, memo=shown(CHIP))).code == "insufficient_funds"
    sound(till)


def test_a_chip_made_for_a_number_comes_along_when_that_takes_over_an_account(lone: Till) -> None:
    counter = Counter(lone)
    old = counter.desfire(100_00)
    replaced = counter.number
    assert counter.tap(old, "load", 30_00).outcome == "done"
    number = lone.done("issue", payload={"programme": "plain", "prefix": "62"}).card
    uid = bytes.fromhex("04090909090909")
    new = build.desfire_purse_card(uid=uid, entropy=counter.rng.randbytes)
    payload = {"medium": f"desfire:{uid.hex()}", "profile": "desfire-ev2", "keys": counter.keys, "purse": 0}
    lone.done("register_medium", card=number, payload=payload)
    lone.done("swap", card=replaced, payload={"to": number})
    assert counter.tap(new, "load", 10_00).outcome == "done"
    assert (counter.places(number)["account"], counter.places(number)["on_card"]) == (60_00, 40_00), "both chips are of this account"
    back = counter.tap(old, "unload", 30_00)
    assert (back.outcome, back.card, counter.places(number)["on_card"]) == ("done", number, 10_00)
    sound(lone)
