"""Which card is this? Asked without keys, and without changing anything on it."""

from __future__ import annotations

from dataclasses import dataclass

from cardcore.card import CardRefused, UnexpectedAnswer, desfire, purse
from cardcore.card.apdu import Command
from cardcore.card.dialogue import Dialogue, ask
from cardcore.crypto import tmac

DESFIRE_APPLICATION = bytes.fromhex("F05201")
"""The application with the value file, as it goes over the line."""
NUMBER_FILE, NUMBER_OCTETS = 3, 32
GET_VERSION, UID_OCTETS = 0x60, 7
TERMINAL_ID_FILE = 0x16
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Found:
    """A card and who it is.

    kind: "pboc", "desfire", "psam" or "unknown". number: serial number of a purse, UID of a DESFire card, terminal id of a module;
    hex. application: of a personalised purse. blank: of a known kind, before personalisation. printed: the card number that a
    DESFire card carries in clear, "" if none.
    """

    kind: str
    number: str = ""
    blank: bool = False
    application: purse.Application | None = None
    printed: str = ""

    @property
    def medium(self) -> str:
        """The id under which the service knows this medium, "" for what carries no value."""
        if self.blank:
            return ""
        if self.application is not None:
            return f"pboc:{self.application.issuer.hex()}{self.application.serial.hex()}"
        return f"desfire:{self.number}" if self.kind == "desfire" else ""


def identify(make: purse.Make | None = None) -> Dialogue[Found]:
    """Ask for a purse, then for a DESFire card, then for a purchase module; whoever answers in the right form is it."""
    for attempt in (_purse(make or purse.Make()), _desfire(), _module()):
        try:
            return (yield from attempt)
        except (CardRefused, UnexpectedAnswer):
            continue
    return Found(UNKNOWN)


def _purse(make: purse.Make) -> Dialogue[Found]:
    application = yield from purse.open_application(make)
    # Before personalisation the issuer is empty.
    blank = not any(application.issuer)
    return Found("pboc", "" if blank else application.serial.hex(), blank, None if blank else application)


def _desfire() -> Dialogue[Found]:
    version = yield from desfire.frames(GET_VERSION)
    if len(version) < 14 + UID_OCTETS:
        raise UnexpectedAnswer("the version of a DESFire card has 28 octets", came=len(version))
    uid = version[14 : 14 + UID_OCTETS].hex()
    try:
        yield from desfire.select(DESFIRE_APPLICATION)
    except CardRefused:
        return Found("desfire", uid, blank=True)
    try:
        place = bytes([NUMBER_FILE]) + bytes(3) + NUMBER_OCTETS.to_bytes(3, "little")
        printed = yield from desfire.frames(tmac.READ_DATA, place)
    except CardRefused:
        printed = b""
    return Found("desfire", uid, printed=printed.rstrip(b"\0").decode("ascii", "replace"))


def _module() -> Dialogue[Found]:
    terminal = yield from ask(Command(0x00, 0xB0, 0x80 | TERMINAL_ID_FILE, 0x00, expected=6), octets=6)
    return Found("psam", terminal.hex())
