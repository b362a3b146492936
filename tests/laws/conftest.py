"""A shop in mainland China: the shipped law pack chosen, packs with and without bonus, named and unnamed cards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cardapi import shipped
from cardapi.members.profile import Evidence
from cardapi.store.port import Entry
from cardcore.settlement import Adjust, Sale, TopUp
from tests.desk.till import PLAIN
from tests.jobs.conftest import Timed
from tests.members.till import enrol, person

ENDING = PLAIN.replace('"plain"', '"ending"') + 'expires_after = "P2Y"\n'
LASTING = PLAIN.replace('"plain"', '"lasting"') + 'expires_after = "P3Y"\n'


class China(Timed):
    """Short ways to what the law asks about."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        for text in (ENDING, LASTING):
            name = text.split('"')[1] + "@1"
            self.done("change", payload={"kind": "programme", "id": name, "document": {"valid_from": 0, "pack": text}})
        self.law()

    def law(self, **changes: Any) -> None:
        document = {"id": "law", "pack": shipped.law_text("cn-prepaid"), "issuer_class": "scale", "licensed": False, "state": "on"}
        document |= changes
        self.done("change", payload={"kind": "law", "id": "law", "document": document})

    def empty(self, programme: str = "plain") -> str:
        number = self.issued(programme)
        self.done("activate", card=number)
        return number

    def named(self, programme: str = "plain") -> str:
        number = self.empty(programme)
        evidence = Evidence("passport", f"P{number}", "Li Na")
        enrol(self, person(evidence=evidence), card=number)
        return number

    def code(self, verb: str, **fields: Any) -> str:
        """The decline code, empty when it was applied."""
        entry = self.ask(verb, **fields)
        return entry.code

    def pay_in(self, card: str, fen: int, tender: str = "bank", **facts: Any) -> str:
        return self.code("topup", card=card, command=TopUp(fen, tender=tender), payload=facts)

    def spend(self, card: str, fen: int) -> Entry:
        return self.done("settle", card=card, command=Sale("settle", [(fen, 1)]))

    def correct(self, card: str, fen: int) -> str:
        return self.code("adjust", card=card, command=Adjust("principal", fen))


@pytest.fixture
def china(tmp_path: Path) -> Iterator[China]:
    till = China(tmp_path / "shop")
    yield till
    till.shop.close()
