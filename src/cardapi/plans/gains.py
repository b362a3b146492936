"""What a customer may gain by dividing a purchase into several tickets or top-ups, or by putting several into one (P3).

A rule that states a step or a threshold for each ticket lets that happen, within a bound; here every such rule is told with its bound,
so that a merchant knows before publishing. Where nothing is told nothing can be gained; a property test holds packs to it.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

from cardapi.plans.words import UNBOUNDED, Words

Normalised = dict[str, Any]


class Gain(NamedTuple):
    """What one rule lets a customer gain. `most` units for each ticket more (or fewer); None: as much as the ticket is worth."""

    rule: str
    by: str  # "merge" | "split"
    unit: str  # "points" | "fen" | "visits" ... | "tier"
    most: int | None
    why: str  # one of WHY


WHY = {
    "step": ("每单只计满额部分", "only full steps of each ticket count"),
    "threshold": ("每单要满额才有", "a ticket must reach a threshold"),
    "ceiling": ("超过上限的单没有", "a ticket above a bound gets nothing"),
    "each": ("每单都有一次", "every ticket gets it once"),
    "rounding": ("每行四舍五入", "each line is rounded"),
    "next": ("新等级从下一单起算", "a new tier counts from the next ticket on"),
    "quota": ("次数按单计", "it is bounded by how many tickets have it"),
    "before": ("按本单之前的累计判断", "it looks at what there was before the ticket"),
    "reached": ("按连同本单的累计判断", "it looks at what there is with the ticket"),
    "spent": ("返到卡上的钱付下一单时不再返", "value that came back pays the next ticket, and brings nothing there"),
    "counted": ("按单数计算", "tickets are counted"),
    "cap": ("每单有上限", "the bound is for each ticket"),
}


def gains(pack: Normalised) -> list[Gain]:
    """Every way to gain, rule by rule, of a normalised pack."""
    found: list[Gain] = []
    for rule in pack["rules"]:
        found += [Gain(rule["name"], *rest) for rest in _of_rule(pack, rule)]
    for tier in pack["tiers"][1:]:
        tickets = tier["orders_min"] > 1 or (
            tier["counter_min"] > 1 and pack["counters"][tier["counter"]]["counts"] in ("tickets", "topups")
        )
        found.append(Gain(f"tier {tier['name']}", "split", "tier", None, "counted" if tickets else "next"))
    if any(rule["effect"] == "discount" for rule in pack["rules"]):
        # Half up, half even and ceiling let a line gain less than a step by being put together, floor by being divided.
        step = pack["step_fen"]
        most = step - 1 if pack["rounding"] in ("floor", "ceiling") else step // 2
        if most or step == 1:
            found.append(Gain("rounding", "merge" if pack["rounding"] == "ceiling" else "split", "fen", max(most, 1), "rounding"))
    return found


def _of_rule(pack: Normalised, rule: Normalised) -> list[tuple[str, str, int | None, str]]:
    effect = rule["effect"]
    found: list[tuple[str, str, int | None, str]] = []
    unit = _unit(pack, rule)
    if rule["on"] == "event" or effect in ("step", "redeem"):
        return []  # no ticket, or nothing that depends on how many there are
    if effect == "cap":
        return [("split", unit, None, "cap")] if rule["counter"] < 0 else []
    if rule["amount_min_fen"] > 0:
        found.append(("merge", unit, None, "threshold"))
    if rule["amount_max_fen"] < UNBOUNDED:
        found.append(("split", unit, None, "ceiling"))
    found += [(by, unit, None, why) for by, why in _of_counters(pack, rule)]
    if effect == "accrue":
        times = Fraction(*rule["multiplier"])
        found.append(("merge", unit, ceil(rule["amount"] * times) + (times.denominator != 1), "step"))
    elif effect == "bonus":
        found.append(("merge", unit, rule["amount"], "step"))
    elif effect == "milestone" or (effect in ("gift", "score") and not rule["per_fen"]):
        if rule["earned_min"]:
            found.append(("merge", unit, rule["amount"], "threshold"))
        if not any(limit == 1 and not units for _, units, limit in rule["quotas"]):
            found.append(("split", unit, rule["amount"], "each"))
    elif effect in ("gift", "score"):
        found.append(("merge", unit, rule["amount"], "step"))
    elif effect == "deduct":
        found.append(("merge", "fen", rule["worth_fen"], "step"))
    elif effect == "rebate":
        found.append(("merge", unit, 1, "step"))
        if "bonus" not in rule["base"]:
            found.append(("merge", unit, None, "spent"))
        if rule["max_fen"] < UNBOUNDED:
            found.append(("split", unit, None, "cap"))
    return found


def _unit(pack: Normalised, rule: Normalised) -> str:
    """The unit of what a rule gives."""
    effect = rule["effect"]
    if effect in ("discount", "deduct", "rebate"):
        return "fen"
    if effect in ("promote", "score"):
        return "tier" if effect == "promote" else "score"
    return "award" if rule.get("award", -1) >= 0 else str(pack["purses"][rule["purse"]]["unit"])


def _of_counters(pack: Normalised, rule: Normalised) -> list[tuple[str, str]]:
    """What conditions on counters, and quotas by times, let a customer do."""
    found = []
    kinds = {pack["predicates"][index]["kind"]: pack["predicates"][index]["values"][0] for index in rule["asks"]}
    if "before" in kinds:
        found.append(("split", "before"))
    if "nth" in kinds or ("reached" in kinds and pack["counters"][kinds["reached"]]["counts"] in ("tickets", "topups")):
        found.append(("split", "counted"))
    if "reached" in kinds:
        found.append(("merge", "reached"))
    if any(not units for _, units, _ in rule["quotas"]):
        found.append(("merge", "quota"))
    return found


def gain_sentence(gain: Gain, words: Words) -> str:
    """One gain in words."""
    how = words("合成一单", "putting tickets together") if gain.by == "merge" else words("拆成几单", "dividing a ticket")
    why = words(*WHY[gain.why])
    if gain.unit == "tier":
        return words(f"“{gain.rule}”:{how}可更快达到({why})", f'"{gain.rule}": {how} reaches it sooner ({why})')
    if gain.most is None:
        return words(f"“{gain.rule}”:{how}可多得优惠({why})", f'"{gain.rule}": {how} may gain the benefit itself ({why})')
    most = words.amount(gain.most, gain.unit)
    each = words("每多或少一单", "for each ticket more or fewer")
    return words(f"“{gain.rule}”:{how},{each}最多多得 {most}({why})", f'"{gain.rule}": {how} gains at most {most} {each} ({why})')
