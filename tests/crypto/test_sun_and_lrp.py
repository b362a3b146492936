"""NTAG 424 DNA messages against AN12196 and three public test suites; LRP against AN12304."""

from __future__ import annotations

import pytest

from cardcore.crypto import InvalidCryptoInput, InvalidMac, Key, sun
from cardcore.crypto.lrp import Lrp
from tests.crypto.test_diversify import reveal
from tests.crypto.vectors import cases, octets


@pytest.mark.parametrize("vector", cases("ntag424_sdm", "sdm_session_keys"))
def test_sdm_session_keys(vector):
    given, expected = vector["input"], vector["expected"]
    counter = int.from_bytes(octets(given["read_ctr_le"]), "little")
    encipher, authenticate = sun.session_keys(Key("aes", octets(given["sdm_file_read_key"])), octets(given["uid"]), counter)
    assert reveal(encipher) == octets(expected["ses_sdm_file_read_enc"])
    assert reveal(authenticate) == octets(expected["ses_sdm_file_read_mac"])


@pytest.mark.parametrize("vector", cases("ntag424_sdm", "sdm_sun"))
def test_sun(vector):
    given, expected = vector["input"], vector["expected"]
    meta, file_key = Key("aes", octets(given["sdm_meta_read_key"])), Key("aes", octets(given["sdm_file_read_key"]))
    tap = sun.open_picc_data(meta, octets(given["picc_enc_data"]))
    assert tap == sun.Tap(int(expected["picc_data_tag"], 16), octets(expected["uid"]), expected["read_ctr"])
    text, mac = given["mac_input_ascii"].encode("ascii"), octets(expected["sdmmac"])
    assert sun.sun_mac(file_key, tap.uid, tap.counter, text) == mac
    sun.verify(file_key, tap, text, mac)
    for bent_tap, bent_text in ((sun.Tap(tap.tag, tap.uid, tap.counter + 1), text), (tap, text + b"x")):
        with pytest.raises(InvalidMac):
            sun.verify(file_key, bent_tap, bent_text, mac)
    if "file_data" in expected:
        assert sun.open_file_data(file_key, tap, octets(given["sdm_enc_file_data"])) == octets(expected["file_data"])


@pytest.mark.parametrize("vector", cases("ntag424_sdm", "sdm_plain_mirror"))
def test_plain_mirror(vector):
    given = vector["input"]
    tap = sun.plain_tap(given["uid"], given["read_ctr_url"])
    assert tap.counter == 6
    sun.verify(Key("aes", octets(given["sdm_file_read_key"])), tap, given["mac_input_ascii"].encode(), octets(vector["expected"]["sdmmac"]))


def test_what_is_no_picc_data_is_refused():
    key = Key("aes", bytes(range(16)))
    with pytest.raises(InvalidMac):  # deciphers to noise: the tag byte does not fit
        sun.open_picc_data(key, octets("EF963FF7828658A599F3041510671E88"))
    with pytest.raises(InvalidCryptoInput):
        sun.open_picc_data(key, bytes(15))
    for uid, counter in (("04", "000001"), ("041E3C8A2D6B80", "0001"), ("x" * 14, "000001")):
        with pytest.raises(InvalidCryptoInput):
            sun.plain_tap(uid, counter)
    with pytest.raises(InvalidCryptoInput):
        sun.session_keys(key, bytes(7), 1 << 24)


@pytest.mark.parametrize("vector", cases("lrp", "lrp_tables"))
def test_lrp_tables(vector):
    tables = Lrp(Key("aes", octets(vector["input"]["key"])), updated_keys=3)
    assert [p.hex().upper() for p in tables.plaintexts] == vector["expected"]["plaintexts"]
    assert [k.hex().upper() for k in tables.updated] == vector["expected"]["updated_keys"]
    tables.wipe()
    assert not any(map(any, (*tables.plaintexts, *tables.updated)))


@pytest.mark.parametrize("vector", cases("lrp", "lrp_eval"))
def test_lrp_eval(vector):
    given = vector["input"]
    tables = Lrp(Key("aes", octets(given["key"])))
    y = tables.evaluate(given["updated_key"], [int(nibble, 16) for nibble in given["nibbles"]], final=given["final"])
    assert y == octets(vector["expected"]["y"])


@pytest.mark.parametrize("vector", cases("lrp", "lrp_cmac"))
def test_lrp_cmac(vector):
    tables, message = Lrp(Key("aes", octets(vector["input"]["key"]))), octets(vector["input"]["message"])
    assert tables.sub_keys() == (octets(vector["expected"]["sub_key1"]), octets(vector["expected"]["sub_key2"]))
    tables.verify_cmac(message, octets(vector["expected"]["mac"]))
    with pytest.raises(InvalidMac):
        tables.verify_cmac(message + b"\x00", octets(vector["expected"]["mac"]))


@pytest.mark.parametrize("vector", cases("lrp", "lricb_encrypt"))
def test_lricb(vector):
    given = vector["input"]
    # AN12304, 3.3 enciphers under updated key 0 of a key prepared for encipherment only.
    tables, counter, plain = Lrp(Key("aes", octets(given["key"]))), octets(given["counter"]), octets(given["plaintext"])
    sealed, following = tables.encipher(counter, plain, updated=0, padding=given["padding"])
    assert sealed == octets(vector["expected"]["ciphertext"])
    assert int.from_bytes(following, "big") == (int.from_bytes(counter, "big") + len(sealed) // 16) % (1 << 8 * len(counter))
    assert tables.decipher(counter, sealed, updated=0, padding=given["padding"]) == (plain, following)


def test_lricb_counter_wraps_and_part_blocks_are_refused():
    tables = Lrp(Key("aes", bytes(range(16))))
    assert tables.encipher(b"\xff\xff", bytes(16), padding=False)[1] == b"\x00\x00"
    for data in (b"", bytes(15)):
        with pytest.raises(InvalidCryptoInput):
            tables.encipher(b"\x00", data, padding=False)
