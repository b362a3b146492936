"""Message authentication codes: CMAC, and ISO/IEC 9797-1 algorithms 1 and 3. Verification raises, in constant time."""

from __future__ import annotations

from hmac import compare_digest

from cardcore.crypto.cipher import Octets, block_octets, decrypt_ecb, encrypt_cbc, encrypt_ecb
from cardcore.crypto.errors import InvalidCryptoInput, InvalidKey, InvalidMac
from cardcore.crypto.key import Key, wipe
from cardcore.crypto.padding import pad_bit, pad_zeros

# The constants R of NIST SP 800-38B, 5.3, by block size.
_R = {8: 0x1B, 16: 0x87}


def doubled(block: Octets) -> bytearray:
    """Multiply by x in GF(2^n), most significant bit first, without a branch on the top bit (NIST SP 800-38B, 6.1)."""
    out = bytearray(block)
    carry = out[0] >> 7
    for i in range(len(out) - 1):
        out[i] = out[i] << 1 & 0xFF | out[i + 1] >> 7
    out[-1] = out[-1] << 1 & 0xFF ^ carry * _R[len(out)]
    return out


def cmac_sub_keys(key: Key) -> tuple[bytearray, bytearray]:
    """K1 and K2 (NIST SP 800-38B, 6.1). They are secrets of the key: wipe them after use."""
    secret = encrypt_ecb(key, bytes(block_octets(key)))
    first = doubled(secret)
    wipe(secret)
    return first, doubled(first)


def cmac_into(key: Key, message: Octets, vector: bytes | None = None, least: int = 0) -> bytearray:
    """`cmac` as a bytearray, for results that are keys; `least` pads to at least so many octets (AN10922)."""
    block = block_octets(key)
    padded = bytearray(memoryview(message).cast("B"))
    whole = len(padded) > 0 and len(padded) % block == 0 and len(padded) >= least
    if not whole:
        padded += b"\x80"
        padded += bytes(max(least - len(padded), -len(padded) % block))
    sub_keys = cmac_sub_keys(key)
    for i, octet in enumerate(sub_keys[0 if whole else 1], len(padded) - block):
        padded[i] ^= octet
    out = encrypt_cbc(key, padded, vector)
    tag = out[-block:]
    for secret in (*sub_keys, padded, out):
        wipe(secret)
    return tag


def cmac(key: Key, message: Octets, vector: bytes | None = None) -> bytes:
    """CMAC (NIST SP 800-38B, RFC 4493), the whole block.

    vector: the running IV of a DESFire EV1 session; zero, as the standard has it, when not given.
    """
    return bytes(cmac_into(key, message, vector))


def odd_octets(tag: Octets) -> bytes:
    """Octets 1, 3, 5 ... of a tag: the 8-octet truncation of DESFire EV2, TMAC and NTAG 424 (AN12343, AN12196)."""
    return bytes(memoryview(tag)[1::2])


def _padded(message: Octets, block: int, padding: int) -> bytes:
    octets = bytes(memoryview(message))
    if padding == 1:
        return pad_zeros(octets, block)
    if padding == 2:
        return pad_bit(octets, block)
    raise InvalidCryptoInput("padding is 1 or 2", padding=padding)


def mac_algorithm1(key: Key, message: Octets, padding: int = 2, vector: bytes | None = None) -> bytes:
    """CBC-MAC: ISO/IEC 9797-1 MAC algorithm 1 with the key's cipher, the whole last block.

    padding: 1 (zeros) or 2 (80 and zeros). vector: a card challenge where a profile chains from one; zero otherwise.
    Raises InvalidCryptoInput.
    """
    block = block_octets(key)
    return bytes(encrypt_cbc(key, _padded(message, block, padding), vector)[-block:])


def mac_algorithm3(key: Key, message: Octets, padding: int = 2, vector: bytes | None = None) -> bytes:
    """Retail MAC: ISO/IEC 9797-1 MAC algorithm 3 with DES and a double-length key, 8 octets.

    Raises InvalidKey unless the key is a 16-octet TDES key, InvalidCryptoInput.
    """
    if key.algorithm != "tdes" or len(key) != 16:
        raise InvalidKey("the retail MAC needs a double-length TDES key", algorithm=key.algorithm)
    with key.lend() as octets:
        left, right = Key.take("des", octets[:8]), Key.take("des", octets[8:])
    chained = encrypt_cbc(left, _padded(message, 8, padding), vector)[-8:]
    tag = encrypt_ecb(left, decrypt_ecb(right, chained))
    left.wipe()
    right.wipe()
    return bytes(tag)


def require_equal(computed: Octets, presented: Octets) -> None:
    """Compare in constant time. Raises InvalidMac, also for another length or an empty MAC."""
    if not computed or not compare_digest(bytes(computed), bytes(presented)):
        raise InvalidMac


def verify_cmac(key: Key, message: Octets, presented: bytes, vector: bytes | None = None) -> None:
    """Raises InvalidMac unless `presented` is the whole CMAC of `message`."""
    require_equal(cmac(key, message, vector), presented)
