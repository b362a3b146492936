"""The native DESFire handshake with a DES key (0A), as far as a card fresh from the factory needs it: to get an AES key.

The card always enciphers and the reader always deciphers, in both directions. Sources: libfreefare, proxmark3, which agree.
"""

from __future__ import annotations

from typing import Final

from cardcore.crypto.cipher import decrypt_cbc, decrypt_ecb
from cardcore.crypto.desfire_ev1 import Handshake, crc16, rotated
from cardcore.crypto.errors import InvalidCryptoInput, InvalidMac
from cardcore.crypto.key import Key, wipe
from cardcore.crypto.mac import require_equal
from cardcore.crypto.padding import pad_zeros

RANDOM_OCTETS: Final = 8


def send(key: Key, data: bytes | bytearray) -> bytes:
    """Data of whole blocks in the reader's send mode: each block XOR the one sent before it, deciphered."""
    out = bytearray()
    before = bytes(RANDOM_OCTETS)
    for start in range(0, len(data), RANDOM_OCTETS):
        mixed = bytes(a ^ b for a, b in zip(data[start : start + RANDOM_OCTETS], before, strict=True))
        before = bytes(decrypt_ecb(key, mixed))
        out += before
    return bytes(out)


def start(key: Key, random_terminal: bytes, challenge: bytes) -> Handshake:
    """Answer the card's first cryptogram. key: single DES. Raises InvalidCryptoInput unless both are 8 octets."""
    if len(random_terminal) != RANDOM_OCTETS or len(challenge) != RANDOM_OCTETS:
        raise InvalidCryptoInput("randoms and challenges of the native handshake have 8 octets")
    random_card = bytes(decrypt_ecb(key, challenge))
    return Handshake(key, random_terminal, random_card, send(key, random_terminal + rotated(random_card)))


def finish(handshake: Handshake, proof: bytes) -> Key:
    """Check the card's second cryptogram; the session key, RndA[0..3] RndB[0..3]. Raises InvalidMac."""
    if len(proof) != RANDOM_OCTETS:
        raise InvalidMac
    require_equal(rotated(handshake.random_terminal), decrypt_cbc(handshake.key, proof))
    return Key.take("des", bytearray(handshake.random_terminal[:4] + handshake.random_card[:4]))


def seal_new_key(session: Key, new: Key, version: int) -> bytes:
    """The cryptogram of ChangeKey for the session's own key: key, version, CRC16, zeros, in send mode."""
    with new.lend() as octets:
        plain = bytearray(octets) + bytes([version])
    plain += crc16(bytes(plain))
    padded = bytearray(pad_zeros(bytes(plain), RANDOM_OCTETS))
    try:
        return send(session, padded)
    finally:
        wipe(plain)
        wipe(padded)
