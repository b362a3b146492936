"""Personalisation and enquiry: applications, files, settings, keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from firmware_sim import ciphers
from firmware_sim.desfire.channel import Ev1Channel, Ev2Channel, NativeChannel
from firmware_sim.desfire.files import find
from firmware_sim.desfire.layout import (
    APPLICATIONS_MAX,
    FILES_MAX,
    FREE,
    KEYS_MAX,
    NEVER,
    PICC,
    UID,
    Application,
    File,
    FileType,
    KeyType,
    Mode,
    Records,
    TransactionMac,
    Value,
    signed4,
)
from firmware_sim.desfire.pending import transaction_mac_file
from firmware_sim.desfire.status import (
    APPLICATION_NOT_FOUND,
    AUTHENTICATION,
    BOUNDARY,
    COUNT,
    DUPLICATE,
    INTEGRITY,
    LENGTH,
    NO_SUCH_KEY,
    OUT_OF_MEMORY,
    PARAMETER,
    PERMISSION_DENIED,
    need,
)

if TYPE_CHECKING:
    from firmware_sim.desfire.card import DesfireCard

FREE_LIST, FREE_CREATE, MASTER_CHANGEABLE, SETTINGS_CHANGEABLE = 0x02, 0x04, 0x01, 0x08
DATA_MAX = 8192
MODES = frozenset(int(mode) for mode in Mode)
SAME_KEY, FROZEN = 0xE, 0xF


def _allowed(card: DesfireCard, free_bit: int) -> None:
    """The master key of the selected level, unless its settings leave the command free."""
    free = card.application().settings & free_bit if free_bit else 0
    need(bool(free) or card.key_number == 0, AUTHENTICATION)


def _card_level(card: DesfireCard) -> None:
    need(card.aid == PICC, PERMISSION_DENIED)


def _in_application(card: DesfireCard) -> None:
    need(card.aid != PICC, PERMISSION_DENIED)


def select(card: DesfireCard, body: bytes) -> bytes:
    """5A AID 3: drops authentication and transaction."""
    need(len(body) == 3, LENGTH)
    need(Application.find(card.store, body) is not None, APPLICATION_NOT_FOUND)
    card.leave()
    card.aid = body
    return b""


def create_application(card: DesfireCard, body: bytes) -> bytes:
    """CA AID 3, settings, number of keys | key type. Keys are zero."""
    _card_level(card)
    _allowed(card, FREE_CREATE)
    need(len(body) == 5, LENGTH)
    aid, settings, keys = body[:3], body[3], body[4]
    need(keys & 0x30 == 0 and keys & 0xC0 != 0xC0 and 1 <= keys & 0x0F <= KEYS_MAX, PARAMETER)
    need(Application.find(card.store, aid) is None, DUPLICATE)
    need(len(Application.all_aids(card.store)) < APPLICATIONS_MAX, COUNT)
    kind = KeyType(keys & 0xC0)
    made = Application(aid, settings, kind, ((bytes(kind.size), 0),) * (keys & 0x0F))
    card.store.begin().create(Application.name(aid), made.pack()).commit()
    return b""


def _delete(card: DesfireCard, aids: list[bytes]) -> None:
    transaction = card.store.begin()
    for aid in aids:
        for name in card.store.names(b"F" + aid):
            transaction.delete(name)
        transaction.delete(Application.name(aid))
    transaction.commit()


def delete_application(card: DesfireCard, body: bytes) -> bytes:
    """DA AID 3: with the card's master key, or its own when selected."""
    need(len(body) == 3, LENGTH)
    need(body != PICC and Application.find(card.store, body) is not None, APPLICATION_NOT_FOUND)
    need(card.aid == PICC or card.aid == body, PERMISSION_DENIED)
    need(card.key_number == 0, AUTHENTICATION)
    _delete(card, [body])
    if card.aid == body:
        card.leave()
        card.aid = PICC
    return b""


def format_card(card: DesfireCard, body: bytes) -> bytes:
    """FC: all applications go."""
    need(not body, LENGTH)
    _card_level(card)
    need(card.key_number == 0, AUTHENTICATION)
    _delete(card, Application.all_aids(card.store))
    return b""


def list_applications(card: DesfireCard, body: bytes) -> bytes:
    """6A: AIDs."""
    need(not body, LENGTH)
    _card_level(card)
    _allowed(card, FREE_LIST)
    return b"".join(Application.all_aids(card.store))


def list_files(card: DesfireCard, body: bytes) -> bytes:
    """6F: file numbers."""
    need(not body, LENGTH)
    _in_application(card)
    _allowed(card, FREE_LIST)
    return bytes(card.application().file_numbers(card.store))


def get_uid(card: DesfireCard, body: bytes) -> bytes:
    """51: the UID, enciphered by the channel."""
    need(not body, LENGTH)
    return card.store.read(UID)


def get_version(card: DesfireCard, body: bytes) -> bytes:
    """60: hardware 7, software 7, UID 7, batch 5, week and year 2, in three frames."""
    need(not body, LENGTH)
    major = 0x12 if card.ev2 else 0x01
    head = bytes((0x04, 0x01, 0x01, major, 0x00, 0x18, 0x05))
    return head + head + card.store.read(UID) + bytes(5) + bytes.fromhex("0126")


def free_memory(card: DesfireCard, body: bytes) -> bytes:
    """6E: bytes left for data, 3."""
    need(not body, LENGTH)
    return max(0, DATA_MAX - _data_used(card)).to_bytes(3, "little")


def _data_used(card: DesfireCard) -> int:
    return sum(card.store.size(name) for name in card.store.names(b"F"))


def _create(card: DesfireCard, body: bytes, kind: FileType, content: bytes) -> bytes:
    """Common to all creations: `body` begins with file, mode, rights."""
    _in_application(card)
    _allowed(card, FREE_CREATE)
    number, mode = body[0], body[1]
    need(number < FILES_MAX, PARAMETER)
    need(mode in MODES, PARAMETER)
    rights = int.from_bytes(body[2:4], "little")
    keys = len(card.application().keys)
    need(all(n >= FREE or n < keys for n in (rights >> s & 0xF for s in (0, 4, 8, 12))), NO_SUCH_KEY)
    file = File(card.aid, number, kind, Mode(mode), rights)
    need(file.name not in card.store, DUPLICATE)
    need(_data_used(card) + len(content) + File.HEADER <= DATA_MAX, OUT_OF_MEMORY)
    card.store.begin().create(file.name, file.header() + content).commit()
    return b""


def create_data(card: DesfireCard, body: bytes, ins: int) -> bytes:
    """CD standard, CB backup: file, mode, rights 2, size 3."""
    need(len(body) == 7, LENGTH)
    size = int.from_bytes(body[4:], "little")
    need(size > 0, PARAMETER)
    need(size <= DATA_MAX, OUT_OF_MEMORY)
    return _create(card, body, FileType.STANDARD if ins == 0xCD else FileType.BACKUP, body[4:] + bytes(size))


def create_value(card: DesfireCard, body: bytes) -> bytes:
    """CC: file, mode, rights 2, lower 4, upper 4, value 4, limited credit flag."""
    need(len(body) == 17, LENGTH)
    lower, upper, value = (int.from_bytes(body[i : i + 4], "little", signed=True) for i in (4, 8, 12))
    need(lower <= value <= upper, BOUNDARY)
    return _create(card, body, FileType.VALUE, Value(lower, upper, value, body[16]).pack())


def create_records(card: DesfireCard, body: bytes, ins: int) -> bytes:
    """C1 linear, C0 cyclic: file, mode, rights 2, record size 3, room 3."""
    need(len(body) == 10, LENGTH)
    size, room = int.from_bytes(body[4:7], "little"), int.from_bytes(body[7:], "little")
    cyclic = ins == 0xC0
    need(size > 0 and room >= 1 + cyclic, PARAMETER)
    need(size * room <= DATA_MAX, OUT_OF_MEMORY)
    return _create(card, body, FileType.CYCLIC if cyclic else FileType.LINEAR, Records(size, room).pack() + bytes(size * room))


def create_transaction_mac(card: DesfireCard, body: bytes) -> bytes:
    """CE: file, mode, rights 2, key option 02, key 16, version; one for an application, never written from outside."""
    need(card.ev2 and card.key_number == 0, AUTHENTICATION)
    need(len(body) == 22, LENGTH)
    need(body[4] == 0x02 and int.from_bytes(body[2:4], "little") >> 8 & 0xF == NEVER, PARAMETER)
    _in_application(card)
    need(transaction_mac_file(card) is None, DUPLICATE)
    return _create(card, body, FileType.TRANSACTION_MAC, TransactionMac(body[5:21], body[21]).pack())


def delete_file(card: DesfireCard, body: bytes) -> bytes:
    """DF file."""
    need(len(body) == 1, LENGTH)
    _in_application(card)
    _allowed(card, FREE_CREATE)
    card.store.begin().delete(find(card, body[0]).name).commit()
    card.drop_transaction()
    return b""


def get_file_settings(card: DesfireCard, body: bytes) -> bytes:
    """F5 file: type, mode, rights 2, then what the type has."""
    need(len(body) == 1, LENGTH)
    _in_application(card)
    _allowed(card, FREE_LIST)
    file = find(card, body[0])
    head = file.header()
    if file.type is FileType.VALUE:
        value = Value.read(card.store, file)
        return head + signed4(value.lower) + signed4(value.upper) + signed4(value.limit) + bytes((value.limited,))
    if file.type in (FileType.LINEAR, FileType.CYCLIC):
        state = Records.read(card.store, file)
        return head + b"".join(n.to_bytes(3, "little") for n in (state.size, state.room, state.used))
    if file.type is FileType.TRANSACTION_MAC:
        return head + bytes((0x02, TransactionMac.read(card.store, file).version))
    return head + file.body(card.store, 0, 3)


def change_file_settings(card: DesfireCard, body: bytes) -> bytes:
    """5F file, mode, rights 2."""
    need(len(body) == 4, LENGTH)
    file = find(card, body[0])
    need(body[1] in MODES, PARAMETER)
    rights = int.from_bytes(body[2:], "little")
    keys = len(card.application().keys)
    need(all(n >= FREE or n < keys for n in (rights >> s & 0xF for s in (0, 4, 8, 12))), NO_SUCH_KEY)
    header = File(file.aid, file.number, file.type, Mode(body[1]), rights).header()
    card.store.begin().write(file.name, header).commit()
    return b""


def get_key_settings(card: DesfireCard, body: bytes) -> bytes:
    """45: settings, number of keys | key type."""
    need(not body, LENGTH)
    _allowed(card, FREE_LIST)
    return card.application().pack()[:2]


def change_key_settings(card: DesfireCard, body: bytes) -> bytes:
    """54 settings, enciphered."""
    need(len(body) == 1, LENGTH)
    application = card.application()
    need(card.key_number == 0, AUTHENTICATION)
    need(bool(application.settings & SETTINGS_CHANGEABLE), PERMISSION_DENIED)
    card.store.begin().write(Application.name(card.aid), body).commit()
    return b""


def get_key_version(card: DesfireCard, body: bytes) -> bytes:
    """64 key number."""
    need(len(body) == 1, LENGTH)
    keys = card.application().keys
    need(body[0] < len(keys), NO_SUCH_KEY)
    return bytes((keys[body[0]][1],))


def change_key(card: DesfireCard, body: bytes) -> tuple[bytes, bool]:
    """C4 key number, cryptogram. Returns no data, and whether the session key's own key went away.

    Changing another key sends new XOR old with a checksum of the new one, so that the card's answer proves knowledge of both.
    """
    need(len(body) > 1, LENGTH)
    application = card.application()
    number, kind = body[0] & 0x3F, application.key_type
    if card.aid == PICC:
        kind = KeyType(body[0] & 0xC0) if body[0] & 0xC0 != 0xC0 else kind
    else:
        need(body[0] & 0xC0 == 0, NO_SUCH_KEY)
    need(number < len(application.keys), NO_SUCH_KEY)
    _may_change_key(card, application, number)
    own = number == card.key_number
    old = application.keys[number][0]
    size, versioned = kind.size, kind is KeyType.AES
    sent, checksum = _key_cryptogram(card, body, size + versioned, own)
    new, version = sent[:size], sent[size] if versioned else 0
    if not own:
        need(kind is application.key_type, PARAMETER)
        new = ciphers.xor(new, old)
    need(own or checksum(new), INTEGRITY)
    if not versioned:
        version = int("".join(str(b & 1) for b in new[:8]), 2)
    changed = application.with_key(number, new, version)
    if kind is not application.key_type:
        changed = Application(application.aid, application.settings, kind, ((new, version),))
    transaction = card.store.begin()
    transaction.write(Application.name(card.aid), changed.pack())
    transaction.commit()
    return b"", own


def _may_change_key(card: DesfireCard, application: Application, number: int) -> None:
    need(card.key_number is not None, AUTHENTICATION)
    right = application.settings >> 4
    if number == 0:
        need(bool(application.settings & MASTER_CHANGEABLE), PERMISSION_DENIED)
        need(card.key_number == 0, AUTHENTICATION)
    elif right == SAME_KEY:
        need(card.key_number == number, AUTHENTICATION)
    else:
        need(right != FROZEN, PERMISSION_DENIED)
        need(card.key_number == right, AUTHENTICATION)


def _key_cryptogram(card: DesfireCard, body: bytes, size: int, own: bool) -> tuple[bytes, Callable[[bytes], bool]]:
    """Deciphered key data of `size` bytes, its own checksum verified, and a test for the checksum of the new key."""
    channel = card.channel
    if isinstance(channel, Ev2Channel):
        opened = channel.open(0xC4, body, 1, size + (0 if own else 4), Mode.FULL, True)[1:]
        return opened[:size], lambda new: opened[size:] == ciphers.crc32(new)
    assert isinstance(channel, Ev1Channel | NativeChannel), "an authenticated channel"
    need(len(body) > 1 and (len(body) - 1) % 8 == 0, LENGTH)
    plain = channel.decipher(body[1:])
    if isinstance(channel, Ev1Channel):
        first, second, width = ciphers.crc32(b"\xc4" + body[:1] + plain[:size]), ciphers.crc32, 4
    else:
        first, second, width = ciphers.crc16(plain[:size]), ciphers.crc16, 2
    need(plain[size : size + width] == first, INTEGRITY)
    rest = plain[size + width :]
    return plain[:size], lambda new: rest[:width] == second(new) and not any(rest[width:])
