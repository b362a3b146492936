"""Identifiers: ticket ids, slugs, card numbers and their check digit (ARCHITECTURE, "Identifiers")."""

from __future__ import annotations

import re
import zlib

POSITION_MAX = 2**48 - 1
NUMBER_MAX = 32  # digits of a card number
PARTITION_MAX = 255
ACCOUNT_BITS = 40  # an account id is partition << 40 | n

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_TICKET = re.compile(r"([0-9a-f]{2})-([0-9a-f]{12})")
_DIGITS = re.compile(r"[0-9]+")


def ticket_id(partition: int, position: int) -> str:
    """The public name of a journal entry: sortable by time inside its partition, the same for every retry (O5)."""
    return f"{partition:02x}-{position:012x}"


def parse_ticket_id(text: str) -> tuple[int, int]:
    """`(partition, position)` of a ticket id. Raises ValueError for anything `ticket_id` does not write."""
    match = _TICKET.fullmatch(text)
    if match is None or int(match[2], 16) == 0:
        raise ValueError("a ticket id looks like 00-00000000002a")
    return int(match[1], 16), int(match[2], 16)


def leg_key(partition: int, position: int, into: int) -> tuple[str, str]:
    """(client, client key) of the entry in partition `into` of a movement whose first entry stands there."""
    return "system", f"leg:{ticket_id(partition, position)}:{into:02x}"


def is_leg(client: str, client_key: str) -> bool:
    """Whether an entry is a further leg: its body, and what it adds to the books, are its first entry's."""
    return client == "system" and client_key.startswith("leg:")


def is_slug(text: str) -> bool:
    """Whether `text` may name a unit, terminal or operator."""
    return _SLUG.fullmatch(text) is not None


def luhn(digits: str) -> int:
    """The Luhn check digit (ISO/IEC 7812-1 annex B) to append to `digits`. Raises ValueError if not ASCII digits."""
    if not _DIGITS.fullmatch(digits):
        raise ValueError("digits only")
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char)
        if place % 2 == 0:
            value *= 2
            if value > 9:
                value -= 9
        total += value
    return -total % 10


def card_number(prefix: str, n: int, length: int = 16) -> str:
    """Card number `n` of a prefix: prefix, serial padded to `length` digits in all, check digit.

    Raises ValueError when it does not fit or `length` is outside 8..32.
    """
    room = length - len(prefix) - 1
    if not 8 <= length <= 32 or not _DIGITS.fullmatch(prefix) or n < 0 or len(str(n)) > room:
        raise ValueError("the serial does not fit the card number")
    body = f"{prefix}{n:0{room}d}"
    return body + str(luhn(body))


def card_number_in(prefix: str, serial: int, partition: int, partitions: int, length: int = 16) -> str:
    """The `serial`-th number of a prefix whose home is `partition`. Raises ValueError as `card_number` does."""
    if partitions == 1:
        return card_number(prefix, serial, length)
    room = length - len(prefix) - 1
    if not _DIGITS.fullmatch(prefix) or room < 1:
        raise ValueError("the serial does not fit the card number")
    return card_number(prefix, serial * partitions + (partition - int(prefix) * 10**room) % partitions, length)


def home(number: str, partitions: int) -> int:
    """The partition a card number belongs to, and the account issued under it: the number without its check digit, modulo.

    Total: text that is no card number has a home too, where nothing will be found.
    """
    if partitions == 1:
        return 0
    if 1 < len(number) <= NUMBER_MAX and number.isascii() and number.isdigit():
        return int(number[:-1]) % partitions
    return zlib.crc32(number.encode(errors="replace")) % partitions


def is_card_number(text: str) -> bool:
    """8 to 32 ASCII digits ending in their Luhn digit."""
    return 8 <= len(text) <= 32 and _DIGITS.fullmatch(text) is not None and luhn(text[:-1]) == int(text[-1])
