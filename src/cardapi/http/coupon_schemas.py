"""Bodies of coupons and gifts: give, list, trace, codes, points for gifts (C10, C15, K06, R03-R06, R11)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from cardapi.custody import Pin
from cardapi.http.fields import Asked, Card, Channel, Coupon, Kind, Reason, Second, Slug, Text, Time, Told, Word

GIVE_MAX = 100
CARDS_MAX = 500
KINDS_MAX = 8
CODES_MAX = 500


class GiveCoupons(Asked, kw_only=True):
    """Coupons of one kind for one card; `ends_at` if they end sooner than their pack says (0: as it says)."""

    card: Card
    coupon: Kind
    count: Annotated[int, Meta(ge=1, le=GIVE_MAX)] = 1
    ends_at: Second = 0
    reason: Reason


class GivenCoupon(Told):
    """One coupon on a card: `coupon_id` names it in a sale, `uses` is how often it can still be used, `ends_at` 0 for no end."""

    coupon_id: str
    coupon: str
    title: dict[str, str]
    uses: int
    ends_at: int


class CouponsGiven(Told):
    """What was put on a card: a pure function of its journal entry."""

    ticket_id: str
    journal_position: int
    client_key: str
    card: str
    at: Time
    coupons: list[GivenCoupon]


class CardCoupons(Told):
    """The coupons on a card that can be used now, the one that ends first in front."""

    card: str
    coupons: list[GivenCoupon]


class GiveBatch(Asked, kw_only=True):
    """One coupon of each kind for each card, once for ever in this batch (C15): sent again it changes nothing but what was refused.

    `check`: say what of it stands in the journal, and write nothing.
    """

    batch: Slug
    coupons: Annotated[tuple[Kind, ...], Meta(min_length=1, max_length=KINDS_MAX)]
    cards: Annotated[tuple[Card, ...], Meta(min_length=1, max_length=CARDS_MAX)]
    check: bool = False
    reason: Reason


class BatchGiven(Told):
    """Control totals: asked = given now + given before + refused (+ missing, in a check). `refused` is by `CARD/COUPON`."""

    batch: str
    asked: int
    given: int
    before: int
    missing: int
    refused: dict[str, str]


class MakeCodes(Asked, kw_only=True):
    """Codes for whoever shows them, of one kind of coupon; they end at `ends_at`, or (0) by the pack from the day of their use."""

    batch: Slug
    programme: Annotated[str, Meta(min_length=1, max_length=64)]
    coupon: Kind
    count: Annotated[int, Meta(ge=1, le=CODES_MAX)]
    ends_at: Second = 0
    reason: Reason


class Codes(Told):
    """The codes, which are shown to who has the key of the call that made them and kept nowhere."""

    batch: str
    coupon: str
    codes: list[str]


class AllowCoupons(Asked, kw_only=True):
    """Ask that you may give, or make codes of, so many more coupons on the day of the approval than the shop lets one person."""

    count: Annotated[int, Meta(ge=1, le=100_000)]
    reason: Reason


class CouponAllowance(Told):
    """What was allowed: `limit` coupons for this operator in all on this day (YYYY-MM-DD), of which `made` are made."""

    operator: str
    day: str
    limit: int
    made: int


class TraceCoupon(Asked):
    """One coupon, by its id or its code."""

    coupon: Coupon


class CouponStep(Told):
    """One thing that happened to a coupon: `change` is how many of its uses came or went."""

    ticket_id: str
    journal_position: int
    at: Time
    verb: str
    card: str
    unit: str
    terminal: str
    operator: str
    change: int


class CouponTrace(Told):
    """The life of one coupon: `state` is unused, used, ended or open (a code that nobody has shown)."""

    coupon_id: str
    coupon: str
    card: str
    state: str
    uses: int
    steps: list[CouponStep]


class Redeem(Asked):
    """Points for a gift of the pack: `quantity` of it, of the thing `item` where it offers several (R03-R06, R09, R11)."""

    card: Card
    gift: Kind
    item: Word = ""
    quantity: Annotated[int, Meta(ge=1, le=GIVE_MAX)] = 1
    pin: Pin | None = None
    channel: Channel = "store"
    reference: Word = ""
    reason: Text = ""


class Redeemed(Told):
    """What points bought: a pure function of its journal entry. `points` are the card's after it."""

    ticket_id: str
    journal_position: int
    client_key: str
    card: str
    at: Time
    gift: str
    item: str
    quantity: int
    points_used: int
    points: int
    coupons: list[GivenCoupon]


class GiftView(Told):
    """A gift of a programme. `left` is what its stock still has by item ("" where there is one), absent without a stock."""

    gift: str
    title: dict[str, str]
    points: int
    items: list[str]
    coupon: str
    left: dict[str, int]


class Gifts(Told):
    """The gifts of a programme as published now."""

    programme: str
    gifts: list[GiftView]
