"""The port over keys in memory: which key is meant at a time, and that what comes out agrees with the simulator.

Expected keys come from the simulator, which shares no code with us.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from cardapi.keys.errors import KeyMisused, KeyNotValid, UnknownKey, UnknownPurpose
from cardapi.keys.known import demo_key, demo_keys, known_from, simulator_name
from cardapi.keys.opened import OpenedKeys
from cardapi.keys.port import ACTIVE, PENDING, RETIRED, KeyInfo, key_id
from cardapi.keys.purposes import PURPOSES
from cardcore.crypto import InvalidCryptoInput, InvalidMac, Key, batch, pboc
from firmware_sim import ciphers, testkeys
from firmware_sim.diversify import diversify as simulator_an10922
from firmware_sim.pboc.suite import Suite

FACTORS = [bytes.fromhex("1000000010000000"), bytes.fromhex("0000000000000001")]
UID = bytes.fromhex("04010203040506")
STORE = demo_keys()


def octets_of(key: Key) -> bytes:
    with key.lend() as lent:
        return bytes(lent)


def test_test_keys_are_the_simulators() -> None:
    known = {simulator_name(purpose) for purpose in PURPOSES}
    assert set(testkeys.PURPOSES) <= known
    for purpose in PURPOSES:
        if simulator_name(purpose) in testkeys.PURPOSES:
            assert bytes(demo_key(purpose, 3)) == testkeys.known_key(simulator_name(purpose), 3)


def test_known_keys_are_named_whatever_their_parity() -> None:
    assert known_from(testkeys.known_key("load", 9)) == "the card simulator"
    assert known_from(bytes(octet ^ 1 for octet in testkeys.known_key("load"))) == "the card simulator"
    assert known_from(bytes.fromhex("11223344556677888877665544332211"))
    assert known_from(bytes.fromhex("8f0f1c1f2bd4a0b9e6ad03e3d2f2a377")) == ""


@pytest.mark.parametrize(("algorithm", "cipher"), [("tdes", "3des"), ("sm4", "sm4")])
def test_purse_keys_agree_with_the_simulator(algorithm: str, cipher: Literal["3des", "sm4"]) -> None:
    ours = STORE.card_key(f"pboc-load-{algorithm}-1", FACTORS)
    theirs = Suite(cipher, "folded").chain(testkeys.known_key("load"), FACTORS)
    assert octets_of(ours) == theirs
    rows = np.tile(np.frombuffer(b"".join(FACTORS), np.uint8), (3, 1))
    assert [row.tobytes() for row in STORE.card_keys(f"pboc-load-{algorithm}-1", rows)] == [theirs] * 3


def test_desfire_keys_agree_with_the_simulator() -> None:
    theirs = simulator_an10922("aes128", testkeys.known_key("desfire-transaction-mac"), UID)
    assert octets_of(STORE.card_key("desfire-tmac-aes-1", [UID])) == theirs
    assert STORE.card_keys("desfire-tmac-aes-1", np.frombuffer(UID, np.uint8)[None]).tobytes() == theirs
    with pytest.raises(InvalidCryptoInput):
        STORE.card_key("desfire-tmac-aes-1", [UID, UID])


def test_a_batch_of_tacs_names_the_forged_one() -> None:
    records = np.zeros(3, batch.TAC_RECORD)
    records["amount"], records["kind"] = [100, 200, 300], pboc.PURCHASE_EP
    suite = Suite("3des", "folded")
    card = suite.chain(testkeys.known_key("tac"), FACTORS[1:])
    tacs = np.array([list(suite.tac(card, record.tobytes())) for record in records], np.uint8)
    tacs[1, 3] ^= 1
    factors = np.tile(np.frombuffer(FACTORS[1], np.uint8), (3, 1))
    assert STORE.verify_tacs("pboc-tac-tdes-1", records, tacs, factors).tolist() == [True, False, True]


def test_usage_is_bound_to_the_key() -> None:
    rows = np.zeros((1, 8), np.uint8)
    with pytest.raises(KeyMisused):
        STORE.verify_tacs("pboc-load-tdes-1", np.zeros(1, batch.TAC_RECORD), np.zeros((1, 4), np.uint8), rows)
    with pytest.raises(KeyMisused):
        STORE.verify_tmacs("desfire-debit-aes-1", rows, rows[:, :7], np.ones(1, np.uint32), np.zeros((1, 16), np.uint8), rows)
    with pytest.raises(KeyMisused):
        STORE.card_key("pboc-transport-tdes-1", FACTORS)
    for master in ("pboc-load-tdes-1", "desfire-tmac-aes-1", "ntag-meta-aes-1"):
        with pytest.raises(KeyMisused):
            STORE.shared_key(master)
    with pytest.raises(KeyMisused):
        STORE.open_picc_data("pboc-transport-tdes-1", bytes(16))
    assert octets_of(STORE.shared_key("pboc-transport-tdes-1")) == testkeys.known_key("transport")


def test_a_tap_is_opened_in_the_store() -> None:
    plain = b"\xc7" + UID + (5).to_bytes(3, "little") + bytes(5)
    enciphered = ciphers.cbc_encrypt("aes", bytes(demo_key("ntag-meta")), bytes(16), plain)
    tap = STORE.open_picc_data("ntag-meta-aes-1", enciphered)
    assert (tap.uid, tap.counter) == (UID, 5)
    with pytest.raises(InvalidMac):
        STORE.open_picc_data("ntag-meta-aes-1", bytes(16))


def some(version: int, state: str, valid_from: int = 0, valid_to: int = 0, algorithm: str = "tdes") -> KeyInfo:
    return KeyInfo(key_id("pboc-load", algorithm, version), "pboc-load", algorithm, version, state, "", valid_from, valid_to, test=True)


def of(*infos: KeyInfo) -> OpenedKeys:
    return OpenedKeys(infos, {info.id: Key.take("tdes", demo_key("pboc-load")) for info in infos})


def test_the_newest_active_key_of_the_time_is_current() -> None:
    store = of(some(1, RETIRED, 0, 100), some(2, ACTIVE, 50, 200), some(3, ACTIVE, 150), some(4, PENDING))
    assert store.current("pboc-load", 149).version == 2
    assert store.current("pboc-load", 150).version == 3
    with pytest.raises(KeyNotValid):
        store.current("pboc-load", 49)  # only the retired one was valid: it is no longer given to cards
    assert store.version("pboc-load", 1, 99).id == "pboc-load-tdes-1"


@pytest.mark.parametrize(("version", "at"), [(1, 100), (2, 49), (2, 200), (4, 60)])
def test_a_record_must_name_a_key_that_was_allowed_then(version: int, at: int) -> None:
    """K6, at the edges: `valid_to` is the first second that is no longer allowed."""
    store = of(some(1, RETIRED, 0, 100), some(2, ACTIVE, 50, 200), some(4, PENDING))
    with pytest.raises(KeyNotValid):
        store.version("pboc-load", version, at)


def test_what_is_not_there_says_so() -> None:
    store = of(some(1, ACTIVE), some(1, ACTIVE, algorithm="sm4"), some(2, PENDING))
    with pytest.raises(UnknownPurpose):
        store.current("pboc-lode", 1)
    with pytest.raises(UnknownKey):
        store.current("pboc-tac", 1)
    with pytest.raises(UnknownKey):
        store.current("pboc-load", 1)  # tdes or sm4?
    assert store.current("pboc-load", 1, "sm4").algorithm == "sm4"
    with pytest.raises(UnknownKey):
        store.version("pboc-load", 9, 1, "tdes")
    with pytest.raises(UnknownKey):
        store.card_key("pboc-load-tdes-9", FACTORS)
    with pytest.raises(KeyNotValid):
        store.card_key("pboc-load-tdes-2", FACTORS)
