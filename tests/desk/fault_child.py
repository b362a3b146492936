"""Runs with the fault library preloaded: fails each write and sync call of one commit in turn and says what came of it.

Of one settle, or of a batch that comes to as much: the store then writes in parts, with so small a cache that these reach the disk.

Prints one JSON line per fault: which call, what the caller was told, and what the shop holds after it was opened again.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

from cardapi.desk import Problem, writer
from cardapi.store import direct, sqlite
from cardapi.store.port import Entry
from cardcore.settlement import Sale
from tests.desk.till import Till

CALLS_MAX = 60


def attempt(till: Till, card: str, key: str, sales: int = 1) -> str:
    """What these sales are told, together 1 yuan."""
    requests = [
        till.request("settle", card=card, key=f"{key}-{n}", meaning=f"{key}-{n}", command=Sale("settle", [(1_00 // sales, 1)]))
        for n in range(sales)
    ]
    try:
        answers = till.shop.desk.call_many(requests)
    except Problem as problem:
        return problem.code
    (told,) = {answer.outcome if isinstance(answer, Entry) else answer.code for answer in answers}
    return told


def main(directory: Path, sticky: int, sales: int) -> None:
    disk = ctypes.CDLL(None)
    till = Till(directory)
    card = till.card(1_000_00)
    till.reopen()
    for call in range(1, CALLS_MAX):
        key = f"faulty-{sticky}-{call}"
        assert attempt(till, card, f"warm-{sticky}-{call}", sales) == "applied"
        before = till.balance(card)
        disk.fault_arm(call, sticky)
        told = attempt(till, card, key, sales)
        fired, seen = disk.fault_fired(), disk.fault_count()
        failed = till.shop.desk.failed is not None
        after_failure = attempt(till, card, key + "-next", sales) if failed else ""
        disk.fault_arm(0, 0)
        till.reopen()
        kept = before - till.balance(card)
        retried = attempt(till, card, key, sales)
        line = {
            "call": call, "fired": fired, "seen": seen, "told": told, "failed": failed, "after_failure": after_failure, "kept": kept,
            "retried": retried, "taken": before - till.balance(card), "sound": till.verify().ok,
        }  # fmt: skip
        print(json.dumps(line), flush=True)
        if not fired:
            break
    till.shop.close()


if __name__ == "__main__":
    direct.available = sys.argv[3] != "plain"
    in_parts = sys.argv[3] == "parts"
    if in_parts:
        writer.PART = 2
        sqlite.SETTINGS = (*sqlite.SETTINGS, "PRAGMA cache_size = 1", "PRAGMA cache_spill = 1")
    ctypes.CDLL(None).fault_reason(int(sys.argv[4]))
    main(Path(sys.argv[1]), int(sys.argv[2]), 10 if in_parts else 1)
