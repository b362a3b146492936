"""What the numbers of cleared records show beside each other: gaps, forks, and balances that do not follow (K1, K4, control D).

Purchases come in any order and late, so nothing here is decided when one comes: findings are read from the set of records as it is,
and are the same whatever order it came in. A record that was replayed with other uncovered fields says nothing about its card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from cardcore.clearing.body import PROVEN, Row

BY_CARD, BY_TERMINAL = "card", "terminal"


class Finding(NamedTuple):
    """One thing that sequences show. `subject`: terminal number or card, in hex; `first` and `last`: the numbers it is about."""

    id: str
    reason: str
    subject: str
    first: int
    last: int
    account_id: int
    amount_fen: int
    entries: tuple[int, ...]  # of the records it is seen from: partition << 48 | position


def finding_id(reason: str, subject: bytes, first: int, last: int) -> str:
    """The name of a finding, and of the case that is made of it."""
    return f"{reason}:{subject.hex()}:{first}-{last}"


def terminal_findings(rows: Iterable[Row]) -> Iterator[Finding]:
    """Gaps and forks of terminal transaction numbers, from records in the order of their keys."""
    proven = (row for row in rows if row.key[0] == PROVEN)
    for terminal, own in groupby(proven, key=lambda row: row.key[1:7]):
        before: Row | None = None
        for number, same in groupby(own, key=lambda row: int.from_bytes(row.key[7:11])):
            group = list(same)
            if before is not None and number > int.from_bytes(before.key[7:11]) + 1:
                yield _finding("terminal_gap", terminal, int.from_bytes(before.key[7:11]) + 1, number - 1, [before, group[0]])
            if len(group) > 1:
                yield _finding("terminal_fork", terminal, number, number, group)
            before = group[-1]


def card_findings(rows: Iterable[Row], disputed: frozenset[bytes], moved: Callable[[int, int], bool]) -> Iterator[Finding]:
    """Gaps and forks of card counters and breaks of balance, from records by card and counter.

    disputed: proven keys that have replays. moved: whether loads and unloads of this account explain this change of balance.
    """
    for card, own in groupby((row for row in rows if row.key not in disputed), key=lambda row: row.card):
        chip = card[-1] == 0
        before: Row | None = None
        for counter, same in groupby(own, key=lambda row: row.counter):
            group = list(same)
            if len(group) > 1:
                yield _finding("counter_fork", card, counter, counter, group)
            if before is not None and counter > before.counter + 1 and not chip:
                # Every step of a DESFire card takes a counter, loads too: there a gap says nothing.
                yield _finding("counter_gap", card, before.counter + 1, counter - 1, [before, group[0]])
            if before is not None and len(group) == 1 and counter == before.counter + 1:
                change = group[0].balance_fen - (before.balance_fen - before.amount_fen)
                if change and not (moved(group[0].account_id, change) and not chip):
                    yield _finding("balance_break", card, before.counter, counter, [before, group[0]], abs(change))
            before = group[0] if len(group) == 1 else None


def _finding(reason: str, subject: bytes, first: int, last: int, rows: list[Row], amount_fen: int = 0) -> Finding:
    name = finding_id(reason, subject, first, last)
    accounts = {row.account_id for row in rows}
    account_id = accounts.pop() if len(accounts) == 1 else 0
    return Finding(name, reason, subject.hex(), first, last, account_id, amount_fen, tuple(sorted({row.entry for row in rows})))
