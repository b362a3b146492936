"""`cardcore keys` as people use it: a ceremony of two, production with a passphrase, a lost file, a restore; no secret anywhere (A6)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from cardapi.app import open_shop
from cardapi.cli.root import app
from cardapi.copies import backup_shop, restore_shop
from tests.cli.shop import served
from tests.keys.ceremony import FIRST, PASSPHRASE, SECOND, WHOLE, octets_of

ANNS, BOBS = "anns-password-1", "bobs-password-1"


def keys(data: Path, *words: str, typed: str = "", check: bool = True, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and everything printed; `typed` is standard input."""
    result = CliRunner().invoke(app, ["keys", *words, "--data", str(data)], input=typed, env=environment or {})
    text = result.output + result.stderr
    assert "Traceback" not in text
    assert result.exit_code == 0 or not check, text
    return result.exit_code, text


def code(data: Path, *words: str, typed: str = "", environment: dict[str, str] | None = None) -> str:
    """The stable code with which a command refuses."""
    exit_code, text = keys(data, *words, typed=typed, check=False, environment=environment)
    assert exit_code == 1, text
    return text.rpartition("[")[2].rstrip("]\n")


def answer(data: Path, *words: str, typed: str = "", environment: dict[str, str] | None = None) -> Any:
    """What a command says in JSON."""
    result = CliRunner().invoke(app, ["keys", *words, "--data", str(data), "--json"], input=typed, env=environment or {})
    assert result.exit_code == 0, result.output + result.stderr
    return msgspec.json.decode(result.stdout)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop that is no demo, with two more administrators and a manager."""
    data = tmp_path_factory.mktemp("keys") / "shop"
    invoke = CliRunner().invoke
    assert invoke(app, ["init", "--data", str(data)]).exit_code == 0
    for name, role, password in (("ann", "admin", ANNS), ("bob", "admin", BOBS), ("meg", "manager", BOBS)):
        made = invoke(app, ["user", "create", name, "--role", role, "--data", str(data)], env={"CARDCORE_NEW_PASSWORD": password})
        assert made.exit_code == 0, made.output + made.stderr
    return data


@pytest.fixture
def data(plain: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    shutil.copytree(plain, tmp_path / "shop")
    return tmp_path / "shop"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The passphrase as a machine is given it."""
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE + "\n")
    file.chmod(0o600)
    return {"CARDCORE_KEYS_PASSPHRASE_FILE": str(file)}


def test_a_ceremony_of_two_in_production(data: Path, environment: dict[str, str]) -> None:
    ann = {**environment, "CARDCORE_PASSWORD": ANNS}
    bob = {**environment, "CARDCORE_PASSWORD": BOBS}
    assert keys(data, "list")[1].strip() == "Card keys: none"
    assert code(data, "generate", "pboc-tac", "--as", "ann", environment=ann) == "no_keys"
    keys(data, "new", "--as", "ann", environment=ann)
    enter = ("component", "pboc-load", "--algorithm", "tdes")
    one = answer(data, *enter, "--number", "1", "--as", "ann", typed=FIRST + "\n", environment=ann)
    assert (one["state"], one["waits_for"]) == ("forming", "component 2")
    assert code(data, *enter, "--number", "2", "--as", "ann", typed=SECOND + "\n", environment=ann) == "same_person"
    two = answer(data, *enter, "--number", "2", "--as", "bob", typed=SECOND + "\n", environment=bob)
    assert two["state"] == "pending"
    assert code(data, "activate", "pboc-load-tdes-1", "--as", "bob", environment=bob) == "same_person"
    done = answer(data, "activate", "pboc-load-tdes-1", "--to", "2099-01-01", "--as", "ann", environment=ann)
    assert done["state"] == "active"
    assert done["valid_to"].startswith("2099-01-01T00:00:00")
    listed = answer(data, "list", environment=environment)
    assert [(row["id"], row["check_value"], row["activated_by"]) for row in listed] == [("pboc-load-tdes-1", two["check_value"], "ann")]
    found = answer(data, "check", environment=environment)
    assert (found["mode"], found["opens_with"], found["generation"]) == ("production", "passphrase", 4)
    everything = b"".join(file.read_bytes() for file in data.rglob("*") if file.is_file())
    for secret in (FIRST, SECOND, WHOLE, PASSPHRASE):
        for form in (secret.encode(), secret.lower().encode()) + ((bytes.fromhex(secret),) if secret != PASSPHRASE else ()):
            assert form not in everything


def test_who_may(data: Path, environment: dict[str, str]) -> None:
    ann = {**environment, "CARDCORE_PASSWORD": ANNS}
    assert code(data, "new", "--as", "ann", environment={**environment, "CARDCORE_PASSWORD": BOBS}) == "login_failed"
    assert code(data, "new", environment=ann) == "unknown_operator"
    assert code(data, "new", "--as", "nobody", environment=ann) == "unknown_operator"
    assert code(data, "new", "--as", "meg", environment=ann) == "not_allowed"
    keys(data, "new", "--as", "ann", environment=ann)
    assert code(data, "new", "--as", "ann", environment=ann) == "key_state"
    assert code(data, "generate", "pboc-load", "--as", "ann", environment=ann) == "which_algorithm"
    assert code(data, "generate", "pboc-lode", "--as", "ann", environment=ann) == "unknown_key_purpose"
    assert code(data, "mode", "test", environment=ann) == "unknown_mode"
    with open_shop(data):
        assert code(data, "generate", "desfire-read", "--as", "ann", environment=ann) == "locked"
        assert keys(data, "list", environment=environment)[0] == 0  # looking is possible beside a running service


def test_without_the_passphrase_nothing_opens(data: Path, environment: dict[str, str], tmp_path: Path) -> None:
    keys(data, "new", "--as", "ann", environment={**environment, "CARDCORE_PASSWORD": ANNS})
    assert code(data, "check") == "passphrase_required"
    other = tmp_path / "other"
    other.write_text("not the passphrase")
    other.chmod(0o600)
    assert code(data, "check", environment={"CARDCORE_KEYS_PASSPHRASE_FILE": str(other)}) == "wrong_passphrase"
    refused = CliRunner().invoke(app, ["serve", "--data", str(data)])
    assert refused.exit_code == 1
    assert "passphrase_required" in refused.output + refused.stderr


def test_from_tests_to_production(data: Path, environment: dict[str, str]) -> None:
    keys(data, "new", "--test", "--as", "ann")
    assert answer(data, "mode") == {"mode": "test"}
    made = answer(data, "generate", "desfire-read", "--as", "ann")
    keys(data, "activate", made["id"], "--as", "bob")
    assert code(data, "mode", "production", "--as", "ann") == "key_state"
    keys(data, "passphrase", "--as", "ann", typed=PASSPHRASE + "\n")
    keys(data, "mode", "production", "--as", "ann", environment=environment)
    assert answer(data, "mode", environment=environment) == {"mode": "production"}
    keys(data, "retire", made["id"], "--ends", "now", "--as", "ann", environment={**environment, "CARDCORE_PASSWORD": ANNS})
    with open_shop(data) as shop:
        entries = [entry for _, entry in shop.registry.documents("key")]
    assert {entry["event"] for entry in entries} == {"production", "retired"}


def test_the_demo_shop_has_the_simulators_keys(tmp_path: Path) -> None:
    from firmware_sim.pboc.suite import Suite
    from firmware_sim.testkeys import known_key

    data = tmp_path / "demo"
    assert CliRunner().invoke(app, ["init", "--data", str(data), "--demo"]).exit_code == 0
    with open_shop(data) as shop:
        info = shop.keys.current("pboc-load", 1, "tdes")
        assert info.test
        assert octets_of(shop.keys.card_key(info.id, [bytes(8)])) == Suite("3des", "folded").chain(known_key("load"), [bytes(8)])
    assert "TEST store" in keys(data, "check")[1]


def test_a_key_is_retired_beside_a_running_service(tmp_path: Path) -> None:
    """Within the minute of R5, and without a restart."""
    data = tmp_path / "demo"
    assert CliRunner().invoke(app, ["init", "--data", str(data), "--demo"]).exit_code == 0
    with served(data):
        done = answer(data, "retire", "pboc-load-tdes-1", "--ends", "now", "--reason", "stolen")
        assert (done["state"], bool(done["valid_to"])) == ("retired", True)
        listed = {row["id"]: row["state"] for row in answer(data, "list")}
        assert (listed["pboc-load-tdes-1"], listed["pboc-load-sm4-1"]) == ("retired", "active")
    assert "generation 3" in keys(data, "check")[1]


def test_a_restore_needs_the_key_file(data: Path, tmp_path: Path) -> None:
    keys(data, "new", "--test", "--as", "ann")
    keys(data, "generate", "desfire-read", "--as", "ann")
    backup_shop(data, tmp_path / "backup")
    assert not any("keys" in entry.name for entry in (tmp_path / "backup").iterdir())
    keys(data, "activate", "desfire-read-aes-1", "--as", "bob")
    (tmp_path / "new" / "secrets").mkdir(parents=True)
    shutil.copy(data / "secrets" / "root.key", tmp_path / "new" / "secrets")
    words = ["restore", str(tmp_path / "backup"), "--data", str(tmp_path / "new")]
    refused = CliRunner().invoke(app, words)
    assert "key_file_missing" in refused.output + refused.stderr
    shutil.copy(data / "secrets" / "cards.keys", tmp_path / "new" / "secrets")
    restore_shop(tmp_path / "backup", tmp_path / "new")
    with open_shop(tmp_path / "new") as shop:
        # The file is newer than the restored journal: that is told, and the newer key is in use.
        assert shop.registry.key_file().generation == 2
        assert shop.keys.current("desfire-read", 2**31).id == "desfire-read-aes-1"
        assert shop.registry.key_file().generation == 3


def test_keys_that_are_lost_are_begun_anew(data: Path, tmp_path: Path) -> None:
    keys(data, "new", "--test", "--as", "ann")
    backup_shop(data, tmp_path / "backup")
    (tmp_path / "new" / "secrets").mkdir(parents=True)
    shutil.copy(data / "secrets" / "root.key", tmp_path / "new" / "secrets")
    words = ["restore", str(tmp_path / "backup"), "--data", str(tmp_path / "new"), "--without-card-keys"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert code(tmp_path / "new", "check") == "key_file_missing"
    assert code(tmp_path / "new", "new", "--test", "--as", "ann") == "key_state"
    keys(tmp_path / "new", "new", "--test", "--after-loss", "--as", "ann")
    assert answer(tmp_path / "new", "check")["generation"] == 2
    # The old file, should it turn up, is of another history.
    shutil.copy(data / "secrets" / "cards.keys", tmp_path / "new" / "secrets")
    assert code(tmp_path / "new", "check") == "key_file_rolled_back"
