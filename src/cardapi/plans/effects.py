"""What a rule gives, as a sentence: every effect of the vocabulary (docs/pack-format.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cardapi.plans.conditions import COUNTED, clauses
from cardapi.plans.words import UNBOUNDED, Words

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
    return ("" if words.zh else " ").join([text, *_bounds(pack, rule, words)])


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
    if rule.get("waives"):
        return words("费用免收,特价商品也免", "they are waived, special prices included")
    if rule["pay"] == 0:
        return words("商品免费", "the goods are free")
    rate = words.price(rule["pay"], rule["of"])
    return words(f"商品按 {rate} 付款", f"the customer pays {rate} of the price of the goods")


def _accrue(_: Normalised, rule: Normalised, words: Words) -> str:
    points, step = words.amount(rule["amount"], "points"), words.yuan(rule["per_fen"])
    tenders = words.any_of([words(*_TENDERS[word]) for word in rule["base"]])
    by, of = rule["multiplier"]
    times = "" if (by, of) == (1, 1) else words(f",再乘以 {words.times(by, of)},去尾", f", times {words.times(by, of)}, rounded down")
    if rule.get("on") == "event":
        return words(f"事件金额每满 {step} 积 {points}{times}", f"{points} for each full {step} of the event's amount{times}")
    return words(f"用{tenders}付款每满 {step} 积 {points}{times}", f"{points} for each full {step} paid by {tenders}{times}")


def _milestone(_: Normalised, rule: Normalised, words: Words) -> str:
    points = words.amount(rule["amount"], "points")
    if rule.get("on") == "event":
        return words(f"送 {points}", f"the card is given {points}")
    return words(f"本单加赠 {points}", f"the ticket brings {points} more")


def _step(pack: Normalised, rule: Normalised, words: Words) -> str:
    counter = pack["counters"][rule["counter"]]
    points, each = words.amount(rule["amount"], "points"), words.amount(rule["per_fen"], COUNTED[counter["counts"]])
    kept = counter.get("kept", 1) - 1
    return words(
        f"“{counter['name']}”每满 {each} 加赠 {points};退货后少于该数则收回" + (f"(之后 {kept} 期内的退货也算)" if kept else ""),
        f'{points} more for each full {each} of "{counter["name"]}", taken back when a return goes below it'
        + (f", up to {kept} period{'s' if kept > 1 else ''} later" if kept else ""),
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


def _thing(pack: Normalised, rule: Normalised, words: Words) -> str:
    """So much of a purse or of an award, and until when."""
    if rule.get("award", -1) >= 0:
        award = pack["awards"][rule["award"]]
        kind = words(*_AWARDS[award["kind"]])
        thing = words(f"{rule['amount']} 份{kind}“{award['id']}”", f'{rule["amount"]} of the {kind} "{award["id"]}"')
        ends = award["months"], award["days"]
    else:
        purse = pack["purses"][rule["purse"]]
        thing = words.amount(rule["amount"], purse["unit"]) + words(f"入“{purse['name']}”", f' of "{purse["name"]}"')
        ends = rule.get("ends") or (0, 0)
    return thing + (words(f"({words.span(*ends)}有效)", f" (good for {words.span(*ends)})") if any(ends) else "")


_AWARDS: Final = {"coupon": ("优惠券", "coupon"), "gift": ("礼品", "gift"), "message": ("消息", "message")}


def _gift(pack: Normalised, rule: Normalised, words: Words) -> str:
    thing = _thing(pack, rule, words)
    if rule["per_fen"]:
        step = words.yuan(rule["per_fen"])
        return words(f"每满 {step} 送 {thing}", f"{thing} for each full {step}")
    return words(f"送 {thing}", f"the card is given {thing}")


def _most(rule: Normalised, words: Words) -> str:
    if rule["max_fen"] >= UNBOUNDED:
        return ""
    most = words.yuan(rule["max_fen"])
    return words(f",最多 {most}", f", at most {most}")


def _rebate(pack: Normalised, rule: Normalised, words: Words) -> str:
    share, purse = words.share(*rule["max_share"]), pack["purses"][rule["purse"]]["name"]
    tenders = words.any_of([words(*_TENDERS[word]) for word in rule["base"]])
    return words(
        f"用{tenders}付的钱返 {share} 到“{purse}”,去尾到分",
        f'{share} of what is paid by {tenders} comes back into "{purse}", rounded down to a fen',
    ) + _most(rule, words)


def _period(pack: Normalised, rule: Normalised, words: Words) -> str:
    counter, share = pack["counters"][rule["counter"]], words.share(*rule["max_share"])
    purse, kept = pack["purses"][rule["purse"]]["name"], counter.get("kept", 2) - 1
    return words(
        f"上一期“{counter['name']}”的 {share} 返到“{purse}”;之后 {kept} 期内的退货仍会收回",
        f'{share} of what "{counter["name"]}" had in the period that ended comes back into "{purse}"; returns within {kept} more '
        f"period{'s' if kept > 1 else ''} take it back",
    ) + _most(rule, words)


def _cap(pack: Normalised, rule: Normalised, words: Words) -> str:
    purse = pack["purses"][rule["purse"]]
    most = words.amount(rule["amount"], purse["unit"])
    per = words("每单", "on one ticket") if rule["counter"] < 0 else words.per(pack["counters"][rule["counter"]]["per"])
    return words(f"各规则所给的“{purse['name']}”合计{per}最多 {most}", f'all rules together give at most {most} of "{purse["name"]}" {per}')


def _promote(pack: Normalised, rule: Normalised, words: Words) -> str:
    tier = pack["tiers"][rule["tier"]]["name"]
    return words(f"立即升为“{tier}”", f'the card rises to tier "{tier}" at once')


def _score(pack: Normalised, rule: Normalised, words: Words) -> str:
    counter, amount = pack["counters"][rule["counter"]]["name"], rule["amount"]
    if rule["per_fen"]:
        step = words.yuan(rule["per_fen"])
        return words(f"每满 {step} “{counter}”加 {amount}", f'"{counter}" rises by {amount} for each full {step}')
    return words(f"“{counter}”加 {amount}", f'"{counter}" rises by {amount}')


def _draw(pack: Normalised, rule: Normalised, words: Words) -> str:
    points = words.amount(rule["units"], "points")
    lapsed = words(",先用过期积分", ", from lapsed points first") if rule["lapsed"] else ""
    total = sum(prize["weight"] for prize in rule["prizes"])
    prizes = []
    for prize in rule["prizes"]:
        thing, weight = _thing(pack, prize, words) if prize["amount"] else words("不中", "nothing"), prize["weight"]
        prizes.append(words(f"{thing}:{total} 份中 {weight} 份", f"{thing}: {weight} in {total}"))
    return words(f"{points}抽一次{lapsed};", f"{points} buy one draw{lapsed}; ") + words(";", "; ").join(prizes)


EFFECTS: Final[dict[str, Callable[[Normalised, Normalised, Words], str]]] = {
    "discount": _discount,
    "accrue": _accrue,
    "milestone": _milestone,
    "step": _step,
    "bonus": _bonus,
    "gift": _gift,
    "rebate": _rebate,
    "period": _period,
    "cap": _cap,
    "promote": _promote,
    "score": _score,
    "draw": _draw,
    "deduct": _deduct,
    "redeem": _redeem,
}
"""A sentence for each effect; a test holds the keys to what packs can say."""
