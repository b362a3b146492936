"""The batch file of a station: records appended one by one and made durable, by a process that may be killed at any octet.

A file is opened, appended to, and closed with a seal; then nothing more may follow. What a kill leaves is a torn last block: whoever
opens the file again to write drops it, for a record counts only once `append` has returned; whoever reads it is told.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from cardcore.clearing.layout import BLOCK, PURSE_BLOCK, SEALED, Header, InvalidBatch, Record, Seal
from cardcore.clearing.parse import RECORDS_MAX, damaged, strange

_READ_AT_ONCE = 4_096 * BLOCK


@dataclass(frozen=True, slots=True)
class BatchContent:
    """What stands in a batch file. `torn`: octets at its end that are no whole record. `seal`: None while it is open."""

    header: Header
    count: int
    total_fen: int
    digest: bytes
    torn: int
    seal: Seal | None


class BatchWriter:
    """Appends to one batch file. A context manager; leaving it keeps the batch open for the next time."""

    def __init__(self, path: Path, header: Header | None = None) -> None:
        """Make a new file (`header` given and no file there), or go on with one that is open.

        Raises InvalidBatch when the file is sealed, damaged, of another header, or absent without a header.
        """
        self.path = path
        if header is not None and (not path.exists() or path.stat().st_size < BLOCK):
            _create(path, header)  # a header that was never whole never held a record
        content = scan(path)
        if content.seal is not None:
            raise InvalidBatch(f"{path} is sealed", reason="order")
        if header is not None and (content.header.terminal, content.header.batch) != (header.terminal, header.batch):
            raise InvalidBatch(f"{path} is another batch", reason="header")
        self.header = content.header
        self.count = content.count
        self.total_fen = content.total_fen
        self.torn = content.torn
        self._handle = os.open(path, os.O_RDWR)
        if content.torn:
            os.ftruncate(self._handle, BLOCK * (1 + content.count))
            os.fsync(self._handle)

    def append(self, record: Record) -> None:
        """Write one record; it is on disk when this returns."""
        self._write(record.encode())
        self.count += 1
        self.total_fen += record.amount

    def seal(self) -> Seal:
        """Close the batch for good: count, total and digest. Returns the seal."""
        seal = Seal(self.count, self.total_fen, scan(self.path).digest)
        self._write(seal.encode(), at=self.count)
        return seal

    def _write(self, block: bytes, at: int | None = None) -> None:
        # At its own place, so that an append repeated after an error overwrites what the first try left.
        place = BLOCK * (1 + (self.count if at is None else at))
        if os.pwrite(self._handle, block, place) != BLOCK:
            raise OSError(f"{self.path}: the record was not written whole")
        os.fdatasync(self._handle)

    def close(self) -> None:
        """Let go of the file; the batch stays as it is. Safe to call twice."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> BatchWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _create(path: Path, header: Header) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, header.encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def scan(path: Path) -> BatchContent:
    """Read a batch file through: how far it is whole, and what it sums to. Raises InvalidBatch when it is damaged before its end."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    count = total_fen = 0
    seal: Seal | None = None
    with path.open("rb") as file:
        first = file.read(BLOCK)
        header = Header.decode(first)
        digest.update(first)
        while blocks := file.read(_READ_AT_ONCE):
            whole = len(blocks) // BLOCK
            sealed = whole > 0 and blocks[(whole - 1) * BLOCK] == SEALED
            bad = damaged(first + blocks[: whole * BLOCK], whole)
            good = whole if bad < 0 else bad
            if bad >= 0 and BLOCK * (2 + count + bad) < size:
                raise InvalidBatch(f"{path}: record {count + bad} is damaged", reason="block", offset=BLOCK * (1 + count + bad))
            if sealed and good == whole:
                good -= 1
                seal = Seal.decode(blocks[good * BLOCK : whole * BLOCK])
            digest.update(blocks[: good * BLOCK])
            records = np.frombuffer(blocks, PURSE_BLOCK, good)
            if strange(records) >= 0:
                offset = BLOCK * (1 + count + strange(records))
                raise InvalidBatch(f"{path}: a block that is no record at octet {offset}", reason="kind", offset=offset)
            total_fen += int(records["signed"]["amount"].sum(dtype=np.int64))
            count += good
            if seal is not None or good < whole:
                break
    torn = size - BLOCK * (1 + count + (seal is not None))
    content = BatchContent(header, count, total_fen, digest.digest(), torn, seal)
    if seal is not None and (torn or seal != Seal(count, total_fen, content.digest)):
        raise InvalidBatch(f"{path}: the seal does not fit the records", reason="totals", offset=BLOCK * (1 + count))
    return content


def fragments(path: Path, content: BatchContent, *, records: int = RECORDS_MAX, after: int = 0) -> Iterator[bytes]:
    """The batch in pieces for uploads, each with the header and at most `records` records; the last one has the seal, if there is one.

    after: records to leave out at the start, for going on where an upload ended.
    """
    with path.open("rb") as file:
        head = file.read(BLOCK)
        file.seek(BLOCK * (1 + after))
        left = content.count - after
        while True:
            take = min(left, records)
            left -= take
            piece = file.read(BLOCK * take)
            if left == 0:
                yield head + piece + (content.seal.encode() if content.seal is not None else b"")
                return
            yield head + piece
