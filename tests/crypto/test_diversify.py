"""Diversification against the examples of AN10922, AN10957 and EMV Book 2, and our own chains of two levels."""

from __future__ import annotations

import pytest

from cardcore.crypto import InvalidCryptoInput, InvalidKey, Key
from cardcore.crypto.diversify import an10922, pboc
from tests.crypto.vectors import cases, octets

AN10922 = cases("an10922_diversification", *(f"an10922_{kind}" for kind in ("aes128", "aes192", "aes256", "2tdea", "3tdea")))


def reveal(key: Key) -> bytes:
    with key.lend() as secret:
        return bytes(secret)


@pytest.mark.parametrize("vector", AN10922)
def test_an10922(vector):
    algorithm = "tdes" if vector["kind"].endswith("tdea") else "aes"
    derived = an10922(Key(algorithm, octets(vector["input"]["master_key"])), octets(vector["input"]["diversification_input"]))
    assert derived.algorithm == algorithm
    assert reveal(derived) == octets(vector["expected"]["diversified_key"])


MOST = [("aes", 16, 31), ("aes", 24, 31), ("aes", 32, 31), ("tdes", 16, 15), ("tdes", 24, 15)]


@pytest.mark.parametrize(("algorithm", "size", "most"), MOST)
def test_an10922_bounds_its_input(algorithm, size, most):
    master = Key(algorithm, bytes(size))
    an10922(master, bytes(most))
    for length in (0, most + 1):
        with pytest.raises(InvalidCryptoInput):
            an10922(master, bytes(length))


def test_an10922_takes_no_single_des_and_no_sm4():
    for key in (Key("des", bytes(8)), Key("sm4", bytes(16))):
        with pytest.raises(InvalidKey):
            an10922(key, b"\x01")


@pytest.mark.parametrize("vector", cases("pboc_epurse", "pboc_diversify"))
def test_pboc(vector):
    given, expected = vector["input"], vector["expected"]
    master, factor = Key("tdes", octets(given["master_key"])), octets(given["factor"])
    assert reveal(pboc(master, [factor])) == octets(expected["sub_key"])
    if "factor_level2" in given:
        assert reveal(pboc(master, [factor, octets(given["factor_level2"])])) == octets(expected["sub_key_level2"])
    if "sub_key_odd_parity" in expected:
        # EMV then sets parity; DES ignores it, so both keys encrypt alike.
        assert Key("tdes", octets(expected["sub_key_odd_parity"])).check_value == pboc(master, [factor]).check_value


@pytest.mark.parametrize("vector", cases("sm4", "sm4_diversify"))
def test_sm4_diversification(vector):
    derived = pboc(Key("sm4", octets(vector["input"]["master_key"])), [octets(vector["input"]["factor"])])
    assert reveal(derived) == octets(vector["expected"]["sub_key"])


def test_pboc_refuses_other_keys_and_factors():
    for key in (Key("tdes", bytes(24)), Key("des", bytes(8)), Key("aes", bytes(16))):
        with pytest.raises(InvalidKey):
            pboc(key, [bytes(8)])
    for factors in ([], [bytes(7)], [bytes(8), bytes(16)]):
        with pytest.raises(InvalidCryptoInput):
            pboc(Key("tdes", bytes(16)), factors)
