"""Batches on their way at once, at the store: committed in their order, and none behind one that failed.

Method: two or three batches launched behind each other, with each way in which the first can fail; what was written is read by another
connection.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cardapi.store.port import AccountRow, Batch, KeyTaken, Overtaken, Pipelined, StoreError
from cardapi.store.postgres import PostgresStore
from tests.postgres.server import Database, held, server
from tests.store.test_contract import make_entry


@pytest.fixture
def store(database: Database) -> Iterator[PostgresStore]:
    """A store that knows itself the one writer of partitions 0 and 1."""
    store = database.open()
    for _ in range(2):
        store.begin([0, 1], (), ())
        store.abandon()
    yield store
    store.close()


def launch(store: PostgresStore, *positions: int, key: str = "", partition: int = 0, fed: bool = False) -> None:
    entries = [make_entry(position, partition=partition, client_key=key or f"{partition}-{position}") for position in positions]
    accounts = [AccountRow(partition << 40 | 7, b"state %d" % positions[-1], positions[-1])]
    assert not store.begin([partition], (), (), trusting=True).asked
    if fed:
        assert store.feed(entries, accounts)
        entries, accounts = [], []
    store.launch(Batch(entries, [], accounts, []))


def keys(store: PostgresStore) -> list[str]:
    reader = store.reader()
    found = [entry.client_key for partition in (0, 1, 2) for entry in reader.journal(partition)]
    reader.close()
    return found


def wait(store: PostgresStore) -> None:
    """Until there is nothing to wait for."""
    read, write = os.pipe()
    while not store.landed():
        assert not store.wait(read)
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("fed", [False, True])
def test_batches_are_written_in_the_order_they_were_launched(store: PostgresStore, fed: bool) -> None:
    assert isinstance(store, Pipelined)
    launch(store, 1, 2, fed=fed)
    launch(store, 3, fed=fed)
    launch(store, 1, partition=1, fed=fed)
    for _ in range(3):
        store.land()
    assert keys(store) == ["0-1", "0-2", "0-3", "1-1"]
    launch(store, 4)
    store.land()
    store.begin([0], (), (), trusting=True)
    store.commit(Batch([make_entry(5, client_key="0-5")], [], [], []))
    assert keys(store) == ["0-1", "0-2", "0-3", "0-4", "0-5", "1-1"]


def test_it_can_be_told_without_waiting_whether_one_has_landed(store: PostgresStore) -> None:
    assert not store.landed()
    with held(store._url):
        launch(store, 1)
        assert not store.landed()
    wait(store)
    store.land()
    read, write = os.pipe()
    os.write(write, b"x")
    assert store.wait(read)
    os.close(read)
    os.close(write)
    assert not store.landed()


def test_none_is_written_behind_one_that_met_a_key(store: PostgresStore, database: Database) -> None:
    other = database.open()
    other.commit(Batch([make_entry(1, partition=2, client_key="taken")], [], [], []))
    other.close()
    launch(store, 1)
    launch(store, 2, key="taken")
    launch(store, 3)
    launch(store, 1, partition=1)
    store.land()
    with pytest.raises(KeyTaken):
        store.land()
    assert not store.landed(), "nothing is on its way any more"
    assert keys(store) == ["0-1", "taken"]
    store.begin([0], (), ())  # it asks after that, once
    store.abandon()
    launch(store, 2)
    launch(store, 3)
    store.land()
    store.land()
    assert keys(store) == ["0-1", "0-2", "0-3", "taken"]


@pytest.mark.parametrize("fed", [False, True])
def test_none_is_written_behind_one_that_was_overtaken(store: PostgresStore, database: Database, fed: bool) -> None:
    other = database.open()
    other.commit(Batch([make_entry(1, client_key="other")], [], [], []))
    other.close()
    launch(store, 1, fed=fed)
    launch(store, 1, partition=1, fed=fed)  # whose own partition nobody else wrote
    with pytest.raises(Overtaken):
        store.land()
    assert keys(store) == ["other"]
    assert store.begin([0, 1], (), (), trusting=True).heads[0].position == 1
    store.abandon()


def test_a_batch_that_the_server_rolled_back_for_others_is_decided_again(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(store, monkeypatch, "RAISE EXCEPTION SQLSTATE '40P01'")
    launch(store, 1)
    launch(store, 1, partition=1)
    with pytest.raises(Overtaken, match="rolled"):
        store.land()
    assert keys(store) == []


def test_none_is_written_behind_one_that_failed_outside_its_transaction(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed transaction is an error for all that comes before its end; this one never began, as one that fails while it ends is over."""
    launch(store, 1)  # from here on the server knows the statements
    store.land()
    failing(store, monkeypatch, "RAISE EXCEPTION SQLSTATE '40001'", first=True)
    launch(store, 2)
    launch(store, 3)
    launch(store, 1, partition=1)
    with pytest.raises(Overtaken):
        store.land()
    assert keys(store) == ["0-1"]


def test_a_warning_makes_the_outcome_unknown(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a wait for a standby that was cancelled."""
    launch(store, 1)
    store.land()
    failing(store, monkeypatch, "RAISE WARNING 'not there perhaps'")
    launch(store, 2)
    with pytest.raises(StoreError, match="unknown: not there perhaps"):
        store.land()


def test_a_lost_connection_is_no_answer_to_any(store: PostgresStore) -> None:
    with held(store._url):
        launch(store, 1)
        launch(store, 2)
        server().sql(f"SELECT pg_terminate_backend({store._connection.info.backend_pid}, 60000)")
        wait(store)
        with pytest.raises(StoreError):
            store.land()
    assert keys(store) == []
    store.begin([0], (), ())
    store.abandon()
    launch(store, 1)
    launch(store, 2)
    store.land()
    store.land()
    assert keys(store) == ["0-1", "0-2"]


def failing(store: PostgresStore, monkeypatch: pytest.MonkeyPatch, what: str, *, first: bool = False) -> None:
    """The next batch runs this after its locks, or first of all."""
    lock, once = store._lock, [True]
    step = (f"DO $$ BEGIN {what}; END $$", ())

    def locking(*, alone: bool = True) -> list[object]:
        steps = lock(alone=alone)
        if not (once and once.pop()):
            return list(steps)
        return [step, *steps] if first else [*steps, step]

    monkeypatch.setattr(store, "_lock", locking)
