"""What each table of a programme pack means: format version 1 as code, table by table.

`normalise` turns a parsed document into the plain dict that `Programme` compiles, and notes every problem with its path.
The reference for authors is docs/pack-format.md; lines and bytes are the business of `pack` and `toml_reader`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from cardcore.settlement import pack_conditions, pack_membership
from cardcore.settlement.pack_counters import COUNTERS_MAX, Counters
from cardcore.settlement.toml_reader import REQUIRED, Table

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

SLUG: Final = r"[a-z0-9][a-z0-9-]{0,31}"
SLUG_WORDS: Final = "1 to 32 small letters, digits or hyphens"
NAME: Final = r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,60}"
NAME_WORDS: Final = "1 to 60 characters on one line"
WORDS: Final = r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]{1,600}"
BASES: Final = ("principal", "bonus", "outside", "further")
UNITS_OF_ROLE: Final = {"principal": ("fen",), "bonus": ("fen",), "points": ("points",), "entitlement": ("visits", "pass")}

Normalised = dict[str, Any]


def normalise(pack: Table) -> Normalised:
    """The compiled form of a whole pack; only meaningful when no problem was noted."""
    pack.integer("schema", 1, 1)
    out: Normalised = {
        "name": pack.text("name", SLUG, SLUG_WORDS),
        "version": pack.integer("version", 1, COUNT_MAX),
        "currency": pack.text("currency", r"[A-Z]{3}", 'three capital letters of ISO 4217, such as "CNY"'),
        "utc_offset_s": _utc_offset(pack),
        "categories": [],
        "predicates": [],
        "counters": [],
    }
    _words(pack, "title", 60)
    _words(pack, "about", 600)
    card = pack.table("card", None)
    out["card"] = _card(card)
    pack_membership.check(pack.table("membership", None))
    out["limits"] = _limits(pack.table("limits", None))
    spend = pack.table("spend", None)
    out["spend_order"] = spend.choice("order", ("expiry", "listed"), "expiry")
    spend.close()
    out |= _pricing(pack.table("pricing", None))
    context = _Context(out, member=out["card"]["member"])
    out["purses"] = [_purse(table, context) for table in pack.tables("purse", PURSES_MAX, 1)]
    for table in pack.tables("counter", COUNTERS_MAX):
        context.counters.read(table, context.category_indices(table, "category"))
    out["tiers"] = _tiers(pack, context)
    out["rules"] = [_benefit(table, context) for table in pack.tables("benefit", RULES_MAX)]
    out["products"] = [_product(table, context) for table in pack.tables("product", PRODUCTS_MAX)]
    context.finish(pack)
    pack.close()
    return out


class _Context:
    """Names seen so far, so that later tables can point at earlier ones."""

    def __init__(self, out: Normalised, *, member: bool) -> None:
        self.member = member
        self.categories: list[str] = out["categories"]
        self.purses: dict[str, int] = {}
        self.roles: list[str] = []
        self.tiers: dict[str, int] = {}
        self.predicates: list[Normalised] = out["predicates"]
        self.counters = Counters(out["counters"])
        self.groups: set[str] = set()
        self.names: dict[str, set[str]] = {"purse": set(), "tier": set(), "benefit": set(), "product": set()}

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

    def finish(self, pack: Table) -> None:
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


def _words(pack: Table, key: str, longest: int) -> None:
    """A text in both languages. It stays in the pack: decisions do not read it."""
    table = pack.table(key)
    for language in ("zh", "en"):
        text = table.text(language, WORDS, f"1 to {longest} characters", REQUIRED)
        if len(text) > longest:
            table.wrong(language, f"`{language}` must be at most {longest} characters")
    table.close()


def _utc_offset(pack: Table) -> int:
    text = pack.text("utc_offset", r"[+-](0[0-9]|1[0-4]):[0-5][0-9]", 'an offset such as "+08:00"')
    match = re.fullmatch(r"([+-])([0-9]{2}):([0-9]{2})", text)
    if not match:
        return 0
    seconds = int(match[2]) * 3600 + int(match[3]) * 60
    if seconds > 14 * 3600:
        pack.wrong("utc_offset", "`utc_offset` must be between -14:00 and +14:00")
    return -seconds if match[1] == "-" else seconds


def _card(card: Table) -> Normalised:
    pin = card.choice("pin", ("never", "always", "above"), "never")
    above = card.integer("pin_above_fen", 0, AMOUNT_MAX, 0)
    if pin == "above" and "pin_above_fen" not in card.value:
        card.wrong("pin", 'pin = "above" needs `pin_above_fen`')
    if pin != "above" and "pin_above_fen" in card.value:
        card.wrong("pin_above_fen", '`pin_above_fen` needs pin = "above"')
    months, days = card.duration("validity")
    member = card.flag("member", True)
    media = card.integer("media_max", 1, 16, 1)
    card.close()
    return {"pin": pin, "pin_above_fen": above, "media_max": media, "validity_months": months, "validity_days": days, "member": member}


def _limits(limits: Table) -> Normalised:
    out: Normalised = {
        "balance_max_fen": limits.integer("balance_max_fen", 1, AMOUNT_MAX, AMOUNT_MAX),
        "topup_min_fen": limits.integer("topup_min_fen", 1, AMOUNT_MAX, 1),
        "topup_max_fen": limits.integer("topup_max_fen", 1, AMOUNT_MAX, AMOUNT_MAX),
        "topup_step_fen": limits.integer("topup_step_fen", 1, AMOUNT_MAX, 1),
        "transfer": limits.flag("transfer", False),
    }
    if out["topup_min_fen"] > out["topup_max_fen"]:
        limits.wrong("topup_min_fen", "`topup_min_fen` is above `topup_max_fen`: no top-up would be possible")
    limits.close()
    return out


def _pricing(pricing: Table) -> Normalised:
    out: Normalised = {
        "stacking": pricing.choice("stacking", ("multiply", "best", "add"), "multiply"),
        "rounding": pricing.choice("rounding", ("half_up", "floor", "ceiling", "half_even"), "half_up"),
        "step_fen": pricing.integer("step_fen", 1, 100_00, 1),
    }
    pricing.choice("stage", ("line",), "line")
    pricing.close()
    return out


def _purse(table: Table, context: _Context) -> Normalised:
    name = context.unique(table, "purse", table.text("name", SLUG, SLUG_WORDS))
    role = table.choice("role", tuple(UNITS_OF_ROLE))
    unit = table.choice("unit", ("fen", "points", "visits", "pass"))
    if unit not in UNITS_OF_ROLE[role]:
        table.wrong("unit", f"a purse of role {role} counts in {' or '.join(UNITS_OF_ROLE[role])}, not {unit}")
    months, days = table.duration("expires_after")
    first_use = table.choice("from", ("grant", "first_use"), "grant") == "first_use"
    covers = context.category_indices(table, "covers")
    per_day = table.integer("per_day", 1, COUNT_MAX, 0)
    gap = table.integer("min_gap_days", 1, 3660, 0)
    if role == "entitlement" and covers is None:
        table.wrong(None, "an entitlement needs `covers`: the categories it pays for")
    if role != "entitlement":
        for key in ("covers", "per_day", "min_gap_days", "from"):
            if key in table.value:
                table.wrong(key, f"`{key}` belongs to purses of role entitlement")
    if not context.member and role == "points":
        table.wrong("role", "a pack with member = false earns no points and has no points purse (C11)")
    if not context.member and not months and not days:
        table.wrong(None, "a pack with member = false needs `expires_after` in every purse (C11: validity is mandatory)")
    table.close()
    if name and name not in context.purses:
        context.purses[name] = len(context.roles)
    context.roles.append(role)
    return {
        "name": name,
        "unit": unit,
        "role": role,
        "months": months,
        "days": days,
        "first_use": first_use,
        "covers": covers or [],
        "per_day": per_day,
        "min_gap_days": gap,
    }


_THRESHOLDS: Final = ("spend_min_fen", "orders_min", "points_min", "counter_min")


def _tiers(pack: Table, context: _Context) -> list[Normalised]:
    tiers: list[Normalised] = []
    for index, table in enumerate(pack.tables("tier", TIERS_MAX)):
        name = context.unique(table, "tier", table.text("name", SLUG, SLUG_WORDS))
        tier: Normalised = {"name": name, "counter": context.counters.named(table, default="")}
        tier |= {key: table.integer(key, 1, AMOUNT_MAX, -1) for key in _THRESHOLDS}
        given = [key for key in _THRESHOLDS if key in table.value]
        if ("counter" in table.value) != ("counter_min" in table.value):
            table.wrong("counter" if "counter" in table.value else "counter_min", "`counter` and `counter_min` belong together")
        if not context.member:
            table.wrong(None, "a pack with member = false has no tiers (C11)")
        if index == 0 and given:
            table.wrong(given[0], "the first tier is where everyone starts: it has no threshold")
        if index > 0 and not given:
            table.wrong(None, f"every tier after the first needs one of {', '.join(_THRESHOLDS)}")
        for key in given:
            same = [lower for lower in tiers if key != "counter_min" or lower["counter"] == tier["counter"]]
            if index and tier[key] <= max((lower[key] for lower in same), default=-1):
                table.wrong(key, f"`{key}` must rise from tier to tier, or the tier below could not be reached by it")
        table.close()
        context.tiers.setdefault(name, index)
        tiers.append(tier)
    return tiers or [{"name": "standard", "counter": -1} | dict.fromkeys(_THRESHOLDS, -1)]


def _benefit(table: Table, context: _Context) -> Normalised:
    name = context.unique(table, "benefit", table.text("name", NAME, NAME_WORDS))
    if not context.member:
        table.wrong(None, "a pack with member = false gives no benefits (C11)")
    when = table.table("when", None)
    then = table.table("then")
    verb = when.choice("verb", ("settle", "topup"), "")
    tiers = when.names("tier", SLUG, "the name of a tier", TIERS_MAX)
    for tier in tiers or ():
        if tier not in context.tiers:
            when.wrong("tier", f"there is no tier `{tier}`; tiers are: {', '.join(context.tiers) or 'none'}")
    rule: Normalised = {
        "name": name,
        "tiers": None if tiers is None else sorted(context.tiers[tier] for tier in tiers if tier in context.tiers),
        "categories": context.category_indices(when, "category"),
        "amount_min_fen": when.integer("amount_min_fen", 0, AMOUNT_MAX, 0),
        "amount_max_fen": when.integer("amount_max_fen", 0, AMOUNT_MAX, AMOUNT_MAX),
        "earned_min": when.integer("earned_min", 1, AMOUNT_MAX, 0),
        "flags": pack_conditions.flags(when),
        "asks": pack_conditions.asks(when, context.predicates, context.counters),
        "quotas": context.counters.quotas(table, name),
        "priority": table.integer("priority", -1000, 1000, 0),
        "exclusive": table.text("exclusive", SLUG, SLUG_WORDS, ""),
    }
    if rule["exclusive"]:
        context.groups.add(rule["exclusive"])
    if rule["amount_min_fen"] > rule["amount_max_fen"]:
        when.wrong("amount_min_fen", "`amount_min_fen` is above `amount_max_fen`: the rule could never apply")
    effects = [word for word in _EFFECTS if word in then.value]
    if len(effects) != 1:
        if then.value or "then" in table.value:
            table.wrong("then", f"`then` must have exactly one of {', '.join(_EFFECTS)}")
        return rule
    rule |= _EFFECTS[effects[0]](then, context)
    needed = "topup" if rule["effect"] == "bonus" else "settle"
    if verb and verb != needed:
        when.wrong("verb", f'this effect belongs to verb = "{needed}"')
    conditional = rule["effect"] == "milestone" and bool(rule["asks"])  # may be for any ticket that meets them
    if (rule["effect"] == "milestone") != (rule["earned_min"] > 0) and not conditional:
        when.wrong("earned_min" if rule["earned_min"] else None, "`earned_min` and a grant of points belong together (E07)")
    if rule["effect"] in ("bonus", "milestone") and rule["categories"] is not None:
        when.wrong("category", "this effect looks at the whole ticket, not at categories")
    _check_lines(when, rule)
    _check_counters(table, when, rule, context)
    when.close()
    then.close()
    table.close()
    return rule


def _check_counters(table: Table, when: Table, rule: Normalised, context: _Context) -> None:
    """What is counted must be known when the rule is looked at, and a quota must bound what the rule gives."""
    effect = rule["effect"]
    if effect in ("discount", "deduct", "redeem") and any(context.predicates[index]["kind"] == "reached" for index in rule["asks"]):
        when.wrong("reached", "what is reached with this ticket is known after it is paid: use `before`")
    if rule["quotas"] and effect in ("deduct", "redeem", "step"):
        table.wrong("quota", "this effect takes no quota")
    if effect == "discount" and any(units for _, units, _ in rule["quotas"]):
        table.wrong("quota", "a discount is bounded by `times`")
    if effect == "step" and rule["exclusive"]:
        table.wrong("exclusive", "steps of a counter are in no exclusive group: what was granted is always what the counter says")
    if effect == "step" and (rule["tiers"] or rule["asks"] or rule["amount_min_fen"] or rule["amount_max_fen"] < AMOUNT_MAX):
        table.wrong("when", "steps of a counter have no conditions: what was granted is always what the counter says")


def _check_lines(when: Table, rule: Normalised) -> None:
    """Conditions about lines belong to effects that look at lines, and must be able to hold."""
    wanted, unwanted = rule["flags"]
    if rule["effect"] in ("bonus", "milestone", "deduct") and (wanted or unwanted):
        when.wrong("flag" if wanted else "flag_not", "this effect looks at the whole ticket, not at lines")
    if rule["effect"] in ("discount", "redeem") and wanted & pack_conditions.FLAGS["special"]:
        when.wrong("flag", "special-price goods get no discount and no redemption (E08, R05)")


def _discount(then: Table, context: _Context) -> Normalised:
    pay, of = then.fraction("discount", 1, zero=True)
    return {"effect": "discount", "pay": pay, "of": of}


def _accrue(then: Table, context: _Context) -> Normalised:
    base = then.names("base", "|".join(BASES), f"one of {', '.join(BASES)}", len(BASES))
    if base is None:
        then.wrong(None, f"missing key `base`: the tenders that count, of {', '.join(BASES)}")
    return {
        "effect": "accrue",
        "purse": context.purse(then, "accrue", "points"),
        "amount": then.integer("amount", 1, COUNT_MAX),
        "per_fen": then.integer("per_fen", 1, AMOUNT_MAX),
        "multiplier": then.fraction("multiplier", 1000, default=(1, 1)) if then.has("multiplier") else (1, 1),
        "base": [word for word in BASES if word in (base or ())],
    }


def _grant(then: Table, context: _Context) -> Normalised:
    """Points for a ticket that earned enough (E07) or for each step of a counter (E06), or bonus for each full step of a top-up (C04)."""
    name = then.value.get("grant")
    index = context.purses.get(name) if isinstance(name, str) else None
    if index is not None and context.roles[index] == "points":
        then.has("grant")
        if then.has("each"):
            return _step(then, context, index)
        return {"effect": "milestone", "purse": index, "amount": then.integer("amount", 1, COUNT_MAX)}
    purse = context.purse(then, "grant", "bonus")
    return {
        "effect": "bonus",
        "purse": purse,
        "amount": then.integer("amount", 1, AMOUNT_MAX),
        "per_fen": then.integer("per_fen", 1, AMOUNT_MAX),
    }


def _step(then: Table, context: _Context, purse: int) -> Normalised:
    counter = context.counters.named(then)
    known = context.counters.out[counter] if counter < len(context.counters.out) else None
    if known and (known["counts"] not in ("tickets", "paid", "quantity") or known["last"] > 1):
        then.wrong("counter", "steps are of a counter of tickets, money paid or quantity in one period")
    return {
        "effect": "step", "purse": purse, "counter": counter, "amount": then.integer("amount", 1, COUNT_MAX),
        "per_fen": then.integer("each", 1, AMOUNT_MAX),
    }  # fmt: skip


def _deduct(then: Table, context: _Context) -> Normalised:
    return {
        "effect": "deduct",
        "purse": context.purse(then, "deduct", "points"),
        "units": then.integer("units", 1, COUNT_MAX),
        "worth_fen": then.integer("worth_fen", 1, AMOUNT_MAX),
        "max_share": then.fraction("max_share", 1) if then.has("max_share") else (1, 1),
    }


def _redeem(then: Table, context: _Context) -> Normalised:
    ladder: list[tuple[int, int]] = []
    for step in then.tables("ladder", LADDER_MAX, 1):
        units, price = step.integer("units", 1, COUNT_MAX), step.integer("price_max_fen", 1, AMOUNT_MAX)
        if ladder and (units <= ladder[-1][0] or price <= ladder[-1][1]):
            step.wrong(None, "a ladder must rise in `units` and in `price_max_fen`")
        ladder.append((units, price))
        step.close()
    every = None
    if then.has("every"):
        table = then.table("every")
        every = (table.integer("units", 1, COUNT_MAX), table.integer("price_fen", 1, AMOUNT_MAX))
        table.close()
    return {"effect": "redeem", "purse": context.purse(then, "redeem", "points"), "ladder": ladder, "every": every}


_EFFECTS: Final[dict[str, Callable[[Table, _Context], Normalised]]] = {
    "discount": _discount,
    "accrue": _accrue,
    "grant": _grant,
    "deduct": _deduct,
    "redeem": _redeem,
}


def _product(table: Table, context: _Context) -> Normalised:
    name = context.unique(table, "product", table.text("name", NAME, NAME_WORDS))
    price = table.integer("price_fen", 1, AMOUNT_MAX)
    grants = []
    for grant in table.tables("grants", PURSES_MAX, 1):
        months, days = grant.duration("expires_after")
        grants.append(
            {
                "purse": context.purse(grant, "purse", "entitlement"),
                "amount": grant.integer("amount", 1, COUNT_MAX),
                "months": months,
                "days": days,
            }
        )
        grant.close()
    table.close()
    return {"name": name, "price_fen": price, "grants": grants}
