"""Goal: a plain sale read in one pass is the sale that strict JSON, the schema and the ordinary command make of the same bytes.

Method: bodies from a seed, with every field there, at its default, at a bound or absent, members in any order, then damaged byte
by byte. Whatever the short reader takes, the other readers must take too, with the same meaning (compared as packed by msgspec,
O2) and the same decision (the packed settlement, or the refusal). Which bodies it has to take and which to leave is a table.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cardapi.http import money_schemas
from cardapi.http.call import _pack
from cardapi.http.fields import decode_hook
from cardapi.http.sale_body import PlainSale, read, read_ticket
from cardapi.http.sales import command
from cardcore import strictjson
from cardcore.errors import CardcoreError
from cardcore.settlement import Account, Adjust, Command, Sale, Snapshot, TopUp, decide, pack
from tests.support import sized

AT_US = 1_795_300_000_000_000
RULES = pack.load((Path(__file__).parents[2] / "schemes" / "mall-vip.toml").read_text())
_settle = msgspec.json.Decoder(money_schemas.Settle, dec_hook=decode_hook).decode
_ticket = msgspec.json.Decoder(money_schemas.BatchTicket, dec_hook=decode_hook).decode


def account() -> Account:
    value = Account(1)
    gifts: tuple[Command, ...] = (TopUp(200_000), Adjust("points", 5_000))
    for position, gift in enumerate(gifts, 1):
        value.apply(decide(Snapshot(RULES, value), gift, AT_US), position)
    return value


ACCOUNT = account()


def outcome(sale: Sale) -> object:
    """All that a command says: what may be read of it, and what is decided on it."""
    said = (sale.verb, sale.verb_code, sale.n_lines, sale.shortfall_tender, sale.hold_seconds, sale.memo, sale.coupons)
    try:
        return said, decide(Snapshot(RULES, ACCOUNT), sale, AT_US).pack()
    except CardcoreError as error:
        return said, type(error), error.code, getattr(error, "declined_code", ""), error.facts


def same(data: bytes, plain: PlainSale, *, keyed: bool) -> None:
    """What was taken has one reading."""
    strictjson.check(data)
    asked: Any = (_ticket if keyed else _settle)(data)
    assert plain.client_key == (asked.client_key if keyed else "")
    if keyed:
        asked.client_key = msgspec.UNSET
    assert plain.meaning == b"settle\0" + _pack(asked), data
    assert (plain.card, plain.explain) == (asked.card, asked.explain), data
    assert (asked.further_cards, asked.pin) == ((), None), data
    assert outcome(plain.command) == outcome(command("settle", asked)), data


AMOUNTS = [0, 1, 99, 127, 128, 255, 256, 1_000, 65_535, 65_536, 99_999, 2**32 - 1, 2**32, 10**15 - 1, 10**15]
WORDS = ["", "a", "clothes", "home", "x" * 31, "y" * 32, "z" * 64, "a b", "~!/'{}[]:,"]
ODD: dict[str, list[Any]] = {
    "amount_fen": [-1, 10**15 + 1, 10**16, 10**17, 1.5, True, None, "1"], "quantity": [0, -1, 1_000_001, "1", None],
    "category": ["x" * 65, "\u7c7b", 'a"b', "a\\b", "a\nb", 1, None], "sku": ["x" * 65, 7], "discount_fen": [-1, 10**15 + 1],
    "coupon_fen": [-1, False], "card": ["1234567", "1" * 33, "6200000000000 18", 62, None], "points": [-2, 10**15 + 1, "5"],
    "shortfall_tender": ["Cash", "1a", "_", "a" * 33, "a-b"], "shortfall_max_fen": [-2, 10**15 + 1], "stored_max_fen": [-2, None],
    "explain": ["true", 1, None], "client_key": ["", "k" * 256, "a\u00e9"], "lines": [[], {}, None], "pin": ["1234"], "other": [1],
    "further_cards": [["6200000000000026"]], "reference": ["r"], "channel": ["web"],
}  # fmt: skip


def some_line(draw: random.Random) -> dict[str, Any]:
    line: dict[str, Any] = {"amount_fen": draw.choice(AMOUNTS)}
    for name, values in (("quantity", [1, 2, 128, 1_000_000]), ("category", WORDS), ("sku", WORDS), ("discount_fen", AMOUNTS[:8]),
                         ("coupon_fen", AMOUNTS[:8])):  # fmt: skip
        if draw.random() < 0.4:
            line[name] = draw.choice(values)
    return line


def some_sale(draw: random.Random, *, keyed: bool) -> dict[str, Any]:
    sale: dict[str, Any] = {"card": draw.choice(["62000018", "6200000000000018", "9" * 32])}
    sale["lines"] = [some_line(draw) for _ in range(draw.choice([1, 1, 2, 3, 15, 16, 32]))]
    if keyed:
        sale["client_key"] = draw.choice(["k", "0198c0de-0000", "k" * 255, "a b/c"])
    for name, values in (("points", [-1, 0, 1, 500, 10**15]), ("shortfall_tender", ["", "cash", "b_2", "a" * 32]),
                         ("shortfall_max_fen", [-1, *AMOUNTS]), ("stored_max_fen", [-1, *AMOUNTS]),
                         ("explain", [True, False])):  # fmt: skip
        if draw.random() < 0.3:
            sale[name] = draw.choice(values)
    return sale


def shuffled(draw: random.Random, value: dict[str, Any]) -> dict[str, Any]:
    names = list(value)
    draw.shuffle(names)
    return {name: value[name] for name in names}


def spoiled(draw: random.Random, sale: dict[str, Any]) -> dict[str, Any]:
    """With one field as it must not be, or as only the other reader takes it."""
    name = draw.choice(list(ODD))
    where = sale["lines"][0] if name in {"amount_fen", "quantity", "category", "sku", "discount_fen", "coupon_fen"} else sale
    where[name] = draw.choice(ODD[name])
    return sale


def damaged(draw: random.Random, data: bytes) -> bytes:
    at = draw.randrange(len(data))
    what = draw.randrange(4)
    if what == 0:
        return data[:at] + bytes([draw.choice(b'"\\{}[],:-.0e 1tn\x00\x1f\x7f\xff')]) + data[at:]
    if what == 1:
        return data[:at] + data[at + draw.randrange(1, 4) :]
    if what == 2:
        return data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
    again = draw.randrange(len(data))
    return data[:at] + data[min(at, again) : max(at, again)] + data[at:]


@pytest.mark.parametrize("keyed", [False, True])
def test_what_is_taken_means_the_same_to_both(keyed: bool) -> None:
    draw = random.Random(20261122 + keyed)
    reader = read_ticket if keyed else read
    taken = left = 0
    for _ in range(sized(3_000, 60_000)):
        whole = shuffled(draw, some_sale(draw, keyed=keyed))
        data = json.dumps(whole, separators=draw.choice([(",", ":"), (", ", ": "), (" ,\n", "\t:\r ")])).encode()
        plain = reader(data)
        assert plain is not None, data
        same(data, plain, keyed=keyed)
        odd = json.dumps(spoiled(draw, whole)).encode()
        assert reader(odd) is None, odd
        bad = damaged(draw, data)
        plain = reader(bad)
        if plain is None:
            left += 1
        else:
            taken += 1
            same(bad, plain, keyed=keyed)
    assert taken > left / 20, "damage that still is a sale is met too"


PLAIN = b'{"card":"62000018","lines":[{"amount_fen":100}]}'


@pytest.mark.parametrize("size", range(len(PLAIN)))
def test_a_part_is_left_and_nothing_behind_it_is_read(size: int) -> None:
    """The body may be a slice of a longer message, as the tickets of a batch are."""
    assert read(PLAIN[:size]) is None
    assert read(memoryview(PLAIN)[:size]) is None  # type: ignore[arg-type]  # any buffer: what follows is there, and is not ours


def test_only_the_buffer_itself_is_read() -> None:
    both = b'{"t":[' + PLAIN + b"," + PLAIN + b"]}"
    assert read(memoryview(both)[6 : 6 + len(PLAIN)]) is not None  # type: ignore[arg-type]
    (first, second) = msgspec.json.decode(both, type=dict[str, list[msgspec.Raw]])["t"]
    for raw in (first, second):
        plain = read(raw)
        assert plain is not None
        same(PLAIN, plain, keyed=False)


@pytest.mark.parametrize("data", [
    b"", b" ", b"{", b"{}", b"[]", b"null", PLAIN + b"x", PLAIN + b"{}", b"\xef\xbb\xbf" + PLAIN, PLAIN.replace(b"100", b"1e2"),
    PLAIN.replace(b"100", b"100.0"), PLAIN.replace(b"100", b"0100"), PLAIN.replace(b"100", b"-0"), PLAIN.replace(b"100", b"+1"),
    PLAIN.replace(b"}]", b'},]'), PLAIN.replace(b"}]", b",}]"), PLAIN.replace(b"]}", b"],}"), PLAIN.replace(b'{"card', b'{,"card'),
    PLAIN.replace(b"100", b'1,"amount_fen":1'), PLAIN.replace(b'"lines"', b'"card":"62000018","lines"'),
    PLAIN.replace(b'"lines"', b'"lines":[{"amount_fen":1}],"lines"'), PLAIN.replace(b'"card"', b'"c\\u0061rd"'),
    PLAIN.replace(b'"card"', b'"client_key":"k","card"'), PLAIN.replace(b'[{"amount_fen":100}]', b"[]"),
    PLAIN.replace(b'{"amount_fen":100}', b"{}"), PLAIN.replace(b'{"amount_fen":100}', b",".join([b'{"amount_fen":1}'] * 33)),
])  # fmt: skip
def test_these_are_left(data: bytes) -> None:
    assert read(data) is None


def test_a_ticket_needs_its_key_and_a_sale_has_none() -> None:
    assert read_ticket(PLAIN) is None
    assert read(PLAIN) is not None
    keyed = PLAIN.replace(b'"card"', b'"client_key":"k","card"')
    plain = read_ticket(keyed)
    assert plain is not None
    assert plain.client_key == "k"


def test_the_largest_plain_sale_fits() -> None:
    """Every field there, every word as long as it may be, every number as long as it gets."""
    line = {"amount_fen": 10**15, "quantity": 10**6, "category": "c" * 64, "sku": "s" * 64, "discount_fen": 10**15, "coupon_fen": 10**15}
    sale = {"card": "1" * 32, "lines": [line] * 32, "points": 10**15, "shortfall_tender": "t" * 32, "shortfall_max_fen": 10**15,
            "stored_max_fen": 10**15, "explain": True, "client_key": "k" * 255}  # fmt: skip
    data = json.dumps(sale).encode()
    plain = read_ticket(data)
    assert plain is not None
    same(data, plain, keyed=True)
