"""TEST KEYS. Made from a public sentence, known to everybody, worth nothing: a production key store must refuse them.

`is_test_key` recognises them, so that a check can name the culprit.
"""

from __future__ import annotations

import hashlib

SENTENCE = b"cardcore TEST KEY, not for production: "
PURPOSES = (
    "purchase", "load", "unload", "overdraw", "tac", "maintenance", "unblock-pin", "reload-pin", "external", "transport",
    "desfire-master", "desfire-credit", "desfire-debit", "desfire-read", "desfire-transaction-mac",
)  # fmt: skip


def known_key(purpose: str, version: int = 1) -> bytes:
    """The 16-byte test master key of a purpose. Raises ValueError for a purpose that is not in `PURPOSES`."""
    if purpose not in PURPOSES:
        raise ValueError(f"no test key for {purpose!r}; there are {', '.join(PURPOSES)}")
    return hashlib.sha256(SENTENCE + purpose.encode() + b" " + str(version).encode()).digest()[:16]


def is_test_key(key: bytes) -> bool:
    """True for every test key of versions 1 to 9."""
    return any(known_key(purpose, version) == key for purpose in PURPOSES for version in range(1, 10))
