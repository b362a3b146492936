"""Which card kinds of the field (C01-C12) a pack makes, told from what it holds: a marketing name is never looked at."""

from __future__ import annotations

from typing import Any, Final

KINDS: Final = {
    "C01": ("积分卡", "points"),
    "C02": ("折扣卡", "discount"),
    "C04": ("储值卡", "stored value"),
    "C05": ("计次卡", "count"),
    "C06": ("时限卡", "time"),
    "C07": ("套餐卡", "package"),
    "C09": ("疗程卡", "course"),
    "C10": ("抵扣卡", "deduction"),
    "C11": ("礼品卡", "gift card"),
    "C12": ("会员卡", "member card"),
}


def kinds(pack: dict[str, Any]) -> list[str]:
    """Ids of the kinds that a normalised pack is, sorted. One card may be several at once."""
    effects = {rule["effect"] for rule in pack["rules"]}
    stored = any(purse["role"] == "principal" for purse in pack["purses"])
    found = set()
    if {"accrue", "milestone", "step"} & effects:
        found.add("C01")
    if "discount" in effects:
        found.add("C02")
    if stored and pack["card"]["member"]:
        found.add("C04")
    for purse in pack["purses"]:
        if purse["role"] == "entitlement":
            found.add("C06" if purse["unit"] == "pass" else "C09" if purse["min_gap_days"] else "C05")
    if any(len(product["grants"]) > 1 for product in pack["products"]):
        found.add("C07")
    if "deduct" in effects:
        found.add("C10")
    if not pack["card"]["member"]:
        found.add("C11")
    if {"C01", "C04"} <= found:
        found.add("C12")
    return sorted(found)
