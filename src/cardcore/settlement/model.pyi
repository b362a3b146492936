"""Accounts, settlements and snapshots: what a decision reads and what it produces.

Times are microseconds since 1970 UTC (`at_us`), expiries epoch seconds (`expires_at`, 0 = never). Money is fen (`_fen`),
everything else in the unit of its purse.
"""

from collections.abc import Sequence
from typing import Final, final

from cardcore.settlement.facts import Facts
from cardcore.settlement.rules import Programme
from cardcore.settlement.views import AwardView, CounterView, FlightView, HoldView, LineView, LotView, MoveView, NoteView, PostingView

SPECIAL_PRICE: Final[int]  # line flag: special-price goods, no discount, but they earn (E08)
REDEEM: Final[int]  # line flag: the customer takes this item for points (R05)
MEMBER_ONLY: Final[int]  # line flag: member-only goods
NO_DISCOUNT: Final[int]  # line flag: the counter opted out of discounts and keeps points (E08)
COVER: Final[int]  # line flag: must be covered by an entitlement (count, pass, package, course)

@final
class Account:
    """The value of one account: lots, open holds, tier, counters. A fold of its journal entries (M3)."""

    def __init__(self, account_id: int, tier: int = 0) -> None:
        """An empty account; `tier` is the index of the tier it was issued with, below which it never falls."""
    @property
    def account_id(self) -> int: ...
    @property
    def tier(self) -> int: ...
    @property
    def base_tier(self) -> int: ...
    @property
    def orders(self) -> int: ...
    @property
    def spend_fen(self) -> int: ...
    @property
    def points_earned(self) -> int: ...
    @property
    def on_card_fen(self) -> int:
        """What the journal says is on the card's own memory: never spendable online (M5)."""
    @property
    def owed_fen(self) -> int:
        """Granted value that returns took back and the account no longer had; paid from the next value that is granted."""
    @property
    def owed_points(self) -> int:
        """Points that returns took back and the account no longer had (X03)."""
    @property
    def owed_units(self) -> dict[int, int]:
        """Visits and passes that returns took back and the account no longer had, by purse; paid as `owed_fen` is."""
    @staticmethod
    def unpack(data: bytes) -> Account:
        """Raises InvalidRecord."""
    def pack(self) -> bytes:
        """Canonical bytes: equal accounts pack equal."""
    def copy(self) -> Account: ...
    def apply(self, settlement: Settlement, position: int) -> None:
        """Fold one applied settlement into this account; but for `spend_on_card` the only way an account ever changes.

        Other accounts' postings in the settlement are ignored. Raises AssertionError when an invariant would break
        (a lot below zero, an unknown lot), leaving the account unchanged.
        """
    def spend_on_card(self, amount_fen: int) -> None:
        """Fold what the accepted records of a cleared batch took from the card's own memory. Raises AssertionError, as `apply`."""
    def balance(self, purse: int, at: int) -> int:
        """Unexpired units of one purse at epoch second `at`."""
    def money_fen(self, programme: Programme, at: int) -> int: ...
    def lots(self) -> list[LotView]: ...
    def holds(self) -> list[HoldView]: ...
    def counters(self) -> list[CounterView]:
        """In order of (counter, period); a value of 0 is not kept."""
    def lapsed_hold(self, at: int) -> int:
        """Position of the oldest open hold whose life has ended by epoch second `at`, 0 for none."""

    def flights(self) -> list[FlightView]:
        """What is on its way to or from the card's own memory; at most one."""

@final
class Settlement:
    """One decision: what a verb did, and the journal's body. `pack()` is canonical; every answer is a function of it."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Raises TypeError: a settlement comes from `decide` or `unpack`."""
    @property
    def verb(self) -> str: ...
    programme_version: int
    account_id: int
    further_accounts: tuple[int, ...]  # other accounts its postings touch, in tender order
    @property
    def gross_fen(self) -> int: ...
    @property
    def discount_fen(self) -> int: ...
    @property
    def coupon_fen(self) -> int: ...
    @property
    def covered_fen(self) -> int: ...
    @property
    def net_fen(self) -> int:
        """Gross - discount - coupon - covered; for refund, void, reverse: what was given back (positive)."""
    @property
    def principal_fen(self) -> int:
        """Paid (or given back, or topped up) by kind of tender; they sum to net_fen."""
    @property
    def bonus_fen(self) -> int: ...
    @property
    def points_fen(self) -> int: ...
    @property
    def further_fen(self) -> int: ...
    @property
    def outside_fen(self) -> int: ...
    outside_tender: str
    @property
    def points_used(self) -> int: ...
    @property
    def points_earned(self) -> int:
        """In all, owed points included; for refund and void what was taken back (positive)."""
    @property
    def tier_before(self) -> int: ...
    @property
    def tier_after(self) -> int: ...
    @property
    def after_money_fen(self) -> int:
        """Of the card's own account, after this settlement."""
    @property
    def after_points(self) -> int: ...
    @property
    def liability_delta_fen(self) -> int:
        """Change of all customers' money by this settlement."""
    @property
    def expires_at(self) -> int: ...
    memo: bytes
    document: str
    """Which of DOCUMENTS the law asks for beside the receipt, "" where no law was in force (W8).

    The one thing that the desk sets on a decision before it packs it. Raises ValueError for another word.
    """
    @property
    def uncaptured_fen(self) -> int:
        """Hold total that a capture left."""
    @property
    def hold_position(self) -> int:
        """Position of the hold this settlement ends, 0 if none."""
    verb_code: int  # index in VERBS
    def lines(self) -> list[LineView]: ...
    def postings(self) -> list[PostingView]: ...
    def moves(self) -> list[MoveView]: ...
    def awards(self) -> list[AwardView]:
        """What it granted, or took back, of things that the core keeps no ledger of."""
    def granted(self, unit: str) -> int:
        """How much of a unit rebates and grants gave; "fen" is value, "points" are none of these but `points_earned`."""
    @property
    def event(self) -> str:
        """The name of the event that it decided, "" for another verb."""
    def notes(self) -> list[NoteView]: ...
    def pack(self) -> bytes: ...
    @staticmethod
    def unpack(data: bytes) -> Settlement:
        """Raises InvalidRecord."""

@final
class Snapshot:
    """All that a decision may see. `others` are further cards (tender order) or a transfer's target.

    ticket: for capture, void, refund, reverse the Settlement of the entry they name; ticket_position its place;
    followers: settlements of applied entries that name it, oldest first. facts: what the pack's conditions may ask of member and place.
    coupons: the lots that words of a sale stand for which name no kind of coupon.
    Card state and PIN are judged by the desk with `cardcore.settlement.lifecycle`.
    """

    programme: Programme
    account: Account
    others: tuple[Snapshot, ...]
    ticket: Settlement | None
    ticket_position: int
    followers: tuple[Settlement, ...]
    facts: Facts | None
    coupons: dict[str, int] | None
    def __init__(
        self, programme: Programme, account: Account, *, others: Sequence[Snapshot] = (), ticket: Settlement | None = None,
        ticket_position: int = 0, followers: Sequence[Settlement] = (), facts: Facts | None = None,
        coupons: dict[str, int] | None = None,
    ) -> None: ...
