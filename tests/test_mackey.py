"""The chain's and the tills' keyed hash must be the HMAC-SHA256 of RFC 2104, whatever shortcut computes it (A2).

Method: compare with Python's own hmac over keys and messages around the hash's block and padding sizes, and each form of the
hash with published answers.
"""

from __future__ import annotations

import hashlib
import hmac
import random

import pytest

from cardcore.mackey import KERNELS, MacKey, digest


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


# FIPS 180-4 examples (NIST, "SHA256.pdf"): one block, two blocks; and the empty message.
PUBLISHED = {
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_form_of_the_hash_is_sha256(kernel):
    for message, expected in PUBLISHED.items():
        assert digest(message, kernel).hex() == expected
    draw = random.Random(256)
    for size in [*range(260), 1_000, 4_095, 4_096, 100_000]:
        message = draw.randbytes(size)
        assert digest(message, kernel) == digest(message) == hashlib.sha256(message).digest(), size


def test_a_form_that_is_not_there_is_refused():
    assert KERNELS[-1] == "portable"
    with pytest.raises(ValueError, match="sha-512"):
        digest(b"", "sha-512")
