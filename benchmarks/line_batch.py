"""Line `batch`: decisions over columns on one core, for a hundred thousand and for ten million cards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import numpy as np

from cardcore.settlement import CARD_DTYPE, LINE_DTYPE, RESULT_DTYPE, SALE_DTYPE, Programme, decide_batch

from . import dataset, line_core
from .harness import LIMIT, Line, LineFailed, Options, Sample, Subject, Target
from .scenarios import AT, RICH_FEN, RICH_POINTS, TICKET, TICKET_POINTS, free_memory_bytes

AT_US = AT * 1_000_000
SMALL, LARGE = 100_000, 10_000_000
PIECE = 10_000
"""Sales of one call."""


class Columns:
    """`cards` rich cards as records, and `sales` tickets of the benchmark on cards drawn evenly."""

    def __init__(self, rules: Programme, cards: int, sales: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.rules = rules
        self.cards = np.repeat(_card(rules), cards)
        self.cards["account_id"] = np.arange(1, cards + 1)
        self.sales = np.zeros(sales, SALE_DTYPE)
        self.sales["card"] = draw.integers(0, cards, sales)
        self.sales["points"] = TICKET_POINTS
        self.sales["stored_max_fen"] = self.sales["shortfall_max_fen"] = -1
        self.sales["first_line"] = np.arange(sales) * len(TICKET)
        self.sales["n_lines"] = len(TICKET)
        self.lines = np.zeros(sales * len(TICKET), LINE_DTYPE)
        for place, line in enumerate(TICKET):
            rows = self.lines[place :: len(TICKET)]
            rows["amount_fen"], rows["quantity"], rows["category"] = line.amount_fen, line.quantity, rules.categories[line.category]
        self.lines["counter_pay"] = self.lines["counter_of"] = 1
        self.results = np.zeros(sales, RESULT_DTYPE)

    def decide(self) -> Sample:
        """Decide all sales once, piece by piece; the median piece in processor time. Raises LineFailed unless each was applied."""
        taken = []
        for first in range(0, len(self.sales), PIECE):
            piece = slice(first, first + PIECE)
            start = time.thread_time()
            applied = decide_batch(self.rules, self.cards, self.sales[piece], self.lines, self.results[piece], AT_US)
            taken.append((time.thread_time() - start) / PIECE)
            if applied != PIECE:
                raise LineFailed(f"{PIECE - applied} of {PIECE} sales were refused")
        return Sample(1 / median(taken), {"ns each": median(taken) * 1e9, "best": min(taken) * 1e9})


def _card(rules: Programme) -> Any:
    """One card record with the lots of a rich account."""
    card = np.zeros(1, CARD_DTYPE)
    value = dataset.account(rules, 1, RICH_FEN, RICH_POINTS)
    for slot, lot in enumerate(value.lots()):
        for name in ("lot_id", "purse", "amount", "expires_at", "paid_fen", "of_units"):
            card["lots"][name][0, slot] = getattr(lot, name)
    card["n_lots"], card["next_lot"] = len(value.lots()), 1 + max(lot.lot_id for lot in value.lots())
    return card


@contextmanager
def columns(options: Options) -> Iterator[Line]:
    """10^5 and, where the memory allows, 10^7 cards."""
    _, _, decimals = line_core.check_same()
    rules = dataset.programme()
    sales = 50_000 if options.quick else 300_000
    reference = line_core.nanoseconds(decimals, options.seconds(0.3, 0.1), 50)
    base = Subject("plain Python Decimal, one by one", "/s", lambda: Sample(1e9 / reference().value))
    sizes = [(SMALL, 60.0)]
    notes = ["one core, no GIL, same ticket as the single decision; a sale sees what the one before left"]
    # Records, and the copy that building them makes for a moment.
    if not options.quick and free_memory_bytes() > 2.5 * LARGE * CARD_DTYPE.itemsize:
        sizes.append((LARGE, 40.0))
    else:
        notes.append(f"{LARGE:,} cards left out: --quick or too little memory")
    subjects, targets = [base], []
    for cards, must in sizes:
        made = Columns(rules, cards, sales, options.seed)
        subject = Subject(f"decide_batch, {cards:,} cards", "/s", made.decide)
        subjects.append(subject)
        targets.append(Target(f"decide_batch, {cards:,} cards, vs Decimal", subject.name, base.name, must))
        targets.append(Target(f"decide_batch, {cards:,} cards, a second", subject.name, LIMIT, 0, 1, limit=10_000_000))
    yield Line("batch", "batch decisions over columns", subjects, targets, notes)
