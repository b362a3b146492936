"""The DESFire EV1 channel with AES (AuthenticateAES): handshake, session key, running-IV CMAC, CRC and full encipherment.

Compatible with MIFARE DESFire EV1; sources: libfreefare, proxmark3 and python-desfire, which agree. All integers little endian.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from cardcore.crypto.cipher import decrypt_cbc, encrypt_cbc
from cardcore.crypto.errors import InvalidCryptoInput, InvalidMac
from cardcore.crypto.key import Key
from cardcore.crypto.mac import cmac, require_equal
from cardcore.crypto.padding import pad_zeros

MAC_OCTETS = 8


def crc32(octets: bytes) -> bytes:
    """CRC-32 of EV1: preset FFFFFFFF, no final inversion, 4 octets little endian."""
    return (zlib.crc32(octets) ^ 0xFFFFFFFF).to_bytes(4, "little")


def crc16(octets: bytes) -> bytes:
    """CRC_A of ISO/IEC 14443-3, 6.2.4: preset 6363, 2 octets little endian."""
    register = 0x6363
    for octet in octets:
        low = (octet ^ register) & 0xFF
        mixed = (low ^ low << 4) & 0xFF
        register = register >> 8 ^ mixed << 8 ^ mixed << 3 ^ mixed >> 4
    return register.to_bytes(2, "little")


def rotated(random: bytes) -> bytes:
    """The first octet moved to the end: how each side shows that it read the other's random."""
    return random[1:] + random[:1]


@dataclass(frozen=True, slots=True)
class Handshake:
    """What the terminal holds between the two halves of an authentication: AuthenticateAES, and the native one."""

    key: Key
    random_terminal: bytes
    random_card: bytes
    answer: bytes
    """The octets to send: RndA || RndB rotated, enciphered; for AES in CBC with IV = C1."""


def start(key: Key, random_terminal: bytes, challenge: bytes) -> Handshake:
    """Answer the card's first cryptogram. Raises InvalidCryptoInput unless both are 16 octets."""
    if len(random_terminal) != 16 or len(challenge) != 16:
        raise InvalidCryptoInput("randoms and challenges have 16 octets")
    random_card = bytes(decrypt_cbc(key, challenge))
    answer = encrypt_cbc(key, random_terminal + rotated(random_card), bytes(challenge))
    return Handshake(key, random_terminal, random_card, bytes(answer))


def finish(handshake: Handshake, proof: bytes) -> Session:
    """Check the card's second cryptogram and open the session. Raises InvalidMac when it does not show our random."""
    if len(proof) != 16:
        raise InvalidMac
    shown = decrypt_cbc(handshake.key, proof, handshake.answer[-16:])
    require_equal(rotated(handshake.random_terminal), shown)
    return Session(session_key(handshake.random_terminal, handshake.random_card))


def session_key(random_terminal: bytes, random_card: bytes) -> Key:
    """RndA[0..3] RndB[0..3] RndA[12..15] RndB[12..15]."""
    a, b = random_terminal, random_card
    return Key.take("aes", bytearray(a[:4] + b[:4] + a[12:] + b[12:]))


@dataclass(slots=True)
class Session:
    """The channel after AuthenticateAES. The vector runs through every command and answer, sent or not."""

    key: Key
    vector: bytes = field(default=bytes(16))

    def mac_command(self, command: bytes) -> bytes:
        """MAC of command || parameters || data; call it for every command, even when the 8 octets are not sent."""
        self.vector = cmac(self.key, command, self.vector)
        return self.vector[:MAC_OCTETS]

    def verify_answer(self, data: bytes, status: int, presented: bytes) -> None:
        """Check the MAC of an answer (data || status). Raises InvalidMac; the channel is dead then."""
        computed = cmac(self.key, data + bytes([status]), self.vector)
        require_equal(computed[:MAC_OCTETS], presented)
        self.vector = computed

    def encipher_command(self, header: bytes, data: bytes, tail: bytes = b"") -> bytes:
        """Full mode: data || CRC32(header || data) || tail || zeros, enciphered. header: command and parameters, which stay plain.

        tail: the CRC32 of the new key, where ChangeKey is about another key than the session's.
        """
        sealed = bytes(encrypt_cbc(self.key, pad_zeros(data + crc32(header + data) + tail, 16), self.vector))
        self.vector = sealed[-16:]
        return sealed

    def decipher_answer(self, sealed: bytes, length: int, status: int) -> bytes:
        """`length` octets of data from a full-mode answer. Raises InvalidMac when the CRC or the zero padding is wrong."""
        if length < 0 or len(sealed) != len(pad_zeros(bytes(length + 4), 16)):
            raise InvalidMac
        plain = bytes(decrypt_cbc(self.key, sealed, self.vector))
        data = plain[:length]
        require_equal(pad_zeros(data + crc32(data + bytes([status])), 16), plain)
        self.vector = bytes(sealed[-16:])
        return data
