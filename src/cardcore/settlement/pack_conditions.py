"""What `when` of a benefit may ask besides tier, category and amount: the calendar, the place, the member, the goods.

Conditions that do not change within a ticket become predicates, each kept once for the whole pack (docs/pack-format.md).
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from cardcore.settlement.pack_counters import Counters
from cardcore.settlement.toml_reader import Table

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FLAGS: Final = {"special": 1, "member-only": 4, "no-discount": 8}
WORD: Final = r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,64}"
WORD_KINDS: Final = ("event", "store", "unit", "channel", "tender", "tag", "tag_not", "stock")
_MOST: Final = 250
_EPOCH: Final = dt.date(1970, 1, 1).toordinal()


def asks(when: Table, predicates: list[dict[str, Any]], counters: Counters) -> list[int]:
    """Indices of the predicates that must hold, new ones appended."""
    found: list[tuple[str, tuple[Any, ...]]] = []
    days = when.names("weekday", "|".join(WEEKDAYS), f"one of {', '.join(WEEKDAYS)}", 7)
    if days:
        found.append(("weekday", tuple(sorted(WEEKDAYS.index(day) for day in days))))
    for key, low, high in (("day", 1, 31), ("month", 1, 12), ("hour", 0, 23)):
        numbers = when.numbers(key, low, high)
        if numbers:
            found.append((key, tuple(sorted(numbers))))
    first, last = date(when, "from"), date(when, "until")
    if first is not None and last is not None and first > last:
        when.wrong("from", "`from` is after `until`: the rule could never apply")
    found += [(key, (day,)) for key, day in (("from", first), ("until", last)) if day is not None]
    if when.has("points_end"):
        found.append(("points_end", (when.integer("points_end", 0, 9),)))
    if when.has("birthday"):
        found.append(("birthday", (when.choice("birthday", ("day", "month")),)))
    for kind in WORD_KINDS:
        words = when.names(kind, WORD, "1 to 64 characters on one line", _MOST)
        if words:
            found.append((kind, tuple(sorted(words))))
    found += counters.asks(when)
    indices = []
    for kind, values in found:
        predicate = {"kind": kind, "values": values}
        if predicate not in predicates:
            predicates.append(predicate)
        indices.append(predicates.index(predicate))
    return sorted(indices)


def flags(when: Table) -> tuple[int, int]:
    """Line flags that a line must all have, and flags that it must not have."""
    wanted, unwanted = (
        sum(FLAGS[name] for name in when.names(key, "|".join(FLAGS), f"one of {', '.join(FLAGS)}", len(FLAGS)) or ())
        for key in ("flag", "flag_not")
    )
    if wanted & unwanted:
        when.wrong("flag_not", "a flag is both asked for and ruled out: the rule could never apply")
    return wanted, unwanted


def date(when: Table, key: str) -> int | None:
    """A local date as days since 1970-01-01."""
    text = when.text(key, r"(19[7-9]|2[0-9]{2})[0-9]-[0-9]{2}-[0-9]{2}", 'a date in quotes such as "2026-05-01"', "")
    if not text:
        return None
    try:
        return dt.date.fromisoformat(text).toordinal() - _EPOCH
    except ValueError:
        when.wrong(key, f"`{key}` is no day of the calendar")
        return None
