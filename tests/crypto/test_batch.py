"""Every backend against every vector that fits it, and on random input against `cryptography`, one item at a time.

Sizes stand around the number of lanes, where a batch ends inside a vector register.
"""

from __future__ import annotations

import hmac
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from cardcore.crypto import BackendUnavailable, InvalidCryptoInput, InvalidKey, Key, available, batch, kernel, pboc
from cardcore.crypto.diversify import an10922
from cardcore.crypto.diversify import pboc as diversify_one
from tests.crypto.test_desfire import transaction_input
from tests.crypto.test_diversify import AN10922, reveal
from tests.crypto.vectors import cases, octets, read

DES, AES_BACKENDS = available("des"), available("aes")
KERNELS = [("des", name) for name in DES] + [("aes", name) for name in AES_BACKENDS]


def row(data: bytes, items: int = 1) -> np.ndarray:
    return np.repeat(np.frombuffer(data, np.uint8)[None, :], items, axis=0)


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def theirs(family: str, key: bytes):
    return AES(key) if family == "aes" else TripleDES((key * 3)[:24])


def des_mac(key: bytes, padded: bytes) -> bytes:
    """CBC-MAC with `cryptography`."""
    return Cipher(theirs("des", key), modes.CBC(bytes(8))).encryptor().update(padded)[-8:]


def tac_by_cryptography(master: bytes, factors: bytes, record: bytes) -> bytes:
    """A PBOC TAC written down once more, from the definition."""
    key = master
    for at in range(0, len(factors), 8):
        factor = factors[at : at + 8]
        key = Cipher(theirs("des", key), modes.ECB()).encryptor().update(factor + bytes(255 - octet for octet in factor))
    folded = bytes(a ^ b for a, b in zip(key[:8], key[8:], strict=True))
    return des_mac(folded, record + b"\x80" + bytes(-(len(record) + 1) % 8))[:4]


def test_this_machine_tests_more_than_one_backend():
    assert DES[-1] == "portable"
    assert AES_BACKENDS[-1] == "cryptography"
    assert [name for name in DES if name not in ("avx512", "avx2", "portable")] == []


@pytest.mark.parametrize(("family", "backend"), KERNELS)
def test_published_blocks(family, backend):
    kinds = ("aes_ecb_encrypt",) if family == "aes" else ("des_ecb_encrypt", "tdes_ecb_encrypt")
    for vector in (v for v in read("block_ciphers") if v["kind"] in kinds):
        plain, sealed = row(octets(vector["input"]["plaintext"]), 5), row(octets(vector["expected"]["ciphertext"]), 5)
        keys = row(octets(vector["input"]["key"]), 5)
        one = Key("aes" if family == "aes" else "des" if keys.shape[1] == 8 else "tdes", keys[0].tobytes())
        for given in (keys, one):
            cipher = None if given is one else one.algorithm
            assert (batch.crypt_batch(given, plain, cipher=cipher, backend=backend) == sealed).all()
            assert (batch.crypt_batch(given, sealed, decrypt=True, cipher=cipher, backend=backend) == plain).all()


@pytest.mark.parametrize(("family", "backend"), KERNELS)
def test_published_cmacs(family, backend):
    for vector in (v for v in read(f"{'aes' if family == 'aes' else 'tdes'}_cmac") if "message" in v["input"]):
        texts = vector["input"]["key"], vector["input"]["message"], vector["expected"]["tag"]
        keys, message, tag = (row(octets(text), 9) for text in texts)
        cipher = "aes" if family == "aes" else "tdes"
        assert (batch.cmac_batch(keys, message, cipher=cipher, backend=backend) == tag).all(), vector["id"]
        assert batch.verify_cmacs(keys, message, tag[:, :4].copy(), cipher=cipher, backend=backend).all()
        if "trunc_ev2" in vector["expected"]:
            presented = row(octets(vector["expected"]["trunc_ev2"]), 9)
            assert batch.verify_cmacs(keys, message, presented, odd=True, cipher=cipher, backend=backend).all()


@pytest.mark.parametrize("backend", DES)
def test_published_iso9797(backend):
    for vector in read("iso9797_mac"):
        given = vector["input"]
        macs = batch.mac_batch(
            row(octets(given["key"]), 3), row(octets(given["message"]), 3), cipher="tdes", padding=given["padding"],
            algorithm=3 if vector["kind"] == "retail_mac_alg3" else 1, backend=backend,
        )  # fmt: skip
        assert (macs == row(octets(vector["expected"]["mac"]), 3)).all(), vector["id"]


@pytest.mark.parametrize("vector", AN10922)
def test_published_an10922(vector):
    tdea = vector["kind"].endswith("tdea")
    master = Key("tdes" if tdea else "aes", octets(vector["input"]["master_key"]))
    for backend in DES if tdea else AES_BACKENDS:
        derived = batch.diversify_an10922_batch(master, row(octets(vector["input"]["diversification_input"]), 4), backend=backend)
        assert (derived == row(octets(vector["expected"]["diversified_key"]), 4)).all(), backend


@pytest.mark.parametrize("backend", DES)
def test_published_pboc_diversification(backend):
    for param in cases("pboc_epurse", "pboc_diversify"):
        given, expected = param.values[0]["input"], param.values[0]["expected"]
        master, factor = Key("tdes", octets(given["master_key"])), given["factor"]
        assert (batch.diversify_pboc_batch(master, row(octets(factor)), backend=backend) == row(octets(expected["sub_key"]))).all()
        if "factor_level2" in given:
            both = row(octets(factor + given["factor_level2"]))
            assert (batch.diversify_pboc_batch(master, both, backend=backend) == row(octets(expected["sub_key_level2"]))).all()


@pytest.mark.parametrize("backend", DES)
def test_settlement_file(backend):
    (vector,) = (v for v in read("pboc_epurse") if v["kind"] == "pboc_tac_batch")
    given = vector["input"]["records"]
    records = np.zeros(len(given), batch.TAC_RECORD)
    records["amount"] = [r["amount"] for r in given]
    records["kind"] = [int(r["type"], 16) for r in given]
    records["terminal_number"] = [int(r["terminal_sn"], 16) for r in given]
    for name, source in (("terminal", "terminal_id"), ("date", "datetime_bcd"), ("time", "datetime_bcd")):
        part = {"terminal": slice(0, 6), "date": slice(0, 4), "time": slice(4, 7)}[name]
        records[name] = [list(octets(r[source])[part]) for r in given]
    factors = np.array([list(octets(r["app_serial"])) for r in given], np.uint8)
    tacs = np.array([list(octets(r["tac"])) for r in given], np.uint8)
    master = Key("tdes", octets(vector["input"]["tac_master_key"]))
    assert batch.verify_tacs(master, records, tacs, factors=factors, backend=backend).tolist() == vector["expected"]["tac_valid"]
    keys = batch.diversify_pboc_batch(master, factors, backend=backend)
    assert batch.verify_tacs(keys, records, tacs, backend=backend).tolist() == vector["expected"]["tac_valid"]


@pytest.mark.parametrize("backend", AES_BACKENDS)
def test_tmac_file(backend):
    vectors = [v for v in read("desfire_tmac") if v["kind"] == "tmv"]
    built = [transaction_input(v["input"]) for v in vectors]
    lengths = np.array([len(tmi) for tmi in built])
    inputs = np.zeros((len(vectors), lengths.max()), np.uint8)
    for i, tmi in enumerate(built):
        inputs[i, : len(tmi)] = list(tmi)
    keys, uids = (np.array([list(octets(v["input"][n])) for v in vectors], np.uint8) for n in ("app_tm_key", "uid"))
    counters = np.array([v["input"]["tmc_before"] + 1 for v in vectors], np.uint32)
    tmvs = np.array([list(octets(v["expected"]["tmv"])) for v in vectors], np.uint8)
    assert batch.verify_tmacs(keys, uids, counters, inputs, tmvs, lengths=lengths, backend=backend).all()
    for i in range(len(vectors)):  # one bent item spoils itself only
        bent = tmvs.copy()
        bent[i, i % 8] ^= 0x40
        verdicts = batch.verify_tmacs(keys, uids, counters, inputs, bent, lengths=lengths, backend=backend)
        assert verdicts.tolist() == [k != i for k in range(len(vectors))]
    assert not batch.verify_tmacs(keys, uids, counters + np.uint32(1), inputs, tmvs, lengths=lengths, backend=backend).any()
    same = batch.verify_tmacs(Key("aes", keys[0].tobytes()), uids[:1], counters[:1], inputs[:1, : lengths[0]], tmvs[:1], backend=backend)
    assert same.all()


def sizes(family: str, backend: str) -> list[int]:
    lanes = kernel.lanes(family, backend) if backend != "cryptography" else 4
    return [0, 1, lanes - 1, lanes, lanes + 1]


@pytest.mark.parametrize(("family", "backend"), KERNELS)
@pytest.mark.parametrize("shared", [True, False])
def test_random_blocks(family, backend, shared):
    block = 16 if family == "aes" else 8
    for octets_of_key in (16, 24, 32) if family == "aes" else (8, 16, 24):
        for items in sizes(family, backend):
            blocks, keys = drawn(items, items, block), drawn(items + 1, max(items, 1), octets_of_key)
            cipher = "aes" if family == "aes" else "des" if octets_of_key == 8 else "tdes"
            given = Key(cipher, keys[0].tobytes()) if shared else keys[:items]
            got = batch.crypt_batch(given, blocks, cipher=None if shared else cipher, backend=backend)
            for i in range(items):
                key = keys[0 if shared else i].tobytes()
                assert got[i].tobytes() == Cipher(theirs(family, key), modes.ECB()).encryptor().update(blocks[i].tobytes())
            assert (batch.crypt_batch(given, got, decrypt=True, cipher=None if shared else cipher, backend=backend) == blocks).all()


@pytest.mark.parametrize(("family", "backend"), KERNELS)
def test_random_cmacs(family, backend):
    draw = random.Random(f"{family}{backend}")
    for length in (0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 200):
        items, size = draw.choice(sizes(family, backend)[1:]), draw.choice((16, 24, 32) if family == "aes" else (16, 24))
        keys, messages = drawn(length, items, size), drawn(length + 1, items, length)
        got = batch.cmac_batch(keys, messages, cipher="aes" if family == "aes" else "tdes", backend=backend)
        for i in range(items):
            expected = CMAC(theirs(family, keys[i].tobytes()))
            expected.update(messages[i].tobytes())
            assert hmac.compare_digest(got[i].tobytes(), expected.finalize())


@pytest.mark.parametrize("backend", DES)
@pytest.mark.parametrize("levels", [0, 1, 2, 3])
def test_random_tacs(backend, levels):
    items = kernel.lanes("des", backend) + 5
    draw = random.Random(levels)
    keys, factors, records = drawn(1, items, 16), drawn(2, items, 8 * levels), drawn(3, items, draw.choice((22, 24, 25)))
    expected = np.array([list(tac_by_cryptography(k.tobytes(), f.tobytes(), r.tobytes())) for k, f, r in zip(keys, factors, records, strict=True)], np.uint8)  # fmt: skip  # noqa: E501
    given = factors if levels else None
    assert batch.verify_tacs(keys, records, expected, factors=given, backend=backend).all()
    bent = expected.copy()
    wrong = np.array([draw.random() < 0.3 for _ in range(items)])
    for i in np.flatnonzero(wrong):
        bent[i, draw.randrange(4)] ^= 1 << draw.randrange(8)
    assert (batch.verify_tacs(keys, records, bent, factors=given, backend=backend) == ~wrong).all()


@pytest.mark.parametrize("backend", DES)
@pytest.mark.parametrize("padding", [1, 2])
def test_random_retail_macs(backend, padding):
    items = kernel.lanes("des", backend) + 1
    for length in (0, 1, 8, 15, 40):
        keys, messages = drawn(length, items, 16), drawn(length + 1, items, length)
        tail = b"\x80" + bytes(-(length + 1) % 8) if padding == 2 else bytes(-length % 8 if length else 8)
        cbc = batch.mac_batch(keys, messages, algorithm=1, padding=padding, cipher="tdes", backend=backend)
        retail = batch.mac_batch(keys, messages, algorithm=3, padding=padding, cipher="tdes", backend=backend)
        for i in range(items):
            key, padded = keys[i].tobytes(), messages[i].tobytes() + tail
            assert cbc[i].tobytes() == des_mac(key, padded)
            last = Cipher(theirs("des", key[8:]), modes.ECB()).decryptor().update(des_mac(key[:8], padded))
            assert retail[i].tobytes() == Cipher(theirs("des", key[:8]), modes.ECB()).encryptor().update(last)


@pytest.mark.parametrize(("algorithm", "size"), [("aes", 16), ("aes", 24), ("aes", 32), ("tdes", 16), ("tdes", 24)])
def test_random_diversification(algorithm, size):
    master = Key(algorithm, drawn(size, size).tobytes())
    for backend in AES_BACKENDS if algorithm == "aes" else DES:
        for length in (1, 7, 15) if algorithm == "tdes" else (1, 15, 16, 30, 31):
            diversifiers = drawn(length, 11, length)
            got = batch.diversify_an10922_batch(master, diversifiers, backend=backend)
            assert [g.tobytes() for g in got] == [reveal(an10922(master, d.tobytes())) for d in diversifiers]


SEAMS = (0, 511, 512, 1023, 1024, 2047, 2048, 4095, 4096, 4999)


@pytest.mark.parametrize("length", [40, 1500])
@pytest.mark.parametrize("shared", [True, False])
def test_big_cmac_batches_run_in_parts(length, shared):
    # More items than one part of the work space holds, and messages long enough to make the parts smaller.
    keys, messages = drawn(8, 5000, 16), drawn(9, 5000, length)
    tags = batch.cmac_batch(Key("aes", keys[0].tobytes()) if shared else keys, messages, cipher="aes")
    for i in SEAMS:
        expected = CMAC(AES(keys[0 if shared else i].tobytes()))
        expected.update(messages[i].tobytes())
        assert tags[i].tobytes() == expected.finalize()


@pytest.mark.parametrize("shared", [True, False])
def test_big_tac_batches_run_in_parts(shared):
    keys, factors, records = drawn(1, 5000, 16), drawn(2, 5000, 16), drawn(3, 5000, 22)
    given = Key("tdes", keys[0].tobytes()) if shared else keys
    derived = batch.diversify_pboc_batch(given, factors)
    tacs = np.zeros((5000, 4), np.uint8)
    for i in SEAMS:
        key = keys[0 if shared else i].tobytes()
        tacs[i] = list(tac_by_cryptography(key, factors[i].tobytes(), records[i].tobytes()))
        levels = [factors[i, :8].tobytes(), factors[i, 8:].tobytes()]
        assert derived[i].tobytes() == reveal(diversify_one(Key("tdes", key), levels))
    verdicts = batch.verify_tacs(given, records, tacs, factors=factors)
    assert np.flatnonzero(verdicts).tolist() == list(SEAMS)


def test_sm4_profile():
    items = 6
    master, records, factors = Key("sm4", bytes(range(16))), drawn(1, items, 22), drawn(2, items, 16)
    tacs = np.empty((items, 4), np.uint8)
    for i in range(items):
        key = diversify_one(master, [factors[i, :8].tobytes(), factors[i, 8:].tobytes()])
        tacs[i] = list(pboc.mac4(pboc.tac_key(pboc.TRANSIT_SM4, key), records[i].tobytes()))
    tacs[3, 0] ^= 1
    verdicts = batch.verify_tacs(master, records, tacs, factors=factors, profile=pboc.TRANSIT_SM4)
    assert verdicts.tolist() == [True, True, True, False, True, True]
    with pytest.raises(InvalidKey):
        batch.verify_tacs(master, records, tacs, factors=factors)
    with pytest.raises(InvalidCryptoInput):
        batch.verify_tacs(master, records, tacs[:5], factors=factors, profile=pboc.TRANSIT_SM4)


@pytest.mark.parametrize(("folded", "padding"), [(True, 1), (False, 1), (False, 2)])
def test_profile_options_of_a_tdes_purse(folded, padding):
    profile = pboc.Profile("a scheme", "tdes", tac_folded=folded, challenge_octets=4, mac_padding=padding)
    master, records, factors = Key("tdes", bytes(range(16))), drawn(1, 5, 22), drawn(2, 5, 8)
    tacs = np.empty((5, 4), np.uint8)
    for i in range(5):
        key = pboc.tac_key(profile, diversify_one(master, [factors[i].tobytes()]))
        tacs[i] = list(pboc.mac4(key, records[i].tobytes(), profile))
    for backend in DES:
        assert batch.verify_tacs(master, records, tacs, factors=factors, profile=profile, backend=backend).all()
        assert not batch.verify_tacs(master, records, tacs, factors=factors, backend=backend).any()


def test_threads_share_nothing():
    # The GIL is released in the kernels: batches that run at the same time must not touch each other.
    inputs = [(drawn(seed, 700, 16), drawn(seed + 50, 700, 40)) for seed in range(8)]

    def both(pair: tuple[np.ndarray, np.ndarray]) -> bytes:
        return batch.cmac_batch(*pair, cipher="aes").tobytes() + batch.mac_batch(*pair, cipher="tdes").tobytes()

    alone = [both(pair) for pair in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            assert list(pool.map(both, inputs)) == alone


def test_unknown_backends_are_refused_not_replaced():
    for family, name in (("des", "aesni"), ("des", "cryptography"), ("aes", "avx2"), ("aes", "")):
        call = batch.crypt_batch
        with pytest.raises(BackendUnavailable):
            call(Key("aes" if family == "aes" else "tdes", bytes(16)), np.zeros((1, 16 if family == "aes" else 8), np.uint8), backend=name)


KEY = Key("tdes", bytes(16))
ROWS = np.zeros((3, 22), np.uint8)
TACS = np.zeros((3, 4), np.uint8)


@pytest.mark.parametrize(
    "call",
    [
        lambda: batch.verify_tacs(KEY, ROWS, TACS[:2]),
        lambda: batch.verify_tacs(KEY, ROWS, TACS[:, :3]),
        lambda: batch.verify_tacs(KEY, ROWS.astype(np.int64), TACS),
        lambda: batch.verify_tacs(KEY, ROWS[0], TACS),
        lambda: batch.verify_tacs(KEY, ROWS, TACS, factors=np.zeros((3, 7), np.uint8)),
        lambda: batch.verify_tacs(KEY, ROWS, TACS, factors=np.zeros((3, 72), np.uint8)),
        lambda: batch.verify_tacs(KEY, ROWS, TACS, factors=np.zeros((2, 8), np.uint8)),
        lambda: batch.verify_tacs(Key("tdes", bytes(24)), ROWS, TACS),
        lambda: batch.verify_tacs(np.zeros((2, 16), np.uint8), ROWS, TACS),
        lambda: batch.verify_tacs(np.zeros((3, 15), np.uint8), ROWS, TACS),
        lambda: batch.cmac_batch(np.zeros((3, 16), np.uint8), ROWS),
        lambda: batch.cmac_batch(Key("sm4", bytes(16)), ROWS),
        lambda: batch.cmac_batch(KEY, np.zeros((3, (1 << 16) + 1), np.uint8)),
        lambda: batch.mac_batch(KEY, ROWS, algorithm=2),
        lambda: batch.mac_batch(KEY, ROWS, padding=3),
        lambda: batch.mac_batch(Key("des", bytes(8)), ROWS, algorithm=3),
        lambda: batch.mac_batch(Key("aes", bytes(16)), ROWS),
        lambda: batch.crypt_batch(KEY, ROWS),
        lambda: batch.diversify_an10922_batch(KEY, np.zeros((3, 16), np.uint8)),
        lambda: batch.diversify_an10922_batch(Key("aes", bytes(16)), np.zeros((3, 32), np.uint8)),
        lambda: batch.diversify_an10922_batch(Key("des", bytes(8)), ROWS),
        lambda: batch.verify_cmacs(Key("aes", bytes(16)), ROWS, np.zeros((3, 3), np.uint8)),
        lambda: batch.verify_cmacs(Key("aes", bytes(16)), ROWS, np.zeros((3, 17), np.uint8)),
        lambda: batch.verify_cmacs(Key("aes", bytes(16)), ROWS, np.zeros((3, 9), np.uint8), odd=True),
        lambda: batch.verify_cmacs(Key("aes", bytes(16)), ROWS, np.zeros((3, 9), np.uint8), odd=True, backend="cryptography"),
    ],
)
def test_wrong_shapes_are_refused(call):
    with pytest.raises((InvalidCryptoInput, InvalidKey)):
        call()


def test_read_only_and_mapped_arrays_are_taken(tmp_path):
    keys, messages = drawn(1, 9, 16), drawn(2, 9, 40)
    expected = batch.cmac_batch(keys, messages, cipher="aes")
    messages.tofile(tmp_path / "messages")
    mapped = np.memmap(tmp_path / "messages", np.uint8, "r", shape=(9, 40))
    frozen = np.frombuffer(keys.tobytes(), np.uint8).reshape(9, 16)
    assert (batch.cmac_batch(frozen, mapped, cipher="aes") == expected).all()


def test_strided_arrays_are_read_rightly():
    wide = drawn(3, 40, 64)
    keys, messages = wide[::2, 3:19], wide[::2, 20:40]
    assert (batch.cmac_batch(keys, messages, cipher="aes") == batch.cmac_batch(keys.copy(), messages.copy(), cipher="aes")).all()
