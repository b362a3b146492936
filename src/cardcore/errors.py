"""The tree of errors the core raises, each leaf with a stable `code`.

Codes are part of the API: they never change meaning. Status numbers belong to `cardapi.http.problems`.
"""

from __future__ import annotations

from typing import Any


class CardcoreError(Exception):
    """Root of everything raised on purpose. `code` is stable, `facts` are JSON-able values for the caller."""

    code: str = "error"

    def __init__(self, detail: str = "", **facts: Any) -> None:
        super().__init__(detail or self.code.replace("_", " "))
        self.detail = detail or self.code.replace("_", " ")
        self.facts = facts


class AmountNotInteger(CardcoreError, TypeError):
    """An amount that is not exactly an `int` (floats, booleans, strings and Decimals are refused alike)."""

    code = "amount_not_integer"


class AmountOutOfRange(CardcoreError, ValueError):
    """An amount outside the bounds of `cardcore.money` (M2)."""

    code = "amount_out_of_range"


class InvalidCommand(CardcoreError, ValueError):
    """A command that means nothing: empty ticket, unknown flag, a rate above one, too many lines."""

    code = "invalid_command"


class InvalidPack(CardcoreError, ValueError):
    """A programme pack that cannot be compiled; `facts["problems"]` lists `{line, path, reason}`."""

    code = "invalid_pack"


class InvalidRecord(CardcoreError, ValueError):
    """Stored bytes that are not what the codec writes: truncated, trailing, out of bounds, wrong version."""

    code = "invalid_record"


class Declined(CardcoreError):
    """A business refusal. It is an outcome, not a failure: the desk records it under the client key.

    `declined_code` is one of `DECLINE_CODES`; `facts` carry what the till shows (for example `shortfall_fen`).
    """

    code = "declined"

    def __init__(self, declined_code: str, **facts: Any) -> None:
        assert declined_code in DECLINE_CODES, f"unregistered decline code {declined_code}"
        super().__init__(DECLINE_CODES[declined_code], **facts)
        self.declined_code = declined_code


DECLINE_CODES: dict[str, str] = {
    "card_not_active": "the card is not active",
    "card_lost": "the card is reported lost",
    "card_expired": "the card is past its validity",
    "holder_excluded": "the holder may not use member cards",
    "insufficient_funds": "the card does not cover the ticket and no other tender was offered for the rest",
    "insufficient_points": "the card has fewer points than asked for",
    "not_covered": "no entitlement on the card covers this line",
    "points_not_allowed": "the programme does not let points pay for this",
    "pin_required": "the programme asks for the PIN here",
    "pin_wrong": "the PIN is wrong",
    "pin_locked": "the PIN is locked after too many tries",
    "pin_not_set": "the card has no PIN",
    "limit_exceeded": "a limit of the programme would be exceeded",
    "topup_not_allowed": "the programme does not allow this top-up",
    "unknown_product": "the programme sells no such product",
    "transfer_not_allowed": "the programme does not allow this transfer",
    "same_card": "source and target are the same account",
    "hold_not_open": "the hold is no longer open",
    "over_hold": "more than was held",
    "not_refundable": "this entry cannot be refunded",
    "over_refund": "more than is left to refund",
    "already_reversed": "this entry is already reversed",
    "value_spent": "the value has been spent and cannot be taken back",
    "nothing_to_do": "there is nothing to do: nothing has lapsed, or no rule gives anything",
    "currency_mismatch": "the two programmes do not share a currency",
    "state_not_allowed": "the card's state does not allow this",
    "key_voided": "this client key was voided before its request arrived",
    "not_same_card": "the referenced entry belongs to another card",
    "in_flight_open": "value is on its way to or from the card; present the card first",
    "not_in_flight": "nothing is on its way to or from the card under this entry",
    "card_overdrawn": "the card's own memory does not hold as much",
    "medium_not_active": "this medium is retired or blocked",
    "too_many_media": "the card has as many active media as its programme allows",
    "too_soon": "the minimum gap between two visits has not passed",
    "law_card_cap": "the card would hold more than the law allows",
    "law_validity": "the law does not let this value end so soon, or at all",
    "law_real_name": "the law asks who buys this much at once",
    "law_cash": "the law does not allow cash for this much at once",
    "law_licence": "stored value of another legal entity needs a payment licence",
    "unknown_coupon": "the programme has no such kind of coupon",
    "no_coupon": "the card has no such coupon to use",
    "coupon_expired": "the coupon has lapsed",
    "coupon_not_applicable": "the coupon's terms are not met by this ticket",
    "coupon_not_stackable": "these coupons cannot be used together",
    "coupon_whole_only": "a ticket with this coupon is given back whole or not at all",
    "unknown_gift": "the programme has no such gift",
    "gift_not_available": "the gift is not to be had now, or not by this card",
    "out_of_stock": "there are none left",
    "coupon_limit": "one person gives no more coupons today unless a second one allows it",
    "used_up_today": "the pass has been used as often as a day allows",
}
