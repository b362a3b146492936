"""The keyed hash chain of a journal partition (A2).

mac = HMAC-SHA256(chain key, previous mac || msgpack array of every other field, in the order of `Entry`).
MessagePack writes each value with its type and length first and msgspec writes each value in one way only, so the
encoding is injective: two different entries never give the same bytes.
"""

from __future__ import annotations

import hmac
import struct
from functools import lru_cache
from typing import Any

import msgspec

from cardapi.store.port import Entry, Head
from cardcore.mackey import MacKey

_encode = msgspec.msgpack.Encoder().encode
_PAIR = struct.Struct(">QQ")


@lru_cache(maxsize=256)
def _keyed(key: bytes) -> MacKey:
    return MacKey(key)


def genesis_mac(key: bytes, partition: int, genesis: bytes) -> bytes:
    """What stands in for the previous mac of position 1."""
    return _keyed(key).digest(_encode(("cardcore-journal-1", partition, genesis)))


def entry_mac(key: bytes, previous: bytes, fields: tuple[Any, ...]) -> bytes:
    """The mac of an entry; `fields` are all fields of `Entry` but the last."""
    return _keyed(key).digest(previous + _encode(fields))


def seal(key: bytes, previous: bytes, fields: tuple[Any, ...]) -> Entry:
    """The entry of these fields, chained to `previous`."""
    return Entry(*fields, _keyed(key).digest(previous + _encode(fields)))  # type: ignore[call-arg]  # a tuple of Any


def holds(key: bytes, previous: bytes, entry: Entry) -> bool:
    """Whether an entry as read carries the mac of its own fields after `previous`."""
    fields = msgspec.structs.astuple(entry)
    return hmac.compare_digest(entry_mac(key, previous, fields[:-1]), entry.mac)


def pack_further(pairs: list[tuple[int, int]]) -> bytes:
    """`Entry.further` of (account id, prior) pairs."""
    return b"".join(_PAIR.pack(*pair) for pair in pairs)


def unpack_further(data: bytes) -> list[tuple[int, int]]:
    """Raises ValueError when the bytes are not whole pairs."""
    if len(data) % _PAIR.size:
        raise ValueError("further accounts are pairs of 16 bytes")
    return list(_PAIR.iter_unpack(data))


def start_head(key: bytes, partition: int, genesis: bytes) -> Head:
    """The head of an empty partition."""
    return Head(partition, 0, genesis_mac(key, partition, genesis), 0, 0)
