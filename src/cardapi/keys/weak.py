"""Octets that nobody should take for a key (control Y): zero, repeated, weak for DES, or known to everybody."""

from __future__ import annotations

from typing import Final

from cardapi.keys.known import known_from

# NIST SP 800-67 Rev. 2, 3.3.2: weak and semi-weak keys of DES, written without their parity bits.
_WEAK_DES: Final = tuple(
    bytes.fromhex(text)
    for text in (
        "0000000000000000", "fefefefefefefefe", "e0e0e0e0f0f0f0f0", "1e1e1e1e0e0e0e0e",
        "00fe00fe00fe00fe", "fe00fe00fe00fe00", "1ee01ee00ef00ef0", "e01ee01ef00ef00e", "00e000e000f000f0", "e000e000f000f000",
        "1efe1efe0efe0efe", "fe1efe1efe0efe0e", "001e001e000e000e", "1e001e000e000e00", "e0fee0fef0fef0fe", "fee0fee0fef0fef0",
    )
)  # fmt: skip


def fault(algorithm: str, octets: bytes | bytearray) -> str:
    """Why these octets are refused in every mode; "" when they may be a key."""
    plain = bytes(octet & 0xFE for octet in octets) if algorithm in ("des", "tdes") else bytes(octets)
    if not any(octets):
        return "all octets are zero"
    if len(set(plain)) == 1:
        return "all octets are the same"
    halves = {plain[at : at + 8] for at in range(0, len(plain), 8)}
    if len(halves) * 8 < len(plain):
        return "its halves are the same"
    if algorithm in ("des", "tdes") and any(half in _WEAK_DES for half in halves):
        return "a half is a weak key of DES"
    return ""


def known(octets: bytes | bytearray) -> str:
    """Why these octets are refused in production; "" when they are not known."""
    source = known_from(octets)
    return f"everybody knows it from {source}" if source else ""
