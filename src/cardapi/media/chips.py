"""Which chip lies on the reader: a PBOC purse by its application, a DESFire card by its UID."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cardapi.media.desfire_chip import DesfireChip
from cardapi.media.purse_chip import PurseChip
from cardcore.card import Command, UnexpectedAnswer, desfire, purse
from cardcore.card.dialogue import Dialogue, ask, transmit
from cardcore.card.status import DESFIRE_MORE, DESFIRE_OK, SUCCESS

if TYPE_CHECKING:
    from cardapi.media.tap import Script, Tap

GET_VERSION = 0x60
VERSION_OCTETS, UID_AT = 28, 14
BLOCKED = 0x6283


def identify(tap: Tap) -> Script:
    """The chip on the reader. Raises TapRefused card_unreadable for one that is neither."""
    found = yield from tap.serve(_who(), lambda request: None)
    if isinstance(found, bytes):
        return DesfireChip(tap, found)
    return PurseChip(tap, found)


def _who() -> Dialogue[purse.Application | bytes]:
    """The application of a purse, or the UID of a DESFire card. Raises CardRefused, UnexpectedAnswer."""
    answer = yield from transmit(Command(0x00, 0xA4, 0x04, 0x00, purse.APPLICATION_NAME, expected=256))
    if answer.status in (SUCCESS, BLOCKED):
        public = yield from ask(Command(0x00, 0xB0, 0x80 | purse.PUBLIC_DATA, 0x00, expected=30), octets=30)
        return purse.Application.decode(public)
    # Selecting the card's own level ends whatever session it may still be in.
    yield from transmit(Command(0x90, desfire.SELECT, 0x00, 0x00, bytes(3), expected=256))
    first = yield from transmit(Command(0x90, GET_VERSION, 0x00, 0x00, expected=256))
    if first.status not in (DESFIRE_OK, DESFIRE_MORE):
        raise UnexpectedAnswer("the card is neither a purse nor a DESFire card")
    data = first.data
    if first.status == DESFIRE_MORE:
        data += yield from desfire.frames(desfire.MORE)
    if len(data) != VERSION_OCTETS:
        raise UnexpectedAnswer("the version of a DESFire card has 28 octets", came=len(data))
    return data[UID_AT : UID_AT + 7]
