"""The settlement room: value in, value out, decided. The stubs beside each module have the words; start at `decide`."""

from cardcore.settlement.batch import (
    BATCH_CODES,
    CARD_DTYPE,
    LINE_DTYPE,
    RESULT_DTYPE,
    SALE_DTYPE,
    card_dtype,
    decide_batch,
)
from cardcore.settlement.commands import Adjust, Capture, Expire, Refund, Reverse, TopUp, Transfer, Void
from cardcore.settlement.decide import decide
from cardcore.settlement.model import (
    COVER,
    MEMBER_ONLY,
    NO_DISCOUNT,
    REDEEM,
    SPECIAL_PRICE,
    Account,
    Settlement,
    Snapshot,
)
from cardcore.settlement.rules import Programme, day_of, expires_at
from cardcore.settlement.sale import Line, Sale
from cardcore.settlement.views import (
    EFFECTS,
    LEDGER_KINDS,
    ROLES,
    UNITS,
    VERBS,
    HoldView,
    LineView,
    LotView,
    NoteView,
    PostingView,
)

ALL_POINTS = -1
Command = Sale | TopUp | Capture | Void | Refund | Reverse | Transfer | Adjust | Expire

__all__ = [
    "ALL_POINTS", "BATCH_CODES", "CARD_DTYPE", "COVER", "EFFECTS", "LEDGER_KINDS", "LINE_DTYPE", "MEMBER_ONLY", "NO_DISCOUNT",
    "REDEEM", "RESULT_DTYPE", "ROLES", "SALE_DTYPE", "SPECIAL_PRICE", "UNITS", "VERBS", "Account", "Adjust", "Capture",
    "Command", "Expire", "HoldView", "Line", "LineView", "LotView", "NoteView", "PostingView", "Programme", "Refund",
    "Reverse", "Sale", "Settlement", "Snapshot", "TopUp", "Transfer", "Void", "card_dtype", "day_of", "decide",
    "decide_batch", "expires_at",
]
