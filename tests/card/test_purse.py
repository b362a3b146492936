"""The purse dialogues against the simulated card, which uses another crypto library and none of our code: every kind of
transaction in every profile, hostile cards, and recovery after the card was torn out at each byte it writes or answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from cardcore.card import CardRefused, OtherCard, UnexpectedAnswer, purse, purse_debit, purse_load, purse_proof, seals, tries_left
from cardcore.card.dialogue import ToCard
from cardcore.card.purse import ED, EP, Make
from cardcore.card.purse_proof import Outcome
from cardcore.crypto import InvalidMac, Key, pboc
from firmware_sim import build
from firmware_sim.nvm import Memory
from firmware_sim.pboc import PROFILES, Identity, PurseCard, personalise
from firmware_sim.pboc.layout import Purse
from tests.card.station import AT, PIN, TERMINAL, Station, Torn

MAKES: dict[str, tuple[Make, str, dict[str, Any]]] = {
    "plain": (Make(), "pboc2-3des", {}),
    "t0": (Make(), "pboc2-3des", {"t0": True}),
    "two levels": (Make(levels=("issuer", "serial")), "fm1208", {}),
    "sm4": (Make(profile=pboc.TRANSIT_SM4), "transit-sm4", {}),
    "sm4 folded": (Make(profile=dataclasses.replace(pboc.TRANSIT_SM4, tac_folded=True)), "transit-sm4", {"tac_key": "folded"}),
    "whole tac key": (Make(profile=dataclasses.replace(pboc.PBOC2_3DES, tac_folded=False)), "pboc2-3des", {"tac_key": "whole"}),
    "other options": (Make(proof_ahead=False, log_ahead=True, compound_by_number=True), "pboc2-3des",
                      {"proof_counter": "same", "capp_by": "number", "log_counter": "next", "pin_once": False}),
}  # fmt: skip


def station(make: str = "plain", balance: int = 5_000, **identity: bytes) -> Station:
    chosen, name, changes = MAKES[make]
    profile = dataclasses.replace(PROFILES[name], **changes)
    memory, value = Memory(), Purse(balance, 3, 8)
    personalise(memory, Identity(**identity), profile=profile, electronic_purse=value, electronic_deposit=value)
    card = PurseCard(memory, profile)
    card.power_on()
    return Station(chosen, card)


def opened(at: Station) -> purse.Application:
    return at.run(purse.open_application(at.make))


@pytest.mark.parametrize("make", MAKES)
def test_every_transaction_in_every_make(make):
    at = station(make)
    application = opened(at)
    assert application.serial == Identity().serial
    assert at.run(purse.balance()) == 5_000

    paid = at.run(purse_debit.debit(at.make, application, pboc.PURCHASE_EP, 1_250, TERMINAL, AT))
    assert (paid.intent.balance, at.run(purse.balance())) == (5_000, 3_750)
    assert at.intents[-1] == paid.intent
    seals.check_purchase_tac(at.make, at.master("tac"), paid.intent, paid.tac)

    at.run(purse.verify_pin(PIN))
    loaded = at.run(purse_load.load(application, 10_000, TERMINAL, AT))
    assert at.run(purse.balance()) == 13_750
    assert loaded.intent.permit.balance == 3_750

    for kind in (pboc.PURCHASE_ED, pboc.CASH_WITHDRAWAL):
        at.run(purse.verify_pin(PIN))
        debited = at.run(purse_debit.debit(at.make, application, kind, 100, TERMINAL, AT))
        seals.check_purchase_tac(at.make, at.master("tac"), debited.intent, debited.tac)
    at.run(purse.verify_pin(PIN))
    at.run(purse_load.unload(application, 200, TERMINAL, AT))
    assert at.run(purse.balance(ED)) == 4_600

    record = purse_debit.CachedRecord(2, b"\x02" + b"TRAIN 418")
    journey = at.run(purse_debit.debit(at.make, application, pboc.COMPOUND_PURCHASE, 300, TERMINAL, AT, records=[record]))
    seals.check_purchase_tac(at.make, at.master("tac"), journey.intent, journey.tac)
    assert at.run(purse.balance()) == 13_450

    log = at.run(purse.read_log())
    assert [entry.kind for entry in log] == [9, 3, 4, 5, 2, 6]
    assert [entry.amount for entry in log] == [300, 200, 100, 100, 10_000, 1_250]
    assert {(entry.terminal, entry.at) for entry in log} == {(TERMINAL, AT)}


@pytest.mark.parametrize("make", ["plain", "t0", "sm4"])
def test_a_real_psam_agrees_with_ours(make):
    at = station(make)
    at.module = build.purchase_sam(profile=MAKES[make][1], terminal_id=TERMINAL)
    at.module.power_on()
    application = opened(at)
    for number in (1, 2):
        paid = at.run(purse_debit.debit(at.make, application, pboc.PURCHASE_EP, 700, TERMINAL, AT))
        assert paid.intent.number == number
        seals.check_purchase_tac(at.make, at.master("tac"), paid.intent, paid.tac)
    assert at.run(purse.balance()) == 3_600


def test_refusals_change_nothing_and_say_why():
    at = station()
    application = opened(at)
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: purse_debit.debit(at.make, application, pboc.PURCHASE_EP, 5_001, TERMINAL, AT), "9401"),
        (lambda: purse_debit.debit(at.make, application, pboc.PURCHASE_EP, 1, TERMINAL, AT, key_index=9), "9403"),
        (lambda: purse_debit.debit(at.make, application, pboc.PURCHASE_ED, 1, TERMINAL, AT), "6982"),
        (lambda: purse_load.load(application, 1, TERMINAL, AT), "6982"),
        (lambda: purse.verify_pin(b"\x99\x99"), "63C2"),
        (lambda: purse.change_pin(b"\x99\x99", b"\x11\x11"), "63C1"),
    ]
    for dialogue, status in cases:
        with pytest.raises(CardRefused) as caught:
            at.run(dialogue())
        assert caught.value.facts["status"] == status
    assert tries_left(0x63C1) == 1
    assert at.intents == [], "nothing was intended, nothing was sent that changes money"
    at.run(purse.change_pin(PIN, b"\x65\x43\x21"))
    at.run(purse.verify_pin(b"\x65\x43\x21"))
    assert at.run(purse.balance()) == 5_000


def test_wrong_keys_stop_before_the_money_moves():
    at = station()
    application = opened(at)
    at.seals.master = Key("tdes", bytes(16))  # a false PSAM: the card refuses MAC1
    with pytest.raises(CardRefused) as caught:
        at.run(purse_debit.debit(at.make, application, pboc.PURCHASE_EP, 100, TERMINAL, AT))
    assert caught.value.facts["status"] == "9302"
    assert at.run(purse.balance()) == 5_000


class Liar:
    """A card whose answers to one instruction are changed."""

    def __init__(self, card: PurseCard, ins: int, change: Callable[[bytes], bytes]) -> None:
        self.card, self.ins, self.change = card, ins, change

    def transmit(self, command: bytes) -> bytes:
        answer = self.card.transmit(command)
        return self.change(answer) if command[1] == self.ins else answer


def bent(place: int) -> Callable[[bytes], bytes]:
    return lambda answer: bytes(octet ^ (i == place) for i, octet in enumerate(answer))


@pytest.mark.parametrize("place", range(4, 8))
def test_a_card_that_does_not_know_the_key_is_not_paid_with(place):
    at = station()
    application = opened(at)
    at.card = Liar(at.card, 0x54, bent(place))  # type: ignore[assignment, arg-type]
    with pytest.raises(InvalidMac):
        at.run(purse_debit.debit(at.make, application, pboc.PURCHASE_EP, 100, TERMINAL, AT))
    assert len(at.intents) == 1, "it may have taken the money: in flight until proven"


@pytest.mark.parametrize("place", [*range(6), *range(8, 16)])
def test_a_load_is_permitted_only_for_what_the_card_sealed(place):
    at = station()
    application = opened(at)
    at.run(purse.verify_pin(PIN))
    at.card = Liar(at.card, 0x50, bent(place))  # type: ignore[assignment, arg-type]
    with pytest.raises(InvalidMac):
        at.run(purse_load.load(application, 100, TERMINAL, AT))
    assert at.intents == []


def test_a_false_tac_of_a_load_is_noticed():
    at = station()
    application = opened(at)
    at.run(purse.verify_pin(PIN))
    at.card = Liar(at.card, 0x52, bent(0))  # type: ignore[assignment, arg-type]
    with pytest.raises(InvalidMac):
        at.run(purse_load.load(application, 100, TERMINAL, AT))


@pytest.mark.parametrize(("ins", "change"), [
    (0x50, lambda answer: answer[1:]), (0x50, lambda answer: b"\x00" + answer), (0x54, lambda answer: answer[4:]),
    (0x54, lambda _: b"\x90\x00"), (0x5C, lambda _: b"\x90\x00"),
    (0x50, lambda answer: bytes(4) + answer[4:]),
])  # fmt: skip
def test_answers_of_another_form_are_refused(ins, change):
    at = station()
    at.card = Liar(at.card, ins, change)  # type: ignore[assignment, arg-type]

    def visit() -> None:
        application = opened(at)
        at.run(purse.balance())
        at.run(purse_debit.debit(at.make, application, pboc.PURCHASE_EP, 100, TERMINAL, AT))

    with pytest.raises(UnexpectedAnswer):
        visit()


@pytest.mark.parametrize("told", [
    b"\x90\x00", b"\x6f\x90\x00", b"\x6f\x7f\x84\x90\x00", b"\x6f\x02\xa5\x00\x90\x00", b"\x6f\x05\xa5\x03\x9f\x0c\x00\x90\x00",
    b"\x6f\x05\xa5\x03\x9f\x0c\x1e\x90\x00", bytes(40) + b"\x90\x00",
])  # fmt: skip
def test_who_the_card_is_stands_in_the_answer_to_select_or_in_its_file(told: bytes):
    at = station()
    known = opened(at)
    assert [command[1] for command in at.sent] == [0xA4], "no second command where the first answer says it"
    silent = Liar(at.card, 0xA4, lambda _: told)  # type: ignore[arg-type]
    at.card = silent  # type: ignore[assignment]
    assert opened(at) == known
    assert [command[1] for command in at.sent[1:]] == [0xA4, 0xB0]
    at.card = Liar(silent, 0xB0, lambda answer: answer[:-3] + answer[-2:])  # type: ignore[assignment, arg-type]
    with pytest.raises(UnexpectedAnswer):
        opened(at)


def test_mac2_is_checked_once():
    at = station()
    with pytest.raises(seals.NothingSealed):
        at.seals.check(bytes(4))


# --- torn cards ---------------------------------------------------------------------------------------------------------------

Flow = Callable[[Station, purse.Application], Any]
RECORD = purse_debit.CachedRecord(1, b"\x01TRAIN 418")
FLOWS: dict[str, tuple[Flow, int, int, int]] = {
    "purchase": (lambda at, who: purse_debit.debit(at.make, who, pboc.PURCHASE_EP, 1_250, TERMINAL, AT), 0x54, EP, -1_250),
    "compound": (
        lambda at, who: purse_debit.debit(at.make, who, pboc.COMPOUND_PURCHASE, 300, TERMINAL, AT, records=[RECORD]), 0x54, EP, -300,
    ),
    "load": (lambda at, who: purse_load.load(who, 10_000, TERMINAL, AT), 0x52, EP, 10_000),
    "unload": (lambda at, who: purse_load.unload(who, 700, TERMINAL, AT), 0x54, ED, -700),
}  # fmt: skip


def torn_flow(at: Station, flow: Flow, arm: Callable[[Any], object], ins: int) -> bool:
    """Run a flow with the power cut armed before its money command; whether it was torn."""
    application = opened(at)
    at.run(purse.verify_pin(PIN))
    card = at.card

    class Armed:
        def transmit(self, command: bytes) -> bytes:
            if command[1] == ins:
                arm(card)
            return card.transmit(command)

    at.card = Armed()  # type: ignore[assignment]
    try:
        at.run(flow(at, application))
    except Torn:
        return True
    finally:
        at.card = card
    return False


def settle(at: Station) -> purse_proof.Found:
    at.card.reset()
    application = opened(at)
    at.run(purse.verify_pin(PIN))
    return at.run(purse_proof.recover(at.make, application, at.intents[-1]))


def cuts(make: str, flow: str) -> int:
    """How many octets of memory the money command writes."""
    at, (dialogue, ins, _, _) = station(make), FLOWS[flow]
    start: list[int] = []
    assert not torn_flow(at, dialogue, lambda card: start.append(card.power.memory_bytes), ins)
    return at.card.power.memory_bytes - start[0]


@pytest.mark.parametrize("judges", [True, False])
@pytest.mark.parametrize("make", ["plain", "other options", "sm4"])
@pytest.mark.parametrize("flow", FLOWS)
def test_torn_anywhere_the_outcome_is_what_the_balance_says(make, flow, judges):
    dialogue, ins, which, moved = FLOWS[flow]
    written = cuts(make, flow)
    assert written > 100
    found = []
    answers = 10 if flow in ("purchase", "compound") else 6
    points = [("memory", n) for n in (*range(0, written, 7), written - 1)] + [("answer", n) for n in range(answers)]
    for where, place in points:
        at = station(make)
        at.judges = judges

        def arm(card: Any, where: str = where, place: int = place) -> None:
            (card.power.cut_at_memory_byte if where == "memory" else card.power.cut_at_answer_byte)(place)

        assert torn_flow(at, dialogue, arm, ins), "the cut reached its window"
        outcome = settle(at)
        after = at.run(purse.balance(which))
        assert after == 5_000 + (moved if outcome.outcome is Outcome.DONE else 0), (where, place)
        assert outcome.outcome is not Outcome.OPEN
        if outcome.outcome is Outcome.DONE and flow in ("purchase", "compound"):
            seals.check_purchase_tac(at.make, at.master("tac"), at.intents[-1], outcome.tac)
        found.append(outcome.outcome)
    assert {Outcome.DONE, Outcome.UNDONE} == set(found), "both sides of the commit were met"


def pay_elsewhere(at: Station, application: purse.Application) -> None:
    """One fen at another till."""
    at.seals.terminal = bytes.fromhex("000000000002")
    at.run(purse_debit.debit(at.make, application, pboc.PURCHASE_EP, 1, at.seals.terminal, AT))


@pytest.mark.parametrize("make", ["plain", "other options"])
def test_a_done_purchase_is_told_by_the_log_when_its_proof_is_gone(make):
    at = station(make)
    assert torn_flow(at, FLOWS["purchase"][0], lambda card: card.power.cut_at_answer_byte(0), 0x54)
    intent = at.intents[-1]
    at.card.reset()
    application = opened(at)
    for _ in range(9):
        pay_elsewhere(at, application)
        assert at.run(purse_proof.recover(at.make, application, intent)) == purse_proof.Found(Outcome.DONE)
    pay_elsewhere(at, application)  # now the log has forgotten it too
    assert at.run(purse_proof.recover(at.make, application, intent)).outcome is Outcome.OPEN


@pytest.mark.parametrize("make", ["plain", "other options"])
@pytest.mark.parametrize("judges", [True, False])
def test_an_undone_purchase_is_not_proven_by_another_that_took_its_counter(make, judges):
    at = station(make)
    at.judges = judges
    assert torn_flow(at, FLOWS["purchase"][0], lambda card: card.power.cut_at_memory_byte(0), 0x54)
    intent = at.intents[-1]
    at.card.reset()
    application = opened(at)
    pay_elsewhere(at, application)
    # The card gives a proof for this type and counter, but it is of the other purchase.
    for _ in range(10):
        assert at.run(purse_proof.recover(at.make, application, intent)) == purse_proof.Found(Outcome.UNDONE)
        pay_elsewhere(at, application)
    assert at.run(purse_proof.recover(at.make, application, intent)) == purse_proof.Found(Outcome.OPEN)


def test_a_log_that_contradicts_the_proof_is_for_people():
    at = station()
    assert torn_flow(at, FLOWS["purchase"][0], lambda card: card.power.cut_at_answer_byte(0), 0x54)
    at.card.reset()
    application = opened(at)
    at.card = Liar(at.card, 0x5A, bent(7))  # type: ignore[assignment, arg-type]
    assert at.run(purse_proof.recover(at.make, application, at.intents[-1])) == purse_proof.Found(Outcome.OPEN)


def test_a_load_without_pin_stays_open_instead_of_being_guessed():
    at = station()
    assert torn_flow(at, FLOWS["load"][0], lambda card: card.power.cut_at_memory_byte(0), 0x52)
    at.card.reset()
    application = opened(at)
    assert at.run(purse_proof.recover(at.make, application, at.intents[-1])).outcome is Outcome.OPEN


def test_recovery_wants_the_same_card():
    at = station()
    assert torn_flow(at, FLOWS["purchase"][0], lambda card: card.power.cut_at_answer_byte(0), 0x54)
    other = station(serial=bytes.fromhex("00000000000000000002"))
    with pytest.raises(OtherCard):
        other.run(purse_proof.recover(at.make, opened(other), at.intents[-1]))


def test_the_first_question_goes_to_the_card():
    question = next(purse.open_application(Make()))
    assert isinstance(question, ToCard)
    assert question.command.encode().hex().upper() == "00A4040009A0000000038698070100"
