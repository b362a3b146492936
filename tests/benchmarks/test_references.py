"""The references the core is timed against must decide what it decides, or the ratio compares different work.

Method: random cards and tickets through the int and the Decimal reference (and the core's own ticket through all three).
"""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from benchmarks import line_core, reference_decimal, reference_int
from benchmarks.scenarios import AT, PACK


def test_ints_and_decimals_agree_on_random_tickets():
    draw = random.Random(5)
    ints, decimals = reference_int.Rules(PACK), reference_decimal.Rules(PACK)
    points = {2}
    refused = 0
    for _ in range(3000):
        amounts, ends = (0, 1, 99, 5_000, 90_000), (0, AT - 1, AT + 5, AT + 9)
        lots = [(n + 1, draw.randrange(3), draw.choice(amounts), draw.choice(ends)) for n in range(draw.randrange(6))]
        prices, shelves = (0, 1, 50, 12_345, 99_999), ("clothes", "home", "food")
        lines = [(draw.choice(prices), 1, draw.choice(shelves)) for _ in range(draw.randrange(1, 4))]
        wanted, tier = draw.choice([0, 100, 250, 10_000]), draw.randrange(2)
        first = reference_int.Account(tier, 0, [reference_int.Lot(*lot) for lot in lots])
        second = reference_decimal.Account(
            tier, Decimal(0), [reference_decimal.Lot(a, p, Decimal(n) if p in points else Decimal(n) / 100, e) for a, p, n, e in lots]
        )
        try:
            expected = line_core.facts_of_ints(reference_int.settle(ints, first, lines, wanted, AT))
        except reference_int.Refused:
            refused += 1
            with pytest.raises(reference_decimal.Refused):
                reference_decimal.settle(decimals, second, [(Decimal(a) / 100, q, c) for a, q, c in lines], Decimal(wanted), AT)
            continue
        sale = reference_decimal.settle(decimals, second, [(Decimal(a) / 100, q, c) for a, q, c in lines], Decimal(wanted), AT)
        assert line_core.facts_of_decimals(sale, points) == expected
    assert 300 < refused < 2700  # both outcomes were seen often


def test_the_timed_ticket_is_decided_alike_by_core_ints_and_decimals():
    line_core.check_same()
