"""Where amounts and rates stop fitting 64 bits another path computes them; both must give the exact, once-rounded result.

Method: every rounding at and around the widths where the path changes, against Python's fractions.
"""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from cardcore import money

AMOUNTS = [0, 1, 2, 3, 12_345, (1 << 31) - 1, 1 << 31, (1 << 31) + 1, (1 << 32) + 1, 10**14, money.AMOUNT_MAX]
WIDE = 1 << 32
RATES = [(1, 1), (1, 2), (1, 3), (704, 1000), (8_360, 10_000), (WIDE - 1, WIDE), (WIDE - 1, WIDE - 1), (WIDE, WIDE + 1)]


def rounded(exact: Fraction, mode: int) -> int:
    low = math.floor(exact)
    rest = exact - low
    if mode == money.FLOOR or rest == 0:
        return low
    if mode == money.CEILING:
        return low + 1
    if rest == Fraction(1, 2):
        return low + 1 if mode == money.HALF_UP else low + (low & 1)
    return low + (rest > Fraction(1, 2))


@pytest.mark.parametrize("mode", [money.FLOOR, money.CEILING, money.HALF_UP, money.HALF_EVEN])
@pytest.mark.parametrize("rate", RATES)
def test_every_width_rounds_the_exact_product_once(rate, mode):
    numerator, denominator = rate
    for amount in AMOUNTS:
        assert money.scale(amount, numerator, denominator, mode) == rounded(Fraction(amount) * Fraction(*rate), mode), amount


@pytest.mark.parametrize("amount", [(1 << 31) - 1, 1 << 31])
def test_a_result_beyond_the_largest_amount_is_refused_on_both_paths(amount):
    with pytest.raises(Exception, match="leaves"):
        money.scale(amount, (1 << 31) + 1, 1)
