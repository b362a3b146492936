"""Findings about the sequences of cleared records, read from a store."""

from __future__ import annotations

from collections.abc import Iterator

from cardapi.store.port import Entry, Store
from cardcore.clearing.body import VARIANT
from cardcore.clearing.sequences import BY_TERMINAL, Finding, card_findings, terminal_findings
from cardcore.settlement import Settlement

HISTORY = 500  # newest entries of an account in which loads are looked for


def findings(store: Store, about: str) -> Iterator[Finding]:
    """By terminal or by card, in the order of their numbers."""
    if about == BY_TERMINAL:
        yield from terminal_findings(store.cleared(b"\1"))
        return
    disputed = frozenset(b"\1" + row.key[1:28] for row in store.cleared(bytes([VARIANT])))
    yield from card_findings(store.cleared_by_card(), disputed, lambda account_id, change: _explained(store, account_id, change))


def _explained(store: Store, account_id: int, change: int) -> bool:
    """Whether some loads and unloads in a row come to this change of a card's balance (K4)."""
    sums = {0}
    total = 0
    for entry in store.statement(account_id, None, HISTORY):
        total += _moved(entry, account_id)
        if total - change in sums:
            return True
        sums.add(total)
    return False


def _moved(entry: Entry, account_id: int) -> int:
    """By how much an entry changed what is on the card, sales left out."""
    if entry.verb != "arrive" or entry.outcome != "applied" or entry.account_id != account_id:
        return 0
    moved = 0
    for posting in Settlement.unpack(entry.body).postings():
        if posting.source == "sales" or posting.target == "sales":
            continue
        moved += posting.amount * ((posting.target == "on_card") - (posting.source == "on_card"))
    return moved
