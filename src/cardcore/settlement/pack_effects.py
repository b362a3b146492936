"""[[benefit]] of a pack: what a rule does, and which conditions belong to it (docs/pack-format.md, decision 0013)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cardcore.settlement import pack_conditions
from cardcore.settlement.pack_context import (
    AMOUNT_MAX,
    COUNT_MAX,
    LADDER_MAX,
    NAME,
    NAME_WORDS,
    SLUG,
    SLUG_WORDS,
    TIERS_MAX,
    Context,
    Normalised,
)
from cardcore.settlement.pack_counters import LAST_MAX, PERIODS
from cardcore.settlement.toml_reader import REQUIRED, Table

BASES: Final = ("principal", "bonus", "outside", "further")
VERBS: Final = ("settle", "topup", "event")
PRIZES_MAX: Final = 32
WEIGHT_MAX: Final = 10**6
STEPS_KEPT: Final = 12  # periods after its own in which a return still takes steps back
_OF_VERB: Final[dict[str, tuple[str, ...]]] = {
    "topup": ("bonus", "promote"),
    "event": ("accrue", "milestone", "gift", "cap", "promote", "score", "period", "draw"),
    "settle": ("discount", "accrue", "milestone", "step", "gift", "rebate", "cap", "promote", "score", "deduct", "redeem"),
}
"""Effects by what they may be about."""
ONCE_EVENTS: Final = frozenset({"registration"})
ONCE_GIVES: Final = frozenset({"accrue", "milestone", "gift", "promote", "score"})
"""Joining happens once: what it gives is given once in a card's life, whoever is enrolled on it again (L08)."""
_WHOLE: Final = ("bonus", "milestone", "cap", "promote", "period", "draw")
"""Effects that look at the whole ticket, top-up or event."""


def benefit(table: Table, context: Context) -> Normalised:
    """One rule: conditions that must all hold, one effect, priority, group and quotas."""
    name = context.unique(table, "benefit", table.text("name", NAME, NAME_WORDS))
    if not context.member:
        table.wrong(None, "a pack with member = false gives no benefits (C11)")
    when = table.table("when", None)
    then = table.table("then")
    verb = when.choice("verb", VERBS, "")
    rule: Normalised = {
        "name": name,
        **conditions(when, context),
        "earned_min": when.integer("earned_min", 1, AMOUNT_MAX, 0),
        "quotas": context.counters.quotas(table, name),
        "priority": table.integer("priority", -1000, 1000, 0),
        "exclusive": table.text("exclusive", SLUG, SLUG_WORDS, ""),
    }
    if rule["exclusive"]:
        context.groups.add(rule["exclusive"])
    effects = [word for word in _EFFECTS if word in then.value]
    if len(effects) != 1:
        if then.value or "then" in table.value:
            table.wrong("then", f"`then` must have exactly one of {', '.join(_EFFECTS)}")
        return rule
    rule["on"] = verb or ("event" if "event" in when.value else "")
    rule |= _EFFECTS[effects[0]](then, context, rule)
    rule["on"] = rule["on"] or ("topup" if rule["effect"] == "bonus" else "settle")
    named = when.value.get("event")
    if rule["effect"] in ONCE_GIVES and isinstance(named, list) and any(word in ONCE_EVENTS for word in named if isinstance(word, str)):
        rule["quotas"] = context.counters.once(table, name, rule["quotas"])
    _check_verb(when, rule, context)
    _check_lines(when, rule)
    _check_counters(table, when, rule, context)
    when.close()
    then.close()
    table.close()
    return rule


def conditions(when: Table, context: Context) -> Normalised:
    """What benefits, coupons and gifts may all ask for."""
    tiers = when.names("tier", SLUG, "the name of a tier", TIERS_MAX)
    for tier in tiers or ():
        if tier not in context.tiers:
            when.wrong("tier", f"there is no tier `{tier}`; tiers are: {', '.join(context.tiers) or 'none'}")
    low, high = when.integer("amount_min_fen", 0, AMOUNT_MAX, 0), when.integer("amount_max_fen", 0, AMOUNT_MAX, AMOUNT_MAX)
    if low > high:
        when.wrong("amount_min_fen", "`amount_min_fen` is above `amount_max_fen`: the rule could never apply")
    context.stocked(when)
    return {
        "tiers": None if tiers is None else sorted(context.tiers[tier] for tier in tiers if tier in context.tiers),
        "categories": context.category_indices(when, "category"), "amount_min_fen": low, "amount_max_fen": high,
        "flags": pack_conditions.flags(when), "asks": pack_conditions.asks(when, context.predicates, context.counters),
    }  # fmt: skip


def _check_verb(when: Table, rule: Normalised, context: Context) -> None:
    effect, on = rule["effect"], rule["on"]
    if effect not in _OF_VERB[on]:
        fitting = " or ".join(f'"{verb}"' for verb in VERBS if effect in _OF_VERB[verb])
        when.wrong("verb" if "verb" in when.value else None, f"this effect belongs to verb = {fitting}")
    if on == "event" and "event" not in when.value and effect != "period":
        when.wrong(None, "a rule for events names them in `event`")
    if on != "event" and "event" in when.value:
        when.wrong("event", 'only a rule of verb = "event" asks for events')
    if on != "event" and "points_end" in when.value:
        when.wrong("points_end", "the end of the balance is asked for at events only (R08)")
    conditional = effect == "milestone" and bool(rule["asks"])  # may be for any ticket that meets them
    if (effect == "milestone" and on == "settle") != (rule["earned_min"] > 0) and not conditional:
        when.wrong("earned_min" if rule["earned_min"] else None, "`earned_min` and a grant of points belong together (E07)")


def _check_counters(table: Table, when: Table, rule: Normalised, context: Context) -> None:
    """What is counted must be known when the rule is looked at, and a quota must bound what the rule gives."""
    effect = rule["effect"]
    if effect in ("discount", "deduct", "redeem") and any(context.predicates[index]["kind"] == "reached" for index in rule["asks"]):
        when.wrong("reached", "what is reached with this ticket is known after it is paid: use `before`")
    if rule["quotas"] and effect in ("deduct", "redeem", "step", "cap", "period", "draw"):
        table.wrong("quota", "this effect takes no quota")
    if effect in ("discount", "promote") and any(units for _, units, _ in rule["quotas"]):
        table.wrong("quota", "this effect is bounded by `times`")
    if effect in ("step", "cap", "period", "draw") and rule["exclusive"]:
        table.wrong("exclusive", "this effect is in no exclusive group")
    if effect == "step" and (rule["tiers"] or rule["asks"] or rule["amount_min_fen"] or rule["amount_max_fen"] < AMOUNT_MAX):
        table.wrong("when", "steps of a counter have no conditions: what was granted is always what the counter says")


def _check_lines(when: Table, rule: Normalised) -> None:
    """Conditions about lines belong to effects that look at lines, and must be able to hold."""
    wanted, unwanted = rule["flags"]
    whole = rule["effect"] in _WHOLE or rule["on"] != "settle"
    if (whole or rule["effect"] == "deduct") and (wanted or unwanted):
        when.wrong("flag" if wanted else "flag_not", "this effect looks at the whole ticket, not at lines")
    if whole and rule["categories"] is not None and not rule.get("waives"):
        when.wrong("category", "this effect looks at the whole ticket, not at categories")
    if rule["effect"] in ("discount", "redeem") and wanted & pack_conditions.FLAGS["special"] and not rule.get("waives"):
        when.wrong("flag", "special-price goods get no discount and no redemption (E08, R05)")


# ------------------------------------------------------------------ effects
def _discount(then: Table, context: Context, rule: Normalised) -> Normalised:
    pay, of = then.fraction("discount", 1, zero=True)
    return {"effect": "discount", "pay": pay, "of": of}


def _waive(then: Table, context: Context, rule: Normalised) -> Normalised:
    """Fees are lines of a ticket: waived, those of these categories cost nothing (L06, K01)."""
    categories = context.category_indices(then, "waive")
    if rule["categories"] is not None:
        then.wrong("waive", "what is waived is named by `waive`, not by `category`")
    return {"effect": "discount", "pay": 0, "of": 1, "waives": True, "categories": categories or []}


def _bases(then: Table, rule: Normalised) -> list[str]:
    """The tenders that count; of what an event brings, all of it."""
    if rule["on"] == "event":
        return ["outside"]
    base = then.names("base", "|".join(BASES), f"one of {', '.join(BASES)}", len(BASES))
    if base is None:
        then.wrong(None, f"missing key `base`: the tenders that count, of {', '.join(BASES)}")
    return [word for word in BASES if word in (base or ())]


def _accrue(then: Table, context: Context, rule: Normalised) -> Normalised:
    return {
        "effect": "accrue",
        "purse": context.purse(then, "accrue", "points"),
        "amount": then.integer("amount", 1, COUNT_MAX),
        "per_fen": then.integer("per_fen", 1, AMOUNT_MAX),
        "multiplier": then.fraction("multiplier", 1000, default=(1, 1)) if then.has("multiplier") else (1, 1),
        "base": _bases(then, rule),
    }


def _grant(then: Table, context: Context, rule: Normalised) -> Normalised:
    """Points for a ticket that earned enough (E07), for an event, for each step of a counter (E06); else what a purse or award holds."""
    name = then.value.get("grant")
    index = context.purses.get(name) if isinstance(name, str) else None
    if index is not None and context.roles[index] == "points":
        then.has("grant")
        if then.has("each"):
            return _step(then, context, index)
        return {"effect": "milestone", "purse": index, "amount": then.integer("amount", 1, COUNT_MAX)}
    given = _given(then, context)
    pays = index is not None and context.roles[index] == "bonus"
    at_topup = rule["on"] == "topup" or (rule["on"] == "" and pays and "per_fen" in then.value)
    per_fen = then.integer("per_fen", 1, AMOUNT_MAX, REQUIRED if rule["on"] == "" and pays and not rule["asks"] else 0)
    if at_topup:
        return {"effect": "bonus", **given, "per_fen": per_fen}
    return {"effect": "gift", **given, "per_fen": per_fen}


def _given(then: Table, context: Context) -> Normalised:
    """What `grant` names, how much of it, and until when: of a rule, or of a prize."""
    name = then.text("grant", SLUG, "the name of a purse or an award")
    awards = [award["name"] for award in context.awards]
    amount = then.integer("amount", 1, AMOUNT_MAX)
    if name in awards:
        award = context.awards[awards.index(name)]
        return {"purse": -1, "award": awards.index(name), "amount": amount, "ends": (award["months"], award["days"])}
    purse = context.purses.get(name, -1)
    if name and (purse < 0 or context.roles[purse] not in ("bonus", "entitlement")):
        named = ", ".join([*(one for one, index in context.purses.items() if context.roles[index] != "principal"), *awards])
        then.wrong("grant", f"nothing to grant is named `{name}`; there are: {named or 'none'}")
    if purse >= 0 and context.units[purse] == "pass" and amount != 1:
        then.wrong("amount", "a pass is granted one at a time")
    ends = then.duration("expires_after") if then.has("expires_after") else None
    return {"purse": max(purse, 0), "amount": amount} | ({} if ends is None else {"ends": ends})


def _step(then: Table, context: Context, purse: int) -> Normalised:
    counter = context.counters.named(then)
    known = context.counters.out[counter] if counter < len(context.counters.out) else None
    if known and (known["counts"] not in ("tickets", "paid", "quantity") or known["last"] > 1):
        then.wrong("counter", "steps are of a counter of tickets, money paid or quantity in one period")
    kept = then.integer("returns", 1, LAST_MAX, STEPS_KEPT)
    if known and known["per"] != "life":
        known["kept"] = max(known.get("kept", 1), kept + 1)
    return {
        "effect": "step", "purse": purse, "counter": counter, "amount": then.integer("amount", 1, COUNT_MAX),
        "per_fen": then.integer("each", 1, AMOUNT_MAX),
    }  # fmt: skip


def _rebate(then: Table, context: Context, rule: Normalised) -> Normalised:
    """Part of what was paid comes back as value: of this ticket, or of what a counter had in the period that ended (C03)."""
    out = {
        "purse": context.purse(then, "rebate", "bonus"),
        "max_share": then.fraction("share", 1),
        "max_fen": then.integer("max_fen", 1, AMOUNT_MAX, AMOUNT_MAX),
    }
    if not then.has("counter"):
        return {"effect": "rebate", "base": _bases(then, rule), **out}
    index = context.counters.named(then)
    kept = then.integer("returns", 1, LAST_MAX, 1)
    rule["on"] = rule["on"] or "event"
    if index >= len(context.counters.out):
        return {"effect": "period", "counter": 0, "given": 0, **out}
    known = context.counters.out[index]
    if known["counts"] != "paid" or known["last"] > 1 or known["per"] not in ("week", "month", "quarter", "year"):
        then.wrong("counter", "a rebate for a period is of a counter of money paid in one week, month, quarter or year")
    elif rule["on"] == "event" and not rule["asks"]:
        rule["asks"] = [context.predicate("event", (known["per"],))]
    given = context.counters.own(f"rebate {rule['name']}", known["per"], "whole")
    for one in (known, context.counters.out[given]):
        one["kept"] = max(one.get("kept", 1), kept + 1)
    return {"effect": "period", "counter": index, "given": given, **out}


def _cap(then: Table, context: Context, rule: Normalised) -> Normalised:
    name = then.text("cap", SLUG, "the name of a purse of points or bonus")
    purse = context.purses.get(name, -1)
    if name and (purse < 0 or context.roles[purse] not in ("points", "bonus")):
        then.wrong("cap", f"there is no purse of points or bonus `{name}`")
    per = then.choice("per", ("ticket", *PERIODS))
    back = "capped" if purse >= 0 and context.roles[purse] == "points" else "valued"
    counter = -1 if per == "ticket" else context.counters.own(f"cap {rule['name']}", per, back)
    return {"effect": "cap", "purse": max(purse, 0), "amount": then.integer("amount", 0, AMOUNT_MAX), "counter": counter}


def _promote(then: Table, context: Context, rule: Normalised) -> Normalised:
    name = then.text("promote", SLUG, "the name of a tier")
    tier = context.tiers.get(name, 0)
    if name and tier == 0:
        then.wrong("promote", f"there is no tier `{name}` above the first; tiers are: {', '.join(context.tiers) or 'none'}")
    counter = context.counters.own(f"promote {rule['name']}", then.choice("per", PERIODS, context.review_per), "whole")
    context.keep_for_review(counter)
    return {"effect": "promote", "tier": tier, "counter": counter}


def _score(then: Table, context: Context, rule: Normalised) -> Normalised:
    index = context.counters.named(then, "score")
    if index < len(context.counters.out) and context.counters.out[index]["counts"] != "score":
        then.wrong("score", 'this counter does not count = "score"')
    return {
        "effect": "score", "counter": index,
        "amount": then.integer("amount", 1, COUNT_MAX), "per_fen": then.integer("per_fen", 1, AMOUNT_MAX, 0),
    }  # fmt: skip


def _draw(then: Table, context: Context, rule: Normalised) -> Normalised:
    prizes = []
    for table in then.tables("prizes", PRIZES_MAX, 1):
        weight = table.integer("weight", 1, WEIGHT_MAX)
        blank = {"purse": 0, "amount": 0}
        prizes.append({"award": -1, "ends": None, **(_given(table, context) if table.has("grant") else blank), "weight": weight})
        table.close()
    out = {"effect": "draw", "purse": context.purse(then, "draw", "points"), "units": then.integer("units", 1, COUNT_MAX)}
    return {**out, "lapsed": then.flag("lapsed", False), "prizes": prizes}


def _deduct(then: Table, context: Context, rule: Normalised) -> Normalised:
    return {
        "effect": "deduct",
        "purse": context.purse(then, "deduct", "points"),
        "units": then.integer("units", 1, COUNT_MAX),
        "worth_fen": then.integer("worth_fen", 1, AMOUNT_MAX),
        "max_share": then.fraction("max_share", 1) if then.has("max_share") else (1, 1),
    }


def _redeem(then: Table, context: Context, rule: Normalised) -> Normalised:
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


_EFFECTS: Final[dict[str, Callable[[Table, Context, Normalised], Normalised]]] = {
    "discount": _discount,
    "accrue": _accrue,
    "grant": _grant,
    "rebate": _rebate,
    "cap": _cap,
    "promote": _promote,
    "score": _score,
    "waive": _waive,
    "draw": _draw,
    "deduct": _deduct,
    "redeem": _redeem,
}
