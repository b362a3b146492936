"""The clearing batch, octet by octet: a header, purchase records and a seal, each one block of 72 octets (docs/clearing.md).

Numbers are big endian and unsigned unless said otherwise, amounts are fen, dates and times BCD as the card signed them. Every block
ends with the CRC-32 of the octets before it: it finds torn and damaged blocks, and proves nothing. What proves a purchase is the MAC
that the card made over the signed fields; all other fields are evidence that moves no money (K3).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cardcore.card.purse_debit import Debited
from cardcore.crypto import tmac
from cardcore.crypto.batch import TAC_RECORD
from cardcore.errors import CardcoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

BLOCK: Final = 72
COUNT_MAX: Final = 1 << 24
"""Records of one batch: 1.2 GB."""
MAGIC: Final = b"CCB1"
PURSE, DESFIRE, SEALED = 1, 2, 0xFF
"""First octet of a block: a PBOC purchase, a DESFire debit, the seal. A header starts with the letters of its magic."""

READER_PROVEN: Final = 1
"""Flag of a DESFire record: the transaction input names the reader (CommitReaderID), so that the MAC covers terminal and time."""

SIGNED: Final = TAC_RECORD
"""The 22 octets that a purchase TAC covers: amount 4, type 1, terminal 6, terminal transaction number 4, date 4, time 3."""

PURSE_BLOCK: Final = np.dtype([
    ("kind", "u1"), ("flags", "u1"), ("signed", SIGNED), ("tac", "u1", 4), ("key_index", "u1"), ("key_version", "u1"),
    ("algorithm", "u1"), ("counter", ">u2"), ("balance", ">u4"), ("overdraw", "u1", 3), ("issuer", "u1", 8), ("serial", "u1", 10),
    ("sam", "u1", 10), ("crc", ">u4"),
])  # fmt: skip
DESFIRE_BLOCK: Final = np.dtype([
    ("kind", "u1"), ("flags", "u1"), ("signed", SIGNED), ("tmv", "u1", 8), ("file", "u1"), ("key_version", "u1"), ("uid", "u1", 7),
    ("counter", ">u4"), ("value", ">i4"), ("previous", "u1", 16), ("reserved", "u1", 3), ("crc", ">u4"),
])  # fmt: skip
assert PURSE_BLOCK.itemsize == DESFIRE_BLOCK.itemsize == BLOCK, "every block has one size"

_HEADER = struct.Struct(">4s6sII7s10s33x")
_SEAL = struct.Struct(">BxxxIQ32s20x")
_SIGNED = struct.Struct(">IB6sI7s")
_PURSE = struct.Struct(">BB22s4sBBBHI3s8s10s10s")
_DESFIRE = struct.Struct(">BB22s8sBB7sIi16s3x")
_CRC = struct.Struct(">I")


class InvalidBatch(CardcoreError, ValueError):
    """Octets that are no clearing batch. `reason`: magic, header, length, block, kind, order, totals; `offset` is where."""

    code = "invalid_batch"

    def __init__(self, detail: str, *, reason: str, offset: int = 0) -> None:
        super().__init__(detail, reason=reason, offset=offset)


def _closed(body: bytes) -> bytes:
    return body + _CRC.pack(zlib.crc32(body))


def _open(block: bytes, what: str) -> bytes:
    if len(block) != BLOCK or _CRC.pack(zlib.crc32(block[:-4])) != block[-4:]:
        raise InvalidBatch(f"the {what} is damaged", reason="header" if what == "header" else "block")
    return block


def _fits(octets: bytes, count: int, what: str) -> bytes:
    if len(octets) != count:
        raise InvalidBatch(f"{what} has {count} octets", reason="block")
    return bytes(octets)


@dataclass(frozen=True, slots=True)
class Header:
    """Which batch it is. Nothing of it decides about money but the blacklist, which can only lose the merchant a listed card.

    terminal: 6 octets, the purchase SAM's terminal number. batch: counted by the station. blacklist: version of the list of blocked
    cards that the station used, which is the epoch second it was made; 0 for none. opened: 7 octets BCD. sam: its serial, 10 octets.
    """

    terminal: bytes
    batch: int
    blacklist: int
    opened: bytes
    sam: bytes = bytes(10)

    def encode(self) -> bytes:
        """One block. Raises InvalidBatch for fields that do not fit."""
        terminal, opened, sam = _fits(self.terminal, 6, "terminal"), _fits(self.opened, 7, "opened"), _fits(self.sam, 10, "sam")
        try:
            return _closed(_HEADER.pack(MAGIC, terminal, self.batch, self.blacklist, opened, sam))
        except struct.error as error:
            raise InvalidBatch("batch and blacklist are unsigned numbers of 4 octets", reason="header") from error

    @staticmethod
    def decode(block: bytes) -> Header:
        """Raises InvalidBatch."""
        if block[:4] != MAGIC:
            raise InvalidBatch("this is no clearing batch", reason="magic")
        _, terminal, batch, blacklist, opened, sam = _HEADER.unpack(_open(block, "header")[:-4])
        header = Header(terminal, batch, blacklist, opened, sam)
        if header.encode() != block:
            raise InvalidBatch("reserved octets of the header are not zero", reason="header")
        return header


def _signed(amount: int, kind: int, terminal: bytes, number: int, at: bytes) -> bytes:
    try:
        return _SIGNED.pack(amount, kind, _fits(terminal, 6, "terminal"), number, _fits(at, 7, "date and time"))
    except struct.error as error:
        raise InvalidBatch(
            "amount, type and terminal transaction number are unsigned numbers of 4, 1 and 4 octets", reason="block"
        ) from error


@dataclass(frozen=True, slots=True)
class PurseRecord:
    """One purchase with a PBOC purse. The TAC covers amount, kind, terminal, number and at; nothing else.

    at: date and time, 7 octets BCD. counter: the card's off-line counter and balance: fen, both before the step (INITIALIZE).
    overdraw: of INITIALIZE. issuer, serial: of EF 0015 (8 and 10 octets). sam: serial of the purchase SAM, 10 octets.
    """

    amount: int
    kind: int
    terminal: bytes
    number: int
    at: bytes
    tac: bytes
    issuer: bytes
    serial: bytes
    counter: int
    balance: int
    overdraw: int = 0
    key_index: int = 1
    key_version: int = 1
    algorithm: int = 0
    sam: bytes = bytes(10)

    @staticmethod
    def of(debited: Debited, *, key_index: int = 1, algorithm: int = 0, sam: bytes = bytes(10)) -> PurseRecord:
        """The record of a debit that was made (`cardcore.card.purse_debit`)."""
        intent = debited.intent
        return PurseRecord(
            intent.amount, intent.kind, intent.terminal, intent.number, intent.at, debited.tac, intent.application.issuer,
            intent.application.serial, intent.counter, intent.balance, debited.overdraw, key_index, debited.key_version, algorithm, sam,
        )  # fmt: skip

    def encode(self) -> bytes:
        """One block. Raises InvalidBatch for fields that do not fit."""
        signed = _signed(self.amount, self.kind, self.terminal, self.number, self.at)
        try:
            return _closed(_PURSE.pack(
                PURSE, 0, signed, _fits(self.tac, 4, "TAC"), self.key_index, self.key_version, self.algorithm, self.counter,
                self.balance, self.overdraw.to_bytes(3), _fits(self.issuer, 8, "issuer"), _fits(self.serial, 10, "serial"),
                _fits(self.sam, 10, "sam"),
            ))  # fmt: skip
        except (struct.error, OverflowError) as error:
            raise InvalidBatch(f"a field of the record is out of range: {error}", reason="block") from error


@dataclass(frozen=True, slots=True)
class ValueRecord:
    """One debit of a DESFire value file. The transaction MAC covers UID, counter, file, value, amount and, when `reader_proven`,
    terminal, number and at, which the reader id of CommitReaderID carries (`reader_id`).

    counter: TMC as Commit returned it. value: of GetValue before the debit. previous: EncTMRI as CommitReaderID answered.
    """

    amount: int
    terminal: bytes
    number: int
    at: bytes
    tmv: bytes
    uid: bytes
    counter: int
    value: int
    file: int = 1
    key_version: int = 1
    previous: bytes = bytes(16)
    reader_proven: bool = True

    def encode(self) -> bytes:
        """One block. Raises InvalidBatch for fields that do not fit."""
        signed = _signed(self.amount, tmac.DEBIT, self.terminal, self.number, self.at)
        try:
            return _closed(_DESFIRE.pack(
                DESFIRE, READER_PROVEN if self.reader_proven else 0, signed, _fits(self.tmv, 8, "TMV"), self.file, self.key_version,
                _fits(self.uid, 7, "UID"), self.counter, self.value, _fits(self.previous, 16, "previous"),
            ))  # fmt: skip
        except struct.error as error:
            raise InvalidBatch(f"a field of the record is out of range: {error}", reason="block") from error

    def inputs(self) -> bytes:
        """The transaction input (TMI) that the card took the MAC over."""
        spent = tmac.value_input(tmac.GET_VALUE, self.file, self.value) + tmac.value_input(tmac.DEBIT, self.file, self.amount)
        return spent + (tmac.reader_input(reader_id(self.terminal, self.number, self.at), self.previous) if self.reader_proven else b"")


Record = PurseRecord | ValueRecord


def reader_id(terminal: bytes, number: int, at: bytes) -> bytes:
    """What a station commits as its reader id (16 octets): terminal 6, terminal transaction number 4, date and time YYMMDDhhmmss 6."""
    return _fits(terminal, 6, "terminal") + number.to_bytes(4) + _fits(at, 7, "date and time")[1:]


def decode_record(block: bytes) -> Record:
    """One purchase record. Raises InvalidBatch, also for octets that `encode` would not write for what they say."""
    record = _decoded(_open(block, "record"))
    if record.encode() != block:
        raise InvalidBatch("a record has flags or reserved octets that nobody writes", reason="block")
    return record


def _decoded(block: bytes) -> Record:
    body = block[:-4]
    amount, kind, terminal, number, at = _SIGNED.unpack(body[2:24])
    if body[0] == PURSE:
        _, _, _, tac, index, version, algorithm, counter, balance, overdraw, issuer, serial, sam = _PURSE.unpack(body)
        return PurseRecord(
            amount, kind, terminal, number, at, tac, issuer, serial, counter, balance, int.from_bytes(overdraw), index, version, algorithm,
            sam,
        )  # fmt: skip
    if body[0] == DESFIRE:
        _, flags, _, tmv, file, version, uid, counter, value, previous = _DESFIRE.unpack(body)
        return ValueRecord(amount, terminal, number, at, tmv, uid, counter, value, file, version, previous, bool(flags & READER_PROVEN))
    raise InvalidBatch(f"a record of an unknown kind {body[0]}", reason="kind")


@dataclass(frozen=True, slots=True)
class Seal:
    """The end of a batch that was closed: how many records, their sum in fen, and SHA-256 over the header and every record."""

    count: int
    total_fen: int
    digest: bytes

    def encode(self) -> bytes:
        """One block."""
        return _closed(_SEAL.pack(SEALED, self.count, self.total_fen, self.digest))

    @staticmethod
    def decode(block: bytes) -> Seal:
        """Raises InvalidBatch."""
        kind, count, total_fen, digest = _SEAL.unpack(_open(block, "seal")[:-4])
        seal = Seal(count, total_fen, digest)
        if kind != SEALED or seal.encode() != block:
            raise InvalidBatch("the seal is malformed", reason="block")
        if count > COUNT_MAX or total_fen > count * 0xFFFFFFFF:
            raise InvalidBatch("the seal counts what no batch can hold", reason="totals")
        return seal


def encode_all(header: Header, records: Iterable[Record]) -> bytes:
    """A header with records and no seal: what one upload carries."""
    return header.encode() + b"".join(record.encode() for record in records)
