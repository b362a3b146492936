"""quote, settle and hold: the command and its lines."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, final

DECLINES: Final[dict[int, str]]
FAULTS: Final[dict[int, str]]

class Line(NamedTuple):
    """One ticket line. `amount_fen` is the list price of the whole line (unit price x quantity), > 0 or 0."""

    amount_fen: int
    quantity: int = 1
    category: str = ""
    sku: str = ""
    flags: int = 0
    counter_pay: int = 1  # the counter's own promotion as an exact rate: 8折 = 8/10
    counter_of: int = 1
    discount_fen: int = 0  # a discount the terminal already gave, after the rate, before the programme's discounts
    coupon_fen: int = 0  # an outside coupon accepted for this line, after discounts; capped by what is left -> InvalidCommand

@final
class Sale:
    """quote, settle or hold. Immutable; built once, decided often.

    points: how many points to use (ALL_POINTS = as many as the rules allow). shortfall_tender: "" refuses a shortfall
    (Declined insufficient_funds with facts shortfall_fen), else the outside tender ("cash", "bank", ...) that pays it,
    up to shortfall_max_fen (-1 = no bound). stored_max_fen: at most this much stored value (-1 = all).
    coupons: kinds by name (the one that ends first is used) or lots by number, each used once, in this order (K06).
    hold_seconds: life of a hold. explain: a note for each step; why_not: also one for each rule that did not act. Raises InvalidCommand, AmountNotInteger, AmountOutOfRange.
    """

    n_lines: int
    verb_code: int
    shortfall_tender: str
    hold_seconds: int
    memo: bytes
    coupons: tuple[str | int, ...]
    @property
    def verb(self) -> str: ...
    def __init__(
        self, verb: str, lines: Sequence[Line | tuple[Any, ...]], *, points: int = 0, shortfall_tender: str = "",
        shortfall_max_fen: int = -1, stored_max_fen: int = -1, hold_seconds: int = 0, explain: bool = False, why_not: bool = False,
        coupons: Sequence[str | int] = (), memo: bytes = b"",
    ) -> None: ...
