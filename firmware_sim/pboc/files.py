"""Selecting, reading and updating the files of a purse card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_sim import apdu
from firmware_sim.apdu import Command, Refused, need
from firmware_sim.pboc.layout import (
    ADF_NAME,
    BLOCKED_FOR_A_TIME,
    BLOCKED_FOR_GOOD,
    MF_NAME,
    PUBLIC_FILE,
    File,
    FileKind,
    KeyUse,
    WriteRule,
)

if TYPE_CHECKING:
    from firmware_sim.pboc.card import PurseCard

MF_ID, ADF_ID = 0x3F00, 0x3F01
DIRECTORY_SFI = 0x01


def _tlv(tag: bytes, *values: bytes) -> bytes:
    value = b"".join(values)
    assert len(value) < 128, "short form lengths only"
    return tag + bytes((len(value),)) + value


def select(card: PurseCard, command: Command) -> bytes:
    """00 A4: P1 04 by name, P1 00 by identifier (3F00, 3F01 or a file of the application)."""
    need(command.p2 in (0x00, 0x0C), apdu.WRONG_P1P2)
    if command.p1 == 0x04:
        need(5 <= len(command.data) <= 16, apdu.WRONG_LENGTH)
        if MF_NAME.startswith(command.data):
            return _select_master(card)
        need(ADF_NAME.startswith(command.data), apdu.FILE_NOT_FOUND)
        return _select_application(card)
    need(command.p1 == 0x00, apdu.WRONG_P1P2)
    need(len(command.data) in (0, 2), apdu.WRONG_LENGTH)
    number = int.from_bytes(command.data, "big") if command.data else MF_ID
    if number == MF_ID:
        return _select_master(card)
    if number == ADF_ID:
        return _select_application(card)
    found = File.find(card.store, number) if card.in_application else None
    need(found is not None, apdu.FILE_NOT_FOUND)
    card.current_file = found
    return b""


def _leave(card: PurseCard) -> None:
    card.current_file = None
    card.pin_verified = card.authenticated = False


def _select_master(card: PurseCard) -> bytes:
    _leave(card)
    card.in_application = False
    return _tlv(b"\x6f", _tlv(b"\x84", MF_NAME), _tlv(b"\xa5", _tlv(b"\x88", bytes((DIRECTORY_SFI,)))))


def _select_application(card: PurseCard) -> bytes:
    _leave(card)
    card.in_application = True
    public = File.find(card.store, PUBLIC_FILE)
    issuer = public.bytes_at(card.store) if public else b""
    template = _tlv(b"\xa5", _tlv(b"\x9f\x08", b"\x02"), _tlv(b"\x9f\x0c", issuer))
    answer = _tlv(b"\x6f", _tlv(b"\x84", ADF_NAME), template)
    if card.application_state() in (BLOCKED_FOR_A_TIME, BLOCKED_FOR_GOOD):
        raise Refused(apdu.FILE_INVALIDATED, answer)
    return answer


def read_binary(card: PurseCard, command: Command) -> bytes:
    """00 B0: P1 80 + SFI and P2 offset, or the current file and a 15-bit offset."""
    found, offset = _address(card, command)
    need(found.kind is FileKind.TRANSPARENT, apdu.WRONG_FILE_TYPE)
    need(not command.data, apdu.WRONG_LENGTH)
    length = found.length(card.store)
    need(offset < length, apdu.WRONG_OFFSET)
    wanted = command.expected or 256
    if wanted not in (256, 65536) and offset + wanted > length:
        raise Refused(0x6C00 | (length - offset) & 0xFF)
    return found.bytes_at(card.store, offset, wanted)


def _address(card: PurseCard, command: Command) -> tuple[File, int]:
    if command.p1 & 0x80:
        need(command.p1 & 0x60 == 0 and command.p1 & 0x1F != 0, apdu.WRONG_P1P2)
        return card.file_by_sfi(command.p1 & 0x1F), command.p2
    return card.file_by_sfi(0), command.p1 << 8 | command.p2


def read_record(card: PurseCard, command: Command) -> bytes:
    """00 B2: P1 number (P2 SFI << 3 | 4) or identifier in the first byte (P2 SFI << 3). 6A83 past the end."""
    need(not command.data, apdu.WRONG_LENGTH)
    sfi, mode = command.p2 >> 3, command.p2 & 7
    need(mode in (0, 4), apdu.WRONG_P1P2)
    if not card.in_application:
        need(sfi == DIRECTORY_SFI and mode == 4, apdu.FILE_NOT_FOUND)
        need(command.p1 == 1, apdu.RECORD_NOT_FOUND)
        return _tlv(b"\x70", _tlv(b"\x61", _tlv(b"\x4f", ADF_NAME), _tlv(b"\x50", b"PBOC")))
    found = card.file_by_sfi(sfi)
    need(found.kind is not FileKind.TRANSPARENT, apdu.WRONG_FILE_TYPE)
    number = command.p1 if mode == 4 else found.number_of(card.store, command.p1)
    record = found.record(card.store, number) if number else None
    need(record is not None, apdu.RECORD_NOT_FOUND)
    assert record is not None
    return record


def _writable(card: PurseCard, found: File, command: Command) -> bytes:
    """Data of an update, after the file's rule: free, MAC under the maintenance key, or never."""
    need(found.rule is not WriteRule.NEVER, apdu.SECURITY_STATUS)
    if command.cla == 0x04:
        return card.open_line(command, KeyUse.MAINTENANCE, 1)
    need(found.rule is WriteRule.FREE, apdu.MAC_MISSING)
    return command.data


def update_binary(card: PurseCard, command: Command) -> bytes:
    """00/04 D6: overwrite bytes of a transparent file, in one step."""
    found, offset = _address(card, command)
    need(found.kind is FileKind.TRANSPARENT, apdu.WRONG_FILE_TYPE)
    data = _writable(card, found, command)
    need(bool(data), apdu.WRONG_LENGTH)
    need(offset + len(data) <= found.length(card.store), apdu.WRONG_OFFSET)
    transaction = card.store.begin()
    found.write(transaction, data, offset)
    transaction.commit()
    return b""


def update_record(card: PurseCard, command: Command) -> bytes:
    """00/04 DC: overwrite a record of a linear file (P2 SFI << 3 | 4); the log is written by transactions only."""
    need(command.p2 & 7 == 4, apdu.WRONG_P1P2)
    found = card.file_by_sfi(command.p2 >> 3)
    need(found.kind is FileKind.LINEAR, apdu.WRONG_FILE_TYPE)
    need(1 <= command.p1 <= found.used, apdu.RECORD_NOT_FOUND)
    data = _writable(card, found, command)
    need(len(data) == found.record_size, apdu.WRONG_LENGTH)
    transaction = card.store.begin()
    found.write(transaction, data, (command.p1 - 1) * found.record_size)
    transaction.commit()
    return b""
