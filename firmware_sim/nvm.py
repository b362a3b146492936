"""Non-volatile memory of a card, byte by byte, with a write-ahead journal; and the power that can fail at any of those bytes.

A transaction is written to the journal first (entries, their CRC-32, then one commit byte), then applied, then the commit byte is
cleared. After power returns, a journal with a standing commit byte and a right CRC is applied again and any other one is dropped:
the card is as before or as after, never between, wherever the power failed, also while recovering.

    0   4  magic "FSIM"        8   1  commit byte        9   4  journal length       13  4  CRC-32 of the journal
    17  .. journal entries: address 4, length 2, bytes   then the slot table of `Store` and its extents
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

MAGIC = b"FSIM\x00\x00\x00\x01"
COMMITTED = 0x5A
_COMMIT, _LENGTH, _CRC, _ENTRIES = 8, 9, 13, 17
_HEAD, _ENTRY = struct.Struct(">II"), struct.Struct(">IH")


class PowerCut(Exception):
    """The field is gone. `answer` is what had left the card until then."""

    def __init__(self, answer: bytes = b"") -> None:
        super().__init__("power cut")
        self.answer = answer


class MemoryFull(Exception):
    """No room for an object, or for the journal of a transaction."""


class Power:
    """The supply: counts what it paid for and fails where it was told to.

    Args:
        torn: what becomes of the byte under the pen when power fails, from (old, new); left as it was when None.
    """

    def __init__(self, torn: Callable[[int, int], int] | None = None) -> None:
        self.torn = torn
        self.memory_bytes = 0
        self.answer_bytes = 0
        self._memory_left: int | None = None
        self._answer_left: int | None = None

    def armed(self) -> bool:
        """True while a cut is waiting for its byte."""
        return self._memory_left is not None or self._answer_left is not None

    def cut_at_memory_byte(self, n: int) -> None:
        """Fail when byte `n` (from 0, from now on) would be written to memory."""
        self._memory_left = n

    def cut_at_answer_byte(self, n: int) -> None:
        """Fail when answer byte `n` (from 0, from now on, status word included) would be sent."""
        self._answer_left = n

    def disarm(self) -> None:
        """Forget a cut that did not happen."""
        self._memory_left = self._answer_left = None

    def pay_memory(self, wanted: int) -> int:
        """How many of `wanted` bytes are still written; fewer than wanted means that power fails there."""
        if self._memory_left is None:
            self.memory_bytes += wanted
            return wanted
        paid = min(wanted, self._memory_left)
        self.memory_bytes += paid
        self._memory_left -= paid
        if paid < wanted:
            self.disarm()
        return paid

    def pay_answer(self, wanted: int) -> int:
        """How many of `wanted` answer bytes still leave the card."""
        paid = wanted
        if self._answer_left is not None:
            paid = min(wanted, self._answer_left)
            self._answer_left -= paid
            if paid < wanted:
                self.disarm()
        self.answer_bytes += paid
        return paid


class Memory:
    """Bytes that stay. With a path they are a mapped file, so that killing the process tears the card as pulling it would.

    Args:
        size: bytes in all, journal and slot table included.
        journal: bytes kept for the journal of one transaction.
        path: file of the image, created when absent; locked, so that one card is in one place. Raises BlockingIOError when it is in use
            and ValueError when the file is not an image of this size.
    """

    def __init__(self, size: int = 65536, *, journal: int = 16384, power: Power | None = None, path: Path | None = None) -> None:
        self.power = power or Power()
        self.size, self.journal = size, journal
        self._file: int | None = None
        if path is None:
            self.cells: bytearray | mmap.mmap = bytearray(size)
        else:
            self.cells = self._map(path, size)
        if self.cells[:8] == bytes(8):
            self.cells[:8] = MAGIC
        elif self.cells[:8] != MAGIC:
            self.close()
            raise ValueError(f"{path} is not a card image")

    def _map(self, path: Path, size: int) -> mmap.mmap:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.fstat(self._file).st_size
            if held == 0:
                os.ftruncate(self._file, size)
            elif held != size:
                raise ValueError(f"{path} has {held} bytes, a card image has {size}")
            return mmap.mmap(self._file, size)
        except BaseException:
            os.close(self._file)
            raise

    def close(self) -> None:
        """Release the file, if there is one."""
        if isinstance(self.cells, mmap.mmap):
            self.cells.close()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def read(self, address: int, length: int) -> bytes:
        """Bytes at an address."""
        return bytes(self.cells[address : address + length])

    def write(self, address: int, data: bytes) -> None:
        """Write byte by byte, as long as power lasts. Raises `PowerCut`."""
        paid = self.power.pay_memory(len(data))
        self.cells[address : address + paid] = data[:paid]
        if paid < len(data):
            if self.power.torn is not None:
                self.cells[address + paid] = self.power.torn(self.cells[address + paid], data[paid]) & 0xFF
            raise PowerCut

    def commit(self, writes: list[tuple[int, bytes]]) -> None:
        """Make all writes or none of them permanent. Raises `MemoryFull` before anything is written, and `PowerCut`."""
        entries = b"".join([_ENTRY.pack(address, len(data)) + data for address, data in writes])
        if len(entries) > self.journal:
            raise MemoryFull("transaction larger than the journal")
        self.write(_LENGTH, _HEAD.pack(len(entries), zlib.crc32(entries)) + entries)
        self.write(_COMMIT, bytes((COMMITTED,)))
        self._apply(entries)

    def recover(self) -> bool:
        """After power returns: finish the committed transaction, if one was. True if there was one. Raises `PowerCut`."""
        length = int.from_bytes(self.read(_LENGTH, 4), "big")
        entries = self.read(_ENTRIES, min(length, self.journal))
        whole = self.cells[_COMMIT] == COMMITTED and zlib.crc32(entries).to_bytes(4, "big") == self.read(_CRC, 4)
        if whole:
            self._apply(entries)
        elif self.cells[_COMMIT]:
            self.write(_COMMIT, b"\x00")
        return whole

    def _apply(self, entries: bytes) -> None:
        at = 0
        while at < len(entries):
            address, length = _ENTRY.unpack_from(entries, at)
            at += _ENTRY.size
            self.write(address, entries[at : at + length])
            at += length
        self.write(_COMMIT, b"\x00")


class Store:
    """Named objects of fixed size in a `Memory`, changed only by transactions. Names have 1 to 8 bytes, none of them a trailing zero.

    The index is read from memory at each `load`; nothing else is cached, so what a card reads is what a torn card would find.
    """

    SLOT = 16  # name 8, address 4, size 4

    def __init__(self, memory: Memory, slots: int = 256) -> None:
        self.memory = memory
        self.slots = slots
        self._table = _ENTRIES + memory.journal
        self._base = self._table + slots * self.SLOT
        self._index: dict[bytes, tuple[int, int, int]] = {}  # name: slot, address, size

    def load(self) -> None:
        """Recover the memory and read the index. Raises `PowerCut`."""
        self.memory.recover()
        self._index = {}
        table = self.memory.read(self._table, self.slots * self.SLOT)
        for slot in range(self.slots):
            row = table[slot * self.SLOT : (slot + 1) * self.SLOT]
            if name := row[:8].rstrip(b"\x00"):
                self._index[name] = slot, int.from_bytes(row[8:12], "big"), int.from_bytes(row[12:], "big")

    def __contains__(self, name: bytes) -> bool:
        return name in self._index

    def names(self, prefix: bytes = b"") -> list[bytes]:
        """Names that start so, sorted."""
        return sorted(name for name in self._index if name.startswith(prefix))

    def size(self, name: bytes) -> int:
        """Size of an object in bytes. Raises KeyError."""
        return self._index[name][2]

    def read(self, name: bytes, offset: int = 0, length: int | None = None) -> bytes:
        """Committed bytes of an object. Raises KeyError."""
        _, address, size = self._index[name]
        stop = size if length is None else min(size, offset + length)
        return self.memory.read(address + offset, max(0, stop - offset))

    def begin(self) -> Transaction:
        """A transaction; nothing changes before its `commit`."""
        return Transaction(self)

    def place(self, size: int, taken: list[tuple[int, int]]) -> int:
        """First gap of that size between the extents. Raises `MemoryFull`."""
        at = self._base
        for address, length in sorted(taken):
            if address - at >= size:
                return at
            at = max(at, address + length)
        if self.memory.size - at < size:
            raise MemoryFull("no room for the object")
        return at


class Transaction:
    """Writes, creations and deletions that happen together or not at all."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._index = store._index  # a copy from the first creation or deletion on
        self._writes: list[tuple[int, bytes]] = []

    def write(self, name: bytes, data: bytes, offset: int = 0) -> Transaction:
        """Overwrite bytes of an object."""
        _, address, size = self._index[name]
        assert 0 <= offset <= size - len(data), "a write stays inside its object"
        self._writes.append((address + offset, data))
        return self

    def create(self, name: bytes, content: bytes) -> Transaction:
        """Add an object with its first content. Raises `MemoryFull`."""
        assert 1 <= len(name) <= 8, "a storable name"
        assert name[-1] != 0, "zeros pad names"
        assert name not in self._index, "a new name"
        store = self._store
        self._part()
        used = {slot for slot, _, _ in self._index.values()}
        slot = next((s for s in range(store.slots) if s not in used), None)
        if slot is None:
            raise MemoryFull("no free slot")
        # Extents of objects deleted in this very transaction stay taken until it is committed: they may yet be needed.
        taken = [(address, size) for _, address, size in (store._index | self._index).values()]
        address = store.place(len(content), taken)
        self._index[name] = slot, address, len(content)
        row = name.ljust(8, b"\x00") + address.to_bytes(4, "big") + len(content).to_bytes(4, "big")
        for start in range(0, len(content), 4096):
            self._writes.append((address + start, content[start : start + 4096]))
        self._writes.append((store._table + slot * store.SLOT, row))
        return self

    def delete(self, name: bytes) -> Transaction:
        """Remove an object."""
        self._part()
        slot, _, _ = self._index.pop(name)
        self._writes.append((self._store._table + slot * self._store.SLOT, bytes(self._store.SLOT)))
        return self

    def _part(self) -> None:
        if self._index is self._store._index:
            self._index = dict(self._index)

    def commit(self) -> None:
        """Make it so. Raises `MemoryFull` (nothing changed) and `PowerCut` (before or after, known when power returns)."""
        if self._writes:
            self._store.memory.commit(self._writes)
            self._store._index = self._index
