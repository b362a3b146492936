"""Clients of a soak beside the tills: members with events and coupons, and a station that uploads what a chip paid off line."""

from __future__ import annotations

import itertools
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from cardcore.clearing import Header, PurseRecord
from cardcore.clearing.layout import encode_all
from tests.clearing.demo import SAM, purchase
from tests.clearing.yard import bcd
from tests.coupons.packs import SHOP
from tests.desk.history import Asked
from tests.settlement.test_events import E09
from tests.soak.client import Client, Stage, lines

CLUB = "".join((SHOP.replace('"coupon-shop"', '"club"').replace(
    '[[purse]]\nname = "points"', '[[purse]]\nname = "bonus"\nrole = "bonus"\nunit = "fen"\n[[purse]]\nname = "points"'
), *E09))  # fmt: skip
"""Money stands in the first two purses, as in the other packs of a soak."""


class Club(Client):
    """Members of its own: enrolled, with a card, checked in, given coupons, which are used once, given back and used again."""

    def step(self) -> None:
        member: dict[str, Any] = {}
        key = self.key()
        for _ in range(2):
            status, found = self.send("POST", "/v1/members", {"name": "soak", "tags": ["soak"]}, key, "manager")
            assert status == 201, found
            assert member in ({}, found), "a key had two answers"
            member = found
        card = self.done("issueCards", "/v1/cards", {"programme": "club", "activate": True}, "manager")["card"]
        self.done("linkCard", f"/v1/members/{member['member']}/cards", {"card": card}, "manager")
        event = {"card": card, "event": "check-in"}
        assert self.done("recordEvent", "/v1/events", event)["points"] == 5
        assert self.refused("/v1/events", event) == "nothing_to_do", "the day's points were given"
        given = self.done("giveCoupons", "/v1/coupons/give", {"card": card, "coupon": "off-20", "count": 2, "reason": "soak"}, "admin")
        one, two = (coupon["coupon_id"] for coupon in given["coupons"])
        first = self.sale(card, one)
        assert self.refused("/v1/settle", self.of(card, one)) == "no_coupon", "a coupon was used twice"
        self.done("refund with coupon", "/v1/refund", {"ticket_id": first["ticket_id"], "reason": "soak"})
        self.sale(card, one)
        _, left = self.send("GET", f"/v1/cards/{card}/coupons")
        assert [coupon["coupon_id"] for coupon in left["coupons"]] == [two]
        _, found = self.send("GET", f"/v1/members/{member['member']}", operator="manager")
        assert found["cards"] == [card]

    @staticmethod
    def of(card: str, coupon: str) -> dict[str, Any]:
        """What its sale asks for: 100 yuan, paid in cash."""
        return {"card": card, "lines": lines(100_00), "shortfall_tender": "cash", "coupons": [coupon]}

    def sale(self, card: str, coupon: str) -> dict[str, Any]:
        ticket = self.done("sale with coupon", "/v1/settle", self.of(card, coupon))
        assert ticket.get("net_fen") == 80_00, ticket
        return ticket

    def refused(self, path: str, body: dict[str, Any]) -> str:
        """Why not."""
        answer = self.ask(Asked(self.key(), "refused", ""), path, body)
        return str(answer.get("code"))


class Station(Client):
    """Uploads what its chip paid off line, in pieces that come in any order, in part again, and at times twice at once (K2, O2)."""

    FEN, PIECE = 7, 3

    def __init__(self, stage: Stage, card: str, chip_fen: int) -> None:
        super().__init__(stage, "station")
        self.card = card
        self.chip_fen = chip_fen  # what is on it once all is cleared
        self._paid: list[PurseRecord] = []
        self._header = Header(SAM, 1, 0, bcd(datetime.now(UTC)))
        self._numbers = itertools.count(1)

    def step(self) -> None:
        fresh = []
        for _ in range(self.PIECE):
            if self.chip_fen >= self.FEN:
                number = next(self._numbers)
                fresh.append(purchase(number, self.FEN, number - 1, self.chip_fen))
                self.chip_fen -= self.FEN
        again = self.rng.sample(self._paid, min(len(self._paid), 2))
        self._paid += fresh
        records = self.rng.sample([*fresh, *again], len(fresh) + len(again))
        if records:
            done = self.done("clear", "/v1/clearing", {"batch": b64encode(encode_all(self._header, records)).decode()})
            expected = {"accepted": len(fresh)} if fresh else {}
            assert (done["outcomes"], done["repeated"], done["accepted_fen"]) == (expected, len(again), self.FEN * len(fresh)), done
