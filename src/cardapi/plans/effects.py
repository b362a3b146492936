"""What a rule gives, as a sentence: every effect of the vocabulary (docs/pack-format.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cardapi.plans.conditions import COUNTED, clauses
from cardapi.plans.words import Words

Normalised = dict[str, Any]
_TENDERS: Final = {
    "principal": ("储值本金", "stored value"), "bonus": ("储值赠送", "bonus value"), "outside": ("现金、银行卡", "cash or bank"),
    "further": ("其他卡", "further cards"),
}  # fmt: skip


def rule_sentence(pack: Normalised, rule: Normalised, words: Words) -> str:
    """A whole rule: if, what, how often, and before what else."""
    asked = clauses(pack, rule, words)
    given = EFFECTS[rule["effect"]](pack, rule, words)
    if words.zh:
        text = (f"若{',且'.join(asked)}:" if asked else "") + given + "。"
    else:
        text = f"If {', and '.join(asked)}: {given}." if asked else f"{given[0].upper()}{given[1:]}."
    return " ".join([text, *_bounds(pack, rule, words)]) if not words.zh else "".join([text, *_bounds(pack, rule, words)])


def _bounds(pack: Normalised, rule: Normalised, words: Words) -> list[str]:
    found = []
    for counter, counts_units, limit in rule["quotas"]:
        per = words.per(pack["counters"][counter]["per"])
        unit = rule_unit(pack, rule) if counts_units else "times"
        most = words.amount(limit, unit)
        found.append(words(f"每张卡{per}最多 {most}。", f"At most {most} {per} for one card."))
    if rule["exclusive"]:
        others = [other for other in pack["rules"] if other["exclusive"] == rule["exclusive"] and other is not rule]
        if others:
            found.append(words(
                f"与同组“{rule['exclusive']}”的规则只取其一,优先级 {rule['priority']},高者先。",
                f'Of the group "{rule["exclusive"]}" one rule acts only; this one has priority {rule["priority"]}, the highest goes first.',
            ))  # fmt: skip
    elif rule["priority"]:
        found.append(words(f"优先级 {rule['priority']}。", f"Its priority is {rule['priority']}."))
    return found


def rule_unit(pack: Normalised, rule: Normalised) -> str:
    """The unit of what a rule gives."""
    return str(pack["purses"][rule["purse"]]["unit"]) if "purse" in rule else "times"


def _discount(_: Normalised, rule: Normalised, words: Words) -> str:
    if rule["pay"] == 0:
        return words("商品免费", "the goods are free")
    rate = words.price(rule["pay"], rule["of"])
    return words(f"商品按 {rate} 付款", f"the customer pays {rate} of the price of the goods")


def _accrue(_: Normalised, rule: Normalised, words: Words) -> str:
    points, step = words.amount(rule["amount"], "points"), words.yuan(rule["per_fen"])
    tenders = words.any_of([words(*_TENDERS[word]) for word in rule["base"]])
    by, of = rule["multiplier"]
    times = "" if (by, of) == (1, 1) else words(f",再乘以 {words.times(by, of)},去尾", f", times {words.times(by, of)}, rounded down")
    return words(f"用{tenders}付款每满 {step} 积 {points}{times}", f"{points} for each full {step} paid by {tenders}{times}")


def _milestone(_: Normalised, rule: Normalised, words: Words) -> str:
    points = words.amount(rule["amount"], "points")
    return words(f"本单加赠 {points}", f"the ticket brings {points} more")


def _step(pack: Normalised, rule: Normalised, words: Words) -> str:
    counter = pack["counters"][rule["counter"]]
    points, each = words.amount(rule["amount"], "points"), words.amount(rule["per_fen"], COUNTED[counter["counts"]])
    return words(
        f"“{counter['name']}”每满 {each} 加赠 {points};退货后少于该数则收回",
        f'{points} more for each full {each} of "{counter["name"]}", taken back when a return goes below it',
    )


def _bonus(pack: Normalised, rule: Normalised, words: Words) -> str:
    step, added = words.yuan(rule["per_fen"]), words.yuan(rule["amount"])
    purse = pack["purses"][rule["purse"]]["name"]
    return words(f"充值每满 {step} 送 {added}(入“{purse}”)", f'a top-up brings {added} into "{purse}" for each full {step} paid')


def _deduct(_: Normalised, rule: Normalised, words: Words) -> str:
    points, worth = words.amount(rule["units"], "points"), words.yuan(rule["worth_fen"])
    share = words.share(*rule["max_share"])
    return words(
        f"积分可抵扣:每 {points} 抵 {worth},最多抵整单的 {share}", f"points may pay: {points} pay {worth}, up to {share} of a ticket"
    )


def _redeem(_: Normalised, rule: Normalised, words: Words) -> str:
    steps = [
        words(
            f"{units} 分换一件原价不超过 {words.yuan(price)} 的商品", f"{units} points for one item of list price up to {words.yuan(price)}"
        )
        for units, price in rule["ladder"]
    ]
    if rule["every"]:
        units, price = rule["every"]
        more = words.yuan(price)
        steps.append(words(f"再高每增 {more} 加 {units} 分", f"{units} points more for each further {more} begun"))
    return words("积分换礼:", "gifts for points: ") + words(";", "; ").join(steps) + words(",特价商品除外", ", no special-price goods")


EFFECTS: Final[dict[str, Callable[[Normalised, Normalised, Words], str]]] = {
    "discount": _discount,
    "accrue": _accrue,
    "milestone": _milestone,
    "step": _step,
    "bonus": _bonus,
    "deduct": _deduct,
    "redeem": _redeem,
}
"""A sentence for each effect; a test holds the keys equal to what packs can say."""
