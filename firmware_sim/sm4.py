"""The SM4 block cipher (GB/T 32907-2016), written out because pycryptodome has none.

The substitution box is computed from its algebra, an affine map around the inverse in GF(2^8), instead of being typed in: a slip would
fail the published vectors at once. Not constant time; a simulator has no secrets to keep.
"""

from __future__ import annotations

_FIELD = 0x1F5  # x^8 + x^7 + x^6 + x^5 + x^4 + x^2 + 1
_AFFINE_ROW = 0xA7
_AFFINE_CONSTANT = 0xD3
_FK = (0xA3B1BAC6, 0x56AA3350, 0x677D9197, 0xB27022DC)
_CK = tuple(int.from_bytes(bytes((4 * i + j) * 7 % 256 for j in range(4)), "big") for i in range(32))


def _multiply(a: int, b: int) -> int:
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= _FIELD
        b >>= 1
    return product


def _affine(x: int) -> int:
    y = _AFFINE_CONSTANT
    for i in range(8):
        row = (_AFFINE_ROW << i | _AFFINE_ROW >> (8 - i)) & 0xFF
        y ^= ((row & x).bit_count() & 1) << i
    return y


def _invert(x: int) -> int:
    # x^254 = x^-1 in GF(2^8); 0 stays 0.
    result, square = 1, x
    for _ in range(7):
        square = _multiply(square, square)
        result = _multiply(result, square)
    return result if x else 0


SBOX = bytes(_affine(_invert(_affine(x))) for x in range(256))


def _rotate(x: int, n: int) -> int:
    return (x << n | x >> (32 - n)) & 0xFFFFFFFF


def _linear(b: int) -> int:
    return b ^ _rotate(b, 2) ^ _rotate(b, 10) ^ _rotate(b, 18) ^ _rotate(b, 24)


_TABLES = tuple(tuple(_linear(SBOX[x] << shift) for x in range(256)) for shift in (24, 16, 8, 0))


def _substitute(a: int) -> int:
    return SBOX[a >> 24] << 24 | SBOX[a >> 16 & 255] << 16 | SBOX[a >> 8 & 255] << 8 | SBOX[a & 255]


class SM4:
    """One key's cipher; `encrypt` and `decrypt` take whole 16-byte blocks (ECB). Raises ValueError on a wrong length."""

    block_size = 16

    def __init__(self, key: bytes) -> None:
        if len(key) != 16:
            raise ValueError("an SM4 key has 16 bytes")
        k = [int.from_bytes(key[4 * i : 4 * i + 4], "big") ^ _FK[i] for i in range(4)]
        rounds = []
        for constant in _CK:
            b = _substitute(k[1] ^ k[2] ^ k[3] ^ constant)
            k = [k[1], k[2], k[3], k[0] ^ b ^ _rotate(b, 13) ^ _rotate(b, 23)]
            rounds.append(k[3])
        self._rounds = tuple(rounds)

    def encrypt(self, blocks: bytes, output: bytearray | None = None) -> bytes:
        """Encrypt whole blocks, each by itself; also into `output`, as the ciphers of pycryptodome do."""
        encrypted = self._run(blocks, self._rounds)
        if output is not None:
            output[:] = encrypted
        return encrypted

    def decrypt(self, blocks: bytes) -> bytes:
        """Decrypt whole blocks, each by itself."""
        return self._run(blocks, self._rounds[::-1])

    @staticmethod
    def _run(blocks: bytes, rounds: tuple[int, ...]) -> bytes:
        if len(blocks) % 16:
            raise ValueError("SM4 works on whole blocks of 16 bytes")
        t0, t1, t2, t3 = _TABLES
        out = bytearray()
        for start in range(0, len(blocks), 16):
            a, b, c, d = (int.from_bytes(blocks[start + i : start + i + 4], "big") for i in (0, 4, 8, 12))
            for key in rounds:
                t = b ^ c ^ d ^ key
                a, b, c, d = b, c, d, a ^ t0[t >> 24] ^ t1[t >> 16 & 255] ^ t2[t >> 8 & 255] ^ t3[t & 255]
            out += (d << 96 | c << 64 | b << 32 | a).to_bytes(16, "big")
        return bytes(out)
