"""Applications, keys and files of a DESFire card as they lie in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from firmware_sim.nvm import Store, Transaction

PICC = bytes(3)
UID = b"uid"
UID_SIZE = 7
KEYS_MAX, FILES_MAX, APPLICATIONS_MAX = 14, 32, 28
FREE, NEVER = 0xE, 0xF
KEY_SLOT = 25  # key 24, version 1


class KeyType(IntEnum):
    """Upper bits of the key count of an application."""

    TDES2 = 0x00
    TDES3 = 0x40
    AES = 0x80

    @property
    def size(self) -> int:
        """Bytes of a key; a single DES key is kept twice."""
        return 24 if self is KeyType.TDES3 else 16

    @property
    def cipher(self) -> str:
        """Name in `ciphers`."""
        return "aes" if self is KeyType.AES else "des"


class Mode(IntEnum):
    """How data of a file travels."""

    PLAIN = 0
    MAC = 1
    FULL = 3


class FileType(IntEnum):
    """File types by their number in GetFileSettings."""

    STANDARD = 0
    BACKUP = 1
    VALUE = 2
    LINEAR = 3
    CYCLIC = 4
    TRANSACTION_MAC = 5


@dataclass(frozen=True, slots=True)
class Application:
    """An application (or the card itself, PICC) with its keys."""

    aid: bytes
    settings: int
    key_type: KeyType
    keys: tuple[tuple[bytes, int], ...]  # key, version

    @staticmethod
    def name(aid: bytes) -> bytes:
        """Name of the object that holds the application."""
        return b"A" + aid + b"."

    @classmethod
    def find(cls, store: Store, aid: bytes) -> Application | None:
        """The application, or None."""
        if cls.name(aid) not in store:
            return None
        raw = store.read(cls.name(aid))
        kind = KeyType(raw[1] & 0xC0)
        slots = [raw[2 + i * KEY_SLOT : 2 + (i + 1) * KEY_SLOT] for i in range(raw[1] & 0x0F)]
        return cls(aid, raw[0], kind, tuple((slot[: kind.size], slot[24]) for slot in slots))

    def pack(self) -> bytes:
        """Bytes in memory."""
        slots = (key.ljust(24, b"\x00") + bytes((version,)) for key, version in self.keys)
        return bytes((self.settings, len(self.keys) | self.key_type)) + b"".join(slots)

    def with_key(self, number: int, key: bytes, version: int) -> Application:
        """The application after a change of key."""
        return replace(self, keys=(*self.keys[:number], (key, version), *self.keys[number + 1 :]))

    def file_numbers(self, store: Store) -> list[int]:
        """Numbers of its files."""
        return [name[4] for name in store.names(b"F" + self.aid)]

    @staticmethod
    def all_aids(store: Store) -> list[bytes]:
        """Identifiers of all applications but the card itself."""
        return [name[1:4] for name in store.names(b"A") if len(name) == 5 and name[1:4] != PICC]


@dataclass(frozen=True, slots=True)
class File:
    """A file: 4 bytes of settings, then what its type needs (see the classes below), in one object."""

    aid: bytes
    number: int
    type: FileType
    mode: Mode
    rights: int

    HEADER = 4

    @staticmethod
    def name_of(aid: bytes, number: int) -> bytes:
        """Name of the object that holds the file."""
        return b"F" + aid + bytes((number,)) + b"."

    @property
    def name(self) -> bytes:
        """Name of the object that holds this file."""
        return self.name_of(self.aid, self.number)

    @classmethod
    def find(cls, store: Store, aid: bytes, number: int) -> File | None:
        """The file's settings, or None."""
        name = cls.name_of(aid, number)
        if name not in store:
            return None
        raw = store.read(name, 0, cls.HEADER)
        return cls(aid, number, FileType(raw[0]), Mode(raw[1]), int.from_bytes(raw[2:4], "little"))

    def header(self) -> bytes:
        """Settings bytes."""
        return bytes((self.type, self.mode)) + self.rights.to_bytes(2, "little")

    def body(self, store: Store, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes after the settings."""
        return store.read(self.name, self.HEADER + offset, length)

    def write(self, transaction: Transaction, data: bytes, offset: int = 0) -> None:
        """Overwrite bytes after the settings."""
        transaction.write(self.name, data, self.HEADER + offset)

    def nibbles(self, *which: str) -> list[int]:
        """Key numbers of rights: "read", "write", "both", "change"."""
        shift = {"read": 12, "write": 8, "both": 4, "change": 0}
        return [self.rights >> shift[name] & 0xF for name in which]


def _signed(raw: bytes) -> int:
    return int.from_bytes(raw, "little", signed=True)


def signed4(value: int) -> bytes:
    """A value as it travels and lies in memory."""
    return value.to_bytes(4, "little", signed=True)


@dataclass(frozen=True, slots=True)
class Value:
    """Body of a value file. `limit` is what LimitedCredit may still give back."""

    lower: int
    upper: int
    value: int
    limited: int
    limit: int = 0

    @classmethod
    def read(cls, store: Store, file: File) -> Value:
        """The committed state."""
        raw = file.body(store)
        return cls(_signed(raw[0:4]), _signed(raw[4:8]), _signed(raw[8:12]), raw[12], _signed(raw[13:17]))

    def pack(self) -> bytes:
        """Bytes in memory."""
        return signed4(self.lower) + signed4(self.upper) + signed4(self.value) + bytes((self.limited,)) + signed4(self.limit)


@dataclass(frozen=True, slots=True)
class Records:
    """Head of the body of a record file; the records follow. A cyclic file keeps one record less than it has room for."""

    size: int
    room: int
    head: int = 0
    used: int = 0

    HEAD = 12

    @classmethod
    def read(cls, store: Store, file: File) -> Records:
        """The committed state."""
        raw = file.body(store, 0, cls.HEAD)
        return cls(*(int.from_bytes(raw[i : i + 3], "little") for i in (0, 3, 6, 9)))

    def pack(self) -> bytes:
        """Bytes in memory."""
        return b"".join(n.to_bytes(3, "little") for n in (self.size, self.room, self.head, self.used))

    def appended(self, cyclic: bool) -> Records:
        """The state after one more record at `head`."""
        most = self.room - 1 if cyclic else self.room
        return replace(self, head=(self.head + 1) % self.room, used=min(self.used + 1, most))

    def record(self, store: Store, file: File, back: int) -> bytes:
        """Record `back` steps before the newest (0)."""
        slot = (self.head - 1 - back) % self.room
        return file.body(store, self.HEAD + slot * self.size, self.size)


@dataclass(frozen=True, slots=True)
class TransactionMac:
    """Body of a transaction MAC file: key and version, counter, last TMV, last committed reader id."""

    key: bytes
    version: int
    counter: int = 0
    tmv: bytes = bytes(8)
    reader: bytes = bytes(16)

    @classmethod
    def read(cls, store: Store, file: File) -> TransactionMac:
        """The committed state."""
        raw = file.body(store)
        return cls(raw[:16], raw[16], int.from_bytes(raw[17:21], "little"), raw[21:29], raw[29:45])

    def pack(self) -> bytes:
        """Bytes in memory."""
        return self.key + bytes((self.version,)) + self.counter.to_bytes(4, "little") + self.tmv + self.reader
