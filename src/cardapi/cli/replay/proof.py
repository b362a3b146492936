"""After the drive: hold the service's books against the source's own sums, to the cent.

Left side: the source's SQL sums. Right side: the service's journal, folded by the service (`trialBalance`), and verified
by it (`verifyLedger`: chain, lots, and every balance against the fold of the journal).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from cardapi.cli.replay.source import Totals

FIGURES = ("tickets", "gross_fen", "discount_fen", "coupon_fen", "net_fen")


class Control(NamedTuple):
    """One control total: what the source says, what the books say."""

    name: str
    source: int
    books: int

    @property
    def ok(self) -> bool:
        return self.source == self.books


def books(trial: dict[str, Any], terminals: Iterable[str]) -> dict[str, int]:
    """The figures of the replay's own terminals in a trial balance."""
    ours = set(terminals)
    rows = [row for row in trial["terminals"] if row["terminal"] in ours]
    names = (
        *FIGURES,
        "principal_fen",
        "bonus_fen",
        "points_fen",
        "further_fen",
        "outside_fen",
        "topups",
        "topup_fen",
        "points_earned",
        "refused",
    )
    return {name: sum(row[name] for row in rows) for name in names}


def controls(totals: Totals, found: dict[str, int], trial: dict[str, Any], verdict: dict[str, Any]) -> list[Control]:
    """Every control total; the replay is proven when all are ok."""
    tenders = sum(found[f"{tender}_fen"] for tender in ("principal", "bonus", "points", "further", "outside"))
    rows = [Control(name, getattr(totals, name), found[name]) for name in FIGURES]
    rows.append(Control("net_fen by tenders", totals.net_fen, tenders))
    rows.append(Control("refused tickets", 0, found["refused"]))
    rows += [Control(f"ledger sum of {unit}", 0, total) for unit, total in sorted(trial["sums"].items())]
    rows.append(Control("customers' money by postings and by the journal's heads", trial["liability_head_fen"], trial["liability_fen"]))
    rows.append(Control("verify: bad places (each balance equals its fold)", 0, 0 if verdict["ok"] else 1))
    return rows
