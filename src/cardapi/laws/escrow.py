"""Escrow and the quarterly return (W7), from the liability that every entry carries (M10)."""

from __future__ import annotations

import datetime
import re

import msgspec

from cardapi.days import starts_at
from cardapi.laws.pack import Law
from cardapi.store.port import Store
from cardcore.errors import CardcoreError
from cardcore.settlement import VERBS, Settlement


class BadQuarter(CardcoreError, ValueError):
    """Not a quarter such as 2026Q3, or one that has not ended, or one before the law."""

    code = "bad_quarter"


class QuarterReturn(msgspec.Struct):
    """The figures of a quarter, in fen; balances include bonus, as the liability does."""

    quarter: str
    opening_fen: int = 0
    closing_fen: int = 0
    paid_in_fen: int = 0
    bonus_fen: int = 0
    spent_fen: int = 0
    other_fen: int = 0  # refunds, expiry, corrections: what is left between opening and closing
    cards_issued: int = 0
    escrow_rate: str = ""
    escrow_fen: int = 0


def bounds(quarter: str) -> tuple[int, int]:
    """Epoch seconds of its start and of the next one's, in UTC+8. Raises BadQuarter."""
    match = re.fullmatch(r"([0-9]{4})Q([1-4])", quarter)
    if match is None or int(match[1]) < 2000:
        raise BadQuarter("a quarter looks like 2026Q3")
    year, first = int(match[1]), 3 * int(match[2]) - 2
    following = datetime.date(year + (first == 10), (first + 2) % 12 + 1, 1)
    return starts_at(datetime.date(year, first, 1)), starts_at(following)


def quarterly(store: Store, law: Law, quarter: str, now: int) -> QuarterReturn:
    """Walks the journals once; a time that runs back within a journal counts with the entry's place (F1). Raises BadQuarter."""
    start, end = bounds(quarter)
    version = law.pack.at(end - 1)
    if end > now or version is None:
        raise BadQuarter("that quarter has not ended, or the law did not hold yet")
    found = QuarterReturn(quarter)
    for partition in store.partitions():
        before = after = 0
        for entry in store.journal(partition):
            at_s = entry.at_us // 1_000_000
            if at_s >= end:  # a clock may have been set back: what comes later in the journal may belong to the quarter
                continue
            after = entry.liability_fen
            if at_s < start:
                before = entry.liability_fen
                continue
            if entry.verb == "issue" and entry.outcome == "applied":
                found.cards_issued += 1
            if entry.verb in VERBS and entry.outcome == "applied" and entry.body:
                done = Settlement.unpack(entry.body)
                if entry.verb == "topup":
                    found.paid_in_fen += done.principal_fen
                    found.bonus_fen += done.bonus_fen
                elif entry.verb in ("settle", "capture", "clear"):
                    found.spent_fen += done.principal_fen + done.bonus_fen
        found.opening_fen += before
        found.closing_fen += after
    found.other_fen = found.closing_fen - found.opening_fen - found.paid_in_fen - found.bonus_fen + found.spent_fen
    numerator, denominator = version.escrow.get(law.issuer_class, (0, 1))
    found.escrow_rate = f"{numerator}/{denominator}"
    found.escrow_fen = -(-found.closing_fen * numerator // denominator)  # rounded up: never short of what is asked
    return found
