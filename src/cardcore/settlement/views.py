"""Names of the codes in compiled records, and the tuples in which Python sees their arrays.

The order of each table is the order of the enum in model.pxd and is part of the journal's format: only append.
"""

from __future__ import annotations

from typing import NamedTuple

VERBS = (
    "quote",
    "settle",
    "hold",
    "capture",
    "void",
    "refund",
    "reverse",
    "topup",
    "transfer",
    "adjust",
    "expire",
    "load",
    "unload",
    "arrive",
    "return",
    "clear",
    "pay",
    "event",
    "review",
    "give",
    "redeem",
    "fee",
)
UNITS = ("fen", "points", "visits", "pass", "award", "coupon", "gift")
LEDGER_KINDS = (
    "customer",
    "held",
    "owed",
    "sales",
    "outside",
    "bonus_cost",
    "points_issue",
    "points_redeemed",
    "points_cost",
    "gift_cost",
    "entitlement_issue",
    "entitlement_used",
    "deferred",
    "expired",
    "adjustment",
    "on_card",
    "in_flight",
    "award_issue",
    "awarded",
    "coupon_issue",
    "coupon_used",
    "coupon_cost",
    "gift_stock",
    "gift_given",
    "fees",
)
DOCUMENTS = ("", "none", "receipt", "untaxed_invoice", "invoice")
"""What a law has the issuer give beside the receipt; the first where no law was in force (W8)."""
CUSTOMER_MONEY = ("customer", "held", "on_card", "in_flight")
"""Ledger kinds whose fen the issuer owes to customers (M10). `owed` is the other way round: value a return could not take back."""
ROLES = (
    "stored",
    "further",
    "points",
    "outside",
    "cover",
    "redeem",
    "earn",
    "topup",
    "bonus",
    "product",
    "transfer",
    "adjust",
    "expire",
    "release",
    "claw",
    "load",
    "clear",
    "rebate",
    "grant",
    "draw",
    "coupon",
    "give",
    "gift",
    "fee",
)
EFFECTS = (
    "discount",
    "counter",
    "terminal",
    "coupon",
    "cover",
    "redeem",
    "points",
    "stored",
    "further_card",
    "outside",
    "earn",
    "milestone",
    "bonus",
    "promote",
    "claw",
    "owed",
    "return",
    "grant",
    "unmet",
    "rebate",
    "gift",
    "cap",
    "waive",
    "jump",
    "score",
    "draw",
)
UNMET = ("tier", "amount", "condition", "line", "group", "earned", "nothing", "quota", "asleep")
"""Why a rule did not act: `before` of an "unmet" note indexes it; `after` is then the condition in `Programme.predicates`."""


class LotView(NamedTuple):
    """A part of one purse with its own expiry and paid ratio: `paid_fen / of_units` of each unit was paid for (O02).

    `used_on` is the local day number of the last use of a pass or course (0 = never), `used_times` the uses on that day.
    """

    lot_id: int
    purse: int
    amount: int
    expires_at: int
    paid_fen: int
    of_units: int
    used_on: int
    used_times: int


class HoldView(NamedTuple):
    """Money reserved by an open hold; `position` is the journal position of its entry, `expires_at` in epoch seconds."""

    position: int
    amount_fen: int
    expires_at: int


class FlightView(NamedTuple):
    """Value on its way to (`load`) or from (`unload`) the card's own memory, or being paid from it (`pay`); ends only by proof (M6)."""

    position: int
    amount_fen: int
    kind: str


class CounterView(NamedTuple):
    """What an account has counted in one period; `counter` is a number of `Programme.counters`."""

    counter: int
    period: int
    value: int


class MoveView(NamedTuple):
    """How a settlement moves a counter of its account; counter 0 is what no counter keeps: points of steps, the random number of a draw."""

    counter: int
    period: int
    amount: int


class PostingView(NamedTuple):
    """`amount` of `unit` moves from one ledger account (`source`) to another (`target`), names as in LEDGER_KINDS (M1).

    `source_account` and `target_account` are customer accounts (0 = the issuer's own); the lot is described, so that a
    fold needs nothing else. `role` says what it is for (ROLES), `line` which ticket line (-1 = the whole ticket).
    """

    amount: int
    unit: str
    source: str
    target: str
    source_account: int
    target_account: int
    purse: int
    source_lot: int
    target_lot: int
    expires_at: int
    paid_fen: int
    of_units: int
    role: str
    line: int


class AwardView(NamedTuple):
    """Something that the core keeps no ledger of: `quantity` of `Programme.awards[award]` granted, or taken back.

    `valid_until` is the end of its validity in epoch seconds, 0 = never; `posting` is the place of its posting in the entry, of the one
    that granted it where it is taken back, so that each award of an entry has a name of its own.
    """

    award: int
    quantity: int
    valid_until: int
    back: bool
    posting: int


class LineView(NamedTuple):
    """One decided line: `net_fen = amount_fen - discount_fen - coupon_fen - covered_fen`, exactly.

    `discount_fen` is the counter's rate, the terminal's discount and the programme's discounts together. `category` is an index
    of the deciding programme's categories, -1 for one that it does not know.
    """

    line: int
    amount_fen: int
    quantity: int
    flags: int
    discount_fen: int
    coupon_fen: int
    covered_fen: int
    net_fen: int
    category: int


class NoteView(NamedTuple):
    """One explanation line: which rule (index in `Programme.rule_names`, -1 none) did what; see `receipt.explain`."""

    effect: str
    rule: int
    line: int
    amount: int
    unit: str
    before: int
    after: int
