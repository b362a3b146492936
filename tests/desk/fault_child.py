"""Runs with the fault library preloaded: fails each write and sync call of one settle in turn and says what came of it.

Prints one JSON line per fault: which call, what the caller was told, and what the shop holds after it was opened again.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

from cardapi.desk import Problem
from cardapi.store import direct
from cardcore.settlement import Sale
from tests.desk.till import Till

CALLS_MAX = 60


def attempt(till: Till, card: str, key: str) -> str:
    try:
        return till.ask("settle", card=card, key=key, meaning=key, command=Sale("settle", [(1_00, 1)])).outcome
    except Problem as problem:
        return problem.code


def main(directory: Path, sticky: int) -> None:
    disk = ctypes.CDLL(None)
    till = Till(directory)
    card = till.card(1_000_00)
    till.reopen()
    for call in range(1, CALLS_MAX):
        key = f"faulty-{sticky}-{call}"
        assert attempt(till, card, f"warm-{sticky}-{call}") == "applied"
        before = till.balance(card)
        disk.fault_arm(call, sticky)
        told = attempt(till, card, key)
        fired, seen = disk.fault_fired(), disk.fault_count()
        failed = till.shop.desk.failed is not None
        after_failure = attempt(till, card, key + "-next") if failed else ""
        disk.fault_arm(0, 0)
        till.reopen()
        kept = before - till.balance(card)
        retried = attempt(till, card, key)
        line = {
            "call": call, "fired": fired, "seen": seen, "told": told, "failed": failed, "after_failure": after_failure, "kept": kept,
            "retried": retried, "taken": before - till.balance(card), "sound": till.verify().ok,
        }  # fmt: skip
        print(json.dumps(line), flush=True)
        if not fired:
            break
    till.shop.close()


if __name__ == "__main__":
    direct.available = sys.argv[3] == "direct"
    ctypes.CDLL(None).fault_reason(int(sys.argv[4]))
    main(Path(sys.argv[1]), int(sys.argv[2]))
