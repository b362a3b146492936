"""Goal: the compiled writer of tickets writes what the schema describes, for every value a settlement and an entry can hold.

Method: seeded sales, top-ups and refusals' neighbours, written and read back into `money_schemas.Ticket` with nothing unknown
and nothing left out, compared field by field with the settlement's own properties; texts that need escapes.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cardapi.http import ticket
from cardapi.http.money_schemas import Ticket, TicketLine
from cardapi.ids import ticket_id
from cardcore.settlement import Account, Command, Programme, Sale, Settlement, Snapshot, TopUp, decide, pack

SCHEMES = Path(__file__).parents[2] / "schemes"
AT_US = 1_795_300_000_000_000
FIELDS = (
    "programme_version", "gross_fen", "discount_fen", "coupon_fen", "covered_fen", "net_fen", "principal_fen", "bonus_fen", "points_fen",
    "further_fen", "outside_fen", "outside_tender", "points_used", "points_earned", "expires_at", "document",
)  # fmt: skip


class Strict(Ticket, forbid_unknown_fields=True):
    """A Ticket that knows no other field."""


@pytest.fixture(scope="module")
def mall() -> Programme:
    return pack.load((SCHEMES / "mall-vip.toml").read_text(encoding="utf-8"))


def settled(programme: Programme, *commands: Command) -> Settlement:
    account, position = Account(7), 0
    for position, command in enumerate(commands, 1):
        settlement = decide(Snapshot(programme, account), command, AT_US)
        account.apply(settlement, position)
    return settlement


def written(settlement: Settlement, **changes: Any) -> bytes:
    facts: dict[str, Any] = {
        "partition": 0, "position": 42, "at_us": AT_US + 123_456, "client_key": "key-1", "verb": settlement.verb,
        "outcome": "applied", "card": "6200000000000018", "programme": "mall-vip", "tier": "member", "lines": True,
    }  # fmt: skip
    return ticket.write(settlement, **(facts | changes))


def test_every_field_is_the_settlements_own(mall: Programme) -> None:
    draw = random.Random(20261122)
    for _ in range(300):
        lines = [(draw.randrange(1, 10 ** draw.randrange(1, 12)), draw.randrange(1, 9)) for _ in range(draw.randrange(1, 40))]
        sale = Sale("settle", lines, shortfall_tender="cash", points=draw.choice([0, -1]))
        settlement = settled(mall, TopUp(100_000), sale, sale)
        settlement.document = draw.choice(["", "none", "receipt", "untaxed_invoice", "invoice"])
        partition, position = draw.randrange(256), draw.choice([1, draw.randrange(1, 2**48), 2**48 - 1])
        told = written(settlement, partition=partition, position=position)
        read = msgspec.json.decode(told, type=Strict)
        assert (read.ticket_id, read.journal_position) == (ticket_id(partition, position), position)
        assert read.lines == tuple(
            TicketLine(
                amount_fen=line.amount_fen, quantity=line.quantity, discount_fen=line.discount_fen, coupon_fen=line.coupon_fen,
                covered_fen=line.covered_fen, net_fen=line.net_fen,
            )
            for line in settlement.lines()
        )  # fmt: skip
        assert all(getattr(read, name) == getattr(settlement, name) for name in FIELDS)
        assert (read.balance_fen, read.points) == (settlement.after_money_fen, settlement.after_points)
        assert (read.verb, read.outcome, read.tier, read.receipt, read.explanation) == ("settle", "applied", "member", (), ())
        assert told == msgspec.json.encode(msgspec.convert(msgspec.to_builtins(read), Ticket)), "the schema's order, and no blanks"


def with_gross(body: bytes, value: int) -> bytes:
    """A settlement's bytes with another total: form, verb, version and account stand before it, all zigzag varints but the first."""
    ends = [place for place, byte in enumerate(body) if place and byte < 0x80]
    rest, number = value << 1 if value >= 0 else (-value << 1) - 1, bytearray()
    while rest >= 0x80:
        number.append(rest & 0x7F | 0x80)
        rest >>= 7
    return body[: ends[2] + 1] + bytes([*number, rest]) + body[ends[3] + 1 :]


def test_amounts_at_the_edges_of_their_type(mall: Programme) -> None:
    body = settled(mall, TopUp(100_000)).pack()
    edges = [0, 1, -1, 9, 10, 99, -99, 2**53 + 1, 2**63 - 1, -(2**63), *(10**power for power in range(19))]
    for value in edges:
        settlement = Settlement.unpack(with_gross(body, value))
        assert settlement.gross_fen == value
        assert json.loads(written(settlement))["gross_fen"] == value


@pytest.mark.parametrize("text", ['a"b', "a\\b", "tab\there", "\x00", "\x1f", "会员", "\U0001f4b3", "", "x" * 5_000, "line\nbreak", "\x7f"])
def test_texts_are_escaped_as_json_needs(mall: Programme, text: str) -> None:
    settlement = settled(mall, TopUp(100_000))
    told = written(settlement, client_key=text, card=text, tier=text, programme=text, receipt=(text,), explanation=[text, text])
    read = msgspec.json.decode(told, type=Strict)
    assert (read.client_key, read.card, read.tier, read.programme) == (text,) * 4
    assert (read.receipt, read.explanation) == ((text,), (text, text))


def test_a_quote_has_no_place(mall: Programme) -> None:
    read = json.loads(written(settled(mall, TopUp(100_000)), position=0, outcome="quoted"))
    assert (read["ticket_id"], read["journal_position"]) == ("", 0)
    assert "lines" not in read
    with pytest.raises(UnicodeEncodeError):
        written(settled(mall, TopUp(100_000)), card="\ud800")


def test_times_are_exact_to_the_microsecond() -> None:
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    for at_us in (0, 1, 999_999, 1_000_000, -1, -1_000_000, AT_US, AT_US + 123_456, AT_US + 999_999, AT_US, 253_402_300_799_999_999):
        assert ticket.time_text(at_us) == (epoch + dt.timedelta(microseconds=at_us)).isoformat(timespec="microseconds")
    with pytest.raises(OverflowError):
        ticket.time_text(253_402_300_800_000_000)
