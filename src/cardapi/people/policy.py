"""What a programme version says to the desk and to member care, beside what the core compiles: [card] and [membership] of the pack."""

from __future__ import annotations

import tomllib
from typing import Any

import msgspec

FACTS = frozenset({"birthday", "tag", "tag_not", "store", "unit", "channel", "stock"})


class CardPolicy(msgspec.Struct, frozen=True):
    """The desk's part of a programme version ([card] of the pack)."""

    pin: str = "never"  # "never" | "always" | "above"
    pin_above_fen: int = 0
    media_max: int = 1  # active media of one card (K9)
    member: bool = True  # False: no member data and no benefits (C11)
    replacement_fee_fen: int = 0  # of a card in place of one that was lost or has expired (L07)


class MembershipPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may become a member, how, and when membership sleeps ([membership] of the pack; L04-L10). Amounts in fen; 0 is no rule."""

    age_min: int = 0  # full years
    routes: tuple[str, ...] = ()  # empty: every route
    single_fen: int = 0  # purchase: one ticket of at least this,
    cumulative_fen: int = 0  # or this much in all (L04)
    day_fen: int = 0  # day: this much in one day (L05)
    fee_fen: int = 0  # fee (L06)
    group_rate: str = "1/1"  # share of the fee that a group pays
    free_from_fen: int = 0  # no fee from a single purchase of this on
    referral: bool = True  # whether members may refer, one level deep (E10)
    suspend_months: int = 0  # without a purchase: the cards lose their benefits (L10)
    leave_months: int = 0  # without a purchase: membership ends


def card_policy(document: dict[str, Any]) -> CardPolicy:
    """Of a pack as TOML gives it, checked before."""
    card = document.get("card", {})
    return CardPolicy(
        card.get("pin", "never"), card.get("pin_above_fen", 0), card.get("media_max", 1), card.get("member", True),
        card.get("replacement_fee_fen", 0),
    )  # fmt: skip


def membership_policy(document: dict[str, Any]) -> MembershipPolicy:
    """Of a pack as TOML gives it, checked before."""
    policy: MembershipPolicy = msgspec.convert(document.get("membership", {}), MembershipPolicy)
    return policy


def asked_facts(value: Any) -> frozenset[str]:
    """Which facts about member and place the conditions of a pack ask for: keys of its `when` tables."""
    if isinstance(value, dict):
        own = FACTS & value["when"].keys() if isinstance(value.get("when"), dict) else frozenset()
        return own.union(*(asked_facts(inner) for inner in value.values()))
    if isinstance(value, list):
        return frozenset().union(*(asked_facts(inner) for inner in value))
    return frozenset()


def read(pack: str) -> tuple[CardPolicy, MembershipPolicy, frozenset[str]]:
    """What the text of a valid pack says to the desk: both policies, and the facts it asks for."""
    document = tomllib.loads(pack)
    return card_policy(document), membership_policy(document), asked_facts(document)
