"""MIFARE Classic value blocks: NXP MF1S50yyX data sheet, 8.6.2.1. Such cards identify only (K8); the format is read for migration."""

from __future__ import annotations

from cardcore.card.errors import InvalidValueBlock

BLOCK_OCTETS = 16


def encode(value: int, address: int) -> bytes:
    """value (signed 32 bits) little endian, its complement, value again; address, complement, address, complement."""
    if not -(1 << 31) <= value < 1 << 31 or not 0 <= address <= 0xFF:
        raise InvalidValueBlock("a value has 32 bits with sign, an address 8 bits")
    plain = value.to_bytes(4, "little", signed=True)
    place = bytes((address, address ^ 0xFF))
    return plain + _inverted(plain) + plain + place + place


def decode(block: bytes) -> tuple[int, int]:
    """(value, address). Raises InvalidValueBlock unless every copy and complement agrees."""
    value = int.from_bytes(block[:4], "little", signed=True)
    if len(block) != BLOCK_OCTETS or encode(value, block[12]) != bytes(block):
        raise InvalidValueBlock("the copies of the value or address disagree")
    return value, block[12]


def _inverted(octets: bytes) -> bytes:
    return bytes(octet ^ 0xFF for octet in octets)
