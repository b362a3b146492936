"""Peer: a database call for each request, as one who knows PostgreSQL writes it: a bare ASGI application, msgspec, and a function in the
database that does a whole settle in one round trip and one commit of its own, over a pool of connections.

It checks the signature with the product's own compiled reader and its table of nonces, prices the lines with the two rates, finds a client
key that has its effect already, locks the card's row, splits points and stored value, and writes the ticket and the card. No lots, no
chain, no programme to look up, and a card in one table instead of two.
`python -m benchmarks.peers.one_call ADDRESS KEY` serves on a free port; KEY is the terminal's, in hex.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import msgspec
import psycopg

from cardapi.http.nonces import NonceTable
from cardapi.http.signature import SCHEME, WINDOW_S
from cardapi.http.signed import read
from cardcore.mackey import MacKey

from .price import net_fen
from .serve import serve

CONNECTIONS = 16
NONCES_MAX = 1 << 22

SCHEMA = """
CREATE TABLE card (number text COLLATE "C" PRIMARY KEY, money_fen bigint NOT NULL, points bigint NOT NULL) WITH (fillfactor = 70);
CREATE TABLE entry (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(), client text NOT NULL,
    client_key text COLLATE "C" NOT NULL, fingerprint bytea NOT NULL, card text NOT NULL, gross_fen bigint NOT NULL,
    net_fen bigint NOT NULL, points_used bigint NOT NULL, stored_fen bigint NOT NULL, points_earned bigint NOT NULL,
    balance_fen bigint NOT NULL, points bigint NOT NULL, body bytea NOT NULL, UNIQUE (client, client_key)
);
CREATE FUNCTION settle(
    the_client text, the_key text, the_fingerprint bytea, the_card text, the_gross bigint, the_net bigint, wanted bigint, the_body bytea
) RETURNS entry LANGUAGE plpgsql AS $$
DECLARE
    done entry;
    held card;
    used bigint;
    stored bigint;
BEGIN
    SELECT * INTO held FROM card WHERE number = the_card FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    used := least(wanted, held.points, the_net / 2) / 100 * 100;
    stored := the_net - used;
    IF held.money_fen < stored THEN
        RETURN NULL;
    END IF;
    INSERT INTO entry (client, client_key, fingerprint, card, gross_fen, net_fen, points_used, stored_fen, points_earned, balance_fen,
        points, body)
    VALUES (the_client, the_key, the_fingerprint, the_card, the_gross, the_net, used, stored, stored / 1000, held.money_fen - stored,
        held.points - used + stored / 1000, the_body)
    ON CONFLICT (client, client_key) DO NOTHING RETURNING * INTO done;
    IF NOT FOUND THEN
        SELECT * INTO done FROM entry WHERE client = the_client AND client_key = the_key;
        RETURN done;
    END IF;
    UPDATE card SET money_fen = done.balance_fen, points = done.points WHERE number = the_card;
    RETURN done;
END $$;
"""

# The body stands for what the product's ticket holds; the answer is made of the columns.
SETTLE = (
    "SELECT position, fingerprint, gross_fen, net_fen, points_used, stored_fen, points_earned, balance_fen, points "
    "FROM settle(%b::text, %b::text, %b::bytea, %b::text, %b::bigint, %b::bigint, %b::bigint, %b::bytea)"
)


class Line(msgspec.Struct, gc=False):
    amount_fen: int
    quantity: int = 1
    category: str = ""


class Sale(msgspec.Struct, gc=False):
    card: str
    lines: list[Line]
    points: int = 0


class Ticket(msgspec.Struct, gc=False):
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


_sale = msgspec.json.Decoder(Sale).decode
_json = msgspec.json.Encoder().encode
START = {"type": "http.response.start", "status": 200}


class Service:
    """The application: its connections, and the one terminal that it knows."""

    def __init__(self, address: str, key: bytes) -> None:
        self._address = address
        self._key = MacKey(key)
        self._nonces = NonceTable(NONCES_MAX, WINDOW_S)
        self._idle: asyncio.LifoQueue[psycopg.AsyncCursor] = asyncio.LifoQueue()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        headers = dict(scope["headers"])
        client_key = headers[b"idempotency-key"]
        client = self._signed(headers[b"authorization"], scope, client_key, body)
        ticket = await self._settle(client, client_key.decode(), _sale(body), body) if client else None
        answer = _json(ticket) if ticket else b'{"code":"refused"}'
        start = START if ticket else START | {"status": 409}
        await send(start | {"headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]})
        await send({"type": "http.response.body", "body": answer})

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        for _ in range(CONNECTIONS):
            connection = await psycopg.AsyncConnection.connect(self._address, autocommit=True)
            connection.prepare_threshold = 0
            self._idle.put_nowait(connection.cursor(binary=True))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        while not self._idle.empty():
            await self._idle.get_nowait().connection.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _signed(self, header: bytes, scope: dict[str, Any], client_key: bytes, body: bytes) -> str:
        """Who signed the request; "" when nobody did."""
        claim, now = read(header), int(time.time())
        assert header.startswith(SCHEME)
        if claim is None or not now - WINDOW_S <= claim.time <= now + WINDOW_S:
            return ""
        if not claim.holds(self._key, b"POST", scope["raw_path"], client_key, body):
            return ""
        if self._nonces.add(hash((claim.terminal, claim.nonce)), claim.time, now):
            return ""
        return f"terminal:{claim.terminal}"

    async def _settle(self, client: str, key: str, sale: Sale, body: bytes) -> Ticket | None:
        fingerprint = sha256(body).digest()[:16]
        gross = sum([line.amount_fen for line in sale.lines])
        net = net_fen([line.amount_fen for line in sale.lines])
        cursor = await self._idle.get()
        try:
            await cursor.execute(SETTLE, (client, key, fingerprint, sale.card, gross, net, sale.points, body))
            row = await cursor.fetchone()
        finally:
            self._idle.put_nowait(cursor)
        if row is None or row[0] is None or row[1] != fingerprint:
            return None
        position, _, gross, net, used, stored, earned, balance, points = row
        return Ticket(f"{position:012x}", "applied", gross, gross - net, net, stored, used, used, earned, balance, points)


def fill(address: str, numbers: Iterable[str]) -> None:
    """Make the tables in an empty database, with these cards, all rich."""
    with psycopg.connect(address) as connection:
        connection.execute(SCHEMA)
        with connection.cursor().copy("COPY card FROM STDIN") as rows:
            for number in numbers:
                rows.write_row((number, 1_000_000_000, 1_000_000_000))


if __name__ == "__main__":
    serve(Service(sys.argv[1], bytes.fromhex(sys.argv[2])), lifespan="on")
