"""The business day: calendar days in UTC+8, as receipts and closes show them."""

from __future__ import annotations

import datetime
from typing import Final

OFFSET_S: Final = 8 * 3600
DAY_S: Final = 86_400
_EPOCH: Final = datetime.date(1970, 1, 1)


def day_of(at_s: int) -> datetime.date:
    """The day of an epoch second."""
    return _EPOCH + datetime.timedelta(days=(at_s + OFFSET_S) // DAY_S)


def starts_at(day: datetime.date) -> int:
    """The epoch second at which a day begins."""
    return (day - _EPOCH).days * DAY_S - OFFSET_S


def plus_months(day: datetime.date, months: int) -> datetime.date:
    """The same day so many months later (or earlier); the last of the month where there is no such day."""
    month = day.year * 12 + day.month - 1 + months
    year, month = divmod(month, 12)
    following = datetime.date(year + (month == 11), (month + 1) % 12 + 1, 1)
    last = (following - datetime.timedelta(days=1)).day
    return datetime.date(year, month + 1, min(day.day, last))
