"""Goal: amounts never wrap, never pass a float, and round as declared. Method: Hypothesis against `fractions.Fraction` and plain ints."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cardcore import money
from cardcore.errors import AmountNotInteger, AmountOutOfRange, InvalidCommand
from cardcore.settlement import pack_context

AMOUNTS = st.integers(-money.AMOUNT_MAX, money.AMOUNT_MAX)
POSITIVE = st.integers(0, money.AMOUNT_MAX)
SMALL = st.integers(0, 10_000)
RATES = st.integers(1, 1000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


class Whole(int):
    """An int subclass: its arithmetic could be anything."""


def rounded(value: Fraction, mode: int, step: int) -> int:
    """`value` to a multiple of `step`, spelled out from the definition of each mode."""
    low = value / step // 1
    rest = value / step - low
    if mode == money.FLOOR:
        up = False
    elif mode == money.CEILING:
        up = rest > 0
    elif mode == money.HALF_UP:  # away from zero
        up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and value > 0)
    else:
        up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2 == 1)
    return int(low + up) * step


@pytest.mark.parametrize(
    "value", [1.0, 1.5, True, False, "1", None, Decimal(1), Fraction(1), Whole(3), np.int64(3), float("nan"), [1], b"1"]
)
def test_the_doorway_refuses_everything_that_is_not_exactly_an_int(value: object) -> None:
    with pytest.raises(AmountNotInteger):
        money.admit(value)


@pytest.mark.parametrize("value", [10**15 + 1, -(10**15) - 1, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**30])
def test_the_doorway_refuses_amounts_out_of_range(value: int) -> None:
    with pytest.raises(AmountOutOfRange):
        money.admit(value)


@pytest.mark.parametrize("value", [0, 1, -1, 10**15, -(10**15)])
def test_the_doorway_lets_the_limits_in(value: int) -> None:
    assert money.admit(value) == value
    assert type(money.admit(value)) is int


def test_one_bound_everywhere() -> None:
    assert money.AMOUNT_MAX == 10**15 == pack_context.AMOUNT_MAX


@given(
    AMOUNTS,
    SMALL,
    st.integers(1, 10_000),
    st.sampled_from([money.FLOOR, money.CEILING, money.HALF_UP, money.HALF_EVEN]),
    st.sampled_from([1, 5, 10, 100]),
)
@example(5, 1, 10, money.HALF_UP, 1)
@example(-5, 1, 10, money.HALF_UP, 1)
@example(25, 1, 10, money.HALF_EVEN, 1)
@example(10**15, 10_000, 10_000, money.HALF_UP, 1)
@example(-7, 1, 2, money.CEILING, 1)
def test_scale_is_exact_and_rounds_once(amount: int, numerator: int, denominator: int, mode: int, step: int) -> None:
    expected = rounded(Fraction(amount * numerator, denominator), mode, step)
    if abs(expected) > money.AMOUNT_MAX:
        with pytest.raises(AmountOutOfRange):
            money.scale(amount, numerator, denominator, mode, step)
    else:
        assert money.scale(amount, numerator, denominator, mode, step) == expected


@pytest.mark.parametrize(("numerator", "denominator", "step"), [(1, 0, 1), (1, -1, 1), (-1, 1, 1), (1, 1, 0), (1, 1, -5)])
def test_scale_refuses_fractions_that_mean_nothing(numerator: int, denominator: int, step: int) -> None:
    with pytest.raises(InvalidCommand):
        money.scale(100, numerator, denominator, money.FLOOR, step)


@pytest.mark.parametrize("bad", [1.0, True, "1", Decimal(1)])
def test_scale_refuses_floats_in_every_place(bad: object) -> None:
    for arguments in ((bad, 1, 1), (1, bad, 1), (1, 1, bad)):
        with pytest.raises(AmountNotInteger):
            money.scale(*arguments)


@given(st.lists(RATES, max_size=5))
@example([(8, 10), (88, 100)])
def test_rates_combine_exactly(rates: list[tuple[int, int]]) -> None:
    exact = [Fraction(pay, of) for pay, of in rates]
    product = Fraction(1)
    for rate in exact:
        product *= rate
    expected = {
        "multiply": product,
        "best": min(exact, default=Fraction(1)),
        "add": max(Fraction(0), 1 - sum((1 - rate for rate in exact), Fraction(0))),
    }
    for stacking, value in expected.items():
        pay, of = money.combine(rates, stacking)
        assert Fraction(pay, of) == value, stacking


def test_eight_tenths_on_eighty_eight_hundredths() -> None:
    """D04: 8折 x 8.8折 = 7.04折."""
    assert Fraction(*money.combine([(8, 10), (88, 100)], "multiply")) == Fraction(704, 1000)


@pytest.mark.parametrize(("rates", "stacking"), [([(11, 10)], "multiply"), ([(-1, 10)], "best"), ([(1, 0)], "add"), ([(1, 2)], "guess")])
def test_combine_refuses(rates: list[tuple[int, int]], stacking: str) -> None:
    with pytest.raises(InvalidCommand):
        money.combine(rates, stacking)


@given(POSITIVE, st.lists(SMALL, min_size=1, max_size=8).filter(any))
@example(100, [1, 1, 1])
@example(1, [0, 5, 0, 5])
@example(10**15, [10_000] * 8)
def test_allot_gives_out_exactly_the_amount(amount: int, weights: list[int]) -> None:
    total = sum(weights)
    expected = [amount * weight // total for weight in weights]
    left = amount - sum(expected)
    for index, weight in enumerate(weights):
        if left and weight:  # a share nobody weighs gets nothing
            expected[index] += 1
            left -= 1
    shares = money.allot(amount, weights)
    assert shares == expected
    assert sum(shares) == amount


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [1, -1], [-1]])
def test_allot_refuses_weights_that_mean_nothing(weights: list[int]) -> None:
    with pytest.raises(InvalidCommand):
        money.allot(10, weights)
