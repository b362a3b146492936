"""Keys stay hidden and are overwritten: in text forms, in copies, when wiped and when the object goes."""

from __future__ import annotations

import copy
import ctypes
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cardcore.crypto import CryptoError, InvalidCryptoInput, InvalidKey, Key, wipe
from cardcore.crypto.cipher import check_value, encrypt_ecb

SECRET = bytes(range(0xA0, 0xB0))


def test_text_forms_show_the_check_value_only():
    key = Key("aes", SECRET)
    for text in (repr(key), str(key), f"{key}", f"{key!r}", "%s" % key, repr([key]), repr({"key": key})):  # noqa: UP031
        assert key.check_value.hex().upper() in text
        for octet in range(len(SECRET) - 3):
            assert SECRET[octet : octet + 4].hex() not in text.lower()


def test_no_copies():
    key: Any = Key("aes", SECRET)
    for attempt in (bytes, memoryview, copy.copy, copy.deepcopy, pickle.dumps, hash):
        with pytest.raises(TypeError):
            attempt(key)


@pytest.mark.parametrize(("algorithm", "sizes"), [("des", {8}), ("tdes", {16, 24}), ("aes", {16, 24, 32}), ("sm4", {16})])
def test_lengths(algorithm, sizes):
    for size in range(41):
        if size in sizes:
            assert len(Key(algorithm, bytes(size))) == size
        else:
            with pytest.raises(InvalidKey):
                Key(algorithm, bytes(size))


def test_unknown_algorithms_are_refused():
    with pytest.raises(InvalidKey):
        Key("rot13", bytes(16))
    with pytest.raises(TypeError):
        Key("aes", "00112233445566778899AABBCCDDEEFF")  # type: ignore[arg-type]


def test_equality_is_of_content_and_algorithm():
    assert Key("aes", SECRET) == Key("aes", bytearray(SECRET))
    assert Key("aes", SECRET) != Key("sm4", SECRET)
    for bit in range(128):
        bent = bytearray(SECRET)
        bent[bit // 8] ^= 1 << bit % 8
        assert Key("aes", SECRET) != Key("aes", bent)
    assert Key("aes", SECRET) != SECRET


def test_a_wiped_key_is_useless():
    key = Key("aes", SECRET)
    key.wipe()
    assert len(key) == 0
    assert repr(key) == "Key(aes, wiped)"
    assert key == key
    assert key != Key("aes", bytes(16))
    with pytest.raises(InvalidKey):
        encrypt_ecb(key, bytes(16))
    with pytest.raises(InvalidKey):
        key.lend().__enter__()


def test_what_is_lent_or_taken_is_overwritten():
    key = Key("aes", SECRET)
    with key.lend() as octets:
        assert octets == SECRET
    assert octets == bytes(16)
    source = bytearray(SECRET)
    assert Key.take("aes", source) == key
    assert source == bytes(16)
    bad = bytearray(b"\x01" * 15)
    with pytest.raises(InvalidKey):
        Key.take("aes", bad)
    assert bad == bytes(15)


def remains(make: Callable[[], object], size: int) -> int:
    """How many of 64 freed objects still show the secret in the memory they had. The allocator reuses some at once, not all."""
    objects = [make() for _ in range(64)]
    addresses = [id(item) for item in objects]
    assert all(SECRET in ctypes.string_at(address, size) for address in addresses)
    seen = ctypes.create_string_buffer(64 * size)
    objects.clear()
    for i, address in enumerate(addresses):
        ctypes.memmove(ctypes.byref(seen, i * size), address, size)
    return sum(SECRET[8:] in seen.raw[i * size : (i + 1) * size] for i in range(64))


def test_the_memory_of_a_dead_key_holds_nothing():
    before = bytearray(16)
    assert remains(lambda: bytes(before) + SECRET, 80) > 0, "the method sees what is not overwritten"
    assert remains(lambda: Key("aes", SECRET), Key.__basicsize__) == 0


def test_fold():
    folded = Key("tdes", bytes(range(8)) + b"\xff" * 8).fold()
    with folded.lend() as octets:
        assert octets == bytes(0xFF - i for i in range(8))
    assert folded.algorithm == "des"
    for key in (Key("aes", bytes(16)), Key("tdes", bytes(24)), Key("des", bytes(8))):
        with pytest.raises(InvalidKey):
            key.fold()


def test_check_values():
    # Published: TDES and DES of a zero block; AES with key 00: E(0) = 66E94B..., CMAC of a zero block = 763CBCDE81 (X9.24-1:2017).
    assert check_value(Key("aes", bytes(16)), "zeros").hex() == "66e94b"
    assert check_value(Key("aes", bytes(16))).hex() == "763cbcde81"
    assert check_value(Key("des", bytes(8))).hex() == "8ca64d"
    assert check_value(Key("tdes", bytes(16))) == check_value(Key("des", bytes(8)))
    key = Key("aes", bytes(range(0x40, 0x50)))  # the GlobalPlatform test key
    assert check_value(key, "ones").hex() == "504a77"
    with pytest.raises(InvalidCryptoInput):
        check_value(key, "md5")


def test_wipe_takes_arrays():
    array = np.full((3, 16), 7, np.uint8)
    wipe(array)
    assert not array.any()
    wipe(bytearray())


def test_codes_are_stable():
    codes = {error.__name__: error.code for error in CryptoError.__subclasses__()}
    assert codes == {
        "InvalidMac": "invalid_mac",
        "InvalidKey": "invalid_key",
        "InvalidCryptoInput": "invalid_crypto_input",
        "BackendUnavailable": "backend_unavailable",
        "SelfTestFailed": "crypto_self_test_failed",
    }
