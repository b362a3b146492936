"""A peer that answers without having written would make the comparison a lie.

Method: start each peer as the benchmark does, send it requests, and count the rows in its database.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from benchmarks.load import Plan
from benchmarks.peers import fastapi_commit, rows
from benchmarks.scenarios import OrderedKeys, card_number, plain_post, sale_json, tickets
from benchmarks.servers import drive, python, serving

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


def test_the_bare_rows_are_durable_at_each_commit(tmp_path: Path):
    connection = rows.connect(tmp_path / "rows.db")
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
