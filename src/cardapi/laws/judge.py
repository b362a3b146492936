"""Whether a posting is lawful (M11): pure, from the figures that the desk read inside the transaction that posts."""

from __future__ import annotations

import msgspec

from cardapi.days import day_of, plus_months, starts_at
from cardapi.laws.pack import LawVersion
from cardcore.errors import Declined


class Purchase(msgspec.Struct):
    """What was sold at once so far, this sale included: cards and top-ups of one buyer under one purchase number. In fen."""

    unnamed_fen: int = 0
    cash_fen: int = 0
    company: bool = False
    real_name: bool = False  # whether the buyer showed who they are


def cap(law: LawVersion, *, named: bool, after_fen: int, before_fen: int) -> None:
    """A card that gets more may not hold more than its cap (W1). Raises Declined law_card_cap."""
    most = law.named_fen if named else law.unnamed_fen
    if most and after_fen > before_fen and after_fen > most:
        raise Declined("law_card_cap", limit_fen=most, after_fen=after_fen, named=named, rule="W1")


def validity(law: LawVersion, *, named: bool, expires_at: int, at_s: int) -> None:
    """Money that is sold does not end on a named card, and not before its time on another (W2). Raises Declined law_validity."""
    if not law.unnamed_min_months or not expires_at:
        return
    least = starts_at(plus_months(day_of(at_s), law.unnamed_min_months))
    if named or expires_at < least:
        raise Declined("law_validity", named=named, expires_at=expires_at, least_months=0 if named else law.unnamed_min_months, rule="W2")


def purchase(law: LawVersion, bought: Purchase) -> None:
    """Real name and cash, by all that was sold at once (W3, W4). Raises Declined law_real_name, law_cash."""
    if law.unnamed_from_fen and bought.unnamed_fen >= law.unnamed_from_fen and not bought.real_name:
        raise Declined("law_real_name", limit_fen=law.unnamed_from_fen, at_once_fen=bought.unnamed_fen, rule="W3")
    most = law.company_cash_fen if bought.company else law.person_cash_fen
    if most and bought.cash_fen >= most:
        raise Declined("law_cash", limit_fen=most, at_once_fen=bought.cash_fen, company=bought.company, rule="W4")


def licence(law: LawVersion, *, licensed: bool, issued_by: str, spent_at: str, stored_fen: int) -> None:
    """Stored value of one legal entity is not spent at another without a payment licence (W6). Raises Declined law_licence."""
    if law.shared_needs_licence and not licensed and stored_fen and issued_by != spent_at:
        raise Declined("law_licence", issued_by=issued_by, spent_at=spent_at, rule="W6")
