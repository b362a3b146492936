"""Goal: what no column takes is refused before it is sent, and what is sent has the form that the server's documentation gives.

Method: one small row by hand, byte by byte; values of each wrong kind and beyond each bound. That whole entries arrive as they
were is the contract suite's (`tests/store`).
"""

from __future__ import annotations

import struct

import pytest

from cardapi.store import postgres_arrays as arrays
from cardapi.store import postgres_rows as rows
from cardapi.store.port import AccountRow, Batch, StoreError
from cardapi.store.postgres_composites import composites
from tests.store.test_contract import make_entry


def test_a_row_byte_by_byte() -> None:
    """`array_recv` and `record_recv`: dimensions, flags, element type, length, lower bound; per row its size and number of fields."""
    row = AccountRow(-2, b"\x00\xff", 1 << 62)
    fields = struct.pack(">iiq", 20, 8, -2) + struct.pack(">ii", 17, 2) + b"\x00\xff" + struct.pack(">iiq", 20, 8, 1 << 62)
    body = struct.pack(">i", 3) + fields
    wanted = struct.pack(">iiiii", 1, 0, 70_000, 2, 1) + 2 * (struct.pack(">i", len(body)) + body)
    assert composites(70_000, (20, 17, 20), [row, row]) == wanted  # type: ignore[list-item]  # a smaller row than an entry


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("position", 1 << 63), ("liability_fen", -(1 << 63) - 1), ("partition", 1 << 31), ("at_us", 1.5), ("ref", True), ("prior", "1"),
        ("reason", "\ud800"), ("unit", b"u"), ("card", None), ("mac", "m" * 32), ("body", bytearray(b"body")),
    ],
)  # fmt: skip
def test_what_no_column_takes(field: str, value: object) -> None:
    entry = make_entry(1, **{field: value})
    with pytest.raises((TypeError, OverflowError, UnicodeEncodeError)):
        arrays.entries([entry])
    with pytest.raises(StoreError, match="cannot be written"):
        rows.columns_of(Batch([make_entry(1), entry], [], [], []))


def test_a_row_with_other_fields() -> None:
    with pytest.raises(ValueError, match="3 fields"):
        composites(70_000, (20, 17, 20), [make_entry(1)])
