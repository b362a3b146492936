"""DESFire channels and transaction MACs against the values of NXP's application notes and public tools, step by step.

The card's side of each handshake is played here with the bare cipher, so a mistake shared by both sides would show in the vectors.
"""

from __future__ import annotations

import pytest

from cardcore.crypto import InvalidCryptoInput, InvalidKey, InvalidMac, Key, desfire_ev1, desfire_ev2, tmac
from cardcore.crypto.cipher import encrypt_cbc
from tests.crypto.test_diversify import reveal
from tests.crypto.vectors import cases, octets


@pytest.mark.parametrize("vector", cases("desfire_ev1", "crc"))
def test_crc(vector):
    data = octets(vector["input"]["data"])
    assert desfire_ev1.crc16(data) == octets(vector["expected"]["crc16"])
    assert desfire_ev1.crc32(data) == octets(vector["expected"]["crc32"])


@pytest.mark.parametrize("vector", cases("desfire_ev1", "ev1_auth_aes"))
def test_ev1_handshake(vector):
    given, expected = {k: octets(v) for k, v in vector["input"].items()}, {k: octets(v) for k, v in vector["expected"].items()}
    key = Key("aes", given["key"])
    assert encrypt_cbc(key, given["rndb"]) == expected["card_response1"]
    half = desfire_ev1.start(key, given["rnda"], expected["card_response1"])
    assert half.random_card == given["rndb"]
    assert half.answer == expected["pcd_command2"]
    session = desfire_ev1.finish(half, expected["card_response2"])
    assert reveal(session.key) == expected["session_key"]
    assert session.vector == bytes(16)
    for proof in (expected["card_response1"], expected["card_response2"][:-1], b""):
        with pytest.raises(InvalidMac):
            desfire_ev1.finish(half, proof)


@pytest.mark.parametrize("vector", cases("desfire_ev1", "ev1_cmac_chain"))
def test_ev1_running_vector(vector):
    given, expected = vector["input"], vector["expected"]
    session = desfire_ev1.Session(Key("aes", octets(given["session_key"])), octets(given["iv"]))
    session.mac_command(octets(given["command"]))
    assert session.vector == octets(expected["iv_after_command"])
    data, status, mac = octets(given["response_data"]), int(given["status"], 16), octets(expected["response_mac"])
    with pytest.raises(InvalidMac):
        session.verify_answer(data, status ^ 1, mac)
    session.verify_answer(data, status, mac)
    assert session.vector == octets(expected["iv_after_response"])


@pytest.mark.parametrize("vector", cases("desfire_ev1", "ev1_full_credit"))
def test_ev1_full_credit(vector):
    given, expected = vector["input"], vector["expected"]
    key = Key("aes", octets(given["session_key"]))
    session = desfire_ev1.Session(key, octets(given["iv"]))
    header, amount = octets(given["cmd"] + given["file_no"]), octets(given["amount_le"])
    assert amount + desfire_ev1.crc32(header + amount) + bytes(8) == octets(expected["plain_padded"])
    assert session.encipher_command(header, amount) == octets(expected["encrypted"])
    assert session.vector == octets(expected["encrypted"])[-16:]


def test_ev1_full_answer_is_checked_by_its_crc():
    key, data = Key("aes", bytes(range(16))), b"\x39\x30\x00\x00"
    sealed = bytes(encrypt_cbc(key, data + desfire_ev1.crc32(data + b"\x00") + bytes(8)))
    assert desfire_ev1.Session(key).decipher_answer(sealed, 4, 0) == data
    wrong = ((sealed, 4, 1), (sealed, 5, 0), (sealed[:-1], 4, 0), (sealed + sealed, 4, 0), (b"", 4, 0), (sealed, -4, 0))
    for bent, length, status in wrong:
        with pytest.raises(InvalidMac):
            desfire_ev1.Session(key).decipher_answer(bent, length, status)


@pytest.mark.parametrize("vector", cases("desfire_ev2_auth_sm", "ev2_session_keys"))
def test_ev2_session_keys(vector):
    given, expected = {k: octets(v) for k, v in vector["input"].items()}, {k: octets(v) for k, v in vector["expected"].items()}
    assert desfire_ev2.session_vectors(given["rnda"], given["rndb"]) == (expected["sv1"], expected["sv2"])
    encipher, authenticate = desfire_ev2.session_keys(Key("aes", given["key"]), given["rnda"], given["rndb"])
    assert (reveal(encipher), reveal(authenticate)) == (expected["ses_auth_enc_key"], expected["ses_auth_mac_key"])


@pytest.mark.parametrize("vector", cases("desfire_ev2_auth_sm", "ev2_first_handshake"))
def test_ev2_handshake(vector):
    given, expected = {k: octets(v) for k, v in vector["input"].items()}, {k: octets(v) for k, v in vector["expected"].items()}
    half = desfire_ev2.start(Key("aes", given["key"]), given["rnda"], given["card_response1"])
    assert half.random_card == expected["rndb"]
    assert half.answer == expected["pcd_command2_data"]
    session = desfire_ev2.finish_first(half, expected["card_response2"])
    assert (session.transaction, session.counter) == (expected["ti"], 0)
    assert (session.card_capabilities, session.terminal_capabilities) == (expected["pdcap2"], expected["pcdcap2"])
    assert reveal(session.encipher_key) == expected["ses_auth_enc_key"]
    assert reveal(session.mac_key) == expected["ses_auth_mac_key"]
    for proof in (expected["card_response2"][16:] * 2, expected["card_response2"][:16], b""):
        with pytest.raises(InvalidMac):
            desfire_ev2.finish_first(half, proof)

    # NonFirst with the same randoms: other proof, TI and counter go on.
    session.accepted()
    proof = bytes(encrypt_cbc(half.key, given["rnda"][1:] + given["rnda"][:1]))
    following = desfire_ev2.finish_non_first(half, proof, session)
    assert (following.transaction, following.counter) == (session.transaction, 1)
    with pytest.raises(InvalidMac):
        desfire_ev2.finish_non_first(half, bytes(16), session)


def ev2_session(given: dict) -> desfire_ev2.Session:
    unused = "00" * 16
    encipher, authenticate = (Key("aes", octets(given.get(name, unused))) for name in ("ses_auth_enc_key", "ses_auth_mac_key"))
    return desfire_ev2.Session(encipher, authenticate, octets(given["ti"]), given["cmd_ctr"])


@pytest.mark.parametrize("vector", cases("desfire_ev2_auth_sm", "ev2_iv"))
def test_ev2_vector(vector):
    answer = vector["input"]["direction"] == "response"
    assert ev2_session(vector["input"]).vector(answer=answer) == octets(vector["expected"]["iv"])


@pytest.mark.parametrize("vector", cases("desfire_ev2_auth_sm", "ev2_mac"))
def test_ev2_mac(vector):
    given, mac = vector["input"], octets(vector["expected"]["mact"])
    session, first, data = ev2_session(given), int(given["first_byte"], 16), octets(given["data"])
    if given["direction"] == "command":
        assert session.mac_command(first, data) == mac
        return
    session.verify_answer(first, data, mac)
    session.accepted()  # the same answer one command later is a replay
    with pytest.raises(InvalidMac):
        session.verify_answer(first, data, mac)


@pytest.mark.parametrize("vector", cases("desfire_ev2_auth_sm", "ev2_full_command"))
def test_ev2_full_command(vector):
    given, expected = vector["input"], vector["expected"]
    command, header, data = int(given["cmd"], 16), octets(given["header"]), octets(given["data"])
    sealed = ev2_session(given).seal_command(command, header, data)
    assert sealed == header + octets(expected["encrypted"]) + octets(expected["mact"])
    assert bytes([0x90, command, 0, 0, len(sealed)]) + sealed + b"\x00" == octets(expected["apdu"])


@pytest.mark.parametrize("vector", cases("desfire_ev2_auth_sm", "ev2_full_response"))
def test_ev2_full_answer(vector):
    given = vector["input"]
    session, sealed, mac = ev2_session(given), octets(given["encrypted"]), octets(given["mact"])
    assert session.open_answer(int(given["status"], 16), sealed, mac) == octets(vector["expected"]["plain"])
    with pytest.raises(InvalidMac):
        session.open_answer(int(given["status"], 16) ^ 1, sealed, mac)


def test_ev2_full_answer_with_data():
    session = desfire_ev2.Session(Key("aes", bytes(range(16))), Key("aes", bytes(range(16, 32))), b"\x01\x02\x03\x04", 5)
    plain = b"\x39\x30\x00\x00"
    sealed = bytes(encrypt_cbc(session.encipher_key, plain + b"\x80" + bytes(11), session.vector(answer=True)))
    mac = session.mac_command(0, sealed)  # status 00 in the place of the command
    assert session.open_answer(0, sealed, mac) == plain
    with pytest.raises(InvalidMac):
        session.open_answer(0, sealed[:-1] + bytes([sealed[-1] ^ 1]), mac)


def test_ev2_counter_ends():
    session = desfire_ev2.Session(Key("aes", bytes(16)), Key("aes", bytes(16)), bytes(4), 0xFFFE)
    session.accepted()
    with pytest.raises(InvalidCryptoInput):
        session.accepted()
    session.close()
    with pytest.raises(InvalidKey):
        session.mac_command(0xC7)


@pytest.mark.parametrize("vector", cases("desfire_tmac", "tm_session_keys"))
def test_tmac_session_keys(vector):
    given, expected = vector["input"], vector["expected"]
    key, uid, counter = Key("aes", octets(given["app_tm_key"])), octets(given["uid"]), given["tmc_before"] + 1
    assert counter.to_bytes(4, "little") == octets(expected["tmc_used_le"])
    assert reveal(tmac.mac_session_key(key, counter, uid)) == octets(expected["ses_tm_mac_key"])
    assert reveal(tmac.encipher_session_key(key, counter, uid)) == octets(expected["ses_tm_enc_key"])


def transaction_input(given: dict) -> bytes:
    """The TMI of a vector, operation by operation; checks the reader chain on the way."""
    key, uid, counter = Key("aes", octets(given["app_tm_key"])), octets(given["uid"]), given["tmc_before"] + 1
    built = b""
    for step in given["operations"]:
        if step["op"] == "CommitReaderID":
            session, sealed = tmac.encipher_session_key(key, counter, uid), octets(step["enc_tmri"])
            assert tmac.encipher_reader(session, octets(step["prev_reader_id"])) == sealed
            assert tmac.decipher_reader(session, sealed) == octets(step["prev_reader_id"])
            built += tmac.reader_input(octets(step["reader_id"]), sealed)
        elif "value" in step:
            built += tmac.value_input(int(step["cmd"], 16), step["file_no"], step["value"])
        else:
            built += tmac.data_input(int(step["cmd"], 16), step["file_no"], step["offset"], octets(step["data"]))
    return built


@pytest.mark.parametrize("vector", cases("desfire_tmac", "tmv"))
def test_tmv(vector):
    given, expected = vector["input"], vector["expected"]
    key, uid, counter = Key("aes", octets(given["app_tm_key"])), octets(given["uid"]), given["tmc_before"] + 1
    inputs, presented = transaction_input(given), octets(expected["tmv"])
    assert inputs == octets(expected["tmi"])
    assert counter.to_bytes(4, "little") == octets(expected["tmc_returned_le"])
    session = tmac.mac_session_key(key, counter, uid)
    assert reveal(session) == octets(expected["ses_tm_mac_key"])
    assert tmac.value(session, inputs) == presented
    tmac.verify(key, uid, counter, inputs, presented)
    for bent in ((uid, counter + 1, inputs), (uid[::-1], counter, inputs), (uid, counter, inputs[:-1] + b"\x01")):
        with pytest.raises(InvalidMac):
            tmac.verify(key, *bent, presented)


def test_tmac_bounds():
    key = Key("aes", bytes(16))
    for uid, counter in ((bytes(4), 1), (bytes(7), 0), (bytes(7), 1 << 32)):
        with pytest.raises(InvalidCryptoInput):
            tmac.mac_session_key(key, counter, uid)
    with pytest.raises(InvalidKey):
        tmac.mac_session_key(Key("aes", bytes(32)), 1, bytes(7))
    with pytest.raises(InvalidCryptoInput):
        tmac.reader_input(bytes(15))
    # Inputs stay whole blocks: nothing read, an unauthenticated reader id, a cleared record file.
    assert tmac.data_input(tmac.READ_DATA, 1, 0, b"") == octets("BD010000000000000000000000000000")
    assert len(tmac.reader_input(bytes(16))) == 32
    assert tmac.clear_input(4) == octets("EB040000000000000000000000000000")
