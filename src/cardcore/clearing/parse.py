"""Reading a batch, or a piece of one: whole blocks only, each with its CRC, in the order header, records, seal."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardcore.clearing.layout import (
    BLOCK,
    DESFIRE,
    DESFIRE_BLOCK,
    PURSE,
    PURSE_BLOCK,
    READER_PROVEN,
    SEALED,
    Header,
    InvalidBatch,
    Seal,
)

RECORDS_MAX = 4_096
"""Records in one upload: 295 kB, and one entry of the journal."""


class Fragment(NamedTuple):
    """A header with some records of its batch, and the seal where it is the last piece.

    records: an array of `PURSE_BLOCK`; those of kind DESFIRE are to be viewed as `DESFIRE_BLOCK`. first octets agree in both.
    """

    header: Header
    records: NDArray[np.void]
    seal: Seal | None


def parse(data: bytes, *, records_max: int = RECORDS_MAX) -> Fragment:
    """A batch or a fragment of one. Raises InvalidBatch for anything else than whole, undamaged blocks in their order."""
    if len(data) < BLOCK:
        raise InvalidBatch("a batch starts with a header of 72 octets", reason="magic" if data[:4] != b"CCB1"[: len(data)] else "length")
    header = Header.decode(data[:BLOCK])
    if len(data) % BLOCK:
        raise InvalidBatch("the last block is torn", reason="length", offset=len(data) - len(data) % BLOCK)
    count = len(data) // BLOCK - 1
    seal = None
    if count and data[-BLOCK] == SEALED:
        count -= 1
        seal = Seal.decode(data[-BLOCK:])
    if count > records_max:
        raise InvalidBatch(f"at most {records_max} records at once", reason="length", offset=(1 + records_max) * BLOCK)
    records = np.frombuffer(data, PURSE_BLOCK, count, BLOCK)
    bad = damaged(data, count)
    if bad >= 0:
        raise InvalidBatch(f"record {bad} is damaged", reason="block", offset=(1 + bad) * BLOCK)
    first = strange(records)
    if first >= 0:
        kind = int(records["kind"][first])
        reason, said = (
            ("order", "a seal stands before the end") if kind == SEALED else ("kind", f"record {first} is of unknown kind {kind}")
        )
        raise InvalidBatch(said, reason=reason, offset=(1 + first) * BLOCK)
    second = uncanonical(records)
    if second >= 0:
        raise InvalidBatch(f"record {second} has flags or reserved octets that nobody writes", reason="block", offset=(1 + second) * BLOCK)
    if seal is not None and seal.count < count:
        raise InvalidBatch("the seal counts fewer records than stand before it", reason="totals", offset=(1 + count) * BLOCK)
    return Fragment(header, records, seal)


def damaged(data: bytes, count: int) -> int:
    """The first of `count` records after the header whose CRC does not fit, -1 for none."""
    view = memoryview(data)
    crc = zlib.crc32
    claimed = np.frombuffer(data, PURSE_BLOCK, count, BLOCK)["crc"].tolist()
    at = BLOCK
    for place, expected in enumerate(claimed):
        if crc(view[at : at + BLOCK - 4]) != expected:
            return place
        at += BLOCK
    return -1


def strange(records: NDArray[np.void]) -> int:
    """The first record of a kind that is none, -1 for none."""
    found = np.flatnonzero((records["kind"] != PURSE) & (records["kind"] != DESFIRE))
    return int(found[0]) if len(found) else -1


def uncanonical(records: NDArray[np.void]) -> int:
    """The first record that says the same as another would with other octets in places that mean nothing, -1 for none."""
    chips = records.view(DESFIRE_BLOCK)
    plain = (chips["flags"] <= READER_PROVEN) & ~chips["reserved"].any(axis=1)
    good = np.where(records["kind"] == DESFIRE, plain, records["flags"] == 0)
    found = np.flatnonzero(~good)
    return int(found[0]) if len(found) else -1
