"""A transaction of an application: the shadow of everything that CommitTransaction will make permanent at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from firmware_sim import ciphers
from firmware_sim.desfire.layout import FREE, NEVER, UID, File, FileType, Records, TransactionMac, Value
from firmware_sim.desfire.status import (
    AUTHENTICATION,
    LENGTH,
    NO_CHANGES,
    PERMISSION_DENIED,
    need,
)
from firmware_sim.nvm import Transaction

if TYPE_CHECKING:
    from firmware_sim.desfire.card import DesfireCard

COUNTER_MAX = 0xFFFFFFFF


@dataclass(slots=True)
class Pending:
    """Volatile: lost with power, selection, error or AbortTransaction."""

    values: dict[int, Value] = field(default_factory=dict)
    debits: dict[int, int] = field(default_factory=dict)
    backups: dict[int, bytearray] = field(default_factory=dict)
    records: dict[int, bytearray] = field(default_factory=dict)
    cleared: set[int] = field(default_factory=set)
    tmi: bytearray = field(default_factory=bytearray)
    reader: bytes | None = None

    def __bool__(self) -> bool:
        return bool(self.values or self.backups or self.records or self.cleared or self.tmi)


def session_keys(key: bytes, counter_after: int, uid: bytes) -> tuple[bytes, bytes]:
    """SesTMMACKey and SesTMENCKey from the application's key, the counter that the commit will give, and the UID."""
    message = bytes.fromhex("00010080") + counter_after.to_bytes(4, "little") + uid
    return ciphers.cmac("aes", key, b"\x5a" + message), ciphers.cmac("aes", key, b"\xa5" + message)


def transaction_mac_file(card: DesfireCard) -> File | None:
    """The transaction MAC file of the selected application."""
    for number in card.application().file_numbers(card.store):
        found = File.find(card.store, card.aid, number)
        if found is not None and found.type is FileType.TRANSACTION_MAC:
            return found
    return None


def _zero_padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)


def record_input(card: DesfireCard, header: bytes, data: bytes = b"") -> None:
    """Enter a successful data command into the transaction MAC input, always with plain data."""
    if transaction_mac_file(card) is not None:
        card.pending.tmi += _zero_padded(header) + _zero_padded(data)


def check_counter(card: DesfireCard) -> None:
    """Refuse data commands once the transaction counter is used up."""
    found = transaction_mac_file(card)
    need(found is None or TransactionMac.read(card.store, found).counter < COUNTER_MAX, PERMISSION_DENIED)


def commit(card: DesfireCard, body: bytes) -> bytes:
    """C7 [option]: everything in one memory transaction; with option 01 answers counter 4 and TMV 8."""
    need(len(body) <= 1 and body in (b"", b"\x00", b"\x01"), LENGTH)
    pending = card.pending
    need(bool(pending), NO_CHANGES)
    mac_file = transaction_mac_file(card)
    if mac_file is not None and card.reader_id_required and mac_file.nibbles("both")[0] != NEVER:
        need(pending.reader is not None, PERMISSION_DENIED)
    transaction = card.store.begin()
    for number, value in pending.values.items():
        after = replace(value, limit=pending.debits.get(number, 0))
        _file(card, number).write(transaction, after.pack())
    for number, content in pending.backups.items():
        _file(card, number).write(transaction, bytes(content), 3)
    for number in sorted(pending.cleared | pending.records.keys()):
        _commit_records(card, transaction, number)
    answer = b""
    if mac_file is not None:
        mac = TransactionMac.read(card.store, mac_file)
        counter = mac.counter + 1
        mac_key, _ = session_keys(mac.key, counter, card.store.read(UID))
        tmv = ciphers.odd_bytes(ciphers.cmac("aes", mac_key, bytes(pending.tmi)))
        mac = replace(mac, counter=counter, tmv=tmv, reader=pending.reader or mac.reader)
        mac_file.write(transaction, mac.pack())
        answer = counter.to_bytes(4, "little") + tmv if body == b"\x01" else b""
    transaction.commit()
    card.pending = Pending()
    return answer


def _file(card: DesfireCard, number: int) -> File:
    found = File.find(card.store, card.aid, number)
    assert found is not None, "a file with a shadow is there"
    return found


def _commit_records(card: DesfireCard, transaction: Transaction, number: int) -> None:
    file = _file(card, number)
    state = Records.read(card.store, file)
    if number in card.pending.cleared:
        state = replace(state, head=0, used=0)
    if (record := card.pending.records.get(number)) is not None:
        file.write(transaction, bytes(record), Records.HEAD + state.head * state.size)
        state = state.appended(file.type is FileType.CYCLIC)
    file.write(transaction, state.pack())


def abort(card: DesfireCard, body: bytes) -> bytes:
    """A7: drop the shadow."""
    need(not body, LENGTH)
    need(bool(card.pending), NO_CHANGES)
    card.pending = Pending()
    return b""


def commit_reader_id(card: DesfireCard, body: bytes) -> bytes:
    """C8: bind the reader to the transaction. Authenticated: answers the enciphered previous reader id."""
    need(len(body) == 16, LENGTH)
    found = transaction_mac_file(card)
    need(found is not None, PERMISSION_DENIED)
    assert found is not None
    (right,) = found.nibbles("both")
    need(right != NEVER, PERMISSION_DENIED)
    need(right == FREE or right == card.key_number, AUTHENTICATION)
    need(card.pending.reader is None, PERMISSION_DENIED)
    check_counter(card)
    mac = TransactionMac.read(card.store, found)
    _, enc_key = session_keys(mac.key, mac.counter + 1, card.store.read(UID))
    previous = b""
    if card.key_number is not None:
        previous = ciphers.cbc_encrypt("aes", enc_key, bytes(16), mac.reader)
    card.pending.reader = body
    record_input(card, b"\xc8" + body + previous)
    return previous
