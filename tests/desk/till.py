"""A shop for tests of the desk: a fresh data directory with two programmes, and short ways to ask things of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cardapi.app import Shop, open_shop, wall_clock
from cardapi.custody import Pin
from cardapi.desk import Problem, Request
from cardapi.store.port import Entry
from cardapi.store.verify import Report, verify
from cardcore.errors import CardcoreError
from cardcore.settlement import Sale, TopUp
from tests.shops import length, new_shop

PLAIN = """
schema = 1
name = "plain"
version = 1
currency = "CNY"
title = { zh = "储值卡", en = "Stored value" }
about = { zh = "只有储值", en = "Money and nothing else" }
utc_offset = "+08:00"
[card]
pin = "never"
[limits]
transfer = true
[pricing]
stacking = "multiply"
[[purse]]
name = "principal"
unit = "fen"
role = "principal"
"""
GUARDED = PLAIN.replace('"plain"', '"guarded"').replace('pin = "never"', 'pin = "above"\npin_above_fen = 10_00')


class Till:
    """Talks to the desk of one shop as terminal `t1` at unit `issuer`."""

    def __init__(self, directory: Path, clock: Callable[[], int] = wall_clock, partitions: int = 0) -> None:
        self.directory = directory
        self.clock = clock
        self.numbers = itertools.count(1)
        if not (directory / "secrets").exists():
            new_shop(directory, partitions)
        self.shop: Shop = open_shop(directory, clock=clock)
        self.start = length(self.shop)  # so that a till opened later makes other keys
        for pack in (PLAIN, GUARDED):
            name = pack.split('"')[1] + "@1"
            document = {"valid_from": 0, "pack": pack}
            self.ask("change", key=f"publish {name}", payload={"kind": "programme", "id": name, "document": document})

    def request(self, verb: str, *, key: str = "", meaning: object = None, of: Entry | None = None, **fields: Any) -> Request:
        """`of`: the entry that the request names."""
        key = key or f"key-{self.start}-{next(self.numbers)}"
        meaning = meaning if meaning is not None else [verb, repr(fields.get("card")), repr(fields.get("payload"))]
        fingerprint = self.shop.desk.fingerprint(meaning)
        if of is not None:
            fields |= {"ref": of.position, "partition": of.partition}
        return Request(verb, "terminal:t1", key, fingerprint, unit="issuer", terminal="t1", **fields)

    def ask(self, verb: str, **fields: Any) -> Entry:
        return self.shop.desk.call(self.request(verb, **fields))

    def done(self, verb: str, **fields: Any) -> Entry:
        entry = self.ask(verb, **fields)
        assert entry.outcome == "applied", f"{verb}: {entry.code}"
        return entry

    def problem(self, verb: str, **fields: Any) -> str:
        """The code of the problem this request meets."""
        try:
            entry = self.ask(verb, **fields)
        except CardcoreError as problem:
            return problem.code
        raise AssertionError(f"{verb} was recorded: {entry.outcome} {entry.code}")

    def issued(self, programme: str = "plain", **payload: Any) -> str:
        return self.done("issue", payload={"programme": programme, "prefix": "8801", **payload}).card

    def card(self, money_fen: int = 0, programme: str = "plain", pin: str = "") -> str:
        """An active card with money on it."""
        number = self.issued(programme)
        self.done("activate", card=number)
        if money_fen:
            self.topup(number, money_fen)
        if pin:
            self.done("set_pin", card=number, pin=Pin.parse(pin))
        return number

    def topup(self, card: str, fen: int) -> Entry:
        return self.done("topup", card=card, command=TopUp(fen))

    def sale(self, card: str, fen: int, *, key: str = "", verb: str = "settle", **fields: Any) -> Entry:
        return self.ask(verb, card=card, key=key, meaning=[verb, card, fen], command=Sale(verb, [(fen, 1)], hold_seconds=600), **fields)

    def balance(self, card: str) -> int:
        """What the store holds for a card, read past the desk."""
        from cardcore.settlement import Account

        found = self.shop.store.reader().read([card])[card]
        return sum(lot.amount for lot in Account.unpack(found.account.state).lots())

    def verify(self) -> Report:
        return verify(self.shop.store.reader(), self.shop.custody.chain_key, checkpoints=self.shop.checkpoints.read())

    def sound(self) -> None:
        """The journal folds to the projections, and everything else `verify` proves."""
        report = self.verify()
        assert report.ok, report.first_bad

    def reopen(self) -> None:
        """Close and open again, as a restart does."""
        self.shop.close()
        self.shop = open_shop(self.directory, clock=self.clock)


__all__ = ["Problem", "Till"]
