"""What an issuer says to a purse card: personalisation of a blank one, PIN reload and unblocking, blocking of the application.

Commands with line protection are made by whoever holds the keys (`issue_seals.answer`); no key passes through a dialogue.
Form of key writing (84 D4) and of confidential data: docs/simulator.md; makes of cards differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cardcore.card.apdu import Command
from cardcore.card.dialogue import Dialogue, ToSam, ask, transmit
from cardcore.card.errors import OtherCard, UnexpectedAnswer
from cardcore.card.purse import PUBLIC_DATA, Application, Make, open_application
from cardcore.card.status import SUCCESS, require, tries_left

HOLDER_DATA, HOLDER_OCTETS = 0x16, 39
MAC_OCTETS = 4
WRONG_LINE_MAC = 0x6988

KEYS: Final[dict[str, tuple[int, int]]] = {
    "purchase": (0x3E, 1), "load": (0x3F, 1), "unload": (0x3D, 1), "overdraw": (0x3C, 1), "tac": (0x34, 0),
    "unblock-pin": (0x37, 1), "reload-pin": (0x38, 1), "external": (0x39, 0), "maintenance": (0x36, 1),
}  # fmt: skip
"""Key type (as FMCOS numbers them) and index on the card, in the order of writing: those that open the card for writing come last."""


@dataclass(frozen=True, slots=True)
class NewPurse:
    """What a blank card becomes.

    holder: octets of EF 0016, 39 at most. versions: of each key of `KEYS`. algorithm: the octet that the card tells with its keys.
    """

    application: Application
    holder: bytes
    versions: dict[str, int]
    algorithm: int = 0


@dataclass(frozen=True, slots=True)
class ProveIssuer:
    """Have the external key answer a challenge; answered by the cryptogram. ours: the card's own key, else the transport key."""

    challenge: bytes
    ours: bool


@dataclass(frozen=True, slots=True)
class SealLine:
    """Have a command MACed; answered by 4 octets. key: "maintenance" or "unblock-pin"; header: 5 octets, Lc counting the MAC."""

    key: str
    ours: bool
    challenge: bytes
    header: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class ConcealKey:
    """Have a key of this card enciphered for writing, under the maintenance key in force; answered by the cryptogram."""

    name: str
    version: int
    algorithm: int
    ours: bool


@dataclass(frozen=True, slots=True)
class ConcealPin:
    """Have a new PIN enciphered under the unblock key; answered by the cryptogram."""

    pin: bytes


@dataclass(frozen=True, slots=True)
class SealReload:
    """Have a new PIN MACed under the reload key; answered by 4 octets."""

    pin: bytes


def personalise(make: Make, new: NewPurse) -> Dialogue[Application]:
    """Write files and keys of a blank card, and read back who it is. Torn out anywhere, it can be run again for the same card.

    Raises OtherCard for a card that is somebody else already, CardRefused (63Cx: neither transport nor own key opens it),
    UnexpectedAnswer.
    """
    found = yield from open_application(make)
    if any(found.serial) and found != new.application:
        raise OtherCard("the card is personalised already")
    if not (yield from _authenticated(make)):
        yield from _write_file(make, PUBLIC_DATA, new.application.encode())
        yield from _write_file(make, HOLDER_DATA, new.holder.ljust(HOLDER_OCTETS, b"\x00"))
        for name in KEYS:
            if name != "maintenance":
                yield from _write_key(make, new, name, ours=False)
    # The external key is the card's own now. Writing the maintenance key ends the work; torn there, only the card knows whether it is.
    if (yield from _write_key(make, new, "maintenance", ours=False)) == WRONG_LINE_MAC:
        require((yield from _write_key(make, new, "maintenance", ours=True)))
    written = yield from open_application(make)
    if written != new.application:
        raise UnexpectedAnswer("the card does not tell what was written to it")
    return written


def _authenticated(make: Make) -> Dialogue[bool]:
    """EXTERNAL AUTHENTICATE with the transport key, else with the card's own; whether it was its own."""
    for ours in (False, True):
        challenge = yield from get_challenge(make)
        cryptogram: bytes = yield ToSam(ProveIssuer(challenge, ours))
        answer = yield from transmit(Command(0x00, 0x82, 0x00, KEYS["external"][1], cryptogram))
        if answer.status == SUCCESS:
            return ours
        # 63Cx says a wrong key; the card gives its tries back for a right one.
        if ours or tries_left(answer.status) is None:
            require(answer.status)
    raise AssertionError("the second refusal was raised")


def get_challenge(make: Make) -> Dialogue[bytes]:
    """GET CHALLENGE, as long as the profile's line protection takes it."""
    octets = make.profile.challenge_octets
    return (yield from ask(Command(0x00, 0x84, 0x00, 0x00, expected=octets), octets=octets))


def _protected(make: Make, head: tuple[int, int, int, int], data: bytes, key: str = "maintenance", *, ours: bool = True) -> Dialogue[int]:
    """A command with line protection; its status word."""
    challenge = yield from get_challenge(make)
    header = bytes((*head, len(data) + MAC_OCTETS))
    mac: bytes = yield ToSam(SealLine(key, ours, challenge, header, data))
    answer = yield from transmit(Command(*head, data + mac))
    return answer.status


def _write_file(make: Make, file: int, data: bytes) -> Dialogue[None]:
    require((yield from _protected(make, (0x04, 0xD6, 0x80 | file, 0x00), data, ours=False)))


def _write_key(make: Make, new: NewPurse, name: str, *, ours: bool) -> Dialogue[int]:
    kind, index = KEYS[name]
    concealed: bytes = yield ToSam(ConcealKey(name, new.versions[name], new.algorithm, ours))
    status = yield from _protected(make, (0x84, 0xD4, kind, index), concealed, ours=ours)
    if name == "maintenance" and not ours and status == WRONG_LINE_MAC:
        return status
    require(status)
    return status


def reload_pin(pin: bytes, identifier: int = 0) -> Dialogue[None]:
    """RELOAD PIN: a new PIN (packed BCD, 2 to 6 octets) with its MAC, and all tries. The PIN travels in clear. Raises CardRefused."""
    mac: bytes = yield ToSam(SealReload(pin))
    yield from ask(Command(0x80, 0x5E, 0x00, identifier, pin + mac))


def unblock_pin(make: Make, pin: bytes, identifier: int = 0) -> Dialogue[None]:
    """PIN UNBLOCK: a new PIN, enciphered, and all tries. Raises CardRefused."""
    concealed: bytes = yield ToSam(ConcealPin(pin))
    require((yield from _protected(make, (0x84, 0x24, 0x00, identifier), concealed, "unblock-pin")))


def block_application(make: Make, *, for_good: bool = False) -> Dialogue[None]:
    """APPLICATION BLOCK, which for a time can be undone. Raises CardRefused."""
    require((yield from _protected(make, (0x84, 0x1E, 0x00, int(for_good)), b"")))


def unblock_application(make: Make) -> Dialogue[None]:
    """APPLICATION UNBLOCK. Raises CardRefused."""
    require((yield from _protected(make, (0x84, 0x18, 0x00, 0x00), b"")))
