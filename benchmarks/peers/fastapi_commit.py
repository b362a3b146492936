"""Peer: the usual way, a FastAPI route with pydantic models that commits each request by itself.

It checks the idempotency key, prices the lines with the two rates, splits points and stored value, and commits the
journal row and the account. No authentication, no lots, no chain. The commit runs on the event loop: with one writer
that is faster than a thread pool, and each answer is on disk either way.
`python -m benchmarks.peers.fastapi_commit DATABASE` serves on a free port.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel

from .price import net_fen
from .serve import serve


class LineIn(BaseModel):
    amount_fen: int
    quantity: int = 1
    category: str = ""
    sku: str = ""


class SettleIn(BaseModel):
    card: str
    lines: list[LineIn]
    points: int = 0


class SettleOut(BaseModel):
    ticket_id: str
    outcome: str
    gross_fen: int
    discount_fen: int
    net_fen: int
    stored_fen: int
    points_fen: int
    points_used: int
    points_earned: int
    balance_fen: int
    points: int


SCHEMA = """
CREATE TABLE IF NOT EXISTS card (number TEXT PRIMARY KEY, money_fen INTEGER NOT NULL, points INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ticket (position INTEGER PRIMARY KEY, client_key TEXT NOT NULL UNIQUE, body TEXT NOT NULL);
"""


def build(path: Path) -> FastAPI:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    app = FastAPI()

    @app.post("/v1/settle")
    async def settle(request: SettleIn, idempotency_key: Annotated[str, Header()]) -> SettleOut:
        connection.execute("BEGIN IMMEDIATE")
        try:
            answer = _settle(connection, request, idempotency_key)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        return answer

    return app


def _settle(connection: sqlite3.Connection, request: SettleIn, key: str) -> SettleOut:
    seen = connection.execute("SELECT body FROM ticket WHERE client_key = ?", (key,)).fetchone()
    if seen:
        return SettleOut(**json.loads(seen[0]))
    row = connection.execute("SELECT money_fen, points FROM card WHERE number = ?", (request.card,)).fetchone()
    if row is None:
        raise HTTPException(404, "unknown card")
    gross = sum(line.amount_fen for line in request.lines)
    net = net_fen(line.amount_fen for line in request.lines)
    used = min(request.points, row[1], net) // 100 * 100
    stored = net - used
    if row[0] < stored:
        raise HTTPException(409, "insufficient funds")
    earned = stored // 1000
    answer = SettleOut(
        ticket_id=key, outcome="applied", gross_fen=gross, discount_fen=gross - net, net_fen=net, stored_fen=stored, points_fen=used,
        points_used=used, points_earned=earned, balance_fen=row[0] - stored, points=row[1] - used + earned,
    )  # fmt: skip
    connection.execute("UPDATE card SET money_fen = ?, points = ? WHERE number = ?", (answer.balance_fen, answer.points, request.card))
    connection.execute("INSERT INTO ticket (client_key, body) VALUES (?, ?)", (key, answer.model_dump_json()))
    return answer


def fill(path: Path, numbers: list[str]) -> None:
    """Create the database with these cards, all rich."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(SCHEMA)
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO card VALUES (?, 1000000000, 1000000000)", ((number,) for number in numbers))
    connection.execute("COMMIT")
    connection.close()


if __name__ == "__main__":
    serve(build(Path(sys.argv[1])))
