"""Keys that everybody knows: the simulator's test keys, and the defaults of makers and tutorials. Recognised and named.

A store in production refuses them (control Y). A demo shop is made with the simulator's, so that its cards can be tried at once.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from cardapi.keys.opened import OpenedKeys
from cardapi.keys.port import ACTIVE, KeyInfo, key_id
from cardapi.keys.purposes import KEY_OCTETS, PURPOSES
from cardcore.crypto import Key

SENTENCE: Final = b"cardcore TEST KEY, not for production: "
"""The public sentence that the card simulator makes its keys from (docs/simulator.md)."""
_OTHER_NAMES: Final = {"desfire-tmac": "desfire-transaction-mac"}
VERSIONS_MAX: Final = 9

_PUBLISHED: Final = {
    "11223344556677888877665544332211": "the load and purchase tutorials of purse cards",
    "404142434445464748494a4b4c4d4e4f": "GlobalPlatform's default",
    "000102030405060708090a0b0c0d0e0f": "the octets counted up",
    "00112233445566778899aabbccddeeff": "an example of FIPS 197",
    "0123456789abcdeffedcba9876543210": "an example of GB/T 32907",
    "0123456789abcdef0123456789abcdef": "digits counted up",
    "2b7e151628aed2a6abf7158809cf4f3c": "an example of NIST SP 800-38A and 38B",
    "ffffffffffffffffffffffffffffffff": "an erased memory",
}


def simulator_name(purpose: str) -> str:
    """What the simulator calls a purpose."""
    return _OTHER_NAMES.get(purpose, purpose.removeprefix("pboc-"))


def demo_key(purpose: str, version: int = 1) -> bytearray:
    """The test master key of one of `PURPOSES`, the same as the simulator's."""
    text = SENTENCE + simulator_name(purpose).encode() + b" " + str(version).encode()
    return bytearray(hashlib.sha256(text).digest()[:KEY_OCTETS])


def _without_parity(octets: Iterable[int]) -> bytes:
    """DES does not look at the lowest bit of an octet: keys that differ there are one key."""
    return bytes(octet & 0xFE for octet in octets)


def _prints() -> dict[bytes, str]:
    """SHA-256 of each known key, parity bits left out -> whose it is."""
    known = {bytes.fromhex(text): source for text, source in _PUBLISHED.items()}
    for purpose in PURPOSES:
        known |= {bytes(demo_key(purpose, version)): "the card simulator" for version in range(1, VERSIONS_MAX + 1)}
    return {hashlib.sha256(_without_parity(octets)).digest(): source for octets, source in known.items()}


_PRINTS: Final = _prints()


def known_from(octets: bytes | bytearray) -> str:
    """Where everybody knows this key from; "" for one that is not in the list. Parity bits make no difference, for any algorithm."""
    own = hashlib.sha256(_without_parity(octets)).digest()
    # Every entry is compared, so that the time tells nothing about a key that is not in the list.
    return next((source for listed, source in [*_PRINTS.items()] if hmac.compare_digest(listed, own)), "")


def demo_keys(version: int = 1) -> OpenedKeys:
    """A store of the simulator's keys, active for ever: for tests and for a shop that is a demo."""
    infos, keys = [], {}
    for purpose in PURPOSES.values():
        for algorithm in purpose.algorithms:
            name = key_id(purpose.name, algorithm, version)
            keys[name] = Key.take(algorithm, demo_key(purpose.name, version))
            shown = keys[name].check_value.hex()
            infos.append(KeyInfo(name, purpose.name, algorithm, version, ACTIVE, shown, 0, 0, test=True))
    return OpenedKeys(infos, keys)
