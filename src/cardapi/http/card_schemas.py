"""Bodies of the card service: issue, life cycle, PIN, statement (features L01, L02, C11)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from cardapi.custody import Pin
from cardapi.http.fields import Asked, CardOrNew, Fen, Prefix, Reason, Second, Tender, Text, Time, Told, Word

ISSUE_MAX = 500


class IssueCards(Asked):
    """Make cards of a programme at the caller's unit. With `card` exactly one, of that number; `stock` leaves them in stock."""

    programme: Annotated[str, Meta(min_length=1, max_length=64)]
    count: Annotated[int, Meta(ge=1, le=ISSUE_MAX)] = 1
    card: CardOrNew = ""
    prefix: Prefix = "62"
    kind: Word = "primary"
    valid_until: Second = 0
    stock: bool = False
    activate: bool = False


class Plain(Asked):
    """A step that needs no facts but perhaps a reason."""

    reason: Text = ""


class Lost(Asked):
    """Report a loss; it counts from `effective_at` (0: now)."""

    effective_at: Second = 0
    reason: Text = ""


class Replace(Asked):
    """Swap or reissue: value and benefits follow the holder to the new number, the old one is dead (L01)."""

    to_card: CardOrNew = ""
    valid_until: Second = 0
    prefix: Prefix = "62"
    reason: Text = ""


class Reissue(Replace):
    """Replace a card that was lost or has expired. `fee_fen` is what its programme asks for it, taken with `fee_tender` (L07)."""

    fee_fen: Fen = 0
    fee_tender: Tender = "cash"


class Because(Asked):
    """A step that needs a reason."""

    reason: Reason


class SetPin(Asked):
    """A first or new PIN. A card that has one asks for it as `old_pin`, unless a manager resets it with a reason."""

    pin: Pin
    old_pin: Pin | None = None
    reason: Text = ""


class VerifyPin(Asked):
    """Try a PIN. Wrong tries are counted durably before the answer; three in a row lock it (N)."""

    pin: Pin


class CardStep(Told):
    """A card after one life cycle step: a pure function of the step's journal entry. `fee_ticket_id` is of the fee that it cost."""

    ticket_id: str
    journal_position: int
    client_key: str
    verb: str
    outcome: str
    card: str
    at: Time
    new_card: str = ""
    fee_ticket_id: str = ""


class IssuedCards(Told):
    """The cards made, in the order of their entries."""

    cards: list[CardStep]


class Balance(Told):
    """What one purse holds now, in its unit."""

    purse: str
    unit: str
    amount: int


class CardView(Told):
    """A card and what is on it now. Money is also summed as `balance_fen`. `suspended`: it has no benefits, as its member is (L10).

    Owed is what returns took back and the card no longer had, by unit: the next that is given of it pays first (decision 0020).
    """

    card: str
    programme: str
    state: str
    kind: str
    unit: str
    valid_until: int
    suspended: bool
    pin_set: bool
    pin_locked: bool
    tier: str
    balance_fen: int
    held_fen: int
    points: int
    owed_fen: int
    owed_points: int
    balances: list[Balance]
    owed: list[Balance]


class StatementLine(Told):
    """One entry of a card's account."""

    ticket_id: str
    journal_position: int
    at: Time
    verb: str
    outcome: str
    code: str
    card: str
    unit: str
    terminal: str
    operator: str
    net_fen: int
    balance_fen: int
    points: int


class TierMove(Told):
    """A change of tier, or a review that kept it. `reason`: reached, topped-up, returned, reversed, reviewed, kept, or the event's name."""

    ticket_id: str
    journal_position: int
    at: Time
    verb: str
    before: str
    after: str
    reason: str


class TierHistory(Told):
    """Newest first. `next_cursor` is empty on the last page."""

    card: str
    moves: list[TierMove]
    next_cursor: str


class Statement(Told):
    """Newest first. `next_cursor` is empty on the last page."""

    card: str
    entries: list[StatementLine]
    next_cursor: str


