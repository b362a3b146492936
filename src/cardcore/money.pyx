"""Amounts: one checked doorway, exact fractions, declared rounding, allotment (M2, M12, D05).

The C helpers in money.pxd do the arithmetic for the hot paths; the functions here are their doorways from Python.
"""

from fractions import Fraction

from cardcore.errors import AmountNotInteger, AmountOutOfRange, InvalidCommand

AMOUNT_MAX = AMOUNT_LIMIT
FLOOR = ROUND_FLOOR
CEILING = ROUND_CEILING
HALF_UP = ROUND_HALF_UP
HALF_EVEN = ROUND_HALF_EVEN

_STACKINGS = {"multiply": STACK_MULTIPLY, "best": STACK_BEST, "add": STACK_ADD}


cdef int64_t admit_amount(object value) except? -1:
    """The doorway: an `int64_t` parameter would take 1.5 as 1 and True as 1 in silence."""
    if type(value) is not int:
        raise AmountNotInteger(f"an amount must be an int, not {type(value).__name__}")
    # The comparison is Python's own: it holds for integers of any size.
    if not -AMOUNT_MAX <= value <= AMOUNT_MAX:
        raise AmountOutOfRange(f"an amount must be within +-{AMOUNT_MAX}", limit=AMOUNT_MAX)
    return value


cdef int64_t admit_unsigned(object value) except? -1:
    cdef int64_t amount = admit_amount(value)
    if amount < 0:
        raise AmountOutOfRange("this amount must not be negative", limit=0)
    return amount


# ------------------------------------------------------------------ Doorways
def admit(value):
    admit_amount(value)
    return value


def scale(amount, numerator, denominator, int mode=ROUND_HALF_UP, step=1):
    cdef int64_t out = 0
    cdef int64_t value = admit_amount(amount)
    cdef int64_t pay = admit_amount(numerator)
    cdef int64_t of = admit_amount(denominator)
    cdef int64_t unit = admit_amount(step)
    if of < 1 or unit < 1 or pay < 0:
        raise InvalidCommand("a fraction needs a denominator and a step of at least 1 and a numerator of at least 0")
    if not ROUND_FLOOR <= mode <= ROUND_HALF_EVEN:
        raise InvalidCommand(f"unknown rounding {mode}")
    if cc_scale(value, cc_rate_of(pay, of), unit, mode, &out) < 0:
        raise AmountOutOfRange(f"the scaled amount leaves +-{AMOUNT_MAX}", limit=AMOUNT_MAX)
    return out


def combine(rates, stacking):
    if stacking not in _STACKINGS:
        raise InvalidCommand(f"unknown stacking {stacking!r}")
    combined = None
    for pay, of in rates:
        if type(pay) is not int or type(of) is not int or of < 1 or not 0 <= pay <= of:
            raise InvalidCommand(f"a rate must be a fraction between 0 and 1, not {pay}/{of}")
        rate = Fraction(pay, of)
        if combined is None:
            combined = rate
        elif stacking == "multiply":
            combined *= rate
        elif stacking == "best":
            combined = min(combined, rate)
        else:
            combined = max(Fraction(0), combined + rate - 1)
    if combined is None:
        return 1, 1
    return combined.numerator, combined.denominator


def allot(amount, weights):
    cdef int64_t whole = admit_unsigned(amount)
    checked = [admit(weight) for weight in weights]
    total = sum(checked)
    if total <= 0 or min(checked) < 0:
        raise InvalidCommand("an allotment needs at least one positive weight and no negative one")
    shares = [whole * weight // total for weight in checked]
    left = whole - sum(shares)
    for index, weight in enumerate(checked):
        if not left:
            break
        if weight:
            shares[index] += 1
            left -= 1
    assert left == 0 and sum(shares) == whole, "an allotment must hand out everything"
    return shares
