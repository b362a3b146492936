"""Which card kinds of the field (C01-C15) a pack makes, told from what it holds: a marketing name is never looked at."""

from __future__ import annotations

from typing import Any


def kinds(pack: dict[str, Any]) -> list[str]:
    """Ids of the kinds that a normalised pack is, sorted. One card may be several at once."""
    effects = {rule["effect"] for rule in pack["rules"]}
    stored = any(purse["role"] == "principal" for purse in pack["purses"])
    found = set()
    if {"accrue", "milestone", "step"} & effects:
        found.add("C01")
    if "discount" in effects:
        found.add("C02")
    if {"rebate", "period"} & effects:
        found.add("C03")
    if stored and pack["card"]["member"]:
        found.add("C04")
    for purse in pack["purses"]:
        if purse["role"] == "entitlement":
            found.add("C06" if purse["unit"] == "pass" else "C09" if purse["min_gap_days"] else "C05")
    if any(len(product["grants"]) > 1 for product in pack["products"]):
        found.add("C07")
    if "deduct" in effects:
        found.add("C10")
    if pack.get("coupons"):
        found.add("C15")
    if not pack["card"]["member"]:
        found.add("C11")
    if {"C01", "C04"} <= found:
        found.add("C12")
    return sorted(found)
