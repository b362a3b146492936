"""The inputs of every benchmark, made from a seed: one programme, its cards, their tickets and the requests a till sends.

The ticket is the one that the targets name: three lines, two discounts that combine on each, points for a part and
stored value for the rest. Cards are drawn evenly, so that nothing is warm by accident.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import os
import random
import secrets
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from cardapi import ids

AT: Final = 1_795_300_000
"""The epoch second at which the in-process decisions happen: 2026-11-22."""

PROGRAMME: Final = "bench-member"

PACK: Final = """\
schema = 1
name = "bench-member"
version = 1
currency = "CNY"
title = { zh = "基准会员卡", en = "Benchmark member card" }
about = { zh = "两种折扣相乘，储值加积分。", en = "Two discounts that multiply, stored value and points." }
utc_offset = "+08:00"

[card]
pin = "never"
member = true

[limits]
transfer = true

[spend]
order = "expiry"

[pricing]
stacking = "multiply"
rounding = "half_up"
step_fen = 1
stage = "line"

[[purse]]
name = "bonus"
unit = "fen"
role = "bonus"
expires_after = "P365D"

[[purse]]
name = "principal"
unit = "fen"
role = "principal"

[[purse]]
name = "points"
unit = "points"
role = "points"
expires_after = "P730D"

[[tier]]
name = "member"

[[tier]]
name = "gold"
spend_min_fen = 900_000_000_000_00

[[benefit]]
name = "members pay 88 of 100"
when = { verb = "settle", tier = ["member", "gold"] }
then = { discount = "88/100" }

[[benefit]]
name = "clothes and home pay 95 of 100"
when = { verb = "settle", category = ["clothes", "home"] }
then = { discount = "95/100" }

[[benefit]]
name = "one point for each 10 yuan of stored value"
when = { verb = "settle" }
then = { accrue = "points", amount = 1, per_fen = 10_00, multiplier = "1/1", base = ["principal", "bonus"] }

[[benefit]]
name = "100 points pay 1 yuan, half of the ticket at most"
when = { verb = "settle" }
then = { deduct = "points", units = 100, worth_fen = 1_00, max_share = "1/2" }

[[benefit]]
name = "charge 500, get 100"
when = { verb = "topup" }
then = { grant = "bonus", amount = 100_00, per_fen = 500_00 }
"""


class TicketLine(NamedTuple):
    """A line as the references and the request bodies know it."""

    amount_fen: int
    quantity: int
    category: str


TICKET: Final = (TicketLine(129_00, 1, "clothes"), TicketLine(71_10, 2, "home"), TicketLine(8_90, 1, "clothes"))
TICKET_POINTS: Final = 500

TOPUP_FEN: Final = 500_00
"""The single card holds 500 yuan paid and 100 yuan bonus, so the ticket takes all the bonus and some principal."""

TOPUP_POINTS: Final = 20_000

RICH_FEN: Final = 1_000_000_00
"""A card of the large data sets, so that no run can empty it."""

RICH_POINTS: Final = 10_000_000

RESERVE_FEN: Final = 8_000_000_000_000_00
"""What one more card holds, topped up by the ordinary path: the customers' money in the journal then covers the rest."""


def card_number(number: int) -> str:
    """The number of the data sets' `number`-th card."""
    return ids.card_number("9", number, 12)


class OrderedKeys:
    """Time-ordered client keys, as UUIDv7: milliseconds, a counter, random bits; 32 hexadecimal digits."""

    def __init__(self, seed: int) -> None:
        self._salt = random.Random(seed).getrandbits(32)
        self._number = itertools.count()

    def __call__(self) -> str:
        return f"{time.time_ns() // 1_000_000:012x}{next(self._number) & 0xFFFFFFFFFFFF:012x}{self._salt:08x}"


class RandomKeys:
    """Random client keys, as UUIDv4."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self) -> str:
        return f"{self._random.getrandbits(128):032x}"


def tickets(seed: int) -> Iterator[tuple[TicketLine, ...]]:
    """Endless tickets of three lines whose prices vary; categories and counts stay those of TICKET."""
    draw = random.Random(seed).randrange
    while True:
        yield (
            TicketLine(draw(10_00, 200_00), 1, "clothes"),
            TicketLine(draw(1_00, 90_00), 2, "home"),
            TicketLine(draw(50, 20_00), 1, "clothes"),
        )


def sale_json(card: str, lines: tuple[TicketLine, ...], key: str = "") -> bytes:
    """The body of a settle request, or with `key` one item of settleBatch."""
    rows = ",".join(f'{{"amount_fen":{line.amount_fen},"quantity":{line.quantity},"category":"{line.category}"}}' for line in lines)
    head = f'"client_key":"{key}",' if key else ""
    return f'{{{head}"card":"{card}","lines":[{rows}],"points":{TICKET_POINTS}}}'.encode()


class Till:
    """A terminal that signs its requests with the fast HMAC form. All of a run's requests are signed before it."""

    def __init__(self, terminal: str, key_version: int, key: bytes) -> None:
        self._terminal, self._version, self._key = terminal, key_version, key
        self._nonce, self._number = secrets.token_hex(8), itertools.count()

    def post(self, path: str, body: bytes, client_key: str) -> bytes:
        """A whole HTTP/1.1 request."""
        now, nonce = int(time.time()), f"{self._nonce}{next(self._number):012x}"
        text = f"cardcore-hmac-1\nPOST\n{path}\n{now}\n{nonce}\n{client_key}\n{hashlib.sha256(body).hexdigest()}"
        mac = hmac.digest(self._key, text.encode(), "sha256").hex()
        return (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nIdempotency-Key: {client_key}\r\n"
            f"Authorization: Cardcore-HMAC terminal={self._terminal},version={self._version},time={now},nonce={nonce},mac={mac}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body


def plain_post(path: str, body: bytes, client_key: str) -> bytes:
    """The same request without a signature, for peers that check none."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nIdempotency-Key: {client_key}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def free_memory_bytes() -> int:
    """What the machine has left, to decide whether the largest data set fits."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
