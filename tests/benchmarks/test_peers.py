"""A peer that answers without having written would make the comparison a lie.

Method: start each peer as the benchmark does, send it requests, and count the rows in its database.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest

from benchmarks.harness import LineFailed
from benchmarks.load import Plan
from benchmarks.peers import fastapi_commit, one_call, rows
from benchmarks.scenarios import OrderedKeys, Till, card_number, plain_post, sale_json, tickets
from benchmarks.servers import drive, python, serving
from tests.postgres.server import empty, needs_postgres

COUNT = 60


def requests(cards: int) -> list[bytes]:
    keys, lines = OrderedKeys(1), tickets(1)
    return [plain_post("/v1/settle", sale_json(card_number(1 + number % cards), next(lines)), keys()) for number in range(COUNT)]


def count(path: Path, query: str) -> int:
    with sqlite3.connect(path) as connection:
        return connection.execute(query).fetchone()[0]


def test_the_usual_way_writes_each_ticket_and_takes_the_money(tmp_path: Path):
    database = tmp_path / "usual.db"
    fastapi_commit.fill(database, [card_number(number) for number in (1, 2, 3)])
    with serving(python("benchmarks.peers.fastapi_commit", str(database)), tmp_path / "log") as port:
        assert drive(Plan(port, requests(3), 4, 20, 0.0, b'"applied"')).value > 0
    assert count(database, "SELECT count(*) FROM ticket") == COUNT
    assert count(database, "SELECT count(*) FROM card WHERE money_fen < 1000000000") == 3


def test_the_bare_echo_writes_as_many_rows_as_it_answers(tmp_path: Path):
    database = tmp_path / "floor.db"
    connection = rows.connect(database)
    rows.fill(connection, 10)
    connection.close()
    with serving(python("benchmarks.peers.asgi_group", str(database), "10"), tmp_path / "log") as port:
        assert drive(Plan(port, requests(3), 4, 20, 0.0, b'"card"')).value > 0
    assert count(database, "SELECT count(*) FROM entry") == COUNT
    assert count(database, "SELECT count(*) FROM account WHERE changed_at > 0") == 10


def test_a_call_each_writes_each_ticket_once_and_knows_who_asks(tmp_path: Path):
    needs_postgres()
    address = empty("peer", 0).owner
    one_call.fill(address, [card_number(number) for number in (1, 2, 3)])
    key, keys, lines = bytes(32), OrderedKeys(1), tickets(1)
    till, stranger = Till("till-1", 1, key), Till("till-1", 1, bytes(31) + b"\1")
    sold = [(sale_json(card_number(1 + number % 3), next(lines)), keys()) for number in range(COUNT)]
    with serving(python("benchmarks.peers.one_call", address, key.hex()), tmp_path / "log") as port:
        for _ in range(2):  # the second time each key has its effect already
            signed = [till.post("/v1/settle", *ticket) for ticket in sold]
            assert drive(Plan(port, signed, 4, 20, 0.0, b'"applied"')).value > 0
        for refused in (stranger.post("/v1/settle", *sold[0]), signed[0]):  # another's key; the same request once more
            with pytest.raises(LineFailed, match="409"):
                drive(Plan(port, [refused], 1, 20, 0.0, b'"applied"'))
    with psycopg.connect(address) as connection:
        told = connection.execute("SELECT count(*), sum(stored_fen), sum(points_earned - points_used) FROM entry").fetchone()
        held = connection.execute("SELECT sum(1000000000 - money_fen), sum(points - 1000000000) FROM card").fetchone()
    assert told is not None
    assert told[0] == COUNT
    assert told[1:] == held


def test_the_bare_rows_are_durable_at_each_commit(tmp_path: Path):
    connection = rows.connect(tmp_path / "rows.db")
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
