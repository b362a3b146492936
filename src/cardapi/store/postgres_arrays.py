"""Many rows as few parameters: PostgreSQL's binary form of one-dimensional arrays, written without a call for each value.

psycopg writes a list value by value through Python; a batch of 1,000 entries has 22,000 values. Here a column is one
`struct` call or one join. Format: number of dimensions, flags, element type, length, lower bound, then each value with its
length in front (PostgreSQL source, `array_recv`). Entries are one array of rows instead: for the server 22 arrays are 22 lists to
take apart side by side, which is half of an insert's work (`record_recv`: number of fields, then type, length, value of each).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from psycopg import Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

from cardapi.store.port import Entry

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
_ROW = struct.Struct(">iiiiiiqiiq").pack
_NUMBER = struct.Struct(">iiq").pack
_FIELD = struct.Struct(">ii").pack


def entries(rows: Sequence[Entry]) -> Entries:
    """Raises struct.error, UnicodeEncodeError, TypeError for what no column takes."""
    parts: list[bytes] = [_HEAD.pack(1, 0, _MADE, len(rows), 1)]
    for row in rows:
        packed = _entry(row)
        parts += (_LENGTH(len(packed)), packed)
    return Entries(b"".join(parts))


def _entry(row: Entry) -> bytes:
    """The fields in the order of the type `entry_row`, which is the order of `Entry`."""
    parts: list[bytes] = [_ROW(22, 23, 4, row.partition, _INT8, 8, row.position, _INT8, 8, row.at_us)]
    for word in (row.verb, row.outcome, row.code):
        _put(parts, _TEXT, word.encode())
    parts.append(_NUMBER(_INT8, 8, row.account_id))
    for word in (row.card, row.client, row.client_key):
        _put(parts, _TEXT, word.encode())
    _put(parts, _BYTEA, row.fingerprint)
    for word in (row.unit, row.terminal, row.operator, row.approver, row.reason):
        _put(parts, _TEXT, word.encode())
    parts += (_NUMBER(_INT8, 8, row.ref), _NUMBER(_INT8, 8, row.prior))
    _put(parts, _BYTEA, row.further)
    parts.append(_NUMBER(_INT8, 8, row.liability_fen))
    _put(parts, _BYTEA, row.body)
    _put(parts, _BYTEA, row.mac)
    return b"".join(parts)


def _put(parts: list[bytes], kind: int, value: bytes) -> None:
    parts += (_FIELD(kind, len(value)), value)


class _AsIs(Dumper):
    """The value is its own wire form."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return bytes(obj)


def register(connection: Connection) -> None:
    """Let this connection take the kinds of column as parameters."""
    for kind, oid in OIDS.items():
        connection.adapters.register_dumper(kind, type(f"_{kind.__name__}Dumper", (_AsIs,), {"oid": oid}))
