"""APDUs: every case and form of ISO/IEC 7816-4 at its limits, round trips, arbitrary octets, and the follow-ups of T=0."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardcore.card import Answer, CardRefused, Command, InvalidApdu, UnexpectedAnswer, meaning, require, tries_left
from cardcore.card.dialogue import FOLLOW_UPS_MAX, ToCard, transmit

HEAD = (0x80, 0x50, 0x01, 0x02)


@pytest.mark.parametrize(
    ("data", "expected", "extended", "form"),
    [
        (0, 0, False, "80500102"),
        (0, 1, False, "8050010201"),
        (0, 255, False, "80500102FF"),
        (0, 256, False, "8050010200"),
        (0, 257, True, "80500102000101"),
        (0, 65535, True, "8050010200FFFF"),
        (0, 65536, True, "80500102000000"),
        (1, 0, False, "8050010201D1"),
        (255, 0, False, "80500102FF" + "D1" * 255),
        (256, 0, True, "80500102000100" + "D1" * 256),
        (65535, 0, True, "8050010200FFFF" + "D1" * 65535),
        (1, 256, False, "8050010201D100"),
        (255, 255, False, "80500102FF" + "D1" * 255 + "FF"),
        (1, 257, True, "80500102000001D10101"),
        (256, 1, True, "80500102000100" + "D1" * 256 + "0001"),
        (65535, 65536, True, "8050010200FFFF" + "D1" * 65535 + "0000"),
    ],
)
def test_each_case_at_its_limits(data, expected, extended, form):
    command = Command(*HEAD, b"\xd1" * data, expected)
    assert command.is_extended == extended
    assert command.encode() == bytes.fromhex(form)
    assert Command.decode(bytes.fromhex(form)) == Command(*HEAD, b"\xd1" * data, expected, extended)


def test_an_extended_form_that_was_asked_for():
    command = Command(*HEAD, b"\xd1", 4, extended=True)
    assert command.encode() == bytes.fromhex("80500102000001D10004")
    assert Command.decode(command.encode()) == command


@pytest.mark.parametrize(
    "wrong",
    ["", "80", "805001", "8050010202D1", "8050010201D1D1D1", "8050010200000001", "80500102000002D1",
     "80500102000001D100", "80500102000001D1000000", "805001020001", "80500102000000FFFF"],
)  # fmt: skip
def test_octets_that_are_no_command(wrong):
    with pytest.raises(InvalidApdu):
        Command.decode(bytes.fromhex(wrong))


@pytest.mark.parametrize(
    "fields",
    [(256, 0, 0, 0), (0, -1, 0, 0), (0, 0, 1.0, 0), (0, 0, 0, True), (*HEAD, bytes(65536)), (*HEAD, b"", 65537), (*HEAD, b"", -1),
     (*HEAD, b"", 1.0), (*HEAD, b"", 0, True)],
)  # fmt: skip
def test_fields_outside_their_bounds(fields):
    with pytest.raises(InvalidApdu):
        Command(*fields)


octet = st.integers(0, 255)
commands = st.builds(Command, octet, octet, octet, octet, st.binary(max_size=300), st.integers(0, 700) | st.just(65536))


@given(commands)
def test_round_trip(command):
    decoded = Command.decode(command.encode())
    assert decoded.encode() == command.encode()
    assert (decoded.data, decoded.expected) == (command.data, command.expected)


@given(st.binary(max_size=40))
def test_arbitrary_octets_decode_to_themselves_or_not_at_all(octets):
    try:
        command = Command.decode(octets)
    except InvalidApdu:
        return
    assert command.encode() == octets


def test_answers():
    assert Answer.decode(b"\x01\x02\x90\x00") == Answer(b"\x01\x02", 0x9000)
    assert Answer(b"\x01", 0x6100).encode() == b"\x01\x61\x00"
    for torn in (b"", b"\x90", bytes(65539)):
        with pytest.raises(InvalidApdu):
            Answer.decode(torn)


class Card:
    """Answers from a list, and keeps what it was sent."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.sent: list[str] = []

    def run(self, command: Command) -> Answer:
        dialogue = transmit(command)
        question = next(dialogue)
        while True:
            assert isinstance(question, ToCard)
            self.sent.append(question.command.encode().hex().upper())
            try:
                question = dialogue.send(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
            except StopIteration as done:
                return done.value


def test_plain_exchange():
    card = Card(Answer(b"\x00\x00\x03\xe8", 0x9000))
    assert card.run(Command(0x80, 0x5C, 0, 2, expected=4)) == Answer(b"\x00\x00\x03\xe8", 0x9000)
    assert card.sent == ["805C000204"]


def test_get_response_collects_and_keeps_the_channel():
    card = Card(Answer(b"", 0x6104), Answer(b"ab", 0x6102), Answer(b"cd", 0x9000))
    assert card.run(Command(0x01, 0xA4, 4, 0, b"x")) == Answer(b"abcd", 0x9000)
    assert card.sent == ["01A404000178", "01C0000004", "01C0000002"]
    card = Card(Answer(b"", 0x6100), Answer(bytes(256), 0x6283))
    assert card.run(Command(0x84, 0x52, 0, 0, b"x")).status == 0x6283
    assert card.sent[1] == "00C0000000"


def test_a_wrong_length_is_repeated_with_the_right_one():
    card = Card(Answer(b"", 0x6C10), Answer(bytes(16), 0x9000))
    assert card.run(Command(0x00, 0xB0, 0x95, 0, expected=256)).data == bytes(16)
    assert card.sent == ["00B0950000", "00B0950010"]


@pytest.mark.parametrize("endless", [Answer(b"", 0x6C01), Answer(b"", 0x6101), Answer(bytes(255), 0x61FF), Answer(bytes(60000), 0x6101)])
def test_a_card_that_never_ends_is_given_up(endless):
    card = Card(endless)
    with pytest.raises(UnexpectedAnswer):
        card.run(Command(0x00, 0xB0, 0, 0, expected=1))
    assert len(card.sent) <= FOLLOW_UPS_MAX


def test_meanings():
    assert meaning(0x9302) == "the MAC is wrong"
    assert meaning(0x91BE) == "outside the limits of the file"
    assert meaning(0x63C2) == "wrong PIN or key, 2 tries left"
    assert meaning(0x6100) == "256 octets wait"
    assert meaning(0x6C10) == "wrong length, 16 is right"
    assert meaning(0x1234) == "unknown status word"
    assert meaning(0x9177) == "unknown DESFire status"
    assert (tries_left(0x63C0), tries_left(0x6300), tries_left(0x9000)) == (0, None, None)
    for status in range(0x10000):
        assert meaning(status)


def test_require():
    require(0x9000)
    require(0x91AF, 0x9100, 0x91AF)
    for status, good in ((0x9401, ()), (0x9000, (0x9100,)), (0x6283, ())):
        with pytest.raises(CardRefused) as caught:
            require(status, *good)
        assert caught.value.facts == {"status": f"{status:04X}"}
