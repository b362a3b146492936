"""Goal: a session is safe to repeat, to lose and to attack: every step again gives the same, a lost service finds what was intended,
and a station that makes answers up moves no money (control T, O2, O5, F4, K1).

Method: sessions over simulated cards, driven step by step; stations that repeat, skip, forge, replay and roll back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cardapi.custody import Pin
from cardapi.media.asked import Result
from cardapi.media.purse_chip import terminal_id
from cardapi.media.sessions import IDLE_S, OF_CLIENT_MAX, CardSessions, SessionProblem, Step
from firmware_sim import build
from firmware_sim.card import Card
from firmware_sim.desfire import ready
from firmware_sim.desfire.layout import File, Value
from firmware_sim.desfire.ready import card_key
from firmware_sim.nvm import PowerCut
from firmware_sim.pboc.layout import Purse
from tests.desk.till import Till
from tests.media.counter import PIN, Counter, Send
from tests.shops import length


@pytest.fixture
def counter(till: Till) -> Counter:
    return Counter(till)


def problem(work: Any) -> str:
    with pytest.raises(SessionProblem) as caught:
        work()
    return caught.value.code


def step_problem(counter: Counter, client: str, session: str, number: int, answers: tuple[str, ...]) -> str:
    return problem(lambda: counter.sessions.step(client, session, number, answers))


CHIPS = {"purse": lambda counter: counter.purse(profile="fm1208"), "desfire": lambda counter: counter.desfire()}


# ---------------------------------------------------------------- the protocol
@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("purpose", ["load", "pay", "unload"])
def test_every_step_may_be_sent_twice_and_has_one_effect(counter: Counter, chip: str, purpose: str) -> None:
    card = CHIPS[chip](counter)
    counter.tap(card, "load", 30_00)
    card.reset()
    asked, caller = counter.asked(purpose, 10_00), counter.caller()
    step = counter.open(asked, caller)
    assert counter.open(asked, caller) == step
    while step.result is None:
        answer = (card.transmit(bytes.fromhex(step.commands[0])).hex(),)
        following = counter.sessions.step(caller.client, step.session, step.step, answer)
        assert counter.sessions.step(caller.client, step.session, step.step, answer) == following
        for number, answers in ((step.step + 2, ("9000",)), (step.step, ("9001",))):
            assert step_problem(counter, caller.client, step.session, number, answers) == "step_out_of_order"
        step = following
    assert step.result.outcome == "done"
    assert counter.open(asked, caller) == step
    counter.restart()
    again = counter.open(asked, caller)
    assert again.result is not None
    assert (again.result.outcome, again.result.happened, again.result.end_ticket_id) == ("done", True, step.result.end_ticket_id)
    expected = {"load": (60_00, 40_00), "pay": (70_00, 20_00), "unload": (80_00, 20_00)}[purpose]
    assert (counter.money(), counter.chip(card)) == ((*expected, 0), expected[1])
    counter.till.sound()


def test_a_key_belongs_to_one_question(counter: Counter) -> None:
    card = counter.purse()
    assert counter.tap(card, "load", 10_00, key="once").outcome == "done"
    assert problem(lambda: counter.tap(card, "load", 20_00, key="once")) == "key_reused"
    counter.restart()
    assert counter.tap(card, "load", 20_00, key="once").code == "key_reused"
    assert counter.tap(card, "load", 10_00, key="once").outcome == "done"
    assert counter.tap(card, "load", 10_00, key="once", station="t2").outcome == "done", "another caller's key is another"
    assert counter.chip(card) == 20_00


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("purpose", ["load", "pay", "unload"])
def test_the_service_is_lost_between_any_two_steps(counter: Counter, chip: str, purpose: str) -> None:
    """The station goes on where it was: it opens again under its key, and the money moves once."""
    card = CHIPS[chip](counter)
    counter.tap(card, "load", 80_00)
    for lost in range(30):
        account, before = counter.money()[0], counter.chip(card)
        card.reset()
        asked, caller = counter.asked(purpose, 1_00), counter.caller(f"lost-{lost}")
        step, sent = counter.open(asked, caller), 0
        while step.result is None and sent < lost:
            answer = (card.transmit(bytes.fromhex(step.commands[0])).hex(),)
            step = counter.sessions.step(caller.client, step.session, step.step, answer)
            sent += 1
        ended = step.result is not None
        counter.restart()
        assert step_problem(counter, caller.client, step.session, step.step, ("9000",)) == "unknown_session"
        result = counter.tap(card, purpose, 1_00, key=f"lost-{lost}")
        assert result.outcome in ("done", "settled")
        moved = counter.chip(card) - before
        assert moved == (0 if not result.happened else 1_00 if purpose == "load" else -1_00)
        assert counter.money() == (account - (moved if purpose != "pay" else 0), before + moved, 0)
        if ended:
            break
    assert ended
    counter.till.sound()


def test_bounds(counter: Counter) -> None:
    card = counter.purse()
    now = [0.0]
    counter.sessions = CardSessions(counter.room, monotonic=lambda: now[0])
    opened = [counter.open(counter.asked("show"), counter.caller()) for _ in range(OF_CLIENT_MAX)]
    assert problem(lambda: counter.open(counter.asked("show"), counter.caller())) == "too_many_sessions"
    assert counter.open(counter.asked("show"), counter.caller(station="t2")).step == 0
    first = opened[0]
    assert problem(lambda: counter.sessions.step("terminal:t2", first.session, 0, ("9000",))) == "unknown_session"
    assert problem(lambda: counter.sessions.step("terminal:t1", first.session, 0, ("9000", "9000"))) == "step_out_of_order"
    assert problem(lambda: counter.sessions.step("terminal:t1", first.session, 0, ("zz",))) == "answer_malformed"
    assert problem(lambda: counter.sessions.step("terminal:t1", first.session, 0, ("00" * 259,))) == "answer_malformed"
    assert counter.sessions.step("terminal:t1", first.session, 0, ("6a82",)).step == 1
    closed = counter.sessions.close("terminal:t1", opened[1].session)
    assert closed.result is not None
    assert closed.result.outcome == "torn"
    assert counter.sessions.close("terminal:t1", opened[1].session) == closed
    assert counter.tap(card, "show").outcome == "done", "an ended session makes room"
    now[0] = IDLE_S + 1
    assert problem(lambda: counter.sessions.step("terminal:t1", opened[2].session, 0, ("9000",))) == "unknown_session"
    assert len(counter.sessions) == 0


def test_a_card_that_asks_for_ever_ends(counter: Counter) -> None:
    counter.purse()
    asked, caller = counter.asked("show"), counter.caller()
    step = counter.open(asked, caller)
    for _ in range(1_000):
        if step.result is not None:
            break
        step = counter.sessions.step(caller.client, step.session, step.step, ("6101",))
    assert step.result is not None
    assert step.result.outcome == "refused"


# ---------------------------------------------------------------- what the PIN leaves behind
def test_the_pin_is_nowhere_but_in_its_command(counter: Counter, caplog: pytest.LogCaptureFixture) -> None:
    """A6: 482913 goes to the card as it must; journal, database and logs do not have it."""
    card = counter.purse()
    sent: list[bytes] = []

    def send(command: bytes) -> bytes:
        sent.append(command)
        return card.transmit(command)

    with caplog.at_level("DEBUG"):
        result = counter.tap(card, "load", 10_00, pin=Pin.parse("482913"), send=send)
    assert result.status == "63C2"
    assert [command[1] for command in sent if bytes.fromhex("482913") in command] == [0x20]
    counter.till.shop.close()
    for path in counter.till.directory.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"482913" not in data, path
            assert bytes.fromhex("482913") not in data, path
    assert "482913" not in caplog.text
    assert "482913" not in repr(counter.asked("load", pin=Pin.parse("482913")))


def test_the_programmes_pin_rule_holds_for_money_that_leaves_the_account(counter: Counter) -> None:
    """L02: above 10.00 the account wants its PIN too; money paid at the till does not come from the account."""
    card = counter.purse(100_00, programme="guarded", pin="123456")
    assert counter.tap(card, "load", 20_00).outcome == "done"
    other = counter.purse(100_00, programme="guarded", pin="999999", serial=2)
    assert counter.tap(other, "load", 20_00).code == "pin_wrong"
    assert (counter.money(), counter.chip(other)) == ((100_00, 0, 0), 0)
    assert counter.tap(other, "load", 20_00, tender="cash").outcome == "done"


# ---------------------------------------------------------------- a station that lies
def torn_load(counter: Counter, card: Card, *, done: bool, fen: int = 60_00) -> None:
    """A load whose money command is lost before or after the card acted."""

    def send(command: bytes) -> bytes:
        if command[1] == 0x52 and not done:
            raise PowerCut
        answer = card.transmit(command)
        if command[1] == 0x52:
            raise PowerCut
        return answer

    assert counter.tap(card, "load", fen, send=send).outcome == "in_flight"


def lying(card: Card, lies: dict[int, bytes]) -> Send:
    """Answers with these octets to commands of these instructions; the card answers everything else."""

    def send(command: bytes) -> bytes:
        return lies[command[1]] if command[1] in lies else card.transmit(command)

    return send


def test_a_load_that_happened_cannot_be_denied(counter: Counter) -> None:
    """No proof, and an INITIALIZE answer of before the load, true then: the terminal field is another one now, so MAC1 does not fit."""
    card = counter.purse()
    card.reset()
    for command in ("00a4040009a00000000386980701", "0020000003123456", "805000020b0100000000" + terminal_id("terminal:t1").hex() + "10"):
        old = card.transmit(bytes.fromhex(command))
    assert old[-2:] == b"\x90\x00"
    torn_load(counter, card, done=True)
    for opened in (old, old[:4] + b"\x00\x00" + old[6:], b"\x69\x82"):
        result = counter.tap(card, "recover", send=lying(card, {0x5A: b"\x94\x06", 0x50: opened}))
        assert result.outcome == "in_flight"
        assert counter.money() == (40_00, 0, 60_00)
    assert counter.tap(card, "recover", send=lying(card, {0x5A: b"\x94\x06"})).happened, "the counter that the card proves now tells"
    assert (counter.money(), counter.chip(card)) == ((40_00, 60_00, 0), 60_00)


def test_a_load_that_did_not_happen_cannot_be_claimed(counter: Counter) -> None:
    card = counter.purse()
    counter.tap(card, "load", 10_00)
    torn_load(counter, card, done=False)
    forged = lying(card, {0x5A: bytes(8) + b"\x90\x00"})
    assert not counter.tap(card, "recover", send=forged).happened
    assert (counter.money(), counter.chip(card)) == ((90_00, 10_00, 0), 10_00)


def test_an_undone_load_needs_the_pin_and_stays_open_without(counter: Counter) -> None:
    card = counter.purse()
    torn_load(counter, card, done=False)
    assert counter.tap(card, "recover", pin=None).outcome == "in_flight"
    assert counter.money() == (40_00, 0, 60_00)
    result = counter.tap(card, "recover", pin=PIN)
    assert (result.outcome, result.happened, counter.money()) == ("settled", False, (100_00, 0, 0))


def test_a_payment_is_not_claimed_by_a_log_that_a_station_made_up(counter: Counter) -> None:
    """The card never saw the debit; the station shows a raised counter and a log record that fits. A sale needs its TAC."""
    card = counter.purse()
    counter.tap(card, "load", 60_00)
    heard: list[bytes] = []

    def send(command: bytes) -> bytes:
        if command[1] == 0x54:
            heard.append(command)
            raise PowerCut
        return card.transmit(command)

    assert counter.tap(card, "pay", 12_50, send=send).outcome == "in_flight"
    settled = counter.tap(card, "show")  # the card is honest
    assert (settled.outcome, settled.happened) == ("settled", False)
    assert counter.tap(card, "pay", 12_50, send=send).outcome == "in_flight"
    at = heard[-1][9:16]
    record = bytes(5) + (12_50).to_bytes(4) + b"\x06" + terminal_id("terminal:t1") + at
    lies = {0x5A: b"\x94\x06", 0x50: (47_50).to_bytes(4) + (1).to_bytes(2) + bytes(9) + b"\x90\x00", 0xB2: record + b"\x90\x00"}
    result = counter.tap(card, "recover", send=lying(card, lies))
    assert not result.happened
    assert counter.claims_of_sales() == 0


@pytest.mark.parametrize("chip", ["purse", "desfire"])
def test_a_card_rolled_back_is_frozen(counter: Counter, chip: str) -> None:
    """K1: the image of an earlier day, with its money, put back into the chip."""
    card = CHIPS[chip](counter)
    counter.tap(card, "load", 30_00)
    image = bytes(card.memory.cells)
    assert counter.tap(card, "load", 10_00).outcome == "done"
    assert counter.tap(card, "unload", 10_00).outcome == "done"
    card.memory.cells[:] = image
    result = counter.tap(card, "load", 1_00)
    assert (result.outcome, result.code) == ("refused", "counter_stepped_back")
    assert counter.till.shop.store.read([counter.number])[counter.number].card.state == "frozen"
    assert counter.cases() == [("counter_stepped_back", "open", counter.medium)]
    assert counter.tap(card, "load", 1_00).code == "card_not_active"
    counter.till.done("unfreeze", card=counter.number)
    assert counter.tap(card, "load", 1_00).code == "counter_stepped_back"
    assert len(counter.cases()) == 1, "the same finding is one case"
    assert counter.money() == (70_00, 30_00, 0)
    counter.till.sound()


def test_a_purse_that_holds_more_than_it_was_given_is_refused(counter: Counter) -> None:
    """K4: money that no load put there. Less is what it paid off line, and says nothing."""
    card = counter.purse(profile="fm1208")
    counter.tap(card, "load", 30_00)
    for balance, outcome in ((29_00, "done"), (29_02, "refused"), (40_00, "refused"), (29_01, "done")):
        card.reset()
        held = Purse.read(card.store, 2)
        card.store.begin().write(Purse.name(2), replace(held, balance=balance).pack()).commit()
        result = counter.tap(card, "load", 1)
        assert (result.outcome, result.code) == (outcome, "balance_differs" if outcome == "refused" else "")
    assert counter.chip(card) == 29_02
    assert counter.cases() == [("balance_differs", "open", counter.medium)], "the same finding is one case"
    assert counter.money() == (69_98, 30_02, 0)


def test_a_card_whose_proof_is_not_of_its_keys(counter: Counter) -> None:
    """The commit goes through and its transaction MAC does not verify: nothing is posted, a person decides."""
    card = counter.desfire()
    counter.tap(card, "load", 30_00)
    name = File.name_of(ready.AID, ready.MAC_FILE)
    card.reset()
    key = card_key("desfire-transaction-mac", build.TEST_UID)
    raw = card.store.read(name)
    assert key in raw
    card.store.begin().write(name, raw.replace(key, bytes(16))).commit()
    result = counter.tap(card, "pay", 10_00)
    assert (result.outcome, result.code) == ("in_flight", "invalid_mac")
    assert counter.tap(card, "recover").outcome == "in_flight"
    assert (counter.money(), counter.places()["open"], counter.claims_of_sales()) == ((70_00, 30_00, 0), 10_00, 0)
    assert counter.cases() == [("proof_refused", "open", counter.medium)]
    counter.till.sound()


def test_a_balance_that_no_step_explains(counter: Counter) -> None:
    """K4: the same counter, another amount."""
    card = counter.desfire()
    counter.tap(card, "load", 30_00)
    card.reset()
    file = File.find(card.store, ready.AID, ready.VALUE_FILE)
    assert file is not None
    transaction = card.store.begin()
    file.write(transaction, replace(Value.read(card.store, file), value=90_00).pack())
    transaction.commit()
    for purpose in ("pay", "load", "unload"):
        assert counter.tap(card, purpose, 1_00).code == "balance_differs"
    assert counter.cases() == [("balance_differs", "open", counter.medium)]
    assert counter.money() == (70_00, 30_00, 0)


def test_another_card_does_not_end_an_item(counter: Counter) -> None:
    card = counter.purse()
    torn_load(counter, card, done=True)
    mine = counter.number
    other = counter.purse(serial=2)
    assert counter.tap(other, "load", 1_00).outcome == "done"
    assert counter.places(mine)["in_flight"] == 60_00

    swapped = iter([other.transmit] * 3)

    def switch(command: bytes) -> bytes:
        return next(swapped, card.transmit)(command)

    other.reset()
    card.reset()
    result: Result = counter.carry(switch, counter.asked("load", 5_00), counter.caller())
    assert result.outcome in ("refused", "in_flight", "torn")
    assert counter.chip(other) == 1_00
    assert counter.places(mine)["in_flight"] == 60_00


def test_an_answer_that_is_lost_after_the_proof_was_posted(counter: Counter) -> None:
    """The last answer never reaches the station: opening again under the key tells, and changes nothing."""
    card = counter.purse()
    card.reset()
    asked, caller = counter.asked("load", 10_00), counter.caller()
    step: Step = counter.open(asked, caller)
    while step.result is None:
        previous, answer = step, (card.transmit(bytes.fromhex(step.commands[0])).hex(),)
        step = counter.sessions.step(caller.client, step.session, step.step, answer)
    position = length(counter.till.shop)
    assert counter.sessions.step(caller.client, previous.session, previous.step, answer) == step
    assert counter.open(asked, caller) == step
    assert length(counter.till.shop) == position
