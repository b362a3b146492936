"""A card under a shipped pack, for tests that read like a day at the till. Times are local: `card.on("2026-01-31 10:00")`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from cardcore import settlement as core
from cardcore.settlement import pack

SCHEMES = Path(__file__).parents[2] / "schemes"
BEIJING = dt.timezone(dt.timedelta(hours=8))


def second(text: str) -> int:
    """Epoch second of a local date and time."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=BEIJING).timestamp())


def shipped(name: str) -> core.Programme:
    return pack.load((SCHEMES / f"{name}.toml").read_text(encoding="utf-8"))


class Card:
    """One account, its entries, and the clock of its programme."""

    def __init__(self, programme: core.Programme, account_id: int = 1, tier: str = "") -> None:
        self.programme = programme
        self.account = core.Account(account_id, programme.tiers.index(tier) if tier else 0)
        self.at = second("2026-01-05 10:00:00")
        self.entries: list[core.Settlement] = []
        self.followers: dict[int, list[core.Settlement]] = {}
        self.facts: core.Facts | None = None

    def on(self, text: str) -> Card:
        self.at = second(text)
        return self

    def snapshot(self, *further: Card, entry: int = -1) -> core.Snapshot:
        others = [core.Snapshot(other.programme, other.account) for other in further]
        if entry < 0:
            return core.Snapshot(self.programme, self.account, others=others, facts=self.facts)
        followers = self.followers.get(entry, [])
        return core.Snapshot(
            self.programme, self.account, others=others, ticket=self.entries[entry], ticket_position=entry + 1, followers=followers
        )

    def do(self, command: core.Command, *further: Card, entry: int = -1) -> core.Settlement:
        """Decide, apply to every account, remember. `entry` is the index in `entries` of the one named."""
        settlement = core.decide(self.snapshot(*further, entry=entry), command, self.at * 1_000_000)
        self.entries.append(settlement)
        for card in (self, *further):
            card.account.apply(settlement, len(self.entries))
        if entry >= 0:
            self.followers.setdefault(entry, []).append(settlement)
        return settlement

    def top_up(self, fen: int, product: str = "") -> core.Settlement:
        return self.do(core.TopUp(fen, product=product))

    def buy(self, *lines: core.Line | int, further: tuple[Card, ...] = (), **options: Any) -> core.Settlement:
        """Settle lines (an int is a plain line of that list price), cash for what the card is short of."""
        made = [line if isinstance(line, core.Line) else core.Line(line) for line in lines]
        return self.do(core.Sale("settle", made, **({"shortfall_tender": "cash"} | options)), *further)

    def visit(self, category: str, quantity: int = 1) -> core.Settlement:
        return self.buy(core.Line(100_00, quantity, category, flags=core.COVER))

    def event(self, name: str, amount_fen: int = 0, **options: Any) -> core.Settlement:
        return self.do(core.Event(name, amount_fen=amount_fen, **options))

    def refund(self, entry: int, **what: Any) -> core.Settlement:
        return self.do(core.Refund(**what), entry=entry)

    def purse(self, name: str) -> int:
        return self.account.balance(self.programme.purses.index(name), self.at)

    def has_points(self, points: int) -> Card:
        self.do(core.Adjust("points", points))
        return self
