"""Ciphers, CMAC and ISO 9797-1 MACs, one item at a time, against the published vectors and two other libraries."""

from __future__ import annotations

import random

import Crypto.Cipher.AES
import Crypto.Cipher.DES3
import Crypto.Hash.CMAC
import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from cardcore.crypto import InvalidCryptoInput, InvalidKey, InvalidMac, Key
from cardcore.crypto.cipher import decrypt_cbc, decrypt_ecb, encrypt_cbc, encrypt_ecb
from cardcore.crypto.mac import cmac, cmac_sub_keys, mac_algorithm1, mac_algorithm3, odd_octets, verify_cmac
from cardcore.crypto.padding import pad_bit, pad_zeros, unpad_bit
from tests.crypto.vectors import cases, octets


def tdes_key(text: str) -> Key:
    return Key("des" if len(text) == 16 else "tdes", octets(text))


@pytest.mark.parametrize("vector", cases("block_ciphers", "aes_ecb_encrypt", "des_ecb_encrypt", "tdes_ecb_encrypt"))
def test_block(vector):
    key = Key(vector["kind"].split("_")[0], octets(vector["input"]["key"]))
    plain, sealed = octets(vector["input"]["plaintext"]), octets(vector["expected"]["ciphertext"])
    assert encrypt_ecb(key, plain) == sealed
    assert decrypt_ecb(key, sealed) == plain


@pytest.mark.parametrize("vector", cases("sm4", "sm4_ecb_encrypt"))
def test_sm4_block(vector):
    key, plain = Key("sm4", octets(vector["input"]["key"])), octets(vector["input"]["plaintext"])
    assert encrypt_ecb(key, plain) == octets(vector["expected"]["ciphertext"])
    assert decrypt_ecb(key, octets(vector["expected"]["ciphertext"])) == plain


@pytest.mark.parametrize("vector", cases("sm4", "sm4_iterated"))
def test_sm4_a_million_times(vector):
    # CBC over zero blocks encrypts the vector again and again.
    given = vector["input"]
    chained = encrypt_cbc(Key("sm4", octets(given["key"])), bytes(16 * given["iterations"]), octets(given["plaintext"]))
    assert chained[-16:] == octets(vector["expected"]["ciphertext"])


@pytest.mark.parametrize("vector", cases("sm4", "sm4_cbc_mac"))
def test_sm4_mac(vector):
    mac = mac_algorithm1(Key("sm4", octets(vector["input"]["key"])), octets(vector["input"]["message"]))
    assert mac == octets(vector["expected"]["mac"])
    assert mac[:4] == octets(vector["expected"]["mac4"])


@pytest.mark.parametrize("vector", cases("aes_cmac", "aes_cmac"))
def test_aes_cmac(vector):
    key, message = Key("aes", octets(vector["input"]["key"])), octets(vector["input"]["message"])
    tag = cmac(key, message)
    assert tag == octets(vector["expected"]["tag"])
    assert odd_octets(tag) == octets(vector["expected"]["trunc_ev2"])
    assert tag[:8] == octets(vector["expected"]["trunc_ev1"])
    verify_cmac(key, message, tag)


@pytest.mark.parametrize("vector", cases("aes_cmac", "aes_cmac_subkeys"))
def test_aes_cmac_sub_keys(vector):
    key = Key("aes", octets(vector["input"]["key"]))
    assert encrypt_ecb(key, bytes(16)) == octets(vector["expected"]["L"])
    first, second = cmac_sub_keys(key)
    assert bytes(first) == octets(vector["expected"]["k1"])
    assert bytes(second) == octets(vector["expected"]["k2"])


@pytest.mark.parametrize("vector", cases("tdes_cmac", "tdes_cmac"))
def test_tdes_cmac(vector):
    assert cmac(tdes_key(vector["input"]["key"]), octets(vector["input"]["message"])) == octets(vector["expected"]["tag"])


@pytest.mark.parametrize("vector", cases("iso9797_mac", "retail_mac_alg3", "des_cbc_mac_alg1", "tdes_cbc_mac_alg1"))
def test_iso9797(vector):
    given = vector["input"]
    algorithm = mac_algorithm3 if vector["kind"] == "retail_mac_alg3" else mac_algorithm1
    mac = algorithm(tdes_key(given["key"]), octets(given["message"]), given["padding"])
    assert mac == octets(vector["expected"]["mac"])
    assert mac[:4] == octets(vector["expected"]["mac4"])


def test_cmac_agrees_with_two_other_libraries():
    draw = random.Random(4493)
    for length in range(70):
        message, key = draw.randbytes(length), draw.randbytes(draw.choice((16, 24, 32)))
        theirs = CMAC(AES(key))
        theirs.update(message)
        assert cmac(Key("aes", key), message) == theirs.finalize()
        assert cmac(Key("aes", key), message) == Crypto.Hash.CMAC.new(key, message, ciphermod=Crypto.Cipher.AES).digest()
        wide = draw.randbytes(24)
        assert cmac(Key("tdes", wide), message) == Crypto.Hash.CMAC.new(wide, message, ciphermod=Crypto.Cipher.DES3).digest()


@pytest.mark.parametrize(("algorithm", "size"), [("des", 8), ("tdes", 16), ("tdes", 24), ("aes", 16), ("aes", 32), ("sm4", 16)])
def test_cbc_there_and_back(algorithm, size):
    draw = random.Random(size)
    key, block = Key(algorithm, draw.randbytes(size)), 16 if algorithm in ("aes", "sm4") else 8
    for blocks in (1, 2, 5):
        plain, vector = draw.randbytes(blocks * block), draw.randbytes(block)
        sealed = encrypt_cbc(key, plain, vector)
        assert sealed != plain
        assert decrypt_cbc(key, sealed, vector) == plain
        assert encrypt_cbc(key, plain) != sealed  # the vector matters


@pytest.mark.parametrize("wrong", [b"", b"\x00", bytes(7), bytes(16), bytes(15)])
def test_a_wrong_mac_is_refused_whatever_its_length(wrong):
    with pytest.raises(InvalidMac):
        verify_cmac(Key("aes", bytes(16)), b"ticket", wrong)


def test_every_single_bit_of_a_mac_counts():
    key = Key("aes", bytes(range(16)))
    tag = cmac(key, b"ticket")
    for bit in range(128):
        bent = bytearray(tag)
        bent[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidMac) as caught:
            verify_cmac(key, b"ticket", bytes(bent))
        assert tag.hex() not in repr(caught.value)


def test_part_blocks_and_wrong_vectors_are_refused():
    key = Key("aes", bytes(16))
    for call in (encrypt_ecb, decrypt_ecb, encrypt_cbc, decrypt_cbc):
        with pytest.raises(InvalidCryptoInput):
            call(key, bytes(17))
    with pytest.raises(InvalidCryptoInput):
        encrypt_cbc(key, bytes(16), bytes(8))
    with pytest.raises(InvalidCryptoInput):
        mac_algorithm1(key, b"", padding=3)
    for wrong in (Key("tdes", bytes(24)), Key("des", bytes(8)), Key("aes", bytes(16))):
        with pytest.raises(InvalidKey):
            mac_algorithm3(wrong, b"")


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 15, 16, 17])
def test_paddings(length):
    message = bytes(range(1, length + 1))
    bit, zeros = pad_bit(message, 8), pad_zeros(message, 8)
    assert unpad_bit(bit) == message
    assert len(bit) == (length // 8 + 1) * 8
    assert len(zeros) == max(8, -(-length // 8) * 8)
    assert zeros[:length] == message
    assert not any(zeros[length:])


@pytest.mark.parametrize("damaged", [b"", bytes(8), b"\x81" + bytes(7), b"\x80" + bytes(6) + b"\x01"])
def test_damaged_padding_is_refused(damaged):
    with pytest.raises(InvalidCryptoInput):
        unpad_bit(damaged)
