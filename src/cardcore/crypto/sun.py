"""NTAG 424 DNA secure unique NFC messages (SUN, SDM) in AES mode: who tapped, which tap, and is it genuine. NXP AN12196.

The counter must grow for each UID: keeping the last one is the caller's business, and without it a copied address works again.
"""

from __future__ import annotations

from dataclasses import dataclass

from cardcore.crypto.cipher import decrypt_cbc, encrypt_ecb
from cardcore.crypto.errors import InvalidCryptoInput, InvalidMac
from cardcore.crypto.key import Key
from cardcore.crypto.mac import cmac, cmac_into, odd_octets, require_equal
from cardcore.crypto.padding import pad_zeros

MAC_OCTETS = 8
_UID_MIRRORED, _COUNTER_MIRRORED, _UID_LENGTH = 0x80, 0x40, 0x0F


@dataclass(frozen=True, slots=True)
class Tap:
    """What PICCData says: the tag byte, UID (7 octets) and SDMReadCtr."""

    tag: int
    uid: bytes
    counter: int


def open_picc_data(meta_key: Key, enciphered: bytes) -> Tap:
    """Decipher PICCENCData with SDMMetaReadKey (AN12196, 3.4.2). Says nothing about authenticity until `verify` has passed.

    Raises InvalidMac when it is not PICCData with UID and counter, InvalidCryptoInput unless it is 16 octets.
    """
    if len(enciphered) != 16:
        raise InvalidCryptoInput("PICCENCData has 16 octets", octets=len(enciphered))
    return read_picc_data(bytes(decrypt_cbc(meta_key, enciphered)))


def read_picc_data(plain: bytes) -> Tap:
    """Deciphered PICCData. Raises InvalidMac when it does not have UID and counter."""
    tag = plain[0]
    if tag & _UID_LENGTH != 7 or not tag & _UID_MIRRORED or not tag & _COUNTER_MIRRORED:
        raise InvalidMac
    return Tap(tag, plain[1:8], int.from_bytes(plain[8:11], "little"))


def session_keys(file_key: Key, uid: bytes, counter: int) -> tuple[Key, Key]:
    """SesSDMFileReadENC and SesSDMFileReadMAC (AN12196, 3.3): CMAC over SV1 and SV2. Raises InvalidCryptoInput."""
    if len(uid) != 7 or not 0 <= counter < 1 << 24:
        raise InvalidCryptoInput("a UID has 7 octets and a read counter 24 bits")
    context = b"\x00\x01\x00\x80" + uid + counter.to_bytes(3, "little")
    encipher, authenticate = (Key.take("aes", cmac_into(file_key, pad_zeros(p + context, 16))) for p in (b"\xc3\x3c", b"\x3c\xc3"))
    return encipher, authenticate


def sun_mac(file_key: Key, uid: bytes, counter: int, text: bytes) -> bytes:
    """SDMMAC, 8 octets. text: the ASCII octets of the address from the MAC input offset to the MAC, often empty."""
    encipher, authenticate = session_keys(file_key, uid, counter)
    encipher.wipe()
    try:
        return odd_octets(cmac(authenticate, text))
    finally:
        authenticate.wipe()


def verify(file_key: Key, tap: Tap, text: bytes, presented: bytes) -> None:
    """Raises InvalidMac unless `presented` is the SDMMAC of this tap."""
    require_equal(sun_mac(file_key, tap.uid, tap.counter, text), presented)


def open_file_data(file_key: Key, tap: Tap, enciphered: bytes) -> bytes:
    """SDMENCFileData: AES-CBC under SesSDMFileReadENC, IV = E(counter 3 || zeros) (AN12196, 3.4.3). Verify first."""
    encipher, authenticate = session_keys(file_key, tap.uid, tap.counter)
    authenticate.wipe()
    try:
        vector = bytes(encrypt_ecb(encipher, tap.counter.to_bytes(3, "little") + bytes(13)))
        return bytes(decrypt_cbc(encipher, enciphered, vector))
    finally:
        encipher.wipe()


def plain_tap(uid_text: str, counter_text: str) -> Tap:
    """A tap from a plain mirror: both as hex in the address, the counter big endian. Raises InvalidCryptoInput."""
    try:
        uid, counter = bytes.fromhex(uid_text), bytes.fromhex(counter_text)
    except ValueError:
        raise InvalidCryptoInput("the mirrored UID or counter is not hex") from None
    if len(uid) != 7 or len(counter) != 3:
        raise InvalidCryptoInput("a UID has 7 octets and a read counter 3")
    return Tap(_UID_MIRRORED | _COUNTER_MIRRORED | 7, uid, int.from_bytes(counter, "big"))
