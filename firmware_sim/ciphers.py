"""Block ciphers from pycryptodome and the MACs and checksums that cards build on them, from their definitions.

`encrypt`/`decrypt` take a cipher name, so that a card says "aes" or "3des" in one place. DES-family keys may be 8, 16 or 24 bytes.
"""

from __future__ import annotations

import functools
import zlib
from typing import Any

try:
    from Crypto.Cipher import AES, DES, DES3
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError("the card simulator needs pycryptodome: pip install 'cardcore[simulator]'", name="Crypto") from missing

from firmware_sim.sm4 import SM4

BLOCK = {"des": 8, "aes": 16, "sm4": 16}
SHORT = 64
"""Bytes of CBC up to which the engine that is there already is quicker than a new one."""


@functools.lru_cache(maxsize=256)
def _kind(cipher: str, key: bytes) -> tuple[Any, bytes]:
    """The module of pycryptodome for a cipher name, and the key as it wants it. DES-family keys may be degenerate."""
    if cipher == "aes":
        return AES, key
    if len(key) == 8:
        return DES, key
    parts = [key[i : i + 8] for i in range(0, len(key), 8)] + [key[:8]]
    k1, k2, k3 = parts[0], parts[1], parts[2]
    # pycryptodome refuses keys that degenerate to single DES; a blank card has exactly those, so it is single DES then.
    # Parity bits are no key bits: they are ignored in the comparison as the cipher ignores them.
    plain = [bytes(b & 0xFE for b in k) for k in (k1, k2, k3)]
    if plain[0] == plain[1] or plain[1] == plain[2]:
        return DES, k3 if plain[0] == plain[1] else k1
    return DES3, k1 + k2 + k3


@functools.lru_cache(maxsize=256)
def _engine(cipher: str, key: bytes) -> Any:
    """An ECB engine, which keeps no state between calls; kept, because a card uses the same few keys again and again."""
    if cipher == "sm4":
        return SM4(key)
    kind, key = _kind(cipher, key)
    return kind.new(key, kind.MODE_ECB)  # the cards are what they are


def encrypt(cipher: str, key: bytes, data: bytes) -> bytes:
    """ECB over whole blocks."""
    return bytes(_engine(cipher, key).encrypt(data))


def decrypt(cipher: str, key: bytes, data: bytes) -> bytes:
    """ECB over whole blocks, backwards."""
    return bytes(_engine(cipher, key).decrypt(data))


def xor(a: bytes | bytearray, b: bytes | bytearray) -> bytes:
    """Exclusive or of two strings. Raises ValueError when their lengths differ."""
    if len(a) != len(b):
        raise ValueError("strings of one length")
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


def cbc_encrypt(cipher: str, key: bytes, iv: bytes, data: bytes) -> bytes:
    """CBC over whole blocks. A MAC's few blocks go through the kept ECB engine: to make a CBC object takes ten times as long as they do."""
    if cipher != "sm4" and len(data) > SHORT:
        kind, key = _kind(cipher, key)
        return bytes(kind.new(key, kind.MODE_CBC, iv).encrypt(data))
    encrypt_block, size, out, block = _engine(cipher, key).encrypt, len(iv), bytearray(), bytearray(iv)
    for start in range(0, len(data), size):
        encrypt_block(xor(block, data[start : start + size]), output=block)
        out += block
    return bytes(out)


def cbc_decrypt(cipher: str, key: bytes, iv: bytes, data: bytes) -> bytes:
    """CBC backwards over whole blocks."""
    if cipher != "sm4":
        kind, key = _kind(cipher, key)
        return bytes(kind.new(key, kind.MODE_CBC, iv).decrypt(data))
    size, out = len(iv), bytearray()
    for start in range(0, len(data), size):
        block = data[start : start + size]
        out += xor(iv, decrypt(cipher, key, block))
        iv = block
    return bytes(out)


def pad80(data: bytes, size: int) -> bytes:
    """ISO/IEC 9797-1 padding method 2: 80, then 00 to a multiple of `size`, always at least one byte."""
    return data + b"\x80" + bytes(-(len(data) + 1) % size)


def unpad80(data: bytes) -> bytes | None:
    """The data before the last 80 00..; None when there is no such padding."""
    bare = data.rstrip(b"\x00")
    return bare[:-1] if bare.endswith(b"\x80") else None


def cbc_mac(cipher: str, key: bytes, data: bytes, iv: bytes | None = None) -> bytes:
    """ISO/IEC 9797-1 MAC algorithm 1 with padding method 2: the whole last block."""
    size = BLOCK[cipher]
    return cbc_encrypt(cipher, key, iv or bytes(size), pad80(data, size))[-size:]


def retail_mac(key: bytes, data: bytes, iv: bytes = bytes(8)) -> bytes:
    """ISO/IEC 9797-1 MAC algorithm 3 over DES with padding method 2 and a 16-byte key."""
    last = cbc_mac("des", key[:8], data, iv)
    return encrypt("des", key[:8], decrypt("des", key[8:], last))


def double(block: bytes) -> bytes:
    """The doubling of CMAC sub-keys in GF(2^128) or GF(2^64)."""
    size = len(block)
    value = int.from_bytes(block, "big") << 1
    if value >> (8 * size):
        value = value & ((1 << 8 * size) - 1) ^ (0x87 if size == 16 else 0x1B)
    return value.to_bytes(size, "big")


def cmac(cipher: str, key: bytes, data: bytes, iv: bytes | None = None) -> bytes:
    """CMAC (NIST SP 800-38B); DESFire EV1 starts it from a running IV instead of zero."""
    size = BLOCK[cipher]
    sub = double(encrypt(cipher, key, bytes(size)))
    if not data or len(data) % size:
        data, sub = pad80(data, size), double(sub)
    return cbc_encrypt(cipher, key, iv or bytes(size), data[:-size] + xor(data[-size:], sub))[-size:]


def odd_bytes(tag: bytes) -> bytes:
    """Bytes 1, 3, .. 15 of a 16-byte tag: the truncation of EV2 secure messaging and of the transaction MAC."""
    return tag[1::2]


def crc32(data: bytes) -> bytes:
    """DESFire CRC32: preset FFFFFFFF, no final inversion, little endian."""
    return (zlib.crc32(data) ^ 0xFFFFFFFF).to_bytes(4, "little")


def crc16(data: bytes) -> bytes:
    """ISO/IEC 14443-3 type A CRC: preset 6363, little endian."""
    crc = 0x6363
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    return crc.to_bytes(2, "little")
