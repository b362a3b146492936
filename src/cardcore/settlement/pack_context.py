"""Names and limits of one pack while it is read, so that later tables can point at earlier ones."""

from __future__ import annotations

from typing import Any, Final

from cardcore.settlement.pack_counters import COUNTERS_MAX, Counters
from cardcore.settlement.toml_reader import Path, Table

AMOUNT_MAX: Final = 10**15  # as in cardcore.money; tests hold the two equal
COUNT_MAX: Final = 10**9
PURSES_MAX: Final = 64
TIERS_MAX: Final = 32
RULES_MAX: Final = 250
CATEGORIES_MAX: Final = 1000
PREDICATES_MAX: Final = 256
GROUPS_MAX: Final = 64
LADDER_MAX: Final = 16
PRODUCTS_MAX: Final = 250
AWARDS_MAX: Final = 64
RANKINGS_MAX: Final = 16

SLUG: Final = r"[a-z0-9][a-z0-9-]{0,31}"
SLUG_WORDS: Final = "1 to 32 small letters, digits or hyphens"
NAME: Final = r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,60}"
NAME_WORDS: Final = "1 to 60 characters on one line"

Normalised = dict[str, Any]


class Context:
    """Names seen so far, so that later tables can point at earlier ones."""

    def __init__(self, out: Normalised, *, member: bool) -> None:
        self.member = member
        self.categories: list[str] = out["categories"]
        self.purses: dict[str, int] = {}
        self.roles: list[str] = []
        self.units: list[str] = []
        self.reviewing = False
        self.tiers: dict[str, int] = {}
        self.awards: list[Normalised] = out["awards"]
        self.review_per = "life"  # what a jump to a tier counts for, where its rule does not say
        self.predicates: list[Normalised] = out["predicates"]
        self.counters = Counters(out["counters"])
        self.groups: set[str] = set()
        self.names: dict[str, set[str]] = {
            kind: set() for kind in ("purse", "tier", "benefit", "product", "award", "ranking", "coupon", "gift")
        }
        self.coupons: dict[str, int] = {}
        self.stock_named: list[tuple[Path, Any]] = []

    def unique(self, table: Table, kind: str, name: str) -> str:
        if name and name in self.names[kind]:
            table.wrong("name", f"another {kind} is already named `{name}`")
        self.names[kind].add(name)
        return name

    def category_indices(self, table: Table, key: str) -> list[int] | None:
        names = table.names(key, NAME, NAME_WORDS, CATEGORIES_MAX)
        if names is None:
            return None
        for name in names:
            if name not in self.categories:
                self.categories.append(name)
        return sorted(self.categories.index(name) for name in names)

    def purse(self, table: Table, key: str, role: str) -> int:
        """Index of the purse that `key` names; it must have the role."""
        name = table.text(key, SLUG, "the name of a purse")
        if not name:
            return 0
        if name not in self.purses:
            table.wrong(key, f"there is no purse `{name}`; purses are: {', '.join(self.purses) or 'none'}")
            return 0
        index = self.purses[name]
        if self.roles[index] != role:
            table.wrong(key, f"purse `{name}` has the role {self.roles[index]}, this needs {role}")
        return index

    def predicate(self, kind: str, values: tuple[Any, ...]) -> int:
        """Index of a condition, kept once for the whole pack."""
        predicate = {"kind": kind, "values": values}
        if predicate not in self.predicates:
            self.predicates.append(predicate)
        return self.predicates.index(predicate)

    def stocked(self, when: Table) -> None:
        """Note which coupons and gifts a `stock` condition names: they are known when the whole pack has been read."""
        words = when.value.get("stock")
        self.stock_named += [((*when.path, "stock", place), word) for place, word in enumerate(words if isinstance(words, list) else ())]

    def keep_for_review(self, counter: int) -> None:
        """A counter that tiers go by is remembered for a period more, so that a review finds it whole."""
        if self.reviewing and counter < len(self.counters.out):
            known = self.counters.out[counter]
            known["kept"] = max(known.get("kept", 1), known["last"] + (known["per"] != "life"))

    def finish(self, pack: Table, *, published: bool) -> None:
        campaigns = self.names["coupon"] | self.names["gift"]
        for path, word in () if published else self.stock_named:  # such a word was taken once, and is never met
            if isinstance(word, str) and word not in campaigns:
                known = ", ".join(sorted(campaigns)) or "none"
                pack.problems.append((path, f"there is no coupon or gift `{word}`; coupons and gifts are: {known}"))
        for role in ("principal", "points"):
            if self.roles.count(role) > 1:  # a top-up or an accrual must have one place to go
                second = self.roles.index(role, self.roles.index(role) + 1)
                pack.problems.append((("purse", second, "role"), f"only one purse may have the role {role}"))
        if len(self.predicates) > PREDICATES_MAX:
            pack.wrong(None, f"at most {PREDICATES_MAX} different conditions")
        if len(self.groups) > GROUPS_MAX:
            pack.wrong(None, f"at most {GROUPS_MAX} exclusive groups")
        if len(self.counters.out) > COUNTERS_MAX:
            pack.wrong(None, f"at most {COUNTERS_MAX} counters and quotas")
        if len(self.categories) > CATEGORIES_MAX:
            pack.wrong(None, f"at most {CATEGORIES_MAX} categories")
