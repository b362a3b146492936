"""What each table of a programme pack means: format version 1 as code, table by table.

`normalise` turns a parsed document into the plain dict that `Programme` compiles, and notes every problem with its path.
The reference for authors is docs/pack-format.md; lines and bytes are the business of `pack` and `toml_reader`.
"""

from __future__ import annotations

import re
from typing import Final

from cardcore.settlement import pack_coupons, pack_effects, pack_membership
from cardcore.settlement.pack_context import (
    AMOUNT_MAX,
    AWARDS_MAX,
    COUNT_MAX,
    NAME,
    NAME_WORDS,
    PRODUCTS_MAX,
    PURSES_MAX,
    RANKINGS_MAX,
    RULES_MAX,
    SLUG,
    SLUG_WORDS,
    TIERS_MAX,
    Context,
    Normalised,
)  # fmt: skip
from cardcore.settlement.pack_counters import COUNTERS_MAX, number
from cardcore.settlement.toml_reader import REQUIRED, Table

WORDS: Final = r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]{1,600}"
UNITS_OF_ROLE: Final = {"principal": ("fen",), "bonus": ("fen",), "points": ("points",), "entitlement": ("visits", "pass")}


def normalise(pack: Table, *, published: bool = False) -> Normalised:
    """The compiled form of a whole pack; only meaningful when no problem was noted. `published`: refuse only what always was."""
    pack.integer("schema", 1, 1)
    out: Normalised = {
        "name": pack.text("name", SLUG, SLUG_WORDS),
        "version": pack.integer("version", 1, COUNT_MAX),
        "currency": pack.text("currency", r"[A-Z]{3}", 'three capital letters of ISO 4217, such as "CNY"'),
        "utc_offset_s": _utc_offset(pack),
        "categories": [],
        "predicates": [],
        "counters": [],
        "awards": [],
    }
    _words(pack, "title", 60)
    _words(pack, "about", 600)
    card = pack.table("card", None)
    out["card"] = _card(card)
    pack_membership.check(pack.table("membership", None))
    out["points_budget"] = _points_budget(pack.table("budget", None))
    out["limits"] = _limits(pack.table("limits", None))
    spend = pack.table("spend", None)
    out["spend_order"] = spend.choice("order", ("expiry", "listed"), "expiry")
    spend.close()
    out |= _pricing(pack.table("pricing", None))
    context = Context(out, member=out["card"]["member"])
    out["purses"] = [_purse(table, context) for table in pack.tables("purse", PURSES_MAX, 1)]
    for table in pack.tables("counter", COUNTERS_MAX):
        context.counters.read(table, context.category_indices(table, "category"))
    out["review"] = _review(pack.table("review", None), context)
    out["tiers"] = _tiers(pack, context)
    for table in pack.tables("award", AWARDS_MAX):
        context.awards.append(_award(table, context))
    out["rankings"] = [_ranking(table, context) for table in pack.tables("ranking", RANKINGS_MAX)]
    out["rules"] = [pack_effects.benefit(table, context) for table in pack.tables("benefit", RULES_MAX)]
    out["products"] = [_product(table, context) for table in pack.tables("product", PRODUCTS_MAX)]
    out["coupons"] = [_coupon(table, context, out["utc_offset_s"]) for table in pack.tables("coupon", pack_coupons.COUPONS_MAX)]
    out["gifts"] = [_gift(table, context) for table in pack.tables("gift", pack_coupons.COUPONS_MAX)]
    context.finish(pack, published=published)
    pack.close()
    return out


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


def _points_budget(budget: Table) -> tuple[int, int] | None:
    """What spent points may cost, as a share of the sales that earned them (R06). Decisions do not read it."""
    declared = budget.fraction("points", 1, default=None) if "points" in budget.value else None
    budget.close()
    return declared


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
    fee = card.integer("replacement_fee_fen", 0, AMOUNT_MAX, 0)
    card.close()
    return {
        "pin": pin, "pin_above_fen": above, "media_max": media, "validity_months": months, "validity_days": days, "member": member,
        "replacement_fee_fen": fee,
    }  # fmt: skip


def _limits(limits: Table) -> Normalised:
    out: Normalised = {
        "balance_max_fen": limits.integer("balance_max_fen", 1, AMOUNT_MAX, AMOUNT_MAX),
        "topup_min_fen": limits.integer("topup_min_fen", 1, AMOUNT_MAX, 1),
        "topup_max_fen": limits.integer("topup_max_fen", 1, AMOUNT_MAX, AMOUNT_MAX),
        "topup_step_fen": limits.integer("topup_step_fen", 1, AMOUNT_MAX, 1),
        "transfer": limits.flag("transfer", False),
        "transfer_points": limits.flag("transfer_points", False),
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


def _purse(table: Table, context: Context) -> Normalised:
    name = context.unique(table, "purse", table.text("name", SLUG, SLUG_WORDS))
    role = table.choice("role", tuple(UNITS_OF_ROLE))
    unit = table.choice("unit", ("fen", "points", "visits", "pass"))
    if unit not in UNITS_OF_ROLE[role]:
        table.wrong("unit", f"a purse of role {role} counts in {' or '.join(UNITS_OF_ROLE[role])}, not {unit}")
    months, days = table.duration("expires_after")
    first_use = table.choice("from", ("grant", "first_use"), "grant") == "first_use"
    covers = context.category_indices(table, "covers")
    grace = table.duration("grace")
    per_day = table.integer("per_day", 1, COUNT_MAX, 0)
    gap = table.integer("min_gap_days", 1, 3660, 0)
    if role == "entitlement" and covers is None:
        table.wrong(None, "an entitlement needs `covers`: the categories it pays for")
    if role != "entitlement":
        for key in ("covers", "per_day", "min_gap_days", "from"):
            if key in table.value:
                table.wrong(key, f"`{key}` belongs to purses of role entitlement")
    if role != "points" and "grace" in table.value:
        table.wrong("grace", "only lapsed points are kept for draws (R08)")
    if not context.member and role == "points":
        table.wrong("role", "a pack with member = false earns no points and has no points purse (C11)")
    if not context.member and not months and not days:
        table.wrong(None, "a pack with member = false needs `expires_after` in every purse (C11: validity is mandatory)")
    table.close()
    if name and name not in context.purses:
        context.purses[name] = len(context.roles)
    context.roles.append(role)
    context.units.append(unit)
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
        "grace": grace,
    }


_THRESHOLDS: Final = ("spend_min_fen", "orders_min", "points_min", "counter_min")


def _tiers(pack: Table, context: Context) -> list[Normalised]:
    tiers: list[Normalised] = []
    for index, table in enumerate(pack.tables("tier", TIERS_MAX)):
        name = context.unique(table, "tier", table.text("name", SLUG, SLUG_WORDS))
        tier: Normalised = {"name": name, "counter": context.counters.named(table, default="")}
        if tier["counter"] >= 0:
            context.keep_for_review(tier["counter"])
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


def _coupon(table: Table, context: Context, utc_offset_s: int) -> Normalised:
    when = table.table("when", None)
    coupon = pack_coupons.coupon(table, pack_effects.conditions(when, context), when)
    context.unique(table, "coupon", coupon["name"])
    context.coupons.setdefault(coupon["name"], len(context.coupons))
    if coupon["until_day"] is not None:
        coupon["until"] = (coupon["until_day"] + 1) * 86_400 - utc_offset_s
    if not context.member:
        table.wrong(None, "a pack with member = false gives no coupons (C11)")
    return coupon


def _gift(table: Table, context: Context) -> Normalised:
    when = table.table("when", None)
    conditions = pack_effects.conditions(when, context) | {"quotas": context.counters.quotas(table, f"gift {table.value.get('name', '')}")}
    gift = pack_coupons.gift(table, conditions, when, context.coupons)
    context.unique(table, "gift", gift["name"])
    if "points" not in context.roles:
        table.wrong("points", "the pack has no purse of role points")
    return gift


def _product(table: Table, context: Context) -> Normalised:
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


def _review(table: Table, context: Context) -> Normalised:
    """What becomes of tiers after a period, and after a return (T05, T07)."""
    per = table.choice("per", ("month", "quarter", "year"), "")
    fall = table.choice("fall", ("one", "balance"), "one")
    returns = table.choice("returns", ("at-once", "at-review"), "at-once")
    table.close()
    if "fall" in table.value and not per:
        table.wrong("fall", "`fall` needs `per`: without a period there is no review")
    context.review_per = per or context.review_per
    context.reviewing = bool(per)
    return {"per": per, "fall": fall, "returns": returns, "number": number(f"review:{per}") if per else 0}


def _award(table: Table, context: Context) -> Normalised:
    name = context.unique(table, "award", table.text("name", SLUG, SLUG_WORDS))
    if name in context.purses:
        table.wrong("name", f"a purse is already named `{name}`")
    kind = table.choice("kind", ("coupon", "gift", "message"), "coupon")
    stands_for = table.text("id", SLUG, SLUG_WORDS, name)
    months, days = table.duration("expires_after")
    table.close()
    return {"name": name, "kind": kind, "id": stands_for, "months": months, "days": days}


def _ranking(table: Table, context: Context) -> Normalised:
    name = context.unique(table, "ranking", table.text("name", SLUG, SLUG_WORDS))
    index = context.counters.named(table)
    top = table.integer("top", 1, 100, 3)
    table.close()
    if index < len(context.counters.out):
        counter = context.counters.out[index]
        if counter["streak"] or counter["last"] > 1 or counter["per"] in ("day", "life"):
            table.wrong("counter", "a ranking is by a counter of one week, month, quarter or year")
        counter["kept"] = max(counter.get("kept", 1), 2)
    return {"name": name, "counter": index, "top": top}
