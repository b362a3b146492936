"""Goal: the simulator's ciphers and MACs are the published ones. Method: vectors of standards and of public self tests."""

from __future__ import annotations

import pytest

from firmware_sim import ciphers
from firmware_sim.pboc.suite import Suite
from firmware_sim.sm4 import SBOX, SM4
from tests.firmware_sim.support import h, vectors
from tests.support import LONG


@pytest.mark.parametrize(("given", "expected"), vectors("sm4", "sm4_ecb_encrypt"))
def test_sm4_block(given, expected):
    cipher = SM4(h(given["key"]))
    assert cipher.encrypt(h(given["plaintext"])) == h(expected["ciphertext"])
    assert cipher.decrypt(h(expected["ciphertext"])) == h(given["plaintext"])


def test_sm4_box_is_a_permutation():
    assert sorted(SBOX) == list(range(256))


if LONG:  # half a minute; the published value after a million rounds

    @pytest.mark.parametrize(("given", "expected"), vectors("sm4", "sm4_iterated"))
    def test_sm4_a_million_times(given, expected):
        cipher, block = SM4(h(given["key"])), h(given["plaintext"])
        for _ in range(given["iterations"]):
            block = cipher.encrypt(block)
        assert block == h(expected["ciphertext"])


@pytest.mark.parametrize(("given", "expected"), vectors("sm4", "sm4_cbc_mac"))
def test_sm4_cbc_mac(given, expected):
    assert ciphers.cbc_mac("sm4", h(given["key"]), h(given["message"])) == h(expected["mac"])
    assert Suite("sm4").mac(h(given["key"]), h(given["message"])) == h(expected["mac4"])


@pytest.mark.parametrize(("given", "expected"), vectors("sm4", "sm4_diversify"))
def test_sm4_diversification(given, expected):
    assert Suite("sm4").diversify(h(given["master_key"]), h(given["factor"])) == h(expected["sub_key"])


@pytest.mark.parametrize(("given", "expected"), vectors("aes_cmac", "aes_cmac"))
def test_aes_cmac(given, expected):
    assert ciphers.cmac("aes", h(given["key"]), h(given["message"])) == h(expected["tag"])


@pytest.mark.parametrize(("given", "expected"), vectors("tdes_cmac", "tdes_cmac"))
def test_tdes_cmac(given, expected):
    assert ciphers.cmac("des", h(given["key"]), h(given["message"])) == h(expected["tag"])


@pytest.mark.parametrize(("given", "expected"), vectors("iso9797_mac", "retail_mac_alg3"))
def test_retail_mac(given, expected):
    if given["padding"] == 2:
        assert ciphers.retail_mac(h(given["key"]), h(given["message"])) == h(expected["mac"])


@pytest.mark.parametrize(("given", "expected"), vectors("desfire_ev1", "crc"))
def test_checksums(given, expected):
    data = h(given["data"])
    assert (ciphers.crc16(data), ciphers.crc32(data)) == (h(expected["crc16"]), h(expected["crc32"]))


@pytest.mark.parametrize("halves", [(1, 1, 2), (1, 2, 2), (1, 1, 1)])
def test_triple_des_keys_that_fall_back_to_single_des(halves):
    parts = [bytes((n * 16,)) * 8 for n in halves]
    block = b"8 bytes!"
    stepwise = ciphers.encrypt("des", parts[0], block)
    stepwise = ciphers.encrypt("des", parts[2], ciphers.decrypt("des", parts[1], stepwise))
    assert ciphers.encrypt("des", b"".join(parts), block) == stepwise
    assert ciphers.decrypt("des", b"".join(parts), stepwise) == block


@pytest.mark.parametrize("length", [0, 1, 7, 8, 15, 16, 17])
def test_padding_comes_off_again(length):
    data = bytes(range(length))
    assert len(ciphers.pad80(data, 16)) % 16 == 0
    assert ciphers.unpad80(ciphers.pad80(data, 16)) == data
    assert ciphers.unpad80(bytes(16)) is None
