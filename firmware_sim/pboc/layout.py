"""How a purse card lays out its memory: purses, keys, PIN, files. Each view reads from the store and adds writes to a transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from firmware_sim.nvm import Store, Transaction

MF_NAME = b"1PAY.SYS.DDF01"
ADF_NAME = bytes.fromhex("A00000000386980701")
PUBLIC_FILE, HOLDER_FILE, CAPP_FILE, LOG_FILE = 0x0015, 0x0016, 0x0017, 0x0018
CAPP_RECORD_SIZE, CAPP_RECORDS = 32, 4
LOG_RECORD_SIZE = 23
COUNTER_MAX = 0xFFFF
APPLICATION = b"app"
OPEN, BLOCKED_FOR_A_TIME, BLOCKED_FOR_GOOD, CARD_BLOCKED = 0, 1, 2, 3


class KeyUse(IntEnum):
    """Key types, numbered as FMCOS numbers them."""

    TAC = 0x34
    MAINTENANCE = 0x36
    UNBLOCK_PIN = 0x37
    RELOAD_PIN = 0x38
    EXTERNAL = 0x39
    OVERDRAW = 0x3C
    UNLOAD = 0x3D
    PURCHASE = 0x3E
    LOAD = 0x3F


@dataclass(frozen=True, slots=True)
class Key:
    """A card key; `tries_left` counts wrong uses of keys that authenticate the outside."""

    version: int
    algorithm: int
    tries: int
    tries_left: int
    value: bytes

    def pack(self) -> bytes:
        """Bytes in memory."""
        return bytes((self.version, self.algorithm, self.tries, self.tries_left)) + self.value

    @staticmethod
    def name(use: int, index: int) -> bytes:
        """Name of the object that holds the key."""
        return b"k" + bytes((use, index)) + b"."

    @classmethod
    def find(cls, store: Store, use: int, index: int) -> Key | None:
        """The key, or None."""
        name = cls.name(use, index)
        if name not in store:
            return None
        raw = store.read(name)
        return cls(raw[0], raw[1], raw[2], raw[3], raw[4:])


@dataclass(frozen=True, slots=True)
class Purse:
    """One purse: balance in fen (own funds plus overdraw limit), counters of on-line and off-line transactions."""

    balance: int = 0
    online_counter: int = 0
    offline_counter: int = 0
    overdraw_limit: int = 0

    SIZE = 11

    @staticmethod
    def name(p2: int) -> bytes:
        """Name of the object of purse 01 (ED) or 02 (EP)."""
        return {1: b"ed", 2: b"ep"}[p2]

    @classmethod
    def read(cls, store: Store, p2: int) -> Purse:
        """The committed purse."""
        raw, number = store.read(cls.name(p2)), int.from_bytes
        return cls(number(raw[:4], "big"), number(raw[4:6], "big"), number(raw[6:8], "big"), number(raw[8:11], "big"))

    def pack(self) -> bytes:
        """Bytes in memory."""
        return (
            self.balance.to_bytes(4, "big")
            + self.online_counter.to_bytes(2, "big")
            + self.offline_counter.to_bytes(2, "big")
            + self.overdraw_limit.to_bytes(3, "big")
        )

    def moved(self, delta: int, *, online: bool, overdraw_limit: int | None = None) -> Purse:
        """The purse after a transaction."""
        return Purse(
            self.balance + delta,
            self.online_counter + online,
            self.offline_counter + (not online),
            self.overdraw_limit if overdraw_limit is None else overdraw_limit,
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """What GET TRANSACTION PROOF gives: the last transaction of the card."""

    kind: int
    counter: int
    mac: bytes
    tac: bytes

    NAME = b"proof"
    SIZE = 11

    def pack(self) -> bytes:
        """Bytes in memory."""
        return bytes((self.kind,)) + self.counter.to_bytes(2, "big") + self.mac + self.tac

    @classmethod
    def read(cls, store: Store) -> Proof | None:
        """The last transaction, or None on a card that made none."""
        raw = store.read(cls.NAME)
        return cls(raw[0], int.from_bytes(raw[1:3], "big"), raw[3:7], raw[7:11]) if raw[0] else None


class FileKind(IntEnum):
    """Elementary file structures."""

    TRANSPARENT = 0
    LINEAR = 1
    CYCLIC = 2


class WriteRule(IntEnum):
    """Who may update a file from outside."""

    FREE = 0
    MAC = 1
    NEVER = 2


@dataclass(frozen=True, slots=True)
class File:
    """Header of an elementary file; its bytes follow in the same object."""

    number: int
    kind: FileKind
    rule: WriteRule
    record_size: int = 0
    records: int = 0
    head: int = 0
    used: int = 0

    HEADER = 6

    @staticmethod
    def name(number: int) -> bytes:
        """Name of the object that holds file `number`."""
        return b"f" + number.to_bytes(2, "big") + b"."

    @classmethod
    def find(cls, store: Store, number: int) -> File | None:
        """The file's header, or None."""
        name = cls.name(number)
        if name not in store:
            return None
        raw = store.read(name, 0, cls.HEADER)
        return cls(number, FileKind(raw[0]), WriteRule(raw[1]), *raw[2:6])

    def pack(self) -> bytes:
        """Header bytes."""
        return bytes((self.kind, self.rule, self.record_size, self.records, self.head, self.used))

    def create(self, transaction: Transaction, content: bytes) -> None:
        """Add the file with its bytes."""
        transaction.create(self.name(self.number), self.pack() + content)

    def bytes_at(self, store: Store, offset: int = 0, length: int | None = None) -> bytes:
        """Content bytes."""
        return store.read(self.name(self.number), self.HEADER + offset, length)

    def length(self, store: Store) -> int:
        """Bytes of content."""
        return store.size(self.name(self.number)) - self.HEADER

    def record(self, store: Store, number: int) -> bytes | None:
        """Record `number` from 1; the newest first in a cyclic file. None past the end."""
        if not 1 <= number <= self.used:
            return None
        slot = (self.head - number) % self.records if self.kind is FileKind.CYCLIC else number - 1
        return self.bytes_at(store, slot * self.record_size, self.record_size)

    def number_of(self, store: Store, identifier: int) -> int | None:
        """Number of the record whose first byte is the identifier."""
        return next((n for n in range(1, self.used + 1) if (self.record(store, n) or b"\0")[0] == identifier), None)

    def write(self, transaction: Transaction, data: bytes, offset: int = 0) -> None:
        """Overwrite content bytes."""
        transaction.write(self.name(self.number), data, self.HEADER + offset)

    def append(self, transaction: Transaction, record: bytes) -> None:
        """Add a record to a cyclic file, over the oldest when it is full."""
        assert self.kind is FileKind.CYCLIC, "only cyclic files grow"
        assert len(record) == self.record_size, "a whole record"
        self.write(transaction, record, self.head * self.record_size)
        header = replace(self, head=(self.head + 1) % self.records, used=min(self.used + 1, self.records))
        transaction.write(self.name(self.number), header.pack())


@dataclass(frozen=True, slots=True)
class PinState:
    """The PIN of the application: BCD bytes as VERIFY sends them."""

    identifier: int
    tries: int
    tries_left: int
    value: bytes

    NAME = b"pin"
    SIZE = 16

    def pack(self) -> bytes:
        """Bytes in memory, fixed size."""
        return bytes((self.identifier, self.tries, self.tries_left, len(self.value))) + self.value.ljust(12, b"\xff")

    @classmethod
    def read(cls, store: Store) -> PinState:
        """The committed PIN."""
        raw = store.read(cls.NAME)
        return cls(raw[0], raw[1], raw[2], raw[4 : 4 + raw[3]])
