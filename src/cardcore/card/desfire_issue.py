"""Personalisation of a DESFire card: an application with a value file, its log, the card's number, and on EV2 a transaction MAC.

The application's keys are zero when it is made and become the card's own one by one, the master key last; torn out anywhere, the
dialogue can be run again. Sources as in `cardcore.card.desfire`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cardcore.card.apdu import Command
from cardcore.card.desfire import (
    AUTHENTICATE_AES,
    AUTHENTICATE_EV2_FIRST,
    MORE,
    Channel,
    Mode,
    authenticate_ev1,
    authenticate_ev2,
    challenged,
    frames,
    select,
)
from cardcore.card.dialogue import Dialogue, ToSam, transmit
from cardcore.card.errors import UnexpectedAnswer
from cardcore.card.status import DESFIRE_MORE, DESFIRE_OK, require
from cardcore.crypto import Key, desfire_ev1, desfire_ev2, desfire_native, wipe

CARD_LEVEL = bytes(3)
BLANK: Final = bytes(16)
"""Keys of a new application."""
KEYS: Final = ("master", "credit", "debit", "read")
"""Names of the application's keys 0 to 3."""
CREATE_APPLICATION, CREATE_VALUE, CREATE_STANDARD, CREATE_CYCLIC, CREATE_TRANSACTION_MAC = 0xCA, 0xCC, 0xCD, 0xC0, 0xCE
LIST_FILES, KEY_VERSION, CHANGE_KEY, WRITE_DATA = 0x6F, 0x64, 0xC4, 0x3D
DUPLICATE, AUTHENTICATION = 0x91DE, 0x91AE
AUTHENTICATE_NATIVE, AES_KEY = 0x0A, 0x80
NUMBER_OCTETS = 32
# Master key and settings changeable, free listing; creating and changing keys by key 0 only.
APPLICATION_SETTINGS = 0x0B
# read, write, read-write, change: key numbers, E free, F never.
VALUE_RIGHTS, NUMBER_RIGHTS, MAC_RIGHTS = 0x3210, 0xE000, 0x3F20


@dataclass(frozen=True, slots=True)
class Layout:
    """What is made on the card. application: 3 octets as sent; limit_fen: the most the value file holds; key_version: of all keys.

    mac_file: None on cards without transaction MAC (before EV2).
    """

    application: bytes
    limit_fen: int
    key_version: int
    ev2: bool = True
    mode: Mode = Mode.FULL
    value_file: int = 1
    log_file: int = 2
    number_file: int = 3
    mac_file: int | None = 15
    log_octets: int = 32
    log_records: int = 11  # ten are kept, one more is being written


@dataclass(frozen=True, slots=True)
class MeetBlank:
    """As `MeetChallenge` for key 0 of a new application, which is zero."""

    ev2: bool
    challenge: bytes


@dataclass(frozen=True, slots=True)
class NewKey:
    """Ask for a key of this card that will be written to it: a name of `KEYS`, "tmac" or "card"; answered by a `Key`, which is wiped."""

    name: str


@dataclass(frozen=True, slots=True)
class MeetFactory:
    """Answer a challenge with the DES key of zeros that cards leave the factory with; answered by a native `Handshake`."""

    challenge: bytes


def secure_card(version: int, *, ev2: bool = True) -> Dialogue[None]:
    """Give the card itself its own master key ("card", AES) in the place of the factory's, with which anybody could format it.

    It can be run again. Raises CardRefused for a card with a stranger's key, UnexpectedAnswer, InvalidMac.
    """
    yield from select(CARD_LEVEL)
    challenge = yield from transmit(_wrapped(AUTHENTICATE_NATIVE, b"\x00"))
    if challenge.status == DESFIRE_MORE:
        if len(challenge.data) != desfire_native.RANDOM_OCTETS:
            raise UnexpectedAnswer("a native challenge has 8 octets", came=len(challenge.data))
        half: desfire_ev1.Handshake = yield ToSam(MeetFactory(challenge.data))
        session = desfire_native.finish(half, (yield from frames(MORE, half.answer)))
        key: Key = yield ToSam(NewKey("card"))
        sealed = desfire_native.seal_new_key(session, key, version)
        key.wipe()
        session.wipe()
        yield from frames(CHANGE_KEY, bytes([AES_KEY]) + sealed)
        yield from select(CARD_LEVEL)
    else:
        # A card whose master key is AES refuses the native handshake; whether the key is ours is told below.
        require(challenge.status, AUTHENTICATION)
    yield from (authenticate_ev2 if ev2 else authenticate_ev1)(0)


def personalise(layout: Layout, number: bytes) -> Dialogue[None]:
    """Make application, files and keys. number: what anybody may read from the card, 32 octets at most.

    Raises CardRefused (91AE: neither the zero key nor the card's own opens the application), UnexpectedAnswer, InvalidMac.
    """
    yield from select(CARD_LEVEL)
    keys = 0x80 | len(KEYS)  # AES
    made = yield from transmit(_wrapped(CREATE_APPLICATION, layout.application + bytes((APPLICATION_SETTINGS, keys))))
    require(made.status, DESFIRE_OK, DUPLICATE)
    yield from select(layout.application)
    there = yield from frames(LIST_FILES)
    versions = yield from _versions()
    channel = yield from _meet_blank(layout.ev2)
    if channel is not None:
        yield from _make_files(channel, layout, there, number)
        for key_number in range(len(KEYS) - 1, -1, -1):
            if versions[key_number] != bytes([layout.key_version]):
                yield from _change_key(channel, key_number, layout.key_version)
    # The card's own master key opens it: what was written is what we hold.
    yield from select(layout.application)
    yield from (authenticate_ev2 if layout.ev2 else authenticate_ev1)(0)


def _versions() -> Dialogue[list[bytes]]:
    """Version octet of each key; asked before a session, whose counters it would disturb."""
    versions = []
    for key_number in range(len(KEYS)):
        version = yield from frames(KEY_VERSION, bytes([key_number]))
        versions.append(version)
    return versions


def _wrapped(ins: int, body: bytes) -> Command:
    return Command(0x90, ins, 0x00, 0x00, body, expected=256)


def _meet_blank(ev2: bool) -> Dialogue[Channel | None]:
    """A session with the zero key 0; None when the card refuses it, because its own is there already."""
    start = bytes((0, 0)) if ev2 else bytes(1)
    challenge = yield from challenged(AUTHENTICATE_EV2_FIRST if ev2 else AUTHENTICATE_AES, start)
    half: desfire_ev1.Handshake = yield ToSam(MeetBlank(ev2, challenge))
    proof = yield from transmit(_wrapped(MORE, half.answer))
    if proof.status == AUTHENTICATION:
        return None
    require(proof.status, DESFIRE_OK)
    return Channel((desfire_ev2.finish_first if ev2 else desfire_ev1.finish)(half, proof.data))


def _make_files(channel: Channel, layout: Layout, there: bytes, number: bytes) -> Dialogue[None]:
    """Those files that are not there yet."""
    value = b"".join(amount.to_bytes(4, "little") for amount in (0, layout.limit_fen, 0))
    log = layout.log_octets.to_bytes(3, "little") + layout.log_records.to_bytes(3, "little")
    if layout.value_file not in there:
        yield from channel.command(CREATE_VALUE, _head(layout.value_file, layout.mode, VALUE_RIGHTS) + value + b"\x01")
    if layout.log_file not in there:
        yield from channel.command(CREATE_CYCLIC, _head(layout.log_file, Mode.MAC, VALUE_RIGHTS) + log)
    if layout.number_file not in there:
        size = NUMBER_OCTETS.to_bytes(3, "little")
        yield from channel.command(CREATE_STANDARD, _head(layout.number_file, Mode.PLAIN, NUMBER_RIGHTS) + size)
    place = bytes([layout.number_file]) + bytes(3) + NUMBER_OCTETS.to_bytes(3, "little")
    yield from channel.command(WRITE_DATA, place, number.ljust(NUMBER_OCTETS, b"\x00"), Mode.PLAIN)
    if layout.mac_file is not None and layout.mac_file not in there:
        key: Key = yield ToSam(NewKey("tmac"))
        with key.lend() as octets:
            secret = bytes(octets) + bytes([layout.key_version])
        key.wipe()
        head = _head(layout.mac_file, Mode.MAC, MAC_RIGHTS) + b"\x02"  # AES
        yield from channel.command(CREATE_TRANSACTION_MAC, head, secret, Mode.FULL)


def _head(file: int, mode: Mode, rights: int) -> bytes:
    return bytes((file, mode.value)) + rights.to_bytes(2, "little")


def _change_key(channel: Channel, number: int, version: int) -> Dialogue[None]:
    """ChangeKey of a key that is zero, in a session of key 0; changing key 0 itself ends the session without MAC."""
    key: Key = yield ToSam(NewKey(KEYS[number]))
    with key.lend() as octets:
        secret = bytearray(octets) + bytes([version])  # XORed with the old key, which is zero
        checksum = b"" if number == 0 else desfire_ev1.crc32(bytes(octets))
    key.wipe()
    header = bytes([number])
    session = channel.session
    if isinstance(session, desfire_ev2.Session):
        body = session.seal_command(CHANGE_KEY, header, bytes(secret) + checksum)
    else:
        body = header + session.encipher_command(bytes([CHANGE_KEY]) + header, bytes(secret), checksum)
    wipe(secret)
    came = yield from frames(CHANGE_KEY, body)
    if number == 0:
        return
    if isinstance(session, desfire_ev2.Session):
        session.accepted()
        session.verify_answer(0x00, b"", came)
    else:
        session.verify_answer(b"", 0x00, came)
