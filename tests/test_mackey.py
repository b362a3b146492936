"""The chain's and the tills' keyed hash must be the HMAC-SHA256 of RFC 2104, whatever shortcut computes it (A2).

Method: compare with Python's own hmac over keys and messages around the hash's block and padding sizes.
"""

from __future__ import annotations

import hmac
import random

import pytest

from cardcore.mackey import MacKey


@pytest.mark.parametrize("key_size", [0, 1, 31, 32, 63, 64, 65, 200])
def test_a_started_key_gives_hmac_sha256(key_size):
    draw = random.Random(key_size)
    key = draw.randbytes(key_size)
    mac = MacKey(key)
    for size in (0, 1, 54, 55, 56, 63, 64, 65, 119, 120, 300, 5_000):
        message = draw.randbytes(size)
        assert mac.digest(message) == hmac.digest(key, message, "sha256")


def test_a_key_shows_and_pickles_nothing():
    key = MacKey(b"very secret")
    assert "secret" not in repr(key)
    with pytest.raises(TypeError):
        key.__reduce__()
