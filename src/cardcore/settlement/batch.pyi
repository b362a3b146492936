"""Many sales at once, over NumPy records and without the GIL."""

from typing import Any, Final

import numpy as np

from cardcore.settlement.rules import Programme

LOT_DTYPE: Final[np.dtype[Any]]
CARD_DTYPE: Final[np.dtype[Any]]  # card_dtype(4)
SALE_DTYPE: Final[np.dtype[Any]]  # card: index into cards; lines[first_line : first_line + n_lines]
LINE_DTYPE: Final[np.dtype[Any]]  # category: index in Programme.categories, -1 none
RESULT_DTYPE: Final[np.dtype[Any]]
BATCH_CODES: Final[dict[int, str]]

def card_dtype(lots: int = 4) -> np.dtype[Any]:
    """The record of a card with `lots` lot slots. Raises InvalidCommand outside 1..64."""

def decide_batch(
    programme: Programme,
    cards: np.ndarray[Any, Any],
    sales: np.ndarray[Any, Any],
    lines: np.ndarray[Any, Any],
    results: np.ndarray[Any, Any],
    at_us: int,
) -> int:
    """Decide `sales` one after another against `cards`, in place, by the rules of `decide` (settle, no further cards).

    Returns how many were applied; `results[i]["code"]` is 0 or a key of BATCH_CODES, and a refused sale changes no card.
    A card record is as an account is: lots in rising `lot_id`, all below `next_lot`, amounts from 0 to the largest; else `bad_record`.
    Raises InvalidCommand when an array has another dtype or shape, or the programme has counters, which a record has no room for.
    """
