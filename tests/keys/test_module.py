"""Keys in a security module (SoftHSM2): the same answers as keys in the file, and no way to read one out.

Every use is compared with the key store over keys in memory, itself compared with the simulator elsewhere. Two tokens for the whole file,
because a PKCS#11 library is set up once in a process: one with the simulator's keys to use, one that is emptied for each test.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cardapi.cli.root import app
from cardapi.keys import known
from cardapi.keys.errors import KeyFileTampered, KeyMisused, KeyModuleError, KeyNotValid, KeyRefused
from cardapi.keys.keeper import Keeper
from cardapi.keys.keyfile import PRODUCTION, TEST
from cardapi.keys.module import FILE_KEY, Module, ModuleProtector, ModuleVault
from cardapi.keys.purposes import PURPOSES
from cardcore.crypto import InvalidCryptoInput, InvalidMac, batch
from firmware_sim import ciphers
from tests.keys.ceremony import ANN, BOB, FIRST, NOW, SECOND, ListJournal, active, enter, octets_of
from tests.support import needs

needs("softhsm2-util", "softhsm2")
pkcs11 = pytest.importorskip("pkcs11")

PIN, TOKEN, DEMO_TOKEN = "271828", "cardcore-test", "cardcore-demo"
FACTORS = [bytes.fromhex("1000000010000000"), bytes.fromhex("0000000000000001")]
MEMORY = known.demo_keys()


def library() -> Path:
    """Where Debian and others put it."""
    places = [Path("/usr/lib/softhsm"), *Path("/usr/lib").glob("*/softhsm"), Path("/usr/local/lib/softhsm"), Path("/usr/lib64/softhsm")]
    return next(place / "libsofthsm2.so" for place in places if (place / "libsofthsm2.so").exists())


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    for label in (TOKEN, DEMO_TOKEN):
        words = ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "31415926", "--pin", PIN]
        subprocess.run(words, check=True, capture_output=True, timeout=60)
    yield
    os.environ.pop("SOFTHSM2_CONF")


@pytest.fixture(scope="module")
def token(tokens: None) -> Module:
    return Module(library(), TOKEN, PIN)


@pytest.fixture(scope="module")
def demo_module(tokens: None) -> Module:
    return Module(library(), DEMO_TOKEN, PIN)


@pytest.fixture
def module(token: Module) -> Module:
    for thing in list(token._session.get_objects()):
        thing.destroy()
    return token


@pytest.fixture
def journal() -> ListJournal:
    return ListJournal()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "cards.keys"


def made(path: Path, journal: ListJournal, module: Module, mode: str = PRODUCTION) -> Keeper:
    return Keeper.create(
        path, ModuleProtector(module), journal, mode=mode, by=ANN, at=NOW,
        make_vault=lambda records, seal: ModuleVault(records, seal, module),
    )  # fmt: skip


def reopened(path: Path, journal: ListJournal, module: Module) -> Keeper:
    return Keeper.open(path, ModuleProtector(module), journal, make_vault=lambda records, seal: ModuleVault(records, seal, module))


@pytest.fixture(scope="module")
def demo_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "secrets" / "cards.keys"


@pytest.fixture(scope="module")
def demo(demo_path: Path, demo_module: Module) -> Keeper:
    """The simulator's keys, entered in components, in the module."""
    keeper = made(demo_path, ListJournal(), demo_module, TEST)
    for purpose in PURPOSES.values():
        algorithm = purpose.algorithms[0]
        whole = int.from_bytes(known.demo_key(purpose.name))
        other = f"{whole ^ int(FIRST, 16):032x}"
        keeper.component(purpose.name, algorithm, 1, 1, 2, FIRST, by=ANN, at=NOW)
        record = keeper.component(purpose.name, algorithm, 1, 2, 2, other, by=BOB, at=NOW)
        assert record.check_value == next(info.check_value for info in MEMORY.keys() if info.id == record.id)  # noqa: SIM118
        keeper.activate(record.id, by=ANN, at=NOW)
    return keeper


@pytest.mark.parametrize("key", ["pboc-load-tdes-1", "pboc-tac-tdes-1"])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_purse_keys_are_those_of_the_file(demo: Keeper, demo_module: Module, key: str, levels: int) -> None:
    factors = [*FACTORS, b"\x77" * 8][:levels]
    assert octets_of(demo.store.card_key(key, factors)) == octets_of(MEMORY.card_key(key, factors))
    random = np.random.default_rng(levels)
    rows = random.integers(0, 256, (50, 8 * levels), np.uint8)
    rows[:, : 8 * (levels - 1)] = random.integers(0, 2, (50, 8 * (levels - 1)), np.uint8)  # issuers repeat
    before = len(list(demo_module._session.get_objects()))
    assert (demo.store.card_keys(key, rows) == MEMORY.card_keys(key, rows)).all()
    assert len(list(demo_module._session.get_objects())) == before  # what was derived inside is gone


@pytest.mark.parametrize("octets", [1, 7, 14, 15, 16, 30, 31])
def test_an10922_keys_are_those_of_the_file(demo: Keeper, octets: int) -> None:
    rows = np.random.default_rng(octets).integers(0, 256, (9, octets), np.uint8)
    assert (demo.store.card_keys("desfire-read-aes-1", rows) == MEMORY.card_keys("desfire-read-aes-1", rows)).all()
    one = rows[0].tobytes()
    assert octets_of(demo.store.card_key("desfire-read-aes-1", [one])) == octets_of(MEMORY.card_key("desfire-read-aes-1", [one]))


def test_batches_are_judged_alike(demo: Keeper) -> None:
    random = np.random.default_rng(3)
    records, factors = np.zeros(200, batch.TAC_RECORD), random.integers(0, 256, (200, 16), np.uint8)
    records["amount"] = random.integers(0, 100_000, 200)
    keys = MEMORY.card_keys("pboc-tac-tdes-1", factors)
    folded = keys[:, :8] ^ keys[:, 8:]
    tacs = batch.mac_batch(folded, records.view(np.uint8).reshape(200, -1), cipher="des")[:, :4].copy()
    tacs[::7] ^= 0x80
    expected = [i % 7 != 0 for i in range(200)]
    assert demo.store.verify_tacs("pboc-tac-tdes-1", records, tacs, factors).tolist() == expected
    assert MEMORY.verify_tacs("pboc-tac-tdes-1", records, tacs, factors).tolist() == expected
    uids, counters = random.integers(0, 256, (20, 7), np.uint8), np.arange(1, 21, dtype=np.uint32)
    inputs, presented = random.integers(0, 256, (20, 32), np.uint8), np.zeros((20, 8), np.uint8)
    verdicts = [store.verify_tmacs("desfire-tmac-aes-1", uids, uids, counters, inputs, presented) for store in (demo.store, MEMORY)]
    assert (verdicts[0] == verdicts[1]).all()
    assert demo.store.card_keys("pboc-tac-tdes-1", factors[:0]).shape == (0, 16)


def test_taps_are_opened_inside(demo: Keeper) -> None:
    plain = b"\xc7" + bytes(range(7)) + (5).to_bytes(3, "little") + bytes(5)
    enciphered = ciphers.cbc_encrypt("aes", bytes(known.demo_key("ntag-meta")), bytes(16), plain)
    assert demo.store.open_picc_data("ntag-meta-aes-1", enciphered).counter == 5
    with pytest.raises(InvalidMac):
        demo.store.open_picc_data("ntag-meta-aes-1", bytes(16))
    with pytest.raises(InvalidCryptoInput):
        demo.store.open_picc_data("ntag-meta-aes-1", bytes(15))


def test_usage_is_bound(demo: Keeper) -> None:
    with pytest.raises(KeyMisused):
        demo.store.shared_key("ntag-meta-aes-1")
    with pytest.raises(KeyMisused):
        demo.store.shared_key("pboc-load-tdes-1")
    with pytest.raises(KeyMisused):
        demo.store.card_key("pboc-transport-tdes-1", FACTORS)
    shared = "pboc-transport-tdes-1"
    assert octets_of(demo.store.shared_key(shared)) == octets_of(MEMORY.shared_key(shared))
    with pytest.raises(InvalidCryptoInput):
        demo.store.card_key("desfire-read-aes-1", [b"1", b"2"])
    with pytest.raises(InvalidCryptoInput):
        demo.store.card_key("pboc-load-tdes-1", [b"short"])


def test_no_key_can_be_read_out_of_the_module(demo: Keeper, demo_module: Module, demo_path: Path) -> None:
    attribute = pkcs11.Attribute
    held = [thing for thing in demo_module._session.get_objects() if thing[attribute.LABEL] != FILE_KEY]
    assert len(held) == sum(p.diversification != "shared" for p in PURPOSES.values()) + 1  # and the key that opens taps
    for thing in held:
        assert thing[attribute.SENSITIVE]
        assert not thing[attribute.EXTRACTABLE]
        with pytest.raises(pkcs11.exceptions.PKCS11Error):
            thing[attribute.VALUE]
    text = demo_path.read_text().lower()
    for purpose in PURPOSES:
        assert known.demo_key(purpose).hex() not in text


def test_a_readable_key_is_not_worked_with(path: Path, journal: ListJournal, module: Module) -> None:
    info = active(made(path, journal, module))
    attribute = pkcs11.Attribute
    module.remove(info.id)
    module._session.create_object(
        {
            attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, attribute.KEY_TYPE: pkcs11.KeyType.DES2, attribute.LABEL: info.id,
            attribute.VALUE: bytes(range(16)), attribute.TOKEN: True, attribute.SENSITIVE: False, attribute.EXTRACTABLE: True,
        }
    )  # fmt: skip
    with pytest.raises(KeyModuleError, match="read out"):
        reopened(path, journal, module)


def test_the_life_of_a_key_in_the_module(path: Path, journal: ListJournal, module: Module) -> None:
    keeper = made(path, journal, module)
    enter(keeper, 1, FIRST, ANN)
    keeper = reopened(path, journal, module)
    formed = enter(keeper, 2, SECOND, BOB)
    with pytest.raises(KeyNotValid):
        keeper.store.card_key(formed.id, FACTORS)
    keeper.activate(formed.id, by=ANN, at=NOW)
    other = active(keeper, "desfire-credit", "aes")
    assert octets_of(reopened(path, journal, module).store.card_key(other.id, [b"x" * 20])) == octets_of(
        keeper.store.card_key(other.id, [b"x" * 20])
    )
    keeper.component("pboc-tac", "tdes", 1, 1, 2, FIRST, by=ANN, at=NOW)
    with pytest.raises(KeyRefused):
        keeper.component("pboc-tac", "tdes", 1, 2, 2, SECOND, by=BOB, at=NOW)
    assert module.find("pboc-tac-tdes-1") is None  # what is refused does not stay in the module
    assert module.find("pboc-load-tdes-1") is not None
    pending = keeper.generate("pboc-unload", "tdes", 1, by=ANN, at=NOW)
    keeper.discard(pending.id, by=ANN, at=NOW)
    assert module.find(pending.id) is None
    with pytest.raises(KeyModuleError, match="sm4"):
        keeper.generate("pboc-load", "sm4", 1, by=ANN, at=NOW)


def test_a_key_exchanged_in_the_module_is_seen(path: Path, journal: ListJournal, module: Module) -> None:
    info = active(made(path, journal, module))
    module.make(info.id, "tdes")
    with pytest.raises(KeyFileTampered):
        reopened(path, journal, module)
    module.remove(info.id)
    with pytest.raises(KeyFileTampered):
        reopened(path, journal, module)


def test_another_token_does_not_open_the_file(path: Path, journal: ListJournal, module: Module) -> None:
    active(made(path, journal, module))
    module.remove(FILE_KEY)
    with pytest.raises(KeyModuleError):
        reopened(path, journal, module)


def test_what_is_not_there_is_said(module: Module) -> None:
    for library_path, token, pin in (("/nowhere.so", TOKEN, PIN), (library(), "nobody", PIN), (library(), TOKEN, "000000")):
        if pin == "000000":
            module._session.close()  # logged in by the session of this file; a wrong PIN is noticed when nobody is
        with pytest.raises(KeyModuleError) as refused:
            Module(library_path, token, pin)
        assert PIN not in str(refused.value)
    module._session = Module(library(), TOKEN, PIN)._session


def test_threads_take_turns(demo: Keeper) -> None:
    expected = octets_of(MEMORY.card_key("pboc-load-tdes-1", FACTORS))
    found: list[bool] = []

    def use() -> None:
        found.extend(octets_of(demo.store.card_key("pboc-load-tdes-1", FACTORS)) == expected for _ in range(25))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 100


def test_the_commands_with_a_module(module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cardcore keys` with a module: the shop's settings name it, the PIN comes from a file."""
    module._session.close()
    data, pin = tmp_path / "shop", tmp_path / "pin"
    pin.write_text(PIN + "\n")
    pin.chmod(0o600)
    monkeypatch.setenv("CARDCORE_KEYS_PASSPHRASE_FILE", str(pin))

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, [*words, "--data", str(data)])
        assert done.exit_code == 0, done.output + done.stderr
        return done.output

    run("init")
    refused = CliRunner().invoke(app, ["keys", "new", "--module", "--test", "--data", str(data)])
    assert "[key_module]" in refused.output + refused.stderr
    (data / "settings.toml").write_text(f'keys_module = "{library()}"\nkeys_token = "{TOKEN}"\n')
    run("keys", "new", "--module", "--test")
    run("keys", "generate", "pboc-load", "--algorithm", "tdes")
    assert "1 keys" in run("keys", "check")
    module._session = Module(library(), TOKEN, PIN)._session
    assert module.find("pboc-load-tdes-1") is not None
