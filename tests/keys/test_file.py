"""The key file against whoever has it in hands: every octet changed, parts exchanged, cut off, put back, opened with another passphrase.

Each must end in the code that says what happened, and never in a key.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cardapi.keys import keyfile, protect
from cardapi.keys.errors import (
    KeyFileDamaged,
    KeyFileMissing,
    KeyFileRolledBack,
    KeyFileTampered,
    KeyFileUnsafe,
    KeyState,
    KeyStoreError,
    PassphraseRequired,
    PassphraseWeak,
    WrongPassphrase,
)
from cardapi.keys.keeper import Keeper
from cardapi.keys.keyfile import TEST
from cardapi.keys.protect import Protection, given_passphrase
from tests.keys.ceremony import (
    ANN,
    BOB,
    FIRST,
    NOW,
    PASSPHRASE,
    SECOND,
    ListJournal,
    active,
    enter,
    made,
    octets_of,
    passphrase,
    reopened,
    root,
)

SERIAL = bytes(8)


@pytest.fixture
def journal() -> ListJournal:
    return ListJournal()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "cards.keys"


@pytest.fixture
def keeper(path: Path, journal: ListJournal) -> Keeper:
    """Two keys in use and one half entered, opened by the root secret, which costs no Argon2."""
    keeper = made(path, journal, TEST, root())
    active(keeper, "pboc-tac")
    active(keeper, "pboc-tac", version=2)
    enter(keeper, 1, FIRST, ANN)
    return keeper


def test_only_the_owner_reads_it(path: Path, keeper: Keeper, journal: ListJournal) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(KeyFileUnsafe):
        reopened(path, journal, root())


def test_any_changed_octet_is_seen(path: Path, keeper: Keeper, journal: ListJournal) -> None:
    whole = path.read_bytes()
    assert json.loads(whole)["content"]["generation"] == keeper.generation
    codes = set()
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        try:
            again = Keeper.open(path, root(), ListJournal())
        except KeyStoreError as error:
            codes.add(error.code)
        else:
            assert again.records() == keeper.records(), f"octet {place} changed the file unseen"  # white space
    assert codes == {"key_file_damaged", "key_file_tampered", "wrong_passphrase"}


def test_any_length_but_the_whole_is_seen(path: Path, keeper: Keeper, journal: ListJournal) -> None:
    whole = path.read_bytes()
    for length in range(0, len(whole), 61):
        path.write_bytes(whole[:length])
        with pytest.raises(KeyFileDamaged):
            reopened(path, journal, root())
    path.write_bytes(bytes(keyfile.SIZE_MAX + 1))
    with pytest.raises(KeyFileDamaged):
        reopened(path, journal, root())


def first(document: dict[str, Any]) -> dict[str, Any]:
    return document["content"]["keys"][1]  # type: ignore[no-any-return]


def second(document: dict[str, Any]) -> dict[str, Any]:
    return document["content"]["keys"][2]  # type: ignore[no-any-return]


def swap_sealed(document: dict[str, Any]) -> None:
    one, two = first(document), second(document)
    one["sealed"], two["sealed"] = two["sealed"], one["sealed"]


def swap_whole_keys(document: dict[str, Any]) -> None:
    """The octets with their check values, as somebody would who wants TACs of one version to pass as the other's."""
    one, two = first(document), second(document)
    for name in ("sealed", "check_value"):
        one[name], two[name] = two[name], one[name]


FORGERIES: list[Callable[[dict[str, Any]], Any]] = [
    swap_sealed,
    swap_whole_keys,
    lambda d: first(d).update(valid_to=NOW + 1),
    lambda d: first(d).update(valid_from=0),
    lambda d: first(d).update(test=True),
    lambda d: first(d).update(purpose="pboc-load", id="pboc-load-tdes-9", version=9),
    lambda d: first(d).update(state="retired"),
    lambda d: first(d).update(activated_by="ann"),
    lambda d: d["content"]["keys"].pop(1),
    lambda d: d["content"]["keys"].reverse(),
    lambda d: d["content"]["keys"][0]["components"][0].update(by="bob"),
    lambda d: d["content"].update(mode="production"),
    lambda d: d["content"].update(generation=99),
    lambda d: d.update(seal="00" * 32),
    lambda d: d.update(seal="\u6d88"),
]


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_forger_without_the_passphrase_is_seen(
    path: Path, keeper: Keeper, journal: ListJournal, forge: Callable[[dict[str, Any]], Any]
) -> None:
    document = json.loads(path.read_bytes())
    forge(document)
    path.write_text(json.dumps(document))
    with pytest.raises(KeyFileTampered):
        reopened(path, journal, root())


@pytest.mark.parametrize("forge", [f for f in FORGERIES[:10] if f is not FORGERIES[8] and f is not FORGERIES[9]])
def test_the_seal_of_each_key_holds_alone(
    path: Path, keeper: Keeper, monkeypatch: pytest.MonkeyPatch, forge: Callable[[dict[str, Any]], Any]
) -> None:
    """Also where the MAC over the file would pass, a key opens only with what was said about it when it was sealed."""
    document = json.loads(path.read_bytes())
    forge(document)
    path.write_text(json.dumps(document))
    monkeypatch.setattr(keyfile, "_same", lambda ours, presented: True)
    with pytest.raises(KeyFileTampered):
        Keeper.open(path, root(), ListJournal())


def test_components_are_sealed_to_their_place(path: Path, keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-entered key cannot be turned into another purpose's."""
    document = json.loads(path.read_bytes())
    forming = document["content"]["keys"][0]
    assert forming["state"] == "forming"
    forming.update(purpose="pboc-purchase", id="pboc-purchase-tdes-1")
    path.write_text(json.dumps(document))
    monkeypatch.setattr(keyfile, "_same", lambda ours, presented: True)
    again = Keeper.open(path, root(), ListJournal())
    with pytest.raises(KeyFileTampered):
        again.component("pboc-purchase", "tdes", 1, 2, 2, SECOND, by=BOB, at=NOW)


@pytest.mark.parametrize("change", [{"format": "cardcore card keys 9"}, {"extra": 1}])
def test_a_file_of_another_version_is_not_guessed_at(path: Path, keeper: Keeper, journal: ListJournal, change: dict[str, Any]) -> None:
    document = json.loads(path.read_bytes())
    document["content"].update(change)
    path.write_text(json.dumps(document))
    with pytest.raises(KeyFileDamaged):
        reopened(path, journal, root())


def test_an_older_copy_is_refused(path: Path, keeper: Keeper, journal: ListJournal) -> None:
    old = path.read_bytes()
    keeper.retire("pboc-tac-tdes-1", by=BOB, at=NOW, ends=NOW)
    path.write_bytes(old)
    with pytest.raises(KeyFileRolledBack):
        reopened(path, journal, root())
    # A second history from the old copy has the right age and another digest.
    other = ListJournal()
    other.documents = journal.documents[:-1]
    reopened(path, other, root()).retire("pboc-tac-tdes-2", by=BOB, at=NOW)
    with pytest.raises(KeyFileRolledBack):
        reopened(path, journal, root())


def test_a_lost_file_says_so(path: Path, keeper: Keeper, journal: ListJournal) -> None:
    path.unlink()
    with pytest.raises(KeyFileMissing):
        reopened(path, journal, root())
    with pytest.raises(KeyState):
        made(path, journal, TEST, root())  # nor is a new one begun over what the journal knows


def test_a_crash_between_file_and_journal_is_told_later(path: Path, keeper: Keeper, journal: ListJournal) -> None:
    journal.broken = True
    with pytest.raises(OSError, match="stopped here"):
        keeper.retire("pboc-tac-tdes-1", by=BOB, at=NOW)
    journal.broken = False
    before = len(journal.documents)
    again = reopened(path, journal, root())
    assert again.record("pboc-tac-tdes-1").state == "retired"
    assert [d["event"] for d in journal.documents[before:]] == ["retired"]
    assert (journal.documents[-1]["by"], journal.documents[-1]["generation"]) == (BOB, again.generation)
    reopened(path, journal, root())
    assert len(journal.documents) == before + 1


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_failed_write_leaves_the_old_file(
    path: Path, keeper: Keeper, journal: ListJournal, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    before = path.read_bytes(), list(journal.documents), keeper.records()

    def fail(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os if call == "fsync" else Path, call, fail)
        with pytest.raises(OSError, match="no space"):
            keeper.generate("pboc-unload", "tdes", 1, by=ANN, at=NOW)
    assert (path.read_bytes(), journal.documents, keeper.records()) == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert keeper.generate("pboc-unload", "tdes", 1, by=ANN, at=NOW).state == "pending"


def test_a_file_left_by_a_killed_writer_is_no_obstacle(path: Path, keeper: Keeper) -> None:
    path.with_name(path.name + ".new").write_bytes(b"half")
    keeper.generate("pboc-unload", "tdes", 1, by=ANN, at=NOW)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_passphrases(path: Path, journal: ListJournal) -> None:
    keeper = made(path, journal)
    info = active(keeper)
    expected = octets_of(keeper.store.card_key(info.id, [SERIAL]))
    with pytest.raises(WrongPassphrase):
        reopened(path, journal, passphrase("correct horse batter"))
    with pytest.raises(WrongPassphrase):
        reopened(path, journal, root())
    with pytest.raises(PassphraseWeak):
        made(path.with_name("other"), ListJournal(), protector=passphrase("short"))
    keeper.protect(passphrase("another long passphrase"), by=BOB, at=NOW)
    with pytest.raises(WrongPassphrase):
        reopened(path, journal)
    again = reopened(path, journal, passphrase("another long passphrase"))
    assert octets_of(again.store.card_key(info.id, [SERIAL])) == expected


def test_a_new_passphrase_takes_half_entered_keys_along(path: Path, keeper: Keeper, journal: ListJournal) -> None:
    keeper.protect(passphrase(), by=BOB, at=NOW)
    assert enter(reopened(path, journal), 2, SECOND, BOB).state == "pending"


@pytest.mark.parametrize(
    "cost", [{"memory_kib": 1 << 31}, {"memory_kib": 64}, {"passes": 0}, {"passes": 1000}, {"lanes": 0}, {"kind": "none"}, {"salt": "00"}]
)
def test_a_file_cannot_ask_for_any_cost(path: Path, journal: ListJournal, cost: dict[str, Any]) -> None:
    made(path, journal)
    document = json.loads(path.read_bytes())
    document["content"]["protection"].update(cost)
    path.write_text(json.dumps(document))
    with pytest.raises(KeyFileDamaged):
        reopened(path, journal)


def test_where_a_passphrase_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv(protect.PASSPHRASE_FILE, raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert given_passphrase() is None
    with pytest.raises(PassphraseRequired):
        protect.ask_at_start()
    (tmp_path / protect.CREDENTIAL).write_text(PASSPHRASE + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert protect.ask_at_start() == PASSPHRASE
    named = tmp_path / "named"
    named.write_text("from a named file")
    named.chmod(0o644)
    monkeypatch.setenv(protect.PASSPHRASE_FILE, str(named))
    with pytest.raises(KeyFileUnsafe):
        given_passphrase()
    named.chmod(0o600)
    assert protect.ask_at_start() == "from a named file"


def test_the_default_cost_is_that_of_the_standard() -> None:
    """RFC 9106, 4: the second recommended option."""
    fresh = protect.PassphraseProtector(lambda: PASSPHRASE).fresh()
    assert (fresh.memory_kib, fresh.passes, fresh.lanes) == (64 * 1024, 3, 4)
    assert isinstance(fresh, Protection)
    assert fresh.salt != protect.PassphraseProtector(lambda: PASSPHRASE).fresh().salt
