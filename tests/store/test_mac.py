"""The chain's keyed hash must be the HMAC-SHA256 of RFC 2104, whatever shortcut computes it (A2).

Method: compare with Python's own hmac over keys and messages around the hash's block and padding sizes.
"""

from __future__ import annotations

import hmac
import random

import pytest

from cardapi.store.chain import _mac


@pytest.mark.parametrize("key_size", [0, 1, 31, 32, 63, 64, 65, 200])
def test_the_chain_mac_is_hmac_sha256(key_size):
    draw = random.Random(key_size)
    key = draw.randbytes(key_size)
    for size in (0, 1, 54, 55, 56, 63, 64, 65, 119, 120, 300, 5_000):
        message = draw.randbytes(size)
        assert _mac(key, message) == hmac.digest(key, message, "sha256")
