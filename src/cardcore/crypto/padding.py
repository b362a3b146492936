"""The two paddings of ISO/IEC 9797-1 and the zero padding DESFire calls by its own name."""

from __future__ import annotations

from cardcore.crypto.errors import InvalidCryptoInput


def pad_zeros(message: bytes, block: int) -> bytes:
    """Method 1 (ISO/IEC 9797-1, 6.3.2): zeros up to a whole block, none when it is whole; an empty message becomes one block."""
    return bytes(message) + bytes(-len(message) % block if message else block)


def pad_bit(message: bytes, block: int) -> bytes:
    """Method 2 (ISO/IEC 9797-1, 6.3.3): always 80, then zeros up to a whole block."""
    return bytes(message) + b"\x80" + bytes(-(len(message) + 1) % block)


def unpad_bit(padded: bytes) -> bytes:
    """Take method 2 off again. Raises InvalidCryptoInput when there is no 80 followed by zeros only.

    Call it only on data whose MAC has been verified: the answer depends on the plain text.
    """
    stripped = bytes(padded).rstrip(b"\x00")
    if not stripped.endswith(b"\x80"):
        raise InvalidCryptoInput("the padding is damaged")
    return stripped[:-1]
