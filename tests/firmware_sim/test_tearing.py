"""Goal: a torn card is as before or as after the transaction, and can prove which. Method: cut the power at each byte written to
memory and at each byte of the answer of a purchase, compound purchase, load, unload, PIN change, SAM number and DESFire commit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from firmware_sim import build
from firmware_sim.card import Card
from firmware_sim.desfire import DesfireCard
from firmware_sim.nvm import Memory, PowerCut
from firmware_sim.pboc import PurseCard
from firmware_sim.pboc.layout import Purse
from firmware_sim.tear import Tear
from tests.firmware_sim.reader import MAC, Reader, le
from tests.firmware_sim.support import h, ok, refused
from tests.firmware_sim.test_purse import card_with
from tests.firmware_sim.till import PIN, SELECT, Till

TORN = {"left": None, "written": lambda old, new: new, "mixed": lambda old, new: (old & 0xF0) | (new & 0x0F)}
Ready = Callable[[Till, PurseCard], bytes]


def purchase(till: Till, card: PurseCard) -> bytes:
    return till.open_purchase(card, 1250)


def compound(till: Till, card: PurseCard) -> bytes:
    debit = till.open_purchase(card, 300, how=3, kind=9)
    for number in (1, 3):
        ok(card, h(f"80DC{number:02X}B80A") + bytes((number,)) + b"TRAIN 418")
    return debit


def load(till: Till, card: PurseCard) -> bytes:
    return till.open_load(card, 10000)


def unload(till: Till, card: PurseCard) -> bytes:
    return till.open_load(card, 700, how=5, which=1, kind=3)


FLOWS: dict[str, tuple[Ready, int]] = {"purchase": (purchase, 6), "compound": (compound, 9), "load": (load, 2), "unload": (unload, 3)}
# The least that each writes: were the journal left out, the counts below would fall.
LEAST = {"purchase": 100, "compound": 160, "load": 100, "unload": 100}


def fresh() -> tuple[Till, PurseCard]:
    return Till(), card_with(Purse(5000, 3, 8))


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("torn", TORN.values(), ids=TORN)
def test_every_memory_byte(flow, torn):
    ready, kind = FLOWS[flow]
    till, card = fresh()
    before = till.state(card)
    command = ready(till, card)
    start = card.power.memory_bytes
    answer = ok(card, command)
    written = card.power.memory_bytes - start
    after = till.state(card)
    assert before != after
    assert written >= LEAST[flow]
    image = bytes(fresh()[1].memory.cells)
    happened = []
    for cut in range(written):
        card.memory.cells[:] = image
        card.reset()
        command = ready(till, card)
        card.power.torn = torn
        card.power.cut_at_memory_byte(cut)
        with pytest.raises(PowerCut) as caught:
            card.transmit(command)
        assert caught.value.answer == b"", "no answer before the money moved"
        with pytest.raises(PowerCut):
            card.transmit(SELECT)
        card.power.torn = None
        card.power_on()
        state = till.state(card)
        assert state in (before, after), cut
        happened.append(state == after)
        prove(card, kind, happened[-1])
    assert happened == sorted(happened), "one commit point"
    assert set(happened) == {False, True}
    assert len(answer) in (4, 8)


def prove(card: PurseCard, kind: int, happened: bool) -> None:
    """GET TRANSACTION PROOF tells the truth about the interrupted transaction."""
    counter = (8 if kind in (6, 9) else 3) + 1
    command = bytes((0x80, 0x5A, 0, kind, 2)) + counter.to_bytes(2, "big") + b"\x08"
    if happened:
        assert len(ok(card, command)) == 8
    else:
        refused(card, command, 0x9406)


@pytest.mark.parametrize("flow", FLOWS)
def test_every_answer_byte(flow):
    """The money has moved; the proof gives back what the answer would have said (the other way round for a debit)."""
    ready, kind = FLOWS[flow]
    size = {"purchase": 8, "compound": 8}.get(flow, 4) + 2
    for cut in range(size):
        till, card = fresh()
        command = ready(till, card)
        card.power.cut_at_answer_byte(cut)
        with pytest.raises(PowerCut) as caught:
            card.transmit(command)
        assert len(caught.value.answer) == cut
        card.power_on()
        ok(card, SELECT)
        counter = (8 if kind in (6, 9) else 3) + 1
        proof = ok(card, bytes((0x80, 0x5A, 0, kind, 2)) + counter.to_bytes(2, "big") + b"\x08")
        data = caught.value.answer[: size - 2]
        said = proof[4:] + proof[:4] if size == 10 else proof[4:] if flow == "load" else proof[:4]
        assert said.startswith(data)
        if size == 10:
            ok(till.sam, h("8072000004") + proof[:4])


def test_pulling_the_card_saves_no_pin_guess():
    card = build.purse_card()
    for cut in range(60):
        card.reset()
        ok(card, SELECT)
        ok(card, PIN)
        card.power.cut_at_memory_byte(cut)
        try:
            answer = card.transmit(h("0020000003654321"))
        except PowerCut:
            card.power_on()
            continue
        finally:
            card.power.disarm()
        assert answer == b"\x63\xc2"
        break
    else:
        raise AssertionError("the wrong try was never counted")
    assert cut > 20, "the count is journalled"


def test_the_sam_never_gives_a_number_twice():
    till, card = fresh()
    seen = []
    for cut in range(80):
        till.sam.reset()
        till.sam.power.cut_at_memory_byte(cut)
        with contextlib.suppress(PowerCut):
            seen.append(till.open_purchase(card, 1)[5:9])
        till.sam.power.disarm()
        till.sam.reset()
        seen.append(till.open_purchase(card, 1)[5:9])
    assert len(seen) == len(set(seen)) > 80
    assert seen == sorted(seen)


AID = h("A1B2C3")


def purse_application() -> Reader:
    """A DESFire card with value, backup and log files and a transaction MAC; session with the debit key."""
    card = build.desfire_card()
    card.power_on()
    reader = Reader(card)
    reader.exchange(0xCA, AID + b"\x0f\x82")
    reader.select(AID)
    reader.authenticate("ev2", 0, bytes(16))
    reader.plain_command(0xCC, h("01011111") + le(0) + le(100000) + le(5000) + b"\x01")
    reader.plain_command(0xCC, h("02011111") + le(0) + le(100000) + le(70) + b"\x00")
    reader.plain_command(0xC0, h("03011111") + le(16, 3) + le(4, 3))
    reader.plain_command(0xCB, h("04011111") + le(40, 3))
    reader.command(0xCE, h("0F0010FF02"), bytes(range(16)) + b"\x01", 3, writes=True)
    return reader


def debit_both(reader: Reader) -> bytes:
    """Two value files, a record and a backup file in one transaction; the commit command, not yet sent."""
    reader.select(AID)
    reader.authenticate("ev2", 1, bytes(16))
    reader.move(0xDC, 1, 1250, MAC)
    reader.move(0x0C, 2, 12, MAC)
    reader.write(0x3B, 3, b"12.50 BREAD+MILK", mode=MAC)
    reader.write(0x3D, 4, b"last 2026-11-22", offset=3, mode=MAC)
    return b"\x01" + reader.ev2_mac(0xC7, b"\x01")


def application_state(card: Card) -> tuple[Any, ...]:
    reader = Reader(card)  # type: ignore[arg-type]
    reader.select(AID)
    reader.authenticate("ev2", 1, bytes(16))
    records = reader.read(0xBB, 3, mode=MAC) if reader.plain_command(0xF5, b"\x03")[10:13] != bytes(3) else b""
    state = reader.value(1, MAC), reader.value(2, MAC), records, reader.read(0xBD, 4, mode=MAC), reader.read(0xBD, 15)
    reader.plain_command(0xA7)
    return state


def test_desfire_commit_at_every_byte():
    image = bytes(purse_application().card.memory.cells)
    card = DesfireCard(Memory())
    card.memory.cells[:] = image
    card.power_on()
    before = application_state(card)
    body = debit_both(Reader(card))
    start = card.power.memory_bytes
    sealed = ok(card, h("90C70000") + bytes((len(body),)) + body + b"\x00")
    written, after = card.power.memory_bytes - start, application_state(card)
    assert (before[0], before[1], after[0], after[1]) == (5000, 70, 3750, 82)
    assert after[4][:4] == le(1)
    assert written > 200
    happened = []
    for where, most in (("memory", written), ("answer", len(sealed) + 2)):
        for cut in range(most):
            card.memory.cells[:] = image
            card.reset()
            body = debit_both(Reader(card))
            {"memory": card.power.cut_at_memory_byte, "answer": card.power.cut_at_answer_byte}[where](cut)
            with pytest.raises(PowerCut):
                card.transmit(h("90C70000") + bytes((len(body),)) + body + b"\x00")
            card.power_on()
            state = application_state(card)
            assert state in (before, after), (where, cut)
            happened.append(state == after)
    assert happened == sorted(happened)
    assert happened.count(True) > len(sealed)
    # Before the commit nothing stays: the card leaves the field with its transaction open.
    card.memory.cells[:] = image
    card.reset()
    debit_both(Reader(card))
    card.reset()
    assert application_state(card) == before


def test_tear_points_are_read_and_met():
    till, card = fresh()
    card.tears = [Tear.parse("54#2:answer:3"), Tear.parse("54#3:command")]
    till.purchase(card, 1)
    with pytest.raises(PowerCut) as caught:
        till.purchase(card, 1)
    assert len(caught.value.answer) == 3
    card.power_on()
    with pytest.raises(PowerCut):
        till.purchase(card, 1)
    card.power_on()
    till.purchase(card, 1)
    assert till.balance(card) == 5000 - 3
    # A point beyond what the command writes is passed by, and does not wait for a later command.
    card.tears = [Tear.parse("54:memory:9999"), Tear.parse("54#2:answer:99")]
    till.purchase(card, 1)
    till.purchase(card, 1)
    till.load(card, 2)
    for wrong in ("", "54", "54:answer", "54:command:1", "154:command", "54#0:command", "xx:command", "54:memory:-1", "54:wall:1"):
        with pytest.raises(ValueError, match="no tear point"):
            Tear.parse(wrong)
