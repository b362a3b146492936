"""AES batches through `cryptography`, one item at a time, for CPUs without AES instructions. Same answers, some 100 times slower."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardcore.crypto.cipher import decrypt_ecb, encrypt_ecb
from cardcore.crypto.errors import InvalidCryptoInput
from cardcore.crypto.key import Key, wipe
from cardcore.crypto.mac import cmac_into

Octets = NDArray[np.uint8]


def _keys(keys: Key | Octets, items: int) -> list[Key]:
    if isinstance(keys, Key):
        return [keys] * items
    if len(keys) != items:
        raise InvalidCryptoInput(f"keys has {len(keys)} rows, not {items}", what="keys", rows=len(keys))
    return [Key("aes", memoryview(row)) for row in np.ascontiguousarray(keys)]


def cmacs(keys: Key | Octets, messages: Octets, *, prefix: int = -1, least: int = 0) -> Octets:
    """The CMAC of each row, as `kernel.macs` gives it."""
    head = bytes([prefix]) if prefix >= 0 else b""
    if least and messages.shape[1] + len(head) > least:
        raise InvalidCryptoInput("longer than the construction allows", octets=messages.shape[1], most=least)
    out = np.empty((len(messages), 16), np.uint8)
    for i, key in enumerate(_keys(keys, len(messages))):
        tag = cmac_into(key, head + messages[i].tobytes(), least=least)
        out[i] = tag
        wipe(tag)
    return out


def crypt(keys: Key | Octets, blocks: Octets, *, decrypt: bool) -> Octets:
    """One block an item, as `kernel.crypt` gives it."""
    if blocks.shape[1] != 16:
        raise InvalidCryptoInput("one block of 16 octets an item", octets=blocks.shape[1])
    operation = decrypt_ecb if decrypt else encrypt_ecb
    if isinstance(keys, Key):
        return np.frombuffer(operation(keys, blocks.tobytes()), np.uint8).reshape(blocks.shape).copy()
    out = np.empty_like(blocks)
    for i, key in enumerate(_keys(keys, len(blocks))):
        out[i] = operation(key, blocks[i].tobytes())
    return out
