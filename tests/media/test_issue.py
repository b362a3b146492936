"""Goal: a blank card becomes the next of its batch with keys of its own, wherever it is torn; every serial is accounted for (Z).

Method: blank simulated cards personalised over sessions; what they are then is asked by loading and paying, which needs every key.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cardapi.custody import Pin
from cardapi.media.asked import Result
from cardapi.media.issue import KIND, Batch, registered
from cardcore.card.purse import ED, EP
from firmware_sim import build
from firmware_sim.card import Card
from firmware_sim.desfire import DesfireCard
from firmware_sim.nvm import PowerCut
from tests.desk.till import Till
from tests.firmware_sim.reader import Reader, Refusal
from tests.media.counter import Counter

NEW_PIN = Pin.parse("482913")
MAKES = {
    "pboc2-3des": EP, "fm1208": EP, "transit-sm4": ED, "desfire-ev2": 0, "desfire-ev2-mac": 0, "desfire-ev1": 0, "desfire-ev1-mac": 0,
}  # fmt: skip


@pytest.fixture
def counter(till: Till) -> Counter:
    return Counter(till)


def blank(counter: Counter, profile: str, n: int = 1) -> Card:
    if profile.startswith("desfire"):
        return build.desfire_card(uid=(0x04 << 48 | n).to_bytes(7), ev2="ev2" in profile, entropy=counter.rng.randbytes)
    return build.blank_purse_card(profile=profile, entropy=counter.rng.randbytes)


def batch(counter: Counter, profile: str, count: int = 3, name: str = "spring", state: str = "open") -> Batch:
    made = Batch(
        id=name, unit="issuer", programme="plain", profile=profile, issuer="1000000010000000", first_serial=501, count=count, prefix="8809",
        valid_from="20260101", valid_to="20361231", purse=MAKES[profile], limit_fen=1_000_000, state=state, maker="wang", approver="li",
        made_at=0,
    )  # fmt: skip
    counter.till.done("change", payload={"kind": KIND, "id": name, "document": msgspec.to_builtins(made)})
    return made


def make(counter: Counter, card: Card, **more: Any) -> Result:
    return counter.tap(card, "personalise", batch=more.pop("batch", "spring"), pin=more.pop("pin", NEW_PIN), **more)


def counted(counter: Counter, made: Batch) -> dict[str, int]:
    """Serials by what became of them."""
    cards = registered(counter.room.desk.look, made, 0, made.count)
    states = [found.card.state for found in counter.till.shop.store.read(list(cards.values())).values()]
    return {state: states.count(state) for state in sorted(set(states))} | {"left": made.count - len(states)}


@pytest.mark.parametrize("profile", MAKES)
def test_a_blank_card_becomes_a_card_that_holds_money(counter: Counter, profile: str) -> None:
    made, card = batch(counter, profile), blank(counter, profile)
    result = make(counter, card)
    assert (result.outcome, result.happened) == ("done", True)
    assert counted(counter, made) == {"issued": 1, "left": 2}
    row = counter.till.shop.store.read_media([result.medium])[result.medium]
    assert (row.card, row.profile, row.state, row.purse) == (result.card, profile, "active", MAKES[profile])
    if not profile.startswith("desfire"):
        assert result.medium == "pboc:1000000010000000" + "00000000000000000501"
    counter.till.done("activate", card=result.card)
    counter.till.topup(result.card, 100_00)
    counter.number = result.card
    assert counter.tap(card, "load", 60_00, pin=NEW_PIN).outcome == "done"
    assert counter.tap(card, "pay", 12_50, pin=NEW_PIN).outcome == "done"
    if profile != "pboc2-3des":  # which lets only the ED be unloaded
        assert counter.tap(card, "unload", 7_50, pin=NEW_PIN).outcome == "done"
        assert (counter.money(), counter.chip(card)) == ((47_50, 40_00, 0), 40_00)
    assert make(counter, card).code == "medium_taken"
    counter.till.sound()


@pytest.mark.parametrize("profile", ["pboc2-3des", "transit-sm4", "desfire-ev2", "desfire-ev1"])
def test_torn_before_and_after_every_command_it_is_the_same_card_in_the_end(counter: Counter, profile: str) -> None:
    """One card is torn at every command in turn, first before it acts, then after: each tap goes on, one serial is used."""
    made, card = batch(counter, profile, count=60), blank(counter, profile)
    numbers = set()
    for at in range(200):
        sent = 0

        def send(command: bytes, at: int = at) -> bytes:
            nonlocal sent
            sent += 1
            if sent == at // 2 + 1 and at % 2 == 0:
                raise PowerCut
            answer = card.transmit(command)
            if sent == at // 2 + 1:
                raise PowerCut
            return answer

        result = make(counter, card, send=send)
        if result.card:
            numbers.add(result.card)
        if result.outcome == "done":
            break
        assert result.outcome == "torn", result
    assert result.outcome == "done"
    assert at > 30
    named = {number for number in numbers if counter.till.shop.store.read([number])[number].card.state == "issued"}
    assert len(named) == 1
    # A purse that left between being told and writing it keeps its serial waiting; before that, the serial goes to the next tap.
    begun = 0 if profile.startswith("desfire") else 1
    assert counted(counter, made) == {"issued": 1, "left": 59 - begun} | ({"stock": begun} if begun else {})
    counter.till.done("activate", card=result.card)
    counter.till.topup(result.card, 100_00)
    assert counter.tap(card, "load", 60_00, pin=NEW_PIN).outcome == "done"
    counter.till.sound()


@pytest.mark.parametrize("profile", ["desfire-ev2", "desfire-ev1"])
def test_a_desfire_card_of_the_shop_is_not_formatted_by_others(counter: Counter, profile: str) -> None:
    """The factory's key, which everybody knows, opens a blank card and no longer one of ours."""
    batch(counter, profile)
    card = blank(counter, profile)
    assert isinstance(card, DesfireCard)
    for personalised in (False, True):
        card.power_on()
        reader = Reader(card)
        reader.select(bytes(3))
        if not personalised:
            reader.authenticate("native", 0, bytes(16))
            assert make(counter, card).outcome == "done"
            continue
        with pytest.raises(Refusal):
            reader.authenticate("native", 0, bytes(16))


def test_a_batch_ends_and_each_serial_is_one_card(counter: Counter) -> None:
    made = batch(counter, "desfire-ev2", count=2)
    cards = [blank(counter, "desfire-ev2", n) for n in range(1, 4)]
    results = [make(counter, card) for card in cards]
    assert [result.code for result in results] == ["", "", "batch_exhausted"]
    assert len({result.card for result in results[:2]}) == 2
    counter.restart()
    assert make(counter, cards[2]).code == "batch_exhausted", "also after a restart"
    assert counted(counter, made) == {"issued": 2, "left": 0}


def test_refusals(counter: Counter) -> None:
    batch(counter, "desfire-ev2")
    batch(counter, "desfire-ev2", name="old", state="closed")
    batch(counter, "desfire-ev2", name="other")
    assert make(counter, blank(counter, "desfire-ev2"), batch="none").code == "unknown_batch"
    assert make(counter, blank(counter, "desfire-ev2"), batch="old").code == "batch_closed"
    assert make(counter, blank(counter, "pboc2-3des")).code == "wrong_chip"
    begun = blank(counter, "desfire-ev2", 7)
    stop = 0

    def send(command: bytes) -> bytes:
        nonlocal stop
        stop += 1
        if stop > 12:
            raise PowerCut
        return begun.transmit(command)

    assert make(counter, begun, send=send).outcome == "torn"
    assert make(counter, begun, batch="other").code == "wrong_chip"
    assert make(counter, begun).outcome == "done"
    stranger = build.purse_card(identity=None)
    batch(counter, "pboc2-3des", name="purses")
    assert make(counter, stranger, batch="purses").code == "wrong_chip"
