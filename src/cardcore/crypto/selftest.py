"""Known answers every kernel must give before anything may use it. Run while the package is imported; a failure stops the import.

Published vectors stand in every lane in turn, so that a fault in one lane shows; then every lane gets its own block, checked
against `cryptography`. Rivest's iterated DES test (1985) is built so that a fault in any table entry or wire changes its end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardcore.crypto import kernel
from cardcore.crypto.cipher import encrypt_ecb
from cardcore.crypto.errors import SelfTestFailed
from cardcore.crypto.key import Key

Octets = NDArray[np.uint8]

RIVEST_START, RIVEST_END = "9474B8E8C73BCA7D", "1B1A2DDB4C642438"

SP800_38A = "6BC1BEE22E409F96E93D7E117393172AAE2D8A571E03AC9C9EB76FAC45AF8E5130C81C46A35CE411"  # its message, first 40 octets
ICAO_KEY, ICAO_MESSAGE = "7962D9ECE03D1ACD4C76089DCE131543", "72C29C2371CC9BDB65B779B8E8D37B29ECC154AA56A8799FAE2F498F76ED92F2"
HELLO_KEY, HELLO = "AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBB", "68656C6C6F20776F726C64"
RFC4493_KEY = "2B7E151628AED2A6ABF7158809CF4F3C"
SP800_38B_192 = "8E73B0F7DA0E6452C810F32B809079E562F8EAD2522C6B7B"
SP800_38B_256 = "603DEB1015CA71BE2B73AEF0857D77811F352C073B6108D72D9810A30914DFF4"

# (key, message, MAC, kind, padding): NIST TDES CMAC examples, ICAO 9303-11 D.3, pyemv and psec, RFC 4493, NIST SP 800-38B D.
MACS = {
    "des": (
        ("0123456789ABCDEF23456789ABCDEF01456789ABCDEF0123", SP800_38A[:32], "30239CF1F52E6609", "cmac", "cmac"),
        ("0123456789ABCDEF23456789ABCDEF01", SP800_38A[:40], "C06D377ECD101969", "cmac", "cmac"),
        (ICAO_KEY, ICAO_MESSAGE, "5F1448EEA8AD90A7", "retail", "bit"),
        (HELLO_KEY, HELLO, "78DA3D3DEB48FD4D", "retail", "zero"),
        (HELLO_KEY, HELLO, "68D9038F23360DF3", "cbc", "zero"),
        # Left half XOR right half is the key 133457799BBCDFF1 of Grabbe's worked example; one block, so the MAC is his cipher text.
        ("AAAAAAAAAAAAAAAAB99EFDD33116755B", "0123456789ABCDEF", "85E813540F0AB405", "folded", "zero"),
    ),
    "aes": (
        (RFC4493_KEY, "", "BB1D6929E95937287FA37D129B756746", "cmac", "cmac"),
        (RFC4493_KEY, SP800_38A[:32], "070A16B46B4D4144F79BDD9DD04A287C", "cmac", "cmac"),
        (SP800_38B_192, SP800_38A[:32], "9E99A7BF31E710900662F65E617C5184", "cmac", "cmac"),
        (SP800_38B_256, SP800_38A, "AAF3D8F1DE5640C232F5B169B9C911E6", "cmac", "cmac"),
    ),
}

# (master key, factor, key): EMV Book 2, A1.4.1 option A, before parity.
DIVERSIFIED = ("0123456789ABCDEFFEDCBA9876543210", "4567890123456701", "72AD54698CEE2935B0969956E2C718F0")

# (master key, diversifier, constant, octets to pad to, first block of the key). AN10957, pages 13-14, whose short diversifier shows that
# padding goes to two blocks; AN10922, 2.4.1, and a short one of our own made with two other libraries.
AN10922 = {
    "des": (
        ("00112233445566778899AABBCCDDEEFF", "04782E21801D803042F54E58502041", 0x21, 16, "16F8597C9E8910C8"),
        ("C784C9441A1DDB9EC35763253045C8E6", "8D424EA3FB2344", 0x21, 16, "47AF3BDA13F658F4"),
    ),
    "aes": (("F3F9377698707B688EAF84ABE39E3791", "04DEADBEEFFEED", 0x01, 32, "0BB408BAFF98B6EE9F2E1585777F6A51"),),
}

# FIPS 197, appendix C: plain text 00112233..FF under keys 000102...
AES_PLAIN = "00112233445566778899AABBCCDDEEFF"
AES_BLOCKS = {16: "69C4E0D86A7B0430D8CDB78070B4C55A", 24: "DDA97CA4864CDFE06EAF70A0EC0D7191", 32: "8EA2B7CA516745BFEAFC49904B496089"}


def _rows(text: str, items: int) -> Octets:
    octets = np.frombuffer(bytes.fromhex(text), np.uint8)
    return np.repeat(octets[None, :], items, axis=0)


def _require(family: str, backend: str, what: str, got: Octets, expected: Octets) -> None:
    if got.shape != expected.shape or not np.array_equal(got, expected):
        raise SelfTestFailed(f"the {backend} kernel of {family} gives a wrong {what}", family=family, backend=backend, test=what)


def _every_lane(family: str, backend: str, key: Key, octets: int, items: int) -> None:
    """Another block in each lane, under one key and under a key an item, forth and back, against `cryptography`."""
    blocks = np.random.default_rng(1977).integers(0, 256, (items, octets), np.uint8)  # the year of FIPS 46
    expected = np.frombuffer(encrypt_ecb(key, blocks.tobytes()), np.uint8).reshape(items, octets)
    _require(family, backend, f"block under a {len(key)}-octet key", kernel.crypt(family, backend, key, blocks), expected)
    with key.lend() as secret:
        keys = _rows(secret.hex(), items)
    _require(family, backend, "block under a key an item", kernel.crypt(family, backend, keys, blocks), expected)
    _require(family, backend, "decryption", kernel.crypt(family, backend, keys, expected, True), blocks)


def _des(backend: str, items: int) -> None:
    block = _rows(RIVEST_START, items)
    for step in range(16):
        block = kernel.crypt("des", backend, block, block, step % 2 == 1)
    _require("des", backend, "Rivest test", block, _rows(RIVEST_END, items))
    master, factor, expected = DIVERSIFIED
    derived = kernel.diversify(backend, Key("tdes", bytes.fromhex(master)), _rows(factor, items))
    _require("des", backend, "PBOC diversification", derived, _rows(expected, items))
    for octets, algorithm in ((8, "des"), (16, "tdes"), (24, "tdes")):
        _every_lane("des", backend, Key(algorithm, bytes(range(1, octets + 1))), 8, items)


def _aes(backend: str, items: int) -> None:
    for octets, expected in AES_BLOCKS.items():
        got = kernel.crypt("aes", backend, _rows(bytes(range(octets)).hex(), items), _rows(AES_PLAIN, items))
        _require("aes", backend, f"FIPS 197 block with {octets} octets", got, _rows(expected, items))
        _every_lane("aes", backend, Key("aes", bytes(range(octets))), 16, items)


def _macs(family: str, backend: str, items: int) -> None:
    for key, message, expected, kind, padding in MACS[family]:
        keys, want = _rows(key, items), _rows(expected, items)
        got = kernel.macs(family, backend, keys, _rows(message, items), kind=kind, padding=padding)
        _require(family, backend, f"{kind} MAC", got, want)
        wrong = want.copy()
        bent = np.arange(0, items, 2)  # every second MAC has one wrong bit, in another octet each time
        wrong[bent, (bent // 2) % want.shape[1]] ^= 1 << (bent // 2 % 8).astype(np.uint8)
        verdicts = kernel.macs(family, backend, keys, _rows(message, items), kind=kind, padding=padding, presented=wrong)
        if verdicts[::2].any() or not verdicts[1::2].all():
            raise SelfTestFailed(f"the {backend} kernel of {family} verifies wrongly", family=family, backend=backend, test="verify")
    for master, diversifier, constant, least, expected in AN10922[family]:
        derived = kernel.macs(
            family, backend, _rows(master, items), _rows(diversifier, items), kind="cmac", padding="cmac", prefix=constant, least=least
        )
        _require(family, backend, "AN10922 key", derived, _rows(expected, items))


def _seams(family: str, backend: str) -> None:
    """A batch long enough to be worked on in parts gives what its two halves give."""
    items, half = 2_100, 1_050
    draw = np.random.default_rng(2005)
    keys, messages, factors = (draw.integers(0, 256, (items, octets), np.uint8) for octets in (16, 20, 16))

    def tags(of: slice) -> Octets:
        return kernel.macs(family, backend, keys[of], messages[of], kind="cmac", padding="cmac")

    halves = slice(0, half), slice(half, items)
    _require(family, backend, "long batch", tags(slice(0, items)), np.concatenate([tags(of) for of in halves]))
    if family == "des":
        derived = [kernel.diversify(backend, keys[of], factors[of]) for of in halves]
        _require(family, backend, "long diversification", kernel.diversify(backend, keys, factors), np.concatenate(derived))


def run() -> None:
    """Test every kernel this CPU can run. Raises SelfTestFailed."""
    for family, special in (("des", _des), ("aes", _aes)):
        for backend in kernel.available(family):
            items = kernel.lanes(family, backend) + 3  # a full round and a part one
            special(backend, items)
            _macs(family, backend, items)
            _seams(family, backend)
