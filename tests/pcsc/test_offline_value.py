"""Goal: off line, money leaves a DESFire value file once and stands in the batch once with a transaction MAC that clearing accepts,
whenever the card or the process goes.
Method: the simulated card and module, torn and killed at every step in this process, then behind the real pcscd; batches are cleared in a
shop of its own by the transaction MACs, and what was accepted is compared with what left the card.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cardapi.clearing import scan
from cardapi.clearing.prepare import Prepare
from cardapi.pcsc.errors import OutcomeUnknown, WrongCard
from cardapi.pcsc.offline import Paid, StillOpen, Till, stored
from cardapi.pcsc.offline_value import ValueLine
from cardcore.card import CardRefused
from cardcore.clearing import Header, ValueRecord
from cardcore.clearing.upload import ClearingRules
from firmware_sim import build
from firmware_sim.card import Card
from firmware_sim.desfire import ready
from firmware_sim.desfire.layout import File, Value
from firmware_sim.tear import Tear
from tests.clearing.yard import KEYS, Yard
from tests.cli.shop import call
from tests.firmware_sim.support import h
from tests.pcsc.daemon import Daemon
from tests.pcsc.near import Held, NearModule, now
from tests.pcsc.test_offline import Killed, offer, purse_of
from tests.support import sized


def chip(n: int = 1, balance: int = 10_000) -> Card:
    return build.desfire_purse_card(uid=b"\x04" + n.to_bytes(6), balance=balance)


def left(card: Card) -> int:
    """What is in the chip's memory, read past its commands."""
    card.tears = []
    card.reset()
    found = File.find(card.store, ready.AID, ready.VALUE_FILE)
    assert found is not None
    return Value.read(card.store, found).value


def claimed(path: Path) -> int:
    """What the batch claims; no number and no counter of a card stands in it twice."""
    records = stored(path, scan(path).count)
    assert all(isinstance(record, ValueRecord) for record in records)
    assert len({record.number for record in records}) == len(records)
    assert len({(record.uid, record.counter) for record in records if isinstance(record, ValueRecord)}) == len(records)
    return sum(record.amount for record in records)


def cleared(path: Path, room: Path, *chips: int) -> int:
    """Clear a batch in a new shop that has issued these chips with 100.00 each; the sum of what is accepted, and all is."""
    yard = Yard(room / "shop")
    try:
        yard.prepare = Prepare(yard.till.shop.registry, KEYS, ready.SYSTEM, ClearingRules())
        yard.now = now()
        cards: list[object] = []
        for n in chips:
            while len(cards) < n:
                cards.append(yard.card(100_00, chip=True))  # the yard numbers its chips from 1
        records = stored(path, scan(path).count)
        body = yard.upload(records)
        assert [yard.outcome(record) for record in records] == ["accepted"] * len(records)
        yard.till.sound()
        assert yard.upload(records).repeated == len(records)
        return -body.liability_delta_fen
    finally:
        yard.till.shop.close()


def test_pay_and_clear(till: Till, path: Path, tmp_path: Path):
    card = chip()
    first = offer(till.purchase(1250, now), card)
    second = offer(till.purchase(1250, now), card)
    assert (first.balance_after, second.balance_after, left(card)) == (8750, 7500, 7500)
    assert (first.recovered, second.begun.number, second.intent.counter) == (False, 2, 1)
    assert till.intents.open == {}
    assert claimed(path) == cleared(path, tmp_path, 1) == 2500


def test_one_number_for_purses_and_chips(till: Till, path: Path):
    """Terminal transaction numbers are those of the module, whatever pays: clearing finds no gap and no fork."""
    paid = [offer(till.purchase(100, now), card) for card in (chip(), purse_of(), chip(2), purse_of(2))]
    assert [each.begun.number for each in paid] == [1, 2, 3, 4]
    assert [type(record).__name__ for record in stored(path, 4)] == ["ValueRecord", "PurseRecord"] * 2


WRITTEN = 120
"""Octets of its memory that the card writes in a commit, at least."""
TORN = [
    *(f"{ins}:{where}" for ins in ("6C", "DC", "C8") for where in ("command", "answer:0")), "C7:command",
    *(f"C7:answer:{byte}" for byte in range(0, 22, sized(3, 1))), *(f"C7:memory:{byte}" for byte in range(0, WRITTEN, sized(8, 1))),
]  # fmt: skip


@pytest.mark.parametrize("tear", TORN)
@pytest.mark.parametrize("killed", [False, True])
def test_torn_and_put_back(sam: Card, path: Path, tear: str, killed: bool):
    """The same card comes back, to the same process or to another one: paid once, claimed once."""
    card = chip()
    card.tears = [Tear.parse(tear)]
    till = Till(NearModule(sam), path, now())
    purchase = till.purchase(1250, now)
    with pytest.raises(Exception) as torn:
        offer(purchase, card)
    assert isinstance(torn.value, OutcomeUnknown) == tear.startswith("C7"), "before the intent nothing is open"
    assert len(till.intents.open) == tear.startswith("C7")
    assert claimed(path) == 0, "nothing is claimed before the card has told"
    with till:
        if not killed:
            paid = offer(purchase, card)
            assert not paid.earlier
    if killed:
        with Till(NearModule(sam), path, now()) as till:
            paid = offer(till.purchase(1250, now), card)
            assert till.intents.open == {}
    assert (left(card), claimed(path)) == (8750, 1250)


@pytest.mark.parametrize("tear", ["C7:command", "C7:answer:0"])
def test_another_card_meanwhile_and_never_again(sam: Card, path: Path, tmp_path: Path, tear: str):
    card, other = chip(), chip(2)
    card.tears = [Tear.parse(tear)]
    with Till(NearModule(sam), path, now()) as till:
        purchase = till.purchase(1250, now)
        with pytest.raises(OutcomeUnknown):
            offer(purchase, card)
        with pytest.raises(OutcomeUnknown, match="another card"):
            offer(purchase, other)
    with Till(NearModule(sam), path, now()) as till:
        assert offer(till.purchase(300, now), other).balance_after == 9700
        assert len(till.intents.open) == 1, "the card that never came back stays in flight"
    assert claimed(path) == cleared(path, tmp_path, 2) == 300


@pytest.mark.parametrize("step", ["begin", "append", "end"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_process_is_killed(sam: Card, path: Path, monkeypatch: pytest.MonkeyPatch, step: str, when: str):
    card = chip()
    with Till(NearModule(sam), path, now()) as till:
        owner = till.batch if step == "append" else till.intents
        plain = getattr(owner, step)

        def killed(*arguments: Any) -> None:
            if when == "after":
                plain(*arguments)
            raise Killed

        monkeypatch.setattr(owner, step, killed)
        with pytest.raises(Killed):
            offer(till.purchase(1250, now), card)
    taken = 10_000 - left(card)
    assert taken == (0 if step == "begin" else 1250)
    with Till(NearModule(sam), path, now()) as till:
        if till.intents.open:
            paid: Paid = offer(till.purchase(500, now), card)
            assert paid.earlier == (taken > 0)
        assert (10_000 - left(card), till.intents.open) == (claimed(path), {})


def test_refusals_take_nothing(till: Till, path: Path):
    card = chip(balance=1000)
    with pytest.raises(CardRefused) as refused:
        offer(till.purchase(1250, now), card)
    assert refused.value.facts["status"] == "91BE"
    for wrong in (build.desfire_purse_card(ev2=False, balance=5000), build.desfire_card()):
        with pytest.raises(WrongCard):
            offer(till.purchase(1250, now), wrong)
    stranger = chip(3)
    plain = stranger.transmit
    # What it sends as its challenge was not enciphered with the key that the module has.
    stranger.transmit = lambda command: plain(command)[:-3] + b"\0\x91\xaf" if command[1] == 0x71 else plain(command)  # type: ignore[method-assign]
    with pytest.raises(CardRefused, match="91AE"):
        offer(till.purchase(1250, now), stranger)
    assert (left(card), claimed(path), till.intents.open) == (1000, 0, {})


def test_what_the_card_cannot_tell_stays_open(sam: Card, path: Path):
    """Another till debited the card meanwhile: its counter is further, nothing is guessed and nothing more taken here."""
    card = chip()
    card.tears = [Tear.parse("C7:answer:0")]
    with Till(NearModule(sam), path, now()) as till, pytest.raises(OutcomeUnknown):
        offer(till.purchase(1250, now), card)
    elsewhere = path.with_name("elsewhere.ccb")
    with Till(NearModule(build.purchase_sam(terminal_id=h("000000000002"))), elsewhere, now()) as other:
        offer(other.purchase(1, now), card)
    with Till(NearModule(sam), path, now()) as till, pytest.raises(StillOpen):
        offer(till.purchase(1250, now), card)
    assert (left(card), claimed(path), claimed(elsewhere)) == (8749, 0, 1)


def test_the_batch_may_be_made_by_hand(till: Till, path: Path):
    """The value line alone, for those who have a till of their own: its record is what the batch holds."""
    line = ValueLine(till.module, Held(chip()), b"\x04" + (1).to_bytes(6))
    assert (line.card.mac_version, line.card.place.mode.name) == (1, "FULL")
    assert Header.decode(path.read_bytes()[:72]).terminal == till.module.terminal


# ---------------------------------------------------------------- behind the real service
def test_the_command(pcscd: Daemon, path: Path, tmp_path: Path):
    card = chip()
    words = ("reader", "pay", "12.50", "--reader", pcscd.reader, "--sam", pcscd.second, "--batch", path, "--json", "--wait", "30")
    with pcscd.holding(build.purchase_sam(), second=True, seen=False), pcscd.holding(card, away=0.2):
        pcscd.sees(pcscd.second, card=True)
        paid = json.loads(call(*words).stdout)
        assert (paid["outcome"], paid["recovered"], paid["balance_fen"], paid["number"]) == ("paid", False, 8750, 1)
        card.tears = [Tear.parse("C7:answer:3")]
        paid = json.loads(call(*words).stdout)
        assert (paid["outcome"], paid["recovered"], paid["balance_fen"], paid["in_flight"]) == ("paid", True, 7500, 0)
        assert len(paid["tmv"]) == 16
        text = call(*(word for word in words if word != "--json")).stdout
        assert "3 records, ¥37.50" in text
    assert left(card) == 6250
    records = stored(path, scan(path).count)
    assert [record.amount for record in records] == [1250] * 3
