"""Many rows as few parameters: PostgreSQL's binary form of one-dimensional arrays, written without a call for each value.

psycopg writes a list value by value through Python; a batch of 1,000 entries has 22,000 values. Here a column is one
`struct` call or one join. Format: number of dimensions, flags, element type, length, lower bound, then each value with its
length in front (PostgreSQL source, `array_recv`). Entries are one array of rows instead: for the server 22 arrays are 22 lists to
take apart side by side, which is half of an insert's work (`record_recv`: number of fields, then type, length, value of each);
`postgres_composites` lays it out.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from psycopg import Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

from cardapi.store.port import Entry
from cardapi.store.postgres_composites import composites

_HEAD = struct.Struct(">iiIii")
_LENGTH = struct.Struct(">i").pack
_INT8, _TEXT, _BYTEA = 20, 25, 17
_EMPTY = struct.Struct(">iiI")


class Int8s(bytes):
    """A bigint[] parameter."""


class Texts(bytes):
    """A text[] parameter."""


class Byteas(bytes):
    """A bytea[] parameter."""


class Text(bytes):
    """A text parameter."""


class Entries(bytes):
    """An entry_row[] parameter."""


OIDS: dict[type[bytes], int] = {Int8s: 1016, Texts: 1009, Byteas: 1001, Text: 25, Entries: 0}
"""The type that the server knows each kind of parameter as; 0 leaves it to the statement."""


def int8s(values: Sequence[int]) -> Int8s:
    """Raises struct.error for a value beyond 64 bits."""
    count = len(values)
    if not count:
        return Int8s(_EMPTY.pack(0, 0, _INT8))
    mixed = [8] * (2 * count)
    mixed[1::2] = values
    return Int8s(_HEAD.pack(1, 0, _INT8, count, 1) + struct.pack(">" + "iq" * count, *mixed))


def byteas(values: Sequence[bytes]) -> Byteas:
    """Raises TypeError for anything but bytes."""
    return Byteas(_joined(_BYTEA, values))


def text(value: str) -> Text:
    """Raises UnicodeEncodeError for what is no text."""
    return Text(value.encode())


def texts(values: Sequence[str]) -> Texts:
    """Raises UnicodeEncodeError for what is no text."""
    return Texts(_joined(_TEXT, [value.encode() for value in values]))


def _joined(kind: int, values: Sequence[bytes]) -> bytes:
    count = len(values)
    if not count:
        return _EMPTY.pack(0, 0, kind)
    parts: list[bytes] = [b""] * (2 * count + 1)
    parts[0] = _HEAD.pack(1, 0, kind, count, 1)
    parts[1::2] = [_LENGTH(len(value)) for value in values]
    parts[2::2] = values
    return b"".join(parts)


# Types made in a database have other numbers in each; the server (14 and later) takes any beyond its own for any other.
_MADE = 1 << 16
_INT4 = 23
_NUMBERS = {"position", "at_us", "account_id", "ref", "prior", "liability_fen"}
_BYTES = {"fingerprint", "further", "body", "mac"}
# The type `entry_row` has the fields of `Entry` in their order.
_ENTRY = tuple(
    _INT4 if name == "partition" else _INT8 if name in _NUMBERS else _BYTEA if name in _BYTES else _TEXT for name in Entry.__struct_fields__
)


def entries(rows: Sequence[Entry]) -> Entries:
    """Raises OverflowError, UnicodeEncodeError, TypeError for what no column takes."""
    return Entries(composites(_MADE, _ENTRY, list(rows)))


class _AsIs(Dumper):
    """The value is its own wire form."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return bytes(obj)


def register(connection: Connection) -> None:
    """Let this connection take the kinds of column as parameters."""
    for kind, oid in OIDS.items():
        connection.adapters.register_dumper(kind, type(f"_{kind.__name__}Dumper", (_AsIs,), {"oid": oid}))
