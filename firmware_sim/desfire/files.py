"""Data commands: value, data and record files. Changes go to the shadow, except those of standard data files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firmware_sim.desfire.layout import File, FileType, Records, TransactionMac, Value, signed4
from firmware_sim.desfire.pending import record_input
from firmware_sim.desfire.status import BOUNDARY, FILE_NOT_FOUND, LENGTH, PERMISSION_DENIED, need

if TYPE_CHECKING:
    from firmware_sim.desfire.card import DesfireCard

GET_VALUE, CREDIT, DEBIT, LIMITED_CREDIT = 0x6C, 0x0C, 0xDC, 0x1C
VALUE_MIN, VALUE_MAX = -(1 << 31), (1 << 31) - 1


def find(card: DesfireCard, number: int, *types: FileType) -> File:
    """A file of the selected application, of one of these types. Raises `Fault` F0 or 9D."""
    found = File.find(card.store, card.aid, number)
    need(found is not None, FILE_NOT_FOUND)
    assert found is not None
    need(not types or found.type in types, PERMISSION_DENIED)
    return found


def get_value(card: DesfireCard, body: bytes) -> bytes:
    """6C file: the committed value, also while a transaction is pending."""
    file = find(card, body[0], FileType.VALUE)
    answer = signed4(Value.read(card.store, file).value)
    record_input(card, bytes((GET_VALUE, file.number)) + answer)
    return answer


def _shadow(card: DesfireCard, body: bytes) -> tuple[File, Value, int]:
    file = find(card, body[0], FileType.VALUE)
    amount = int.from_bytes(body[1:5], "little", signed=True)
    need(amount >= 0, BOUNDARY)
    return file, card.pending.values.get(file.number) or Value.read(card.store, file), amount


def _keep(card: DesfireCard, ins: int, file: File, value: Value, amount: int) -> bytes:
    card.pending.values[file.number] = value
    record_input(card, bytes((ins, file.number)) + signed4(amount))
    return b""


def credit(card: DesfireCard, body: bytes) -> bytes:
    """0C file, amount 4: never above the upper limit."""
    file, value, amount = _shadow(card, body)
    need(value.value + amount <= value.upper, BOUNDARY)
    return _keep(card, CREDIT, file, replace(value, value=value.value + amount), amount)


def debit(card: DesfireCard, body: bytes) -> bytes:
    """DC file, amount 4: never below the lower limit."""
    file, value, amount = _shadow(card, body)
    need(value.value - amount >= value.lower, BOUNDARY)
    debits = card.pending.debits
    debits[file.number] = min(debits.get(file.number, 0) + amount, VALUE_MAX)
    return _keep(card, DEBIT, file, replace(value, value=value.value - amount), amount)


def limited_credit(card: DesfireCard, body: bytes) -> bytes:
    """1C file, amount 4: once, up to what the last transaction debited."""
    file, value, amount = _shadow(card, body)
    need(value.limited & 1 == 1, PERMISSION_DENIED)
    need(amount <= value.limit and value.value + amount <= value.upper, BOUNDARY)
    return _keep(card, LIMITED_CREDIT, file, replace(value, value=value.value + amount, limit=0), amount)


def _span(body: bytes) -> tuple[int, int]:
    return int.from_bytes(body[1:4], "little"), int.from_bytes(body[4:7], "little")


def read_data(card: DesfireCard, body: bytes, ins: int) -> bytes:
    """BD/AD file, offset 3, length 3 (0: to the end); the transaction MAC file reads as counter 4, TMV 8."""
    file = find(card, body[0], FileType.STANDARD, FileType.BACKUP, FileType.TRANSACTION_MAC)
    offset, length = _span(body)
    if file.type is FileType.TRANSACTION_MAC:
        mac = TransactionMac.read(card.store, file)
        content = mac.counter.to_bytes(4, "little") + mac.tmv
    else:
        content = file.body(card.store, 3)
    length = length or max(0, len(content) - offset)
    need(offset + length <= len(content) and length > 0, BOUNDARY)
    data = content[offset : offset + length]
    if file.type is not FileType.TRANSACTION_MAC:
        record_input(card, bytes((ins,)) + body[:4] + length.to_bytes(3, "little"), data)
    return data


def write_data(card: DesfireCard, body: bytes, ins: int) -> bytes:
    """3D/8D file, offset 3, length 3, data: at once in a standard file, into the shadow of a backup file."""
    file = find(card, body[0], FileType.STANDARD, FileType.BACKUP)
    offset, length = _span(body)
    data = body[7:]
    need(length == len(data) and length > 0, LENGTH)
    size = int.from_bytes(file.body(card.store, 0, 3), "little")
    need(offset + length <= size, BOUNDARY)
    if file.type is FileType.STANDARD:
        transaction = card.store.begin()
        file.write(transaction, data, 3 + offset)
        transaction.commit()
    else:
        shadow = card.pending.backups.setdefault(file.number, bytearray(file.body(card.store, 3)))
        shadow[offset : offset + length] = data
    record_input(card, bytes((ins,)) + body[:7], data)
    return b""


def write_record(card: DesfireCard, body: bytes, ins: int) -> bytes:
    """3B/8B file, offset in the record 3, length 3, data: one new record per transaction."""
    file = find(card, body[0], FileType.LINEAR, FileType.CYCLIC)
    offset, length = _span(body)
    data = body[7:]
    need(length == len(data) and length > 0, LENGTH)
    state = Records.read(card.store, file)
    used = 0 if file.number in card.pending.cleared else state.used
    need(file.type is FileType.CYCLIC or used < state.room, BOUNDARY)
    need(offset + length <= state.size, BOUNDARY)
    record = card.pending.records.setdefault(file.number, bytearray(state.size))
    record[offset : offset + length] = data
    record_input(card, bytes((ins,)) + body[:7], data)
    return b""


def read_records(card: DesfireCard, body: bytes, ins: int) -> bytes:
    """BB/AB file, newest wanted 3 (0: the newest), count 3 (0: all older too): oldest first, committed ones only."""
    file = find(card, body[0], FileType.LINEAR, FileType.CYCLIC)
    skipped, count = _span(body)
    state = Records.read(card.store, file)
    count = count or max(0, state.used - skipped)
    need(count > 0 and skipped + count <= state.used, BOUNDARY)
    data = b"".join(state.record(card.store, file, back) for back in range(skipped + count - 1, skipped - 1, -1))
    record_input(card, bytes((ins,)) + body[:4] + count.to_bytes(3, "little"), data)
    return data


def clear_records(card: DesfireCard, body: bytes) -> bytes:
    """EB file: empty after the commit."""
    file = find(card, body[0], FileType.LINEAR, FileType.CYCLIC)
    need(file.number not in card.pending.records, PERMISSION_DENIED)
    card.pending.cleared.add(file.number)
    record_input(card, bytes((0xEB, file.number)))
    return b""
