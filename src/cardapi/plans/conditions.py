"""What a rule asks for, as clauses of a sentence: every condition of the vocabulary (docs/pack-format.md)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

from cardapi.plans.words import UNBOUNDED, Words

Normalised = dict[str, Any]
COUNTED: Final = {
    "tickets": "tickets", "paid": "fen", "quantity": "quantity", "points": "points", "topups": "topups", "charged": "fen",
    "events": "times", "score": "score",
}  # fmt: skip
"""The unit of what a counter counts."""

_FLAGS: Final = {1: ("特价", "special-price"), 4: ("会员专享", "member-only"), 8: ("柜台不打折", "kept out of discounts by their counter")}
_WEEKDAYS: Final = (
    ("周一", "Monday"), ("周二", "Tuesday"), ("周三", "Wednesday"), ("周四", "Thursday"), ("周五", "Friday"), ("周六", "Saturday"),
    ("周日", "Sunday"),
)  # fmt: skip


def clauses(pack: Normalised, rule: Normalised, words: Words) -> list[str]:
    """The conditions of a rule, all of which must hold."""
    found = []
    if rule["tiers"] is not None:
        tiers = words.any_of([pack["tiers"][index]["name"] for index in rule["tiers"]])
        found.append(words(f"卡的等级是{tiers}", f"the card is in tier {tiers}"))
    if rule["categories"] is not None:
        names = words.any_of([pack["categories"][index] for index in rule["categories"]])
        found.append(words(f"商品属于{names}", f"the goods are {names}"))
    found += _amounts(rule, words) + _lines(rule, words)
    for index in rule["asks"]:
        predicate = pack["predicates"][index]
        found.append(PREDICATES[predicate["kind"]](pack, predicate["values"], words))
    return found


def _amounts(rule: Normalised, words: Words) -> list[str]:
    what = words(*{
        "topup": ("充值", "what is paid"), "event": ("事件金额", "the event's amount"), "settle": ("整单原价", "the ticket's list price"),
    }[rule.get("on") or ("topup" if rule.get("effect") == "bonus" else "settle")])  # fmt: skip
    found = []
    if rule["amount_min_fen"]:
        least = words.yuan(rule["amount_min_fen"])
        found.append(words(f"{what}不少于 {least}", f"{what} is at least {least}"))
    if rule["amount_max_fen"] < UNBOUNDED:
        most = words.yuan(rule["amount_max_fen"])
        found.append(words(f"{what}不超过 {most}", f"{what} is at most {most}"))
    if rule.get("earned_min"):
        points = words.amount(rule["earned_min"], "points")
        found.append(words(f"本单已积不少于 {points}", f"the ticket has earned at least {points}"))
    return found


def _lines(rule: Normalised, words: Words) -> list[str]:
    wanted, unwanted = rule["flags"]
    found = [words(f"商品是{zh}商品", f"the goods are {en}") for bit, (zh, en) in _FLAGS.items() if wanted & bit]
    return found + [words(f"商品不是{zh}商品", f"the goods are not {en}") for bit, (zh, en) in _FLAGS.items() if unwanted & bit]


def _weekday(_: Normalised, values: Any, words: Words) -> str:
    days = words.any_of([words(*_WEEKDAYS[day]) for day in values])
    return words(f"当天是{days}", f"it is a {days}")


def _hour(_: Normalised, values: Any, words: Words) -> str:
    hours = words.any_of([f"{hour}:00-{hour}:59" for hour in values])
    return words(f"时间在 {hours}", f"the time is {hours}")


def day_text(day: int) -> str:
    """A local date from days since 1970-01-01."""
    return (dt.date(1970, 1, 1) + dt.timedelta(days=day)).isoformat()


def _bounds(pack: Normalised, values: Any, words: Words) -> str:
    """A counter's name and the bounds it must lie between."""
    index, low, high = values
    counter = pack["counters"][index]
    unit = "times" if counter["streak"] else COUNTED[counter["counts"]]
    least, most = words.amount(low, unit), words.amount(high, unit)
    if high >= UNBOUNDED:
        said = words(f"不少于 {least}", f"at least {least}")
    elif low == high:
        said = words(f"恰为 {least}", f"exactly {least}")
    elif low:
        said = words(f"在 {least} 与 {most} 之间", f"between {least} and {most}")
    else:
        said = words(f"不超过 {most}", f"at most {most}")
    return words(f"“{counter['name']}”{said}", f'"{counter["name"]}" has {said}')


def _nth(pack: Normalised, values: Any, words: Words) -> str:
    index, every, at = values
    name = pack["counters"][index]["name"]
    if every:
        return words(f"“{name}”正好是 {every} 的倍数", f'with this "{name}" is a multiple of {every}')
    return words(f"“{name}”正好是第 {at} 次", f'with this "{name}" is exactly {at}')


def _either(zh: str, en: str) -> Callable[[Normalised, Any, Words], str]:
    """A clause about one of several words."""

    def said(_: Normalised, values: Any, words: Words) -> str:
        return words(zh, en).format(words.any_of(values))

    return said


PREDICATES: Final[dict[str, Callable[[Normalised, Any, Words], str]]] = {
    "weekday": _weekday,
    "day": _either("当天是当月 {} 日", "it is day {} of the month"),
    "month": _either("当月是 {} 月", "it is month {} of the year"),
    "hour": _hour,
    "from": lambda _, values, words: words(f"从 {day_text(values[0])} 起", f"it is {day_text(values[0])} or later"),
    "until": lambda _, values, words: words(f"至 {day_text(values[0])} 止", f"it is {day_text(values[0])} or earlier"),
    "birthday": lambda _, values, words: (
        words("当天是会员生日", "it is the member's birthday")
        if values[0] == "day"
        else words("当月是会员生日月", "it is the month of the member's birthday")
    ),
    "store": _either("门店是{}", "the store is {}"),
    "unit": _either("柜台或单位是{}", "the counter or unit is {}"),
    "channel": _either("渠道是{}", "the channel is {}"),
    "tender": _either("补差或充值用{}支付", "the shortfall or top-up is paid by {}"),
    "tag": _either("会员有标签{}", "the member has the tag {}"),
    "tag_not": _either("会员没有标签{}", "the member has no tag {}"),
    "stock": _either("活动{}还有余量", "the campaign {} still has something to give"),
    "event": _either("事件是{}", "the event is {}"),
    "points_end": _either("可用积分以 {} 结尾", "the points of the card end in {}"),
    "before": lambda pack, values, words: words("在此之前", "before this ") + _bounds(pack, values, words),
    "reached": lambda pack, values, words: words("连同这次", "with this ") + _bounds(pack, values, words),
    "nth": _nth,
}
"""A clause for each kind of predicate; a test holds the keys to what packs can say."""
