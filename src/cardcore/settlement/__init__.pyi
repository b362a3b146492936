"""What the rest of the program may use of the settlement room. Start at `decide`.

Times are microseconds since 1970 UTC (`at_us`), expiries are epoch *seconds* (`expires_at`, 0 = never).
Money amounts are fen (`_fen`), everything else in the unit of its purse.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

VERBS: Final[tuple[str, ...]]
"""quote settle hold capture void refund reverse topup transfer adjust expire (index = code in the journal)."""

# ---------------------------------------------------------------- programme
class Programme:
    """A compiled, immutable programme version. Built by `cardcore.settlement.pack.load` from a validated pack."""

    name: str
    version: int
    currency: str
    purses: tuple[str, ...]  # names; the index is what lots carry; a later version may only append
    purse_units: tuple[str, ...]  # "fen" | "points" | "visits" | "pass"
    tiers: tuple[str, ...]
    categories: dict[str, int]
    products: tuple[str, ...]
    rule_names: tuple[str, ...]  # what a note's `rule` indexes
    digest: str  # sha256 hex of the pack text
    def __init__(self, normalised: dict[str, Any]) -> None:
        """Compile what `pack.normalise` answers. Raises InvalidPack."""

# ---------------------------------------------------------------- value of one account
class LotView(NamedTuple):
    lot_id: int
    purse: int
    amount: int
    expires_at: int
    paid_fen: int  # paid ratio: paid_fen / of_units of each unit was paid for (O02)
    of_units: int
    used_on: int  # day number (UTC days since 1970) of the last use of a pass or course, 0 = never
    used_times: int  # uses on that day

class HoldView(NamedTuple):
    position: int  # journal position of the hold entry
    amount_fen: int
    expires_at: int

class Account:
    """The value of one account: lots, open holds, tier, counters. A fold of its journal entries (M3)."""

    account_id: int
    tier: int
    orders: int
    spend_fen: int
    points_earned: int
    owed_points: int
    def __init__(self, account_id: int) -> None: ...
    @staticmethod
    def unpack(data: bytes) -> Account:
        """Raises InvalidRecord."""
    def pack(self) -> bytes:
        """Canonical bytes: equal accounts pack equal."""
    def copy(self) -> Account: ...
    def apply(self, settlement: Settlement, position: int) -> None:
        """Fold one applied settlement into this account; the only way an account ever changes.

        Other accounts' postings in the settlement are ignored. Raises AssertionError when an invariant would break
        (a lot below zero, an unknown lot), leaving the account unchanged.
        """
    def balance(self, purse: int, at: int) -> int:
        """Unexpired units of one purse at epoch second `at`."""
    def money_fen(self, programme: Programme, at: int) -> int: ...
    def lots(self) -> list[LotView]: ...
    def holds(self) -> list[HoldView]: ...

# ---------------------------------------------------------------- commands
SPECIAL_PRICE: Final[int]  # line flag 1: special-price goods, no discount, but they earn (E08)
REDEEM: Final[int]  # line flag 2: the customer takes this item for points (R05)
MEMBER_ONLY: Final[int]  # line flag 4
NO_DISCOUNT: Final[int]  # line flag 8: the counter opted out of discounts and keeps points (E08)
COVER: Final[int]  # line flag 16: must be covered by an entitlement (count, pass, package, course)

ALL_POINTS: Final[int]  # -1

class Line(NamedTuple):
    """One ticket line. `amount_fen` is the list price of the whole line (unit price x quantity), > 0 or 0."""

    amount_fen: int
    quantity: int = 1
    category: str = ""
    sku: str = ""
    flags: int = 0
    counter_pay: int = 1  # the counter's own promotion as an exact rate: 8折 = 8/10
    counter_of: int = 1
    discount_fen: int = 0  # a discount the terminal already gave, after the rate, before the programme's discounts
    coupon_fen: int = 0  # an outside coupon accepted for this line, after discounts; capped by what is left -> InvalidCommand

class Sale:
    """quote, settle or hold. Immutable; built once, decided often.

    points: how many points to use (ALL_POINTS = as many as the rules allow). shortfall_tender: "" refuses a shortfall
    (Declined insufficient_funds with facts shortfall_fen), else the outside tender ("cash", "bank", ...) that pays it,
    up to shortfall_max_fen (-1 = no bound). stored_max_fen: at most this much stored value (-1 = all).
    hold_seconds: life of a hold. Raises InvalidCommand, AmountNotInteger, AmountOutOfRange.
    """

    verb: str
    def __init__(
        self, verb: str, lines: Sequence[Line | tuple[Any, ...]], *, points: int = 0, shortfall_tender: str = "",
        shortfall_max_fen: int = -1, stored_max_fen: int = -1, hold_seconds: int = 0, explain: bool = False, memo: bytes = b"",
    ) -> None: ...

class TopUp:
    """Value bought: principal + bonus by the programme's rules, or a product (count card, package, course, pass).

    paid_fen: what the customer pays with `tender`. For a product it must equal its price (Declined topup_not_allowed).
    """

    def __init__(self, paid_fen: int, *, tender: str = "cash", product: str = "", explain: bool = False, memo: bytes = b"") -> None: ...

class Capture:
    """Turn an open hold into a sale of `amount_fen` (-1 = all of it); the rest returns to its lots."""

    def __init__(self, amount_fen: int = -1, *, explain: bool = False, memo: bytes = b"") -> None: ...

class Void:
    """Undo a whole settle or capture nobody has refunded, or release an open hold."""

    def __init__(self, *, memo: bytes = b"") -> None: ...

class Refund:
    """Give back part of a sale: `amount_fen`, or whole lines by index, or (neither) all that is left (P01, M8)."""

    def __init__(self, *, amount_fen: int = -1, lines: Sequence[int] = (), explain: bool = False, memo: bytes = b"") -> None: ...

class Reverse:
    """Undo a top-up, transfer or adjustment exactly; Declined value_spent when its lots no longer hold it."""

    def __init__(self, *, memo: bytes = b"") -> None: ...

class Transfer:
    """Move money from the card to `snapshot.others[0]`, lot by lot, keeping each lot's paid ratio and expiry."""

    def __init__(self, amount_fen: int, *, memo: bytes = b"") -> None: ...

class Adjust:
    """Correct a purse by `amount` (signed units). Two people: the desk checks (O04)."""

    def __init__(self, purse: str, amount: int, *, memo: bytes = b"") -> None: ...

class Expire:
    """Void what has lapsed by `at`: lots past their expiry and holds past their life, as postings (X01)."""

    def __init__(self, *, memo: bytes = b"") -> None: ...

Command = Sale | TopUp | Capture | Void | Refund | Reverse | Transfer | Adjust | Expire

# ---------------------------------------------------------------- what was decided
class PostingView(NamedTuple):
    """`amount` of `unit` moves from one ledger account to another. Names as in docs/journal.md."""

    amount: int
    unit: str  # "fen" | "points" | "visits" | "pass"
    source: str  # "customer" | "held" | "sales" | "outside" | "bonus_cost" | "points_issue" | ... (LEDGER_KINDS)
    target: str
    source_account: int  # customer account id, else 0
    target_account: int
    purse: int  # of the customer side, -1 if none
    source_lot: int  # 0 if none
    target_lot: int
    expires_at: int
    paid_fen: int
    of_units: int

class LineView(NamedTuple):
    amount_fen: int
    quantity: int
    flags: int
    discount_fen: int  # the counter's rate, the terminal's discount and the programme's discounts together
    coupon_fen: int
    covered_fen: int  # paid by an entitlement or redeemed with points
    net_fen: int  # amount - discount - coupon - covered, exactly

class NoteView(NamedTuple):
    """One explanation line; `cardcore.settlement.receipt.explain` turns it into words."""

    effect: str  # "discount" "coupon" "cover" "redeem" "points" "stored" "further_card" "outside" "earn" "bonus" "promote" ...
    rule: int  # index in programme.rule_names, -1 if none
    line: int  # -1 if the whole ticket
    amount: int
    unit: str
    before: int
    after: int

class Settlement:
    """One decision: what a verb did, and the journal's body. `pack()` is canonical; every answer is a function of it."""

    verb: str
    programme_version: int
    account_id: int
    further_accounts: tuple[int, ...]  # other accounts its postings touch, in tender order
    gross_fen: int
    discount_fen: int
    coupon_fen: int
    covered_fen: int
    net_fen: int  # gross - discount - coupon - covered; for refund, void, reverse: what was given back (positive)
    principal_fen: int  # paid (or given back, or topped up) by kind of tender; they sum to net_fen
    bonus_fen: int
    points_fen: int
    further_fen: int
    outside_fen: int
    outside_tender: str
    points_used: int
    points_earned: int  # net of owed points; for refunds what was clawed back (positive)
    tier_before: int
    tier_after: int
    after_money_fen: int  # of the card's own account, after this settlement
    after_points: int
    liability_delta_fen: int  # change of all customers' money by this settlement
    expires_at: int
    memo: bytes
    def lines(self) -> list[LineView]: ...
    def postings(self) -> list[PostingView]: ...
    def notes(self) -> list[NoteView]: ...
    def pack(self) -> bytes: ...
    @staticmethod
    def unpack(data: bytes) -> Settlement:
        """Raises InvalidRecord."""

class Snapshot:
    """All that a decision may see. `others` are further cards (tender order) or a transfer's target.

    ticket: for capture, void, refund, reverse the Settlement of the entry they name; ticket_position its place;
    followers: settlements of applied entries that name it, oldest first.
    store_open etc. do not exist here: card state and PIN are judged by the desk with `cardcore.settlement.lifecycle`.
    """

    programme: Programme
    account: Account
    def __init__(
        self, programme: Programme, account: Account, *, others: Sequence[Snapshot] = (), ticket: Settlement | None = None,
        ticket_position: int = 0, followers: Sequence[Settlement] = (),
    ) -> None: ...

def decide(snapshot: Snapshot, command: Command, at_us: int) -> Settlement:
    """Decide one command, purely: same arguments, same settlement, for ever. The snapshot is not changed.

    Raises Declined, InvalidCommand. The desk commits the settlement and folds it with `Account.apply` into the
    account and each further account.
    """

# ---------------------------------------------------------------- many at once
CARD_DTYPE: np.dtype[Any]
SALE_DTYPE: np.dtype[Any]
LINE_DTYPE: np.dtype[Any]
RESULT_DTYPE: np.dtype[Any]

def decide_batch(
    programme: Programme, cards: np.ndarray, sales: np.ndarray, lines: np.ndarray, results: np.ndarray, at_us: int
) -> int:
    """Decide `sales` one after another against `cards` in place, without the GIL, by the same compiled rules.

    Returns how many were applied; results[i]["code"] is 0 or the index of a decline in BATCH_CODES.
    """
