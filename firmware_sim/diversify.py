"""Key diversification after NXP AN10922: CMACs over a constant, the diversification input, and padding to two blocks."""

from __future__ import annotations

from firmware_sim import ciphers

# Kind: cipher, size of the master key, constants of the CMACs.
KINDS: dict[str, tuple[str, int, tuple[int, ...]]] = {
    "aes128": ("aes", 16, (0x01,)),
    "aes192": ("aes", 24, (0x11, 0x12)),
    "aes256": ("aes", 32, (0x41, 0x42)),
    "2tdea": ("des", 16, (0x21, 0x22)),
    "3tdea": ("des", 24, (0x31, 0x32, 0x33)),
}


def _two_block_cmac(cipher: str, key: bytes, message: bytes) -> bytes:
    """CMAC of a message forced to exactly two blocks: sub-key K1 when it fills them, else padding and K2."""
    size = ciphers.BLOCK[cipher]
    k1 = ciphers.double(ciphers.encrypt(cipher, key, bytes(size)))
    full = len(message) == 2 * size
    padded = message if full else (message + b"\x80").ljust(2 * size, b"\x00")
    last = ciphers.xor(padded[size:], k1 if full else ciphers.double(k1))
    return ciphers.cbc_encrypt(cipher, key, bytes(size), padded[:size] + last)[size:]


def diversify(kind: str, key: bytes, message: bytes) -> bytes:
    """The diversified key, before any key version is written into parity bits. Raises ValueError on wrong sizes.

    Args:
        kind: one of `KINDS`.
        message: diversification input: UID, application, system; 1 to 31 bytes for AES, 1 to 15 for TDEA.
    """
    cipher, size, constants = KINDS[kind]
    if len(key) != size or not 1 <= len(message) < 2 * ciphers.BLOCK[cipher]:
        raise ValueError(f"{kind} takes a key of {size} bytes and an input of 1 to {2 * ciphers.BLOCK[cipher] - 1} bytes")
    parts = [_two_block_cmac(cipher, key, bytes((constant,)) + message) for constant in constants]
    if kind == "aes192":
        return parts[0][:8] + ciphers.xor(parts[0][8:], parts[1][:8]) + parts[1][8:]
    return b"".join(parts)
