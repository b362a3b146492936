"""Keys and MACs of the purse, once for 3DES and once for SM4: the same constructions over another block cipher.

Not from the system under test: written from the formulas, over pycryptodome and our own SM4.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from firmware_sim import ciphers

MAC_SIZE = 4


class Suite:
    """The constructions for one block cipher ("3des" or "sm4"). Keys have 16 bytes, factors 8."""

    def __init__(self, cipher: Literal["3des", "sm4"], tac_key: Literal["folded", "whole"] = "folded") -> None:
        self.sm4 = cipher == "sm4"
        self._block = "sm4" if self.sm4 else "des"
        self._fold_tac = tac_key == "folded"

    def diversify(self, key: bytes, factor: bytes) -> bytes:
        """DK = E(MK, F) || E(MK, NOT F); with SM4 both halves are one block."""
        return ciphers.encrypt(self._block, key, factor + ciphers.xor(factor, b"\xff" * len(factor)))

    def chain(self, key: bytes, factors: Iterable[bytes]) -> bytes:
        """Diversify level by level, outermost factor first."""
        for factor in factors:
            key = self.diversify(key, factor)
        return key

    def process_key(self, key: bytes, block: bytes) -> bytes:
        """One encrypted block: a single-length DES key, or an SM4 key from the block padded 80 00.. ."""
        return ciphers.encrypt(self._block, key, ciphers.pad80(block, 16) if self.sm4 else block)

    def mac(self, key: bytes, *fields: bytes) -> bytes:
        """Leftmost 4 bytes of the CBC-MAC under a process, folded or whole key, zero IV, padding 80 00.. ."""
        return ciphers.cbc_mac(self._block, key, b"".join(fields))[:MAC_SIZE]

    def fold(self, key: bytes) -> bytes:
        """Left half XOR right half: a DES key; an SM4 key takes that half twice."""
        half = ciphers.xor(key[:8], key[8:])
        return half * 2 if self.sm4 else half

    def tac(self, key: bytes, *fields: bytes) -> bytes:
        """TAC under the card's TAC key."""
        if self._fold_tac:
            return self.mac(self.fold(key), *fields)
        return self.mac(key, *fields)

    def line_mac(self, key: bytes, challenge: bytes, message: bytes) -> bytes:
        """Secure messaging MAC: IV is the challenge and zeros; 8-byte key CBC-MAC, 16-byte key retail MAC, SM4 CBC-MAC."""
        if self.sm4:
            return ciphers.cbc_mac("sm4", key, message, challenge.ljust(16, b"\x00"))[:MAC_SIZE]
        iv = challenge.ljust(8, b"\x00")
        if len(key) == 8:
            return ciphers.cbc_mac("des", key, message, iv)[:MAC_SIZE]
        return ciphers.retail_mac(key, message, iv)[:MAC_SIZE]

    @property
    def block_size(self) -> int:
        """Bytes of one cipher block."""
        return 16 if self.sm4 else 8

    def encrypt_block(self, key: bytes, block: bytes) -> bytes:
        """ECB, for EXTERNAL and INTERNAL AUTHENTICATE and for confidential data."""
        return ciphers.encrypt(self._block, key, block)

    def seal(self, key: bytes, data: bytes) -> bytes:
        """Confidential data of secure messaging: length, data, 80 00.. when that is no whole block; ECB."""
        plain = bytes((len(data),)) + data
        if len(plain) % self.block_size:
            plain = ciphers.pad80(plain, self.block_size)
        return ciphers.encrypt(self._block, key, plain)

    def unseal(self, key: bytes, data: bytes) -> bytes | None:
        """The data, or None when length or padding do not fit."""
        if not data or len(data) % self.block_size:
            return None
        plain = ciphers.decrypt(self._block, key, data)
        return plain[1 : 1 + plain[0]] if plain[0] < len(plain) else None
