"""The leakage resilient primitive LRP over AES-128 (NXP AN12304): tables, evaluation, LRICB encipherment and CMAC.

For the LRP mode of NTAG 424 DNA and DESFire Light. The tables depend on the key: keep one `Lrp` for a session, then `wipe` it.
"""

from __future__ import annotations

from collections.abc import Callable

from cardcore.crypto.cipher import Octets, decrypt_ecb, encrypt_ecb
from cardcore.crypto.errors import InvalidCryptoInput
from cardcore.crypto.key import Key, wipe
from cardcore.crypto.mac import doubled, require_equal
from cardcore.crypto.padding import pad_bit, unpad_bit

_PLAINTEXTS = 16
_HIGH, _LOW = b"\x55" * 16, b"\xaa" * 16


def _nibbles(octets: bytes) -> list[int]:
    return [nibble for octet in octets for nibble in (octet >> 4, octet & 15)]


def _encrypt(key: bytearray, block: Octets) -> bytearray:
    return encrypt_ecb(Key("aes", key), block)


class Lrp:
    """One key prepared for LRP: 16 secret plaintexts and the updated keys (AN12304, 3.1: algorithms 1 and 2)."""

    def __init__(self, key: Key, updated_keys: int = 4) -> None:
        with key.lend() as octets:
            chain = _encrypt(octets, _HIGH)
            self.plaintexts = []
            for _ in range(_PLAINTEXTS):
                self.plaintexts.append(_encrypt(chain, _LOW))
                following = _encrypt(chain, _HIGH)
                wipe(chain)
                chain = following
            wipe(chain)
            chain = _encrypt(octets, _LOW)
        self.updated = []
        for _ in range(updated_keys):
            self.updated.append(_encrypt(chain, _LOW))
            following = _encrypt(chain, _HIGH)
            wipe(chain)
            chain = following
        wipe(chain)

    def wipe(self) -> None:
        """Overwrite the tables."""
        for secret in (*self.plaintexts, *self.updated):
            wipe(secret)

    def evaluate(self, updated: int, nibbles: list[int], *, final: bool) -> bytearray:
        """EvalLRP (algorithm 3): walk the plaintexts by the nibbles of the input; `final` encrypts zeros at the end."""
        y = bytearray(self.updated[updated])
        for nibble in nibbles:
            following = _encrypt(y, self.plaintexts[nibble])
            wipe(y)
            y = following
        if final:
            following = _encrypt(y, bytes(16))
            wipe(y)
            y = following
        return y

    def encipher(self, counter: bytes, data: bytes, *, updated: int = 1, padding: bool = True) -> tuple[bytes, bytes]:
        """LRICBEnc (algorithm 4): the cryptogram and the counter after it. counter: big endian, any length, wraps around.

        Raises InvalidCryptoInput for part blocks without padding or an empty message.
        """
        plain = pad_bit(data, 16) if padding else bytes(data)
        return self._indexed(counter, plain, updated, encrypt_ecb)

    def decipher(self, counter: bytes, data: bytes, *, updated: int = 1, padding: bool = True) -> tuple[bytes, bytes]:
        """LRICBDec (algorithm 5). Raises InvalidCryptoInput for part blocks or damaged padding: verify the MAC first."""
        plain, following = self._indexed(counter, bytes(data), updated, decrypt_ecb)
        return (unpad_bit(plain) if padding else plain), following

    def _indexed(self, counter: bytes, data: bytes, updated: int, operation: Callable[[Key, Octets], bytearray]) -> tuple[bytes, bytes]:
        if not data or len(data) % 16:
            raise InvalidCryptoInput("LRICB takes whole blocks", octets=len(data))
        number, out = int.from_bytes(counter, "big"), bytearray()
        for i in range(0, len(data), 16):
            block_key = Key.take("aes", self.evaluate(updated, _nibbles(number.to_bytes(len(counter), "big")), final=True))
            out += operation(block_key, data[i : i + 16])
            number = (number + 1) % (1 << 8 * len(counter))
        return bytes(out), number.to_bytes(len(counter), "big")

    def sub_keys(self) -> tuple[bytes, bytes]:
        """The CMAC sub-keys: EvalLRP of a zero block, times x and times x squared in GF(2^128) (algorithm 6)."""
        first = doubled(self.evaluate(0, [0] * 32, final=True))
        return bytes(first), bytes(doubled(first))

    def cmac(self, message: bytes) -> bytes:
        """LRP-CMAC, 16 octets (algorithm 7), under updated key 0."""
        whole = len(message) > 0 and len(message) % 16 == 0
        sub_key = self.sub_keys()[0 if whole else 1]
        padded = bytes(message) if whole else pad_bit(message, 16)
        y = bytes(16)
        for i in range(0, len(padded), 16):
            block = bytes(a ^ b for a, b in zip(y, padded[i : i + 16], strict=True))
            if i + 16 == len(padded):
                block = bytes(a ^ b for a, b in zip(block, sub_key, strict=True))
            y = bytes(self.evaluate(0, _nibbles(block), final=True))
        return y

    def verify_cmac(self, message: bytes, presented: bytes) -> None:
        """Raises InvalidMac."""
        require_equal(self.cmac(message), presented)
