"""Amounts: one checked doorway, exact fractions, declared rounding, allotment (M2, M12, D05).

All amounts are `int`, in the smallest unit of their purse (fen, points, visits).
"""

from collections.abc import Sequence
from typing import Final

AMOUNT_MAX: Final[int]
"""Largest amount admitted, 10**15 minor units: below 2**53, so every JSON reader carries it exactly."""

FLOOR: Final[int]
CEILING: Final[int]
HALF_UP: Final[int]
HALF_EVEN: Final[int]

def admit(value: object) -> int:
    """The doorway: `value` itself if it is exactly an `int` within +-AMOUNT_MAX.

    Raises AmountNotInteger (floats, bool, str, Decimal, int subclasses), AmountOutOfRange.
    """

def scale(amount: int, numerator: int, denominator: int, mode: int = ..., step: int = 1) -> int:
    """`amount * numerator / denominator`, exact in 128 bits, rounded once by `mode` to a multiple of `step`.

    Raises AmountOutOfRange, AmountNotInteger, InvalidCommand (denominator or step < 1, numerator < 0).
    HALF_UP rounds halves away from zero.
    """

def combine(rates: Sequence[tuple[int, int]], stacking: str) -> tuple[int, int]:
    """One exact rate `(numerator, denominator)` from several `(pay, of)` (D05).

    stacking: "multiply" (8/10 x 88/100 = 704/1000), "best" (the smallest), "add" (1 - sum of the reductions, not below 0).
    Raises InvalidCommand for a rate outside 0..1 or an unknown stacking.
    """

def allot(amount: int, weights: Sequence[int]) -> list[int]:
    """Split `amount` by `weights`: floor each share, then hand out what is left one by one in the order given.

    The shares sum to `amount`. Raises InvalidCommand when no weight is positive, AmountOutOfRange for a negative amount or weight.
    """
