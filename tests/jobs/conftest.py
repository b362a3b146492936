"""A shop whose clock the test turns, with the packs that have something to lapse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cardcore.settlement import Account
from tests.desk.till import PLAIN, Till

SCHEMES = Path(__file__).parents[2] / "schemes"
DAY_S = 86_400
START_S = 1_767_196_800  # 2026-01-01 00:00 +08:00
SLEEPY = PLAIN.replace('"plain"', '"sleepy"') + "[membership]\nsuspend_months = 6\nleave_months = 24\n"


class Clock:
    """Stands still until told to move. Microseconds."""

    def __init__(self) -> None:
        self.at_s = START_S

    def __call__(self) -> int:
        return self.at_s * 1_000_000

    def pass_days(self, days: int) -> None:
        self.at_s += days * DAY_S


class Timed(Till):
    """A till with a clock of its own."""

    clock: Clock

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, Clock())
        for name, text in (("mall-vip", (SCHEMES / "mall-vip.toml").read_text()), ("sleepy", SLEEPY)):
            payload = {"kind": "programme", "id": f"{name}@1", "document": {"valid_from": 0, "pack": text}}
            self.ask("change", key=f"publish {name}", payload=payload)

    def points(self, card: str) -> int:
        found = self.shop.store.reader().read([card])[card]
        account = Account.unpack(found.account.state)
        return sum(lot.amount for lot in account.lots() if self.units(card)[lot.purse] == "points")

    def units(self, card: str) -> list[str]:
        programme = self.shop.registry.programme(self.shop.store.reader().read([card])[card].card.programme, self.clock.at_s)
        return list(programme.purse_units)

    def tick(self) -> list[str]:
        return self.shop.background.jobs.tick()


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Timed]:
    till = Timed(tmp_path / "shop")
    yield till
    till.shop.close()
