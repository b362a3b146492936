"""The oracle's answer to the conditions of a rule: the calendar by `datetime`, words by sets, nothing compiled."""

from __future__ import annotations

import calendar
import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.model import EPOCH, Programme


@dataclass(frozen=True)
class Moment:
    """When and where something is decided, and what is known of the member; `facts` None = nothing is."""

    now: int
    tender: str = ""
    facts: dict[str, Any] | None = field(default=None)
    tally: Any = None  # Tally of the account, where the pack counts
    event: str = ""
    points: int = 0  # of the card, not lapsed, when an event happens


def holds(programme: Programme, predicate: dict[str, Any], moment: Moment) -> bool:
    """Whether one condition of a pack is met."""
    local = EPOCH + dt.timedelta(seconds=moment.now + programme["utc_offset_s"])
    kind, values = predicate["kind"], predicate["values"]
    facts = moment.facts
    match kind:
        case "weekday":
            return local.weekday() in values
        case "day" | "month" | "hour":
            return getattr(local, kind) in values
        case "from":
            return (local - EPOCH).days >= values[0]
        case "until":
            return (local - EPOCH).days <= values[0]
        case "event":
            return moment.event in values
        case "points_end":
            return moment.points % 10 in values
        case "tender":
            return moment.tender in values
        case "before":
            return bool(values[1] <= moment.tally.had[values[0]] <= values[2])
        case "reached":
            now = moment.tally.had[values[0]] + moment.tally.gained[values[0]]
            return bool(moment.tally.known and values[1] <= now <= values[2])
        case "nth":
            if programme["counters"][values[0]]["streak"] and moment.tally.counted[values[0]]:
                return False
            number = moment.tally.had[values[0]] + 1
            return bool(number % values[1] == 0 if values[1] else number == values[2])
    if facts is None:
        return False
    match kind:
        case "birthday":
            if facts["birthday"] is None:
                return False
            month, day = facts["birthday"]
            if "month" in values:
                return bool(local.month == month)
            return bool(local.month == month and local.day == min(day, calendar.monthrange(local.year, month)[1]))
        case "tag":
            return any(word in facts["tags"] for word in values)
        case "tag_not":
            return not any(word in facts["tags"] for word in values)
        case "stock":
            return all(word in facts["stock"] for word in values)
    return facts[kind] in values


def asked(programme: Programme, rule: dict[str, Any], moment: Moment) -> bool:
    """Whether all conditions of a rule that do not change within a ticket are met."""
    return all(holds(programme, programme["predicates"][index], moment) for index in rule["asks"])


def matching(programme: Programme, effect: str, tier: int, gross: int, moment: Moment, verb: str = "settle") -> list[Any]:
    """Rules of an effect that this tier, ticket (or top-up) size and moment may use: by priority, then in the pack's order."""
    found = [
        rule
        for rule in programme["rules"]
        if rule["effect"] == effect
        and rule["on"] == verb
        and (rule["tiers"] is None or tier in rule["tiers"])
        and rule["amount_min_fen"] <= gross <= rule["amount_max_fen"]
        and asked(programme, rule, moment)
        and (not rule["quotas"] or moment.tally.left(rule) > 0)
    ]
    return sorted(found, key=lambda rule: -rule["priority"])


def one_of_group(rules: list[Any]) -> list[Any]:
    """Of rules that would all act, those that do: the first of each exclusive group."""
    return [
        rule
        for index, rule in enumerate(rules)
        if not rule["exclusive"] or rule["exclusive"] not in [earlier["exclusive"] for earlier in rules[:index]]
    ]


def speaks_of(programme: Programme, rule: Any, category: str, flags: int) -> bool:
    """Whether a line of this category with these flags is one that the rule is about."""
    names = [programme["categories"][index] for index in rule["categories"] or ()]
    wanted, unwanted = rule["flags"]
    return (rule["categories"] is None or category in names) and flags & wanted == wanted and flags & unwanted == 0
