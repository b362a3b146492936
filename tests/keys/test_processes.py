"""Goal: several processes of one shop use one key file: each sees what another changed at its next use, and no change undoes another.
Method: keepers on one file with one journal stand for the processes; with locks of the system between them it makes no difference.
"""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import pytest

from cardapi.keys.errors import KeyFileRolledBack, KeyFileTampered, KeyNotValid, UnknownKey, WrongPassphrase
from cardapi.keys.keeper import Keeper
from cardapi.keys.port import RETIRED
from tests.keys.ceremony import ANN, BOB, NOW, ListJournal, active, made, octets_of, passphrase, reopened, root

SERIAL = bytes(8)


@pytest.fixture
def journal() -> ListJournal:
    return ListJournal()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "cards.keys"


def test_a_key_retired_in_one_process_is_retired_in_the_others(path: Path, journal: ListJournal):
    one = made(path, journal)
    load = active(one).id
    two = reopened(path, journal)
    held = two.store  # as card sessions hold it from their start
    assert held.current("pboc-load", NOW).id == load
    card = octets_of(held.card_key(load, [SERIAL]))
    one.retire(load, by=ANN, at=NOW, ends=NOW + 60)
    with pytest.raises(KeyNotValid):
        held.current("pboc-load", NOW)
    assert held.version("pboc-load", 1, NOW + 59).state == RETIRED
    with pytest.raises(KeyNotValid):
        held.version("pboc-load", 1, NOW + 60)
    assert octets_of(held.card_key(load, [SERIAL])) == card, "cards that have it are still served"
    fresh = active(one, version=2).id
    assert held.current("pboc-load", NOW).id == fresh
    assert octets_of(held.card_key(fresh, [SERIAL])) == octets_of(one.store.card_key(fresh, [SERIAL]))
    one.discard(one.generate("pboc-tac", "tdes", 1, by=ANN, at=NOW).id, by=ANN, at=NOW)
    with pytest.raises(UnknownKey):
        held.card_key("pboc-tac-tdes-1", [SERIAL])
    assert two.generation == one.generation


def test_changes_do_not_undo_each_other(path: Path, journal: ListJournal):
    one = made(path, journal)
    two = reopened(path, journal)
    load = active(one).id
    two.retire(load, by=BOB, at=NOW)
    tac = active(one, "pboc-tac").id
    assert [(record.id, record.state) for record in two.records()] == [(load, "retired"), (tac, "active")]
    assert [(record.id, record.state) for record in reopened(path, journal).records()] == [(load, "retired"), (tac, "active")]
    assert [document["generation"] for document in journal.documents] == list(range(1, 7))


def test_many_processes_change_at_once(path: Path, journal: ListJournal):
    made(path, journal, protector=root(), mode="test")
    keepers = [reopened(path, journal, root()) for _ in range(4)]
    versions = [[1 + number + 4 * step for step in range(5)] for number in range(4)]

    def generate(keeper: Keeper, mine: list[int]) -> None:
        for version in mine:
            keeper.generate("pboc-load", "tdes", version, by=ANN, at=NOW)

    threads = [threading.Thread(target=generate, args=pair) for pair in zip(keepers, versions, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for keeper in (*keepers, reopened(path, journal, root())):
        assert [record.version for record in keeper.records()] == list(range(1, 21))
    assert [document["generation"] for document in journal.documents] == list(range(1, 22))


def _retire(path: Path, documents: list[dict[str, object]], key: str) -> None:
    journal = ListJournal()
    journal.documents = documents
    reopened(path, journal, root()).retire(key, by=BOB, at=NOW)


def test_a_process_of_its_own(path: Path, journal: ListJournal):
    """What another process wrote counts before its journal entry is read here: the file comes first."""
    keeper = made(path, journal, protector=root(), mode="test")
    load = active(keeper).id
    other = multiprocessing.get_context("spawn").Process(target=_retire, args=(path, journal.documents, load))
    other.start()
    other.join()
    assert other.exitcode == 0
    with pytest.raises(KeyNotValid):
        keeper.store.current("pboc-load", NOW)


def test_an_older_file_is_not_used(path: Path, journal: ListJournal):
    keeper = made(path, journal)
    load = active(keeper).id
    old = path.read_bytes()
    keeper.retire(load, by=ANN, at=NOW)
    path.with_suffix(".old").write_bytes(old)
    path.with_suffix(".old").chmod(0o600)
    path.with_suffix(".old").rename(path)
    with pytest.raises(KeyFileRolledBack):
        keeper.store.card_key(load, [SERIAL])
    with pytest.raises(KeyFileRolledBack):
        keeper.generate("pboc-tac", "tdes", 1, by=ANN, at=NOW)
    assert path.read_bytes() == old, "and not written over"


def test_the_journal_knows_of_a_file_that_lies_on_another_machine(path: Path, journal: ListJournal):
    keeper = made(path, journal)
    load = active(keeper).id
    journal.documents.append(journal.documents[-1] | {"generation": keeper.generation + 1, "digest": "00"})
    with pytest.raises(KeyFileRolledBack):
        keeper.store.current("pboc-load", NOW)
    with pytest.raises(KeyFileRolledBack):
        keeper.store.card_key(load, [SERIAL])


def test_a_file_that_somebody_else_wrote(path: Path, journal: ListJournal):
    keeper = made(path, journal)
    load = active(keeper).id
    path.write_text(path.read_text().replace('"state": "active"', '"state": "retired"'))
    with pytest.raises(KeyFileTampered):
        keeper.store.card_key(load, [SERIAL])


def test_another_passphrase_asks_for_a_new_start(path: Path, journal: ListJournal):
    one = made(path, journal)
    load = active(one).id
    two = reopened(path, journal)
    one.protect(passphrase("another long passphrase"), by=ANN, at=NOW)
    assert one.store.card_key(load, [SERIAL])
    with pytest.raises(WrongPassphrase, match="start this process again"):
        two.store.card_key(load, [SERIAL])


def test_a_file_that_is_gone_for_a_moment_changes_nothing(path: Path, journal: ListJournal):
    keeper = made(path, journal)
    load = active(keeper).id
    away = path.rename(path.with_suffix(".away"))
    assert keeper.store.card_key(load, [SERIAL])
    away.rename(path)
    assert keeper.store.card_key(load, [SERIAL])
