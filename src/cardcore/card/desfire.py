"""DESFire cards: framing, the secure channels EV1 and EV2 in plain, MAC and full mode, and value files with their transaction.

Sources as in `cardcore.crypto.desfire_ev1` and `desfire_ev2`. Values are fen, signed 32 bits, little endian on the line.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cardcore.card.apdu import Command
from cardcore.card.dialogue import Dialogue, ToSam, transmit
from cardcore.card.errors import UnexpectedAnswer
from cardcore.card.status import DESFIRE_MORE, DESFIRE_OK, require
from cardcore.crypto import desfire_ev1, desfire_ev2, tmac
from cardcore.crypto.errors import InvalidMac

FRAMES_MAX = 64
BODY_MAX = 250
MAC_OCTETS = 8
CHALLENGE_OCTETS = 16
READER_ID_OCTETS = 16
AUTHENTICATE_AES, AUTHENTICATE_EV2_FIRST, AUTHENTICATE_EV2_NON_FIRST, MORE = 0xAA, 0x71, 0x77, 0xAF
SELECT, COMMIT, ABORT = 0x5A, 0xC7, 0xA7


class Mode(Enum):
    """Communication mode of a file."""

    PLAIN = 0
    MAC = 1
    FULL = 3


@dataclass(frozen=True, slots=True)
class MeetChallenge:
    """Have the key holder answer a card's first cryptogram with a fresh random; answered by a `Handshake` of the channel's kind."""

    ev2: bool
    key_number: int
    challenge: bytes


def frames(ins: int, body: bytes = b"", *, last: int = DESFIRE_OK) -> Dialogue[bytes]:
    """A wrapped native command and all frames of its answer. last: the status that ends it well.

    Raises CardRefused for another status, UnexpectedAnswer for frames without end.
    """
    assert len(body) <= BODY_MAX, "commands of this room fit one frame"
    data = b""
    for _ in range(FRAMES_MAX):
        answer = yield from transmit(Command(0x90, ins, 0x00, 0x00, body, expected=256))
        data += answer.data
        if answer.status == last:
            return data
        require(answer.status, DESFIRE_MORE)
        ins, body = MORE, b""
    raise UnexpectedAnswer("the card sends frame after frame")


def select(application: bytes) -> Dialogue[None]:
    """SelectApplication: 3 octets, as on the line. Ends any session."""
    yield from frames(SELECT, application)


@dataclass(slots=True)
class Channel:
    """An authenticated session: how commands and answers are sealed. Made by `authenticate_ev1` or `authenticate_ev2`."""

    session: desfire_ev1.Session | desfire_ev2.Session

    def command(self, ins: int, header: bytes, data: bytes = b"", mode: Mode = Mode.MAC, *, answer: int = 0) -> Dialogue[bytes]:
        """One command; the data of its answer. header stays plain; mode is that of the file, MAC for other EV2 commands.

        answer: octets of data that come back. Raises CardRefused, UnexpectedAnswer, InvalidMac.
        """
        if isinstance(self.session, desfire_ev2.Session):
            came = yield from self._ev2(self.session, ins, header, data, mode)
        else:
            came = yield from self._ev1(self.session, ins, header, data, mode, answer)
        if len(came) != answer:
            raise UnexpectedAnswer(f"{answer} octets were expected, {len(came)} came", expected=answer, came=len(came))
        return came

    @staticmethod
    def _ev2(session: desfire_ev2.Session, ins: int, header: bytes, data: bytes, mode: Mode) -> Dialogue[bytes]:
        if mode is Mode.FULL:
            body = session.seal_command(ins, header, data)
        else:
            body = header + data + (session.mac_command(ins, header + data) if mode is Mode.MAC else b"")
        came = yield from frames(ins, body)
        session.accepted()
        if mode is Mode.PLAIN:
            return came
        if len(came) < MAC_OCTETS:
            raise InvalidMac
        sealed, mac = came[:-MAC_OCTETS], came[-MAC_OCTETS:]
        if mode is Mode.FULL:
            return session.open_answer(0x00, sealed, mac)
        session.verify_answer(0x00, sealed, mac)
        return sealed

    @staticmethod
    def _ev1(session: desfire_ev1.Session, ins: int, header: bytes, data: bytes, mode: Mode, answer: int) -> Dialogue[bytes]:
        command = bytes([ins]) + header
        # Before EV2 the mode covers one direction: the command when it carries data, else the answer.
        if mode is Mode.FULL and data:
            body = header + session.encipher_command(command, data)
        else:
            mac = session.mac_command(command + data)
            body = header + data + (mac if mode is Mode.MAC and data else b"")
        came = yield from frames(ins, body)
        if mode is Mode.FULL and not data and answer:
            return session.decipher_answer(came, answer, 0x00)
        if len(came) < MAC_OCTETS:
            raise InvalidMac
        session.verify_answer(came[:-MAC_OCTETS], 0x00, came[-MAC_OCTETS:])
        return came[:-MAC_OCTETS]


def challenged(ins: int, body: bytes) -> Dialogue[bytes]:
    """The first half of a handshake: the card's cryptogram. Raises CardRefused, UnexpectedAnswer."""
    challenge = yield from frames(ins, body, last=DESFIRE_MORE)
    if len(challenge) != CHALLENGE_OCTETS:
        raise UnexpectedAnswer(f"a challenge has {CHALLENGE_OCTETS} octets", came=len(challenge))
    return challenge


def authenticate_ev1(key_number: int) -> Dialogue[Channel]:
    """AuthenticateAES. Raises CardRefused, InvalidMac when the card does not know the key."""
    challenge = yield from challenged(AUTHENTICATE_AES, bytes([key_number]))
    half: desfire_ev1.Handshake = yield ToSam(MeetChallenge(False, key_number, challenge))
    return Channel(desfire_ev1.finish(half, (yield from frames(MORE, half.answer))))


def authenticate_ev2(key_number: int) -> Dialogue[Channel]:
    """AuthenticateEV2First without capabilities. Raises CardRefused, InvalidMac."""
    challenge = yield from challenged(AUTHENTICATE_EV2_FIRST, bytes([key_number, 0]))
    half: desfire_ev1.Handshake = yield ToSam(MeetChallenge(True, key_number, challenge))
    return Channel(desfire_ev2.finish_first(half, (yield from frames(MORE, half.answer))))


def authenticate_ev2_non_first(running: Channel, key_number: int) -> Dialogue[Channel]:
    """AuthenticateEV2NonFirst: another key within the session; its transaction identifier and counter go on, what was pending goes.

    Raises CardRefused, UnexpectedAnswer, InvalidMac.
    """
    session = running.session
    assert isinstance(session, desfire_ev2.Session), "NonFirst goes on with an EV2 session"
    challenge = yield from challenged(AUTHENTICATE_EV2_NON_FIRST, bytes([key_number]))
    half: desfire_ev1.Handshake = yield ToSam(MeetChallenge(True, key_number, challenge))
    return Channel(desfire_ev2.finish_non_first(half, (yield from frames(MORE, half.answer)), session))


def get_value(channel: Channel, file: int, mode: Mode) -> Dialogue[int]:
    """The committed value of a value file."""
    data = yield from channel.command(tmac.GET_VALUE, bytes([file]), mode=mode, answer=4)
    return int.from_bytes(data, "little", signed=True)


def change_value(channel: Channel, command: int, file: int, amount: int, mode: Mode) -> Dialogue[None]:
    """Credit, Debit or LimitedCredit; nothing is permanent before `commit`. Raises CardRefused (91BE outside the limits)."""
    yield from channel.command(command, bytes([file]), amount.to_bytes(4, "little", signed=True), mode)


def read_data(channel: Channel, file: int, offset: int, length: int, mode: Mode) -> Dialogue[bytes]:
    """ReadData of a data or transaction MAC file."""
    header = bytes([file]) + offset.to_bytes(3, "little") + length.to_bytes(3, "little")
    data: bytes = yield from channel.command(tmac.READ_DATA, header, mode=mode, answer=length)
    return data


@dataclass(frozen=True, slots=True)
class Committed:
    """What CommitTransaction gave with option 01: the transaction counter after the step, and the transaction MAC value."""

    counter: int
    value: bytes

    @staticmethod
    def decode(octets: bytes) -> Committed:
        """Counter 4 little endian, value 8: the content of a transaction MAC file too."""
        return Committed(int.from_bytes(octets[:4], "little"), octets[4:12])


def write_record(channel: Channel, file: int, record: bytes, mode: Mode) -> Dialogue[None]:
    """WriteRecord of a whole record; it enters the log with the commit. Raises CardRefused, UnexpectedAnswer, InvalidMac."""
    header = bytes([file]) + bytes(3) + len(record).to_bytes(3, "little")
    yield from channel.command(tmac.WRITE_RECORD, header, record, mode)


def commit_reader_id(channel: Channel, reader: bytes) -> Dialogue[bytes]:
    """CommitReaderID: bind the reader (16 octets) to the transaction; the enciphered id of the reader before (16 octets).

    The session's key must have the right. Raises CardRefused, UnexpectedAnswer, InvalidMac.
    """
    previous: bytes = yield from channel.command(tmac.COMMIT_READER_ID, b"", reader, answer=READER_ID_OCTETS)
    return previous


def commit(channel: Channel) -> Dialogue[None]:
    """Make everything of the transaction permanent at once. Without transaction MAC."""
    yield from channel.command(COMMIT, b"")


def commit_with_mac(channel: Channel) -> Dialogue[Committed]:
    """The same, answered by counter and transaction MAC value; needs a transaction MAC file."""
    data = yield from channel.command(COMMIT, b"\x01", answer=12)
    return Committed.decode(data)
