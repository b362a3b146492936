"""The entries one row makes, under keys that make a second try harmless, and what they add up to in the journal."""

from __future__ import annotations

from typing import Final

import msgspec

from cardapi.store.port import Entry, Store
from cardcore.settlement import Programme, Settlement

CLIENT: Final = "system"
MONEY: Final = ("principal", "bonus", "points")  # roles of purses, in the order they are filled
KEYS_A_READ: Final = 500


class Sums(msgspec.Struct):
    """What an import has put on cards and not taken back."""

    rows: int = 0  # cards that stand
    principal_fen: int = 0
    bonus_fen: int = 0
    points: int = 0


def key(name: str, row: int, step: str) -> str:
    """The client key of one step of one row."""
    return f"import:{name}:{row}:{step}"


def purse_of(programme: Programme, role: str) -> str:
    """The purse of a role, "" when the programme has none."""
    return next((purse for purse, own in zip(programme.purses, programme.purse_roles, strict=True) if own == role), "")


def found(store: Store, name: str, rows: range, step: str) -> dict[int, Entry]:
    """The applied entries of a step by row number."""
    entries: dict[int, Entry] = {}
    for at in range(rows.start, rows.stop, KEYS_A_READ):
        numbers = range(at, min(at + KEYS_A_READ, rows.stop))
        there = store.find_keys([(CLIENT, key(name, number, step)) for number in numbers])
        for number in numbers:
            entry = there.get((CLIENT, key(name, number, step)))
            if entry is not None and entry.outcome == "applied":
                entries[number] = entry
    return entries


def sums(store: Store, name: str, rows: int) -> Sums:
    """From the journal alone: what was put on cards, less what was taken back."""
    every = range(1, rows + 1)
    standing = found(store, name, every, "issue").keys() - found(store, name, every, "undo-cancel").keys()
    total = Sums(len(standing))
    for role in MONEY:
        gone = found(store, name, every, f"undo-{role}")
        amount = sum(_amount(entry) for number, entry in found(store, name, every, role).items() if number not in gone)
        setattr(total, "points" if role == "points" else f"{role}_fen", amount)
    return total


def _amount(entry: Entry) -> int:
    return sum(posting.amount for posting in Settlement.unpack(entry.body).postings() if posting.target == "customer")
