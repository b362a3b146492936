"""Coupons and gifts of a pack as sentences: what a coupon takes off, what points buy (C10, K06, R03-R06, R11)."""

from __future__ import annotations

from typing import Any

from cardapi.plans.conditions import clauses, day_text
from cardapi.plans.words import Words

Normalised = dict[str, Any]

_BEARERS = {
    "store": ("售出门店承担", "the store that sells bears it"), "counter": ("柜台承担", "its counter bears it"),
    "brand": ("品牌承担", "the brand bears it"), "hq": ("总部承担", "head office bears it"),
}  # fmt: skip


def coupon_sentences(pack: Normalised, words: Words) -> list[str]:
    """One for each kind of coupon."""
    return [_coupon(pack, coupon, words) for coupon in pack.get("coupons", ())]


def _coupon(pack: Normalised, coupon: Normalised, words: Words) -> str:
    said = [_takes(coupon, words)]
    if coupon["spend_min_fen"]:
        least = words.yuan(coupon["spend_min_fen"])
        said.append(words(f"满 {least} 可用", f"from {least} on"))
    if coupon["max_fen"]:
        said.append(words(f"最多减 {words.yuan(coupon['max_fen'])}", f"at most {words.yuan(coupon['max_fen'])}"))
    asked = clauses(pack, coupon, words)
    if coupon["skus"]:
        goods = words.any_of(sorted(coupon["skus"]))
        asked.append(words(f"商品是{goods}", f"the goods are {goods}"))
    if asked:
        said.append(words("若" + "且".join(asked), "if " + " and ".join(asked)))
    if coupon["months"] or coupon["days"]:
        span = words.span(coupon["months"], coupon["days"])
        said.append(words(f"发放后 {span} 有效", f"good for {span} from when it is given"))
    if coupon["until_day"] is not None:
        day = day_text(coupon["until_day"])
        said.append(words(f"至 {day} 止", f"until {day}"))
    if coupon["uses"] > 1:
        said.append(words(f"可用 {coupon['uses']} 次", f"good for {coupon['uses']} uses"))
    said.append(words(f"每单限 {coupon['per_ticket']} 张", f"{coupon['per_ticket']} of its kind a ticket"))
    said.append(
        words(*(("可与其他券同用", "beside other coupons") if coupon["stackable"] else ("不与其他券同用", "not beside other coupons")))
    )
    if coupon["on_refund"] == "keep":
        said.append(words("退货不退券", "it stays used when its ticket is given back"))
    if coupon["partial_refund"] == "refused":
        said.append(words("用券的单只能整单退", "its ticket is given back whole or not at all"))
    said.append(words(*_BEARERS[coupon["bearer"]]))
    if coupon["stock"]:
        said.append(words(f"共 {coupon['stock']} 张", f"{coupon['stock']} in all"))
    name = coupon["title"]["zh"] if words.zh else coupon["title"]["en"]
    return words(f"“{coupon['name']}”:{name},{','.join(said)}。", f'"{coupon["name"]}": {name}: {", ".join(said)}.')


def _takes(coupon: Normalised, words: Words) -> str:
    off = words.yuan(coupon["off_fen"])
    if coupon["takes"] == "rate":
        rate = words.price(*coupon["rate"])
        return words(f"按 {rate} 付款", f"{rate} is paid")
    if coupon["takes"] == "piece":
        return (
            words(f"最贵的一件付 {off}", f"the dearest piece costs {off}")
            if coupon["off_fen"]
            else words("最贵的一件免费", "the dearest piece is free")
        )
    if coupon["per_fen"]:
        step = words.yuan(coupon["per_fen"])
        return words(f"每满 {step} 减 {off}", f"{off} off each full {step}")
    return words(f"减 {off}", f"{off} off")


def gift_sentences(pack: Normalised, words: Words) -> list[str]:
    """One for each gift that points buy."""
    return [_gift(pack, gift, words) for gift in pack.get("gifts", ())]


def _gift(pack: Normalised, gift: Normalised, words: Words) -> str:
    name = gift["title"]["zh"] if words.zh else gift["title"]["en"]
    points = words.amount(gift["points"], "points")
    if gift["coupon"] >= 0:
        coupon = pack["coupons"][gift["coupon"]]["name"]
        said = [words(f"{points}换优惠券“{coupon}”", f'{points} for the coupon "{coupon}"')]
    else:
        items = words.any_of(gift["items"])
        said = [words(f"{points}换{items}一件", f"{points} for one of {items}")]
    asked = clauses(pack, gift, words)
    if asked:
        said.append(words("若" + "且".join(asked), "if " + " and ".join(asked)))
    for counter, counts_units, limit in gift.get("quotas", ()):
        per = words.per(pack["counters"][counter]["per"])
        most = words.amount(limit, "quantity" if counts_units else "times")
        said.append(words(f"每张卡{per}最多 {most}", f"at most {most} {per} for one card"))
    if gift["cost_fen"]:
        said.append(words(f"成本 {words.yuan(gift['cost_fen'])}", f"it costs {words.yuan(gift['cost_fen'])}"))
    if gift["coupon"] < 0:
        said.append(words(*_BEARERS[gift["bearer"]]))
    if gift["stock"]:
        said.append(words(f"每种共 {gift['stock']} 件", f"{gift['stock']} of each in all"))
    return words(f"“{gift['name']}”:{name},{','.join(said)}。", f'"{gift["name"]}": {name}: {", ".join(said)}.')
