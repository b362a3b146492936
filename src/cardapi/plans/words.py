"""Numbers, spans of time and lists in words, in Chinese and English: exact, by integers only (M2)."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Any, Final

LANGUAGES: Final = ("zh", "en")
UNBOUNDED: Final = 10**15  # what a bound that the pack does not give is filled in with


class Words:
    """One language."""

    def __init__(self, language: str) -> None:
        self.zh = language == "zh"

    def __call__(self, zh: str, en: str) -> str:
        return zh if self.zh else en

    def yuan(self, fen: int) -> str:
        """`¥1,000` or `¥79.01`."""
        whole, cents = divmod(fen, 100)
        return f"¥{whole:,}" + (f".{cents:02d}" if cents else "")

    def amount(self, units: int, unit: str) -> str:
        """So much of a unit: fen, points, visits, passes, tickets, pieces."""
        if unit == "fen":
            return self.yuan(units)
        zh, one, more = UNITS[unit]
        return f"{units} {zh}" if self.zh else f"{units} {one if units == 1 else more}"

    def share(self, pay: int, of: int) -> str:
        """A share of something: `88 %`, or `2/3` where hundredths do not say it exactly."""
        if 10_000 % (of // gcd(pay, of)):
            return f"{pay}/{of}"
        hundredths = pay * 10_000 // of
        return f"{decimal(hundredths, 100)} %"

    def price(self, pay: int, of: int) -> str:
        """A rate as a shop writes it: `8.8折` in Chinese, `88 %` in English."""
        if self.zh and 1_000 % (of // gcd(pay, of)) == 0 and 0 < pay < of:
            return f"{decimal(pay * 1_000 // of, 100)}折({self.share(pay, of)})"
        return self.share(pay, of)

    def times(self, by: int, of: int) -> str:
        """A multiplier: `2`, or `10/10000`."""
        return str(by // of) if by % of == 0 else f"{by}/{of}"

    def span(self, months: int, days: int) -> str:
        """`2 years 6 months`."""
        parts = (months // 12, "年", "year", "years"), (months % 12, "个月", "month", "months"), (days, "天", "day", "days")
        said = [f"{n} {zh}" if self.zh else f"{n} {one if n == 1 else more}" for n, zh, one, more in parts if n]
        return " ".join(said)

    def any_of(self, words: Sequence[Any]) -> str:
        """`a, b or c`."""
        texts = [str(word) for word in words]
        if len(texts) < 2:
            return "".join(texts)
        return "、".join(texts[:-1]) + "或" + texts[-1] if self.zh else ", ".join(texts[:-1]) + " or " + texts[-1]

    def per(self, period: str) -> str:
        """Of one period: `in a month`."""
        return self(*PERIODS[period])


def decimal(units: int, of: int) -> str:
    """`units / of` in decimal digits, for an `of` that is a power of ten: 8800, 1000 -> 8.8."""
    whole, rest = divmod(units, of)
    digits = str(rest).rjust(len(str(of)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


UNITS: Final = {
    "points": ("分", "point", "points"),
    "visits": ("次", "visit", "visits"),
    "pass": ("张", "pass", "passes"),
    "award": ("份", "award", "awards"),
    "tickets": ("单", "ticket", "tickets"),
    "quantity": ("件", "piece", "pieces"),
    "topups": ("次充值", "top-up", "top-ups"),
    "score": ("分", "point of score", "points of score"),
    "times": ("次", "time", "times"),
}
PERIODS: Final = {
    "day": ("每天", "a day"),
    "week": ("每周", "a week"),
    "month": ("每月", "a month"),
    "quarter": ("每季度", "a quarter"),
    "year": ("每年", "a year"),
    "life": ("终身", "in the life of a card"),
}
