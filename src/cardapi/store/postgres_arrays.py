"""Whole columns as one parameter: PostgreSQL's binary form of one-dimensional arrays, written without a call for each value.

psycopg writes a list value by value through Python; a batch of 1,000 entries has 22,000 values. Here a column is one
`struct` call or one join. Format: number of dimensions, flags, element type, length, lower bound, then each value with its
length in front (PostgreSQL source, `array_recv`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from psycopg import Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

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


class _AsIs(Dumper):
    """The value is its own wire form."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return bytes(obj)


class _Int8sDumper(_AsIs):
    oid = 1016


class _TextsDumper(_AsIs):
    oid = 1009


class _ByteasDumper(_AsIs):
    oid = 1001


def register(connection: Connection) -> None:
    """Let this connection take the three kinds of column as parameters."""
    connection.adapters.register_dumper(Int8s, _Int8sDumper)
    connection.adapters.register_dumper(Texts, _TextsDumper)
    connection.adapters.register_dumper(Byteas, _ByteasDumper)
