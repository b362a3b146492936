"""[[counter]] of a pack, what rules and tiers ask of counters, and quotas: the numbers under which accounts keep them (decision 0013)."""

from __future__ import annotations

import zlib
from typing import Any, Final

from cardcore.settlement.toml_reader import REQUIRED, Table

COUNTERS_MAX: Final = 64
QUOTAS_MAX: Final = 3
COUNTS: Final = ("tickets", "paid", "quantity", "points", "topups", "charged", "events", "score")
PERIODS: Final = ("day", "week", "month", "quarter", "year", "life")
LAST_MAX: Final = 36
_BY_LINE: Final = ("tickets", "paid", "quantity")
_LIMIT: Final = 10**15
_NAME: Final = r"[a-z0-9][a-z0-9-]{0,31}"
_NAME_WORDS: Final = "1 to 32 small letters, digits or hyphens"


class Counters:
    """The counters of one pack, in the order in which they are met: those it lists, then one for each quota."""

    def __init__(self, out: list[dict[str, Any]]) -> None:
        self.out = out
        self.names: dict[str, int] = {}

    def read(self, table: Table, categories: list[int] | None) -> None:
        """One [[counter]]; its categories have been read by the caller."""
        name = table.text("name", _NAME, _NAME_WORDS)
        counts = table.choice("counts", COUNTS)
        per = table.choice("per", PERIODS)
        last = table.integer("last", 1, LAST_MAX, 1)
        streak = table.flag("streak", False)
        events = table.names("event", r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,64}", "the name of an event", 64)
        if (events is not None) != (counts == "events"):
            table.wrong("event" if events else None, '`event` and counts = "events" belong together')
        if name and name in self.names:
            table.wrong("name", f"another counter is already named `{name}`")
        if categories is not None and counts not in _BY_LINE:
            table.wrong("category", f"only {', '.join(_BY_LINE)} are counted by category")
        if per == "life" and (streak or last > 1):
            table.wrong("streak" if streak else "last", "a life has no periods before it")
        if streak and (last > 1 or counts not in ("tickets", "events")):
            table.wrong("streak", "a streak counts tickets or events, and is as long as it lasts")
        table.close()
        self.names.setdefault(name, len(self.out))
        what = "streak" if streak else counts
        self.out.append({
            "name": name, "number": number(f"{name}:{what}:{per}"), "counts": counts, "per": per, "last": 2 if streak else last,
            "streak": streak, "categories": categories,
        } | ({"events": events or []} if counts == "events" else {}))  # fmt: skip

    def own(self, name: str, per: str, undone: str) -> int:
        """A counter of a rule's own, as a quota has: the index of a new one."""
        self.out.append({
            "name": name, "number": number(f"{name}:{per}"), "counts": "quota", "per": per, "last": 1, "streak": False, "categories": None,
            "undone": undone,
        })  # fmt: skip
        return len(self.out) - 1

    def named(self, table: Table, key: str = "counter", default: Any = REQUIRED) -> int:
        """Index of the counter that `key` names; -1 where it is not given, 0 where it is wrong."""
        name = table.text(key, _NAME, "the name of a counter", default)
        if not name:
            return -1 if default is not REQUIRED else 0
        if name not in self.names:
            table.wrong(key, f"there is no counter `{name}`; counters are: {', '.join(self.names) or 'none'}")
            return 0
        return self.names[name]

    def asks(self, when: Table) -> list[tuple[str, tuple[int, int, int]]]:
        """Conditions of a rule about counters, as (kind, (counter, low, high)) or ("nth", (counter, every, at))."""
        found: list[tuple[str, tuple[int, int, int]]] = []
        for kind in ("before", "reached"):
            for table in when.tables(kind, 8):
                low, high = table.integer("min", 0, _LIMIT, 0), table.integer("max", 0, _LIMIT, _LIMIT)
                if low > high:
                    table.wrong("min", "`min` is above `max`: the rule could never apply")
                found.append((kind, (self.named(table), low, high)))
                table.close()
        if when.has("nth"):
            table = when.table("nth")
            every, at = table.integer("every", 1, 10**6, 0), table.integer("at", 1, 10**6, 0)
            if bool(every) == bool(at):
                table.wrong(None, "`nth` needs either `every` or `at`")
            index = self.named(table)
            if index < len(self.out) and self.out[index]["counts"] not in ("tickets", "topups", "events"):
                table.wrong("counter", "`nth` asks for a counter of tickets, top-ups or events")
            found.append(("nth", (index, every, at)))
            table.close()
        return found

    def quotas(self, table: Table, rule: str) -> list[tuple[int, bool, int]]:
        """(counter, counts units, limit) of each quota of a rule, with a counter of its own."""
        found: list[tuple[int, bool, int]] = []
        for quota in table.tables("quota", QUOTAS_MAX):
            per = quota.choice("per", PERIODS)
            times, units = quota.integer("times", 1, _LIMIT, 0), quota.integer("units", 1, _LIMIT, 0)
            if bool(times) == bool(units):
                quota.wrong(None, "a quota needs either `times` or `units`")
            quota.close()
            word = "units" if units else "times"
            key = number(f"quota {rule}:{word}:{per}")
            if any(counter["number"] == key for counter in self.out):
                quota.wrong(None, "the rule already has such a quota")
                continue
            found.append((len(self.out), bool(units), units or times))
            self.out.append({
                "name": f"quota {rule}", "number": key, "counts": "quota", "per": per, "last": 1, "streak": False, "categories": None,
            })  # fmt: skip
        return found


    def once(self, table: Table, rule: str, quotas: list[tuple[int, bool, int]]) -> list[tuple[int, bool, int]]:
        """These quotas, and once in the life of a card, as `{ times = 1, per = "life" }` says it, where they do not say more strictly."""
        key = number(f"quota {rule}:times:life")
        if any(self.out[counter]["number"] == key for counter, _, _ in quotas):
            return quotas
        if len(quotas) == QUOTAS_MAX:
            table.wrong("quota", f"what happens once is given once: at most {QUOTAS_MAX - 1} quotas beside that")
        self.out.append({
            "name": f"quota {rule}", "number": key, "counts": "quota", "per": "life", "last": 1, "streak": False, "categories": None,
        })  # fmt: skip
        return [*quotas, (len(self.out) - 1, False, 1)]


def number(meaning: str) -> int:
    """The number of a counter on accounts: made from its name and what it means, so that rules may come and go around it."""
    return zlib.crc32(meaning.encode()) % (2**31 - 1) + 1
