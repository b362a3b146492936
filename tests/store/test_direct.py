"""Goal: the direct way into SQLite keeps every value as it was given, writes all of a batch or nothing, and says why not.

Method: a small table of its own, read back through Python's sqlite3, which shares no code with it.
"""

from __future__ import annotations

import gc
import random
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cardapi.store import direct, sqlite
from cardapi.store.port import AccountRow, Batch, CardRow

PUT = "INSERT INTO item (number, text, data) VALUES (?, ?, ?)"
GET = "SELECT number, text, data FROM item WHERE number = ?"
VALUES = [
    (1, "", b""),
    (-(2**63), "a", b"\0"),
    (2**63 - 1, "\u4f1a\u5458\u5361", b"\xff" * 70_000),
    (0, "nul \0 inside", b"x"),
    (7, "x" * 9_000, b""),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "items.db"
    connection = sqlite3.connect(made)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE item (number INTEGER PRIMARY KEY, text TEXT NOT NULL, data BLOB NOT NULL) STRICT")
    connection.close()
    return made


@pytest.fixture
def connection(path: Path) -> Iterator[direct.Connection]:
    opened = direct.Connection(bytes(path), ("PRAGMA synchronous = FULL",))
    yield opened
    opened.close()


def kept(path: Path) -> list[tuple[int, str, bytes]]:
    with sqlite3.connect(path) as other:
        return other.execute("SELECT number, text, data FROM item ORDER BY number").fetchall()


def test_values_are_kept_and_read_as_they_are(connection: direct.Connection, path: Path) -> None:
    connection.write([(PUT, VALUES)])
    assert kept(path) == sorted(VALUES)
    assert connection.read(GET, [(row[0],) for row in VALUES]) == VALUES
    assert connection.read(GET, [(5,), (7,), (6,)]) == [VALUES[-1]]
    assert connection.read(GET, []) == []
    assert connection.read("SELECT max(number), NULL FROM item WHERE number < 0", [()]) == [(-(2**63), None)]


def test_what_breaks_in_the_middle_leaves_nothing(connection: direct.Connection, path: Path) -> None:
    connection.write([(PUT, VALUES[:1])])
    for steps in ([(PUT, [(20, "", b""), (1, "", b"")])], [(PUT, [(20, "", b"")]), (PUT, [(21, "", b""), (20, "", b"")])]):
        with pytest.raises(direct.DirectError, match="UNIQUE constraint failed") as caught:
            connection.write(steps)
        assert caught.value.code == 1555  # SQLITE_CONSTRAINT_PRIMARYKEY
        assert kept(path) == VALUES[:1]
    connection.write([(PUT, [(20, "", b"")])])
    assert len(kept(path)) == 2


def locked(path: Path) -> bool:
    """Whether somebody is about to write."""
    with sqlite3.connect(path, timeout=0) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        other.execute("ROLLBACK")
        return False


def test_what_is_begun_is_held_until_it_is_written(connection: direct.Connection, path: Path) -> None:
    connection.write([(PUT, VALUES)])
    for more in ([], [(2, "x", b"")]):
        assert connection.begin([(GET, [(7,), (0,)]), (GET, []), (GET, [(5,)])]) == [[VALUES[4], VALUES[3]], [], []]
        assert locked(path)
        assert connection.read(GET, [(7,), (1,)]) == [VALUES[4], VALUES[0]]
        assert connection.begin([(GET, [(1,)])]) == [[VALUES[0]]]
        connection.write([(PUT, more)])
        assert not locked(path)
    assert len(kept(path)) == len(VALUES) + 1


def test_what_is_begun_ends_with_an_error_or_by_wish(connection: direct.Connection, path: Path) -> None:
    connection.begin([])
    with pytest.raises(direct.DirectError, match="UNIQUE"):
        connection.write([(PUT, [(1, "", b""), (1, "", b"")])])
    assert not locked(path)
    with pytest.raises(direct.DirectError, match="datatype mismatch"):
        connection.begin([(GET, []), ("SELECT 1 FROM item LIMIT ?", [("x",)])])
    assert not locked(path)
    connection.begin([])
    with pytest.raises(TypeError):
        connection.write([(PUT, [(1, "")])])
    assert locked(path), "the caller decides what becomes of it"
    connection.abandon()
    connection.abandon()
    assert not locked(path)
    assert kept(path) == []


def test_a_part_is_written_beside_its_caller_and_kept_with_the_rest(connection: direct.Connection, path: Path) -> None:
    connection.begin([])
    for first in range(0, 3_000, 300):
        connection.feed([(PUT, ((n, f"row {n}", b"%d" % n) for n in range(first, first + 300)))])  # nobody else holds these values
        gc.collect()
    assert connection.read(GET, [(2_999,), (3_000,)]) == [(2_999, "row 2999", b"2999")], "a read waits for the part before it"
    assert kept(path) == []
    connection.feed([])
    connection.write([(PUT, [(3_000, "row 3000", b"3000")])])
    assert kept(path) == [(n, f"row {n}", b"%d" % n) for n in range(3_001)]
    assert not locked(path)


def test_a_part_that_fails_is_told_until_all_is_abandoned(connection: direct.Connection, path: Path) -> None:
    connection.write([(PUT, VALUES[:1])])
    connection.begin([])
    connection.feed([(PUT, [(20, "", b"")])])
    connection.feed([(PUT, [(21, "", b""), (1, "", b""), (22, "", b"")])])
    calls: list[Any] = [
        lambda: connection.write([]), lambda: connection.feed([(PUT, [(23, "", b"")])]), lambda: connection.read(GET, [(1,)]),
        lambda: connection.begin([]), lambda: connection.write([(PUT, [(24, "", b"")])]),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(direct.DirectError, match="UNIQUE constraint failed") as caught:
            call()
        assert caught.value.code == 1555
    assert locked(path)
    connection.abandon()
    assert not locked(path)
    connection.write([(PUT, [(24, "", b"")])])
    assert [row[0] for row in kept(path)] == [1, 24]


def test_a_part_without_its_transaction_is_not_written_alone(connection: direct.Connection, path: Path) -> None:
    with pytest.raises(direct.DirectError, match="no transaction"):
        connection.feed([(PUT, VALUES)])
    for end in (lambda: connection.write([(PUT, VALUES[1:])]), lambda: connection.feed([(PUT, VALUES[1:])])):
        connection.begin([])
        connection.feed([(PUT, VALUES[:1])])
        connection.read("ROLLBACK", [()])  # what SQLite does by itself after some errors
        with pytest.raises(direct.DirectError, match="transaction"):
            end()
        connection.abandon()
        assert kept(path) == []
    connection.begin([])
    with pytest.raises(TypeError):
        connection.feed([(PUT, [(1, "", b""), (2, "", 1.5)])])  # type: ignore[list-item]
    connection.write([(PUT, VALUES)])
    assert kept(path) == sorted(VALUES)


def test_a_connection_may_be_closed_while_a_part_is_written(connection: direct.Connection, path: Path) -> None:
    connection.begin([])
    connection.feed([(PUT, [(n, "x" * 100, b"") for n in range(20_000)])])
    connection.close()
    assert not locked(path)
    assert kept(path) == []


class Item(msgspec.Struct):
    number: int
    text: str
    data: bytes


def test_a_store_ends_what_it_began_whatever_broke_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows were read under the lock, and there was no memory for their objects."""
    sqlite.create(tmp_path / "cardcore.db")
    store = sqlite.SqliteStore(tmp_path / "cardcore.db")
    begin = store._rows.begin

    def broken(*asked: Any) -> None:
        begin(*asked)
        raise MemoryError

    monkeypatch.setattr(store._rows, "begin", broken)
    with pytest.raises(MemoryError):
        store.begin((0,), [("terminal:t1", "k")], [])
    store.abandon()
    with closing(sqlite3.connect(store.path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
    store.close()


def test_a_struct_is_the_row_of_its_fields(connection: direct.Connection, path: Path) -> None:
    connection.write([(PUT, [Item(*row) for row in VALUES])])
    assert kept(path) == sorted(VALUES)


def test_a_card_read_alone_is_the_card_of_a_batch(tmp_path: Path) -> None:
    """Whatever the card before it was; and the words that most cards share are one object each."""
    sqlite.create(tmp_path / "cardcore.db")
    store = sqlite.SqliteStore(tmp_path / "cardcore.db")
    rng = random.Random(7)
    cards = [
        CardRow(
            number=f"8801{place:08d}", account_id=place, programme=rng.choice(("\u4f1a\u5458", "gold", "gol")),
            state=rng.choice(("active", "lost")), state_from=rng.choice((0, 9)), unit=rng.choice(("", "u", "\u5e97")),
            kind=rng.choice(("primary", "other")), valid_until=rng.choice((0, 2**40)), flags=rng.choice((0, 1)),
            pin_value=rng.choice((b"", bytes(range(48)))), pin_tries=rng.randrange(256), changed_at=place,
        )
        for place in range(1, 60)
    ]  # fmt: skip
    accounts = [AccountRow(place, rng.randbytes(place), place) for place in range(1, 60)]
    store.commit(Batch([], cards, accounts, []))
    single = store.single()
    assert single is not None
    for number in [card.number for card in rng.choices(cards, k=300)]:
        found = single.read(number)
        single.abandon()
        assert found == store.read([number])[number]
        assert found is not None
        for word in (found.card.programme, found.card.state, found.card.unit, found.card.kind):
            assert word is sys.intern(word)
    assert single.read("8801") is None
    single.abandon()
    store.close()


def test_memory_for_rows_is_used_again(connection: direct.Connection, path: Path) -> None:
    """Batches of very different sizes follow each other; each is written whole and none leaves anything to the next."""
    first = 100
    for count in (1, 90_000, 3, 100, 2):  # 270,000 values: more than is kept
        connection.write([(PUT, [(first + n, f"row {first + n}", b"%d" % n) for n in range(count)])])
        assert kept(path)[-count:] == [(first + n, f"row {first + n}", b"%d" % n) for n in range(count)]
        first += count


@pytest.mark.parametrize(
    "row", [(30, "", None), (30, "", 1.5), (30, True, b""), (30, "", bytearray()), (30, ""), (30, "", b"", 1), (2**63, "", b"")]
)
def test_what_sqlite_does_not_take_is_not_begun(connection: direct.Connection, path: Path, row: tuple) -> None:
    with pytest.raises((TypeError, OverflowError)):
        connection.write([(PUT, [(29, "", b""), row])])
    assert not locked(path)
    assert kept(path) == []
    with pytest.raises(UnicodeEncodeError):
        connection.write([(PUT, [(30, "\ud800", b"")])])
    assert kept(path) == []


def test_an_unknown_statement_and_a_missing_file(connection: direct.Connection, tmp_path: Path) -> None:
    with pytest.raises(direct.DirectError, match="no such table"):
        connection.read("SELECT * FROM absent", [()])
    with pytest.raises(direct.DirectError, match="unable to open"):
        direct.Connection(bytes(tmp_path / "absent.db"))
    with pytest.raises(direct.DirectError, match="syntax"):
        direct.Connection(bytes(tmp_path / "items.db"), ("PRAGMA (",))


def test_a_closed_connection_says_so(connection: direct.Connection) -> None:
    connection.close()
    connection.close()
    with pytest.raises(direct.DirectError, match="closed"):
        connection.read(GET, [(1,)])
    with pytest.raises(direct.DirectError, match="closed"):
        connection.write([(PUT, VALUES)])
    with pytest.raises(direct.DirectError, match="closed"):
        connection.begin([])


def test_a_batch_takes_turns_with_another_writer(connection: direct.Connection, path: Path) -> None:
    """It waits for the lock as every connection does, without the interpreter lock: the other writer runs on."""
    other = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute(PUT, (1, "theirs", b""))
    release = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    release.start()
    connection.write([(PUT, [(2, "ours", b"")])])
    release.join()
    other.close()
    assert [row[0] for row in kept(path)] == [1, 2]
