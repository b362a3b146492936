"""DESFire dialogues against the simulated card, which uses another crypto library: both channels, every mode, transaction MACs
verified as clearing does, a card that lies, and a commit torn at each octet it writes or answers.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from cardcore.card import Answer, CardRefused, OtherCard, UnexpectedAnswer, desfire, desfire_value
from cardcore.card.desfire import Channel, MeetChallenge, Mode
from cardcore.card.dialogue import Intend, ToCard, ToSam
from cardcore.card.purse_proof import Outcome
from cardcore.crypto import InvalidMac, Key, desfire_ev1, desfire_ev2, tmac
from cardcore.crypto.diversify import an10922
from firmware_sim import build
from firmware_sim.desfire import ready
from firmware_sim.nvm import PowerCut
from firmware_sim.testkeys import known_key

UID = build.TEST_UID
PLACE = desfire_value.ValueFile(ready.VALUE_FILE, Mode.FULL, ready.MAC_FILE)
CREDIT_KEY, DEBIT_KEY, READ_KEY = 1, 2, 3


def card_key(name: str) -> Key:
    return an10922(Key("aes", known_key(name)), UID + ready.AID + ready.SYSTEM)


class Torn(Exception):
    """The card was pulled out."""


class Till:
    """Answers the questions of a dialogue with a simulated card and its diversified test keys."""

    def __init__(self, card: Any) -> None:
        self.card, self.count = card, itertools.count(1)
        self.intents: list[Any] = []
        self.judges: bool | None = True
        card.power_on()

    def run(self, dialogue: Any) -> Any:
        answer: Any = None
        while True:
            try:
                question = dialogue.send(answer)
            except StopIteration as done:
                return done.value
            match question:
                case ToCard(command):
                    try:
                        answer = Answer.decode(self.card.transmit(command.encode()))
                    except PowerCut as cut:
                        dialogue.close()
                        raise Torn from cut
                case ToSam(MeetChallenge(ev2, number, challenge)):
                    random = next(self.count).to_bytes(16)
                    start = desfire_ev2.start if ev2 else desfire_ev1.start
                    answer = start(card_key(ready.KEY_NAMES[number]), random, challenge)
                case ToSam(desfire_value.JudgeCommit(intent, inputs, committed)):
                    answer = self.judges and self.judge(inputs, committed)
                case Intend(intent):
                    self.intents.append(intent)
                    answer = None

    def judge(self, inputs: bytes, committed: desfire.Committed) -> bool:
        try:
            tmac.verify(card_key("desfire-transaction-mac"), UID, committed.counter, inputs, committed.value)
        except InvalidMac:
            return False
        return True

    def open(self, number: int, *, ev2: bool = True) -> Channel:
        self.run(desfire.select(ready.AID))
        return self.run((desfire.authenticate_ev2 if ev2 else desfire.authenticate_ev1)(number))

    def move(self, key: int, command: int, amount: int) -> desfire_value.ValueMoved:
        last = self.run(desfire_value.read_last(self.open(READ_KEY), PLACE))
        return self.run(desfire_value.move(self.open(key), UID, PLACE, command, amount, counter=last.counter))

    def value(self) -> int:
        return self.run(desfire.get_value(self.open(READ_KEY), ready.VALUE_FILE, Mode.FULL))


def till(balance: int = 5_000, *, ev2: bool = True) -> Till:
    return Till(build.desfire_purse_card(balance=balance, number=b"6200000000000000001", ev2=ev2))


def test_paying_and_loading_with_transaction_macs():
    at = till()
    paid = at.move(DEBIT_KEY, tmac.DEBIT, 1_250)
    assert at.value() == 3_750
    loaded = at.move(CREDIT_KEY, tmac.CREDIT, 10_000)
    assert at.value() == 13_750
    assert [moved.committed.counter for moved in (paid, loaded)] == [1, 2]
    assert at.intents == [paid.intent, loaded.intent]
    key = card_key("desfire-transaction-mac")
    for moved in (paid, loaded):
        tmac.verify(key, UID, moved.committed.counter, moved.inputs, moved.committed.value)
        with pytest.raises(InvalidMac):
            tmac.verify(key, UID, moved.committed.counter + 1, moved.inputs, moved.committed.value)


@pytest.mark.parametrize("ev2", [True, False])
def test_both_channels_read_value_and_number(ev2):
    at = till(ev2=ev2)
    channel = at.open(READ_KEY, ev2=ev2)
    for _ in range(3):  # the running vector and the counter stay in step
        assert at.run(desfire.get_value(channel, ready.VALUE_FILE, Mode.FULL)) == 5_000
        assert at.run(desfire.read_data(channel, ready.NUMBER_FILE, 0, 19, Mode.PLAIN)) == b"6200000000000000001"


@pytest.mark.parametrize("ev2", [True, False])
def test_committing_without_a_transaction_mac_file(ev2):
    at = till(ev2=ev2)
    channel = at.open(DEBIT_KEY, ev2=ev2)
    at.run(desfire.change_value(channel, tmac.DEBIT, ready.VALUE_FILE, 700, Mode.FULL))
    assert at.run(desfire.get_value(channel, ready.VALUE_FILE, Mode.FULL)) == 5_000, "committed value only"
    at.run(desfire.commit(channel))
    assert at.run(desfire.get_value(channel, ready.VALUE_FILE, Mode.FULL)) == 4_300
    at.run(desfire.change_value(channel, tmac.LIMITED_CREDIT, ready.VALUE_FILE, 700, Mode.FULL))
    at.run(desfire.commit(channel))
    assert at.run(desfire.get_value(channel, ready.VALUE_FILE, Mode.FULL)) == 5_000


def test_a_reader_id_is_covered_and_chained():
    """CommitReaderID: the MAC covers the id, and the answer is the id before, enciphered for whoever has the MAC key."""
    shop = till()
    key, before = card_key("desfire-transaction-mac"), bytes(16)
    for number, reader in ((1, b"terminal 1, 9:30"), (2, b"terminal 2, 9:31")):
        channel = shop.open(DEBIT_KEY)
        moved = shop.run(desfire_value.move(channel, UID, PLACE, tmac.DEBIT, 100, counter=number - 1, reader=reader))
        assert shop.judge(moved.inputs, moved.committed)
        assert not shop.judge(moved.inputs[:32] + tmac.reader_input(b"another terminal", moved.intent.previous), moved.committed)
        session = tmac.encipher_session_key(key, number, UID)
        assert tmac.decipher_reader(session, moved.intent.previous) == before
        before = reader
    found = shop.run(desfire_value.recover(shop.open(READ_KEY), UID, PLACE, moved.intent))
    assert found.outcome is Outcome.DONE


def test_a_reader_id_needs_its_key():
    shop = till()
    with pytest.raises(CardRefused):
        shop.run(desfire.commit_reader_id(shop.open(READ_KEY), bytes(16)))


def test_another_key_in_the_same_session():
    """AuthenticateEV2NonFirst: the transaction identifier stays, the counter goes on, and the new key has its own rights."""
    shop = till()
    reading = shop.open(READ_KEY)
    assert shop.run(desfire.get_value(reading, ready.VALUE_FILE, Mode.FULL)) == 5_000
    paying = shop.run(desfire.authenticate_ev2_non_first(reading, DEBIT_KEY))
    assert isinstance(paying.session, desfire_ev2.Session)
    assert isinstance(reading.session, desfire_ev2.Session)
    assert paying.session.transaction == reading.session.transaction
    assert paying.session.counter == reading.session.counter == 1
    shop.run(desfire.change_value(paying, tmac.DEBIT, ready.VALUE_FILE, 100, Mode.FULL))
    shop.run(desfire.write_record(paying, ready.LOG_FILE, bytes(range(32)), Mode.MAC))
    shop.run(desfire.commit_with_mac(paying))
    assert shop.value() == 4_900
    with pytest.raises(CardRefused):
        shop.run(desfire.change_value(paying, tmac.CREDIT, ready.VALUE_FILE, 100, Mode.FULL))  # the credit key's right


def test_refusals_change_nothing():
    at = till()
    for number, command, amount, status in (
        (DEBIT_KEY, tmac.DEBIT, 5_001, "91BE"), (CREDIT_KEY, tmac.CREDIT, 995_001, "91BE"), (DEBIT_KEY, tmac.CREDIT, 1, "91AE"),
    ):  # fmt: skip
        channel = at.open(number)
        with pytest.raises(CardRefused) as caught:
            at.run(desfire.change_value(channel, command, ready.VALUE_FILE, amount, Mode.FULL))
        assert caught.value.facts["status"] == status
    assert at.value() == 5_000


@pytest.mark.parametrize("ev2", [True, False])
@pytest.mark.parametrize("place", [0, 7, 15])
def test_a_card_that_does_not_know_the_key_is_refused(ev2, place):
    at = till(ev2=ev2)
    at.run(desfire.select(ready.AID))
    real = at.card

    class Liar:
        def transmit(self, command: bytes) -> bytes:
            answer = real.transmit(command)
            return bytes(octet ^ (i == place) for i, octet in enumerate(answer)) if command[1] == 0xAF else answer

    at.card = Liar()
    with pytest.raises(InvalidMac):
        at.run((desfire.authenticate_ev2 if ev2 else desfire.authenticate_ev1)(DEBIT_KEY))


@pytest.mark.parametrize("ev2", [True, False])
def test_every_bent_octet_of_a_sealed_answer_is_noticed(ev2):
    at = till(ev2=ev2)
    real = at.card
    for place in range(24 if ev2 else 16):
        at.card = real
        channel = at.open(READ_KEY, ev2=ev2)

        class Liar:
            def transmit(self, command: bytes, place: int = place) -> bytes:
                return bytes(octet ^ (i == place) for i, octet in enumerate(real.transmit(command)))

        at.card = Liar()
        with pytest.raises(InvalidMac):
            at.run(desfire.get_value(channel, ready.VALUE_FILE, Mode.FULL))


def torn_commit(arm: Any) -> Till | None:
    """A purchase with the power cut armed before the commit; None when it came through."""
    at = till()
    real = at.card

    class Armed:
        def transmit(self, command: bytes) -> bytes:
            if command[1] == desfire.COMMIT:
                arm(real.power)
            return real.transmit(command)

    at.card = Armed()
    try:
        at.move(DEBIT_KEY, tmac.DEBIT, 1_250)
    except Torn:
        return at
    finally:
        at.card = real
    return None


def test_a_torn_commit_is_told_by_the_counter():
    wrote: list[int] = []
    assert torn_commit(lambda power: wrote.append(power.memory_bytes)) is None
    found = set()
    points = [("cut_at_memory_byte", n) for n in range(0, 90, 3)] + [("cut_at_answer_byte", n) for n in range(0, 22, 3)]
    for cut, place in points:
        at = torn_commit(lambda power, cut=cut, place=place: getattr(power, cut)(place))
        assert at is not None, "the cut reached its window"
        at.card.reset()
        told = at.run(desfire_value.recover(at.open(READ_KEY), UID, PLACE, at.intents[-1]))
        assert at.value() == (3_750 if told.outcome is Outcome.DONE else 5_000), (cut, place)
        assert told.outcome is not Outcome.OPEN
        found.add(told.outcome)
    assert found == {Outcome.DONE, Outcome.UNDONE}


def test_a_counter_that_does_not_step_by_one_is_noticed():
    at = till()
    with pytest.raises(UnexpectedAnswer):
        at.run(desfire_value.move(at.open(DEBIT_KEY), UID, PLACE, tmac.DEBIT, 1, counter=7))


def test_what_others_did_since_stays_open():
    at = torn_commit(lambda power: power.cut_at_answer_byte(0))
    assert at is not None
    at.card.reset()
    intent = at.intents[-1]
    at.move(CREDIT_KEY, tmac.CREDIT, 1)
    assert at.run(desfire_value.recover(at.open(READ_KEY), UID, PLACE, intent)).outcome is Outcome.OPEN
    with pytest.raises(OtherCard):
        at.run(desfire_value.recover(at.open(READ_KEY), UID[::-1], PLACE, intent))
