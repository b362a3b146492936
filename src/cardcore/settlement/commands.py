"""The commands other than a sale: plain values, checked once when they are made (see the stubs for meanings)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cardcore.errors import AmountOutOfRange, InvalidCommand
from cardcore.money import AMOUNT_MAX, admit

GIVE_MAX: Final = 100
ENROLMENT_FEE: Final = "enrolment-fee"
REPLACEMENT_FEE: Final = "replacement-fee"
FEE_KINDS: Final = (ENROLMENT_FEE, REPLACEMENT_FEE)


def admit_positive(value: int) -> int:
    """An amount of at least 1. Raises AmountNotInteger, AmountOutOfRange."""
    if admit(value) < 1:
        raise AmountOutOfRange("this amount must be at least 1", limit=1)
    return value


def admit_name(value: str, what: str) -> str:
    """A short ASCII name. Raises InvalidCommand."""
    if type(value) is not str or len(value) > 64 or not value.isascii():
        raise InvalidCommand(f"{what} is at most 64 ASCII characters")
    return value


class Command:
    """What every command carries: whether to explain, and opaque bytes for the journal."""

    __slots__ = ("explain", "memo")

    def __init__(self, explain: bool, memo: bytes) -> None:
        self.explain = bool(explain)
        self.memo = memo


class TopUp(Command):
    """Value bought: principal + bonus by the programme's rules, or a product (count card, package, course, pass).

    paid_fen: what the customer pays with `tender`. For a product it must equal its price (Declined topup_not_allowed).
    """

    __slots__ = ("paid_fen", "product", "tender")

    def __init__(self, paid_fen: int, *, tender: str = "cash", product: str = "", explain: bool = False, memo: bytes = b"") -> None:
        super().__init__(explain, memo)
        self.paid_fen = admit_positive(paid_fen)
        self.tender = admit_name(tender, "a tender")
        self.product = product


class Fee(Command):
    """A fee for membership or for a replacement card, taken with `tender` (L06, L07); its kind is the category that a rule may waive.

    amount_fen: what is asked for. list_fen: what it would be without a group's share, if that is more. The kind is kept as the memo.
    """

    __slots__ = ("amount_fen", "kind", "list_fen", "tender")

    def __init__(self, kind: str, amount_fen: int, *, list_fen: int = 0, tender: str = "cash") -> None:
        if kind not in FEE_KINDS:
            raise InvalidCommand(f"there is no fee {kind!r}; fees are: {', '.join(FEE_KINDS)}")
        super().__init__(True, kind.encode())
        self.kind = kind
        self.amount_fen = admit_positive(amount_fen)
        self.list_fen = max(amount_fen, admit(list_fen))
        self.tender = admit_name(tender, "a tender")


class Capture(Command):
    """Turn an open hold into a sale of `amount_fen` (-1 = all of it); the rest returns to its lots."""

    __slots__ = ("amount_fen",)

    def __init__(self, amount_fen: int = -1, *, explain: bool = False, memo: bytes = b"") -> None:
        super().__init__(explain, memo)
        if admit(amount_fen) < -1:
            raise AmountOutOfRange("a capture is not negative", limit=0)
        self.amount_fen = amount_fen


class Void(Command):
    """Undo a whole settle or capture nobody has refunded, or release an open hold."""

    __slots__ = ()

    def __init__(self, *, memo: bytes = b"") -> None:
        super().__init__(False, memo)


class Refund(Command):
    """Give back part of a sale: `amount_fen`, or whole lines by index, or (neither) all that is left (P01, M8)."""

    __slots__ = ("amount_fen", "lines")

    def __init__(self, *, amount_fen: int = -1, lines: Sequence[int] = (), explain: bool = False, memo: bytes = b"") -> None:
        super().__init__(explain, memo)
        if amount_fen != -1:
            admit_positive(amount_fen)
        self.amount_fen = amount_fen
        self.lines = tuple(lines)
        if any(type(line) is not int or not 0 <= line <= AMOUNT_MAX for line in self.lines):
            raise InvalidCommand("lines are named by their index, from 0")
        if len(set(self.lines)) != len(self.lines):
            raise InvalidCommand("a line is named twice")
        if self.lines and amount_fen != -1:
            raise InvalidCommand("a refund names an amount or lines, not both")


class Reverse(Command):
    """Undo a top-up, fee, transfer or adjustment exactly; Declined value_spent when its lots no longer hold it.

    unused: of coupons that were given, take back the uses that nobody has made, and leave the others.
    """

    __slots__ = ("unused",)

    def __init__(self, *, unused: bool = False, memo: bytes = b"") -> None:
        super().__init__(False, memo)
        self.unused = unused


class Load(Command):
    """The intent to put `amount_fen` on the card's own memory: principal from the account, or (tender) money taken at the till.

    Committed before any command that changes the card (control T); then `Arrive` or `Return` names its entry.
    """

    __slots__ = ("amount_fen", "tender")

    def __init__(self, amount_fen: int, *, tender: str = "", memo: bytes = b"") -> None:
        super().__init__(False, memo)
        self.amount_fen = admit_positive(amount_fen)
        self.tender = admit_name(tender, "a tender")


class Unload(Command):
    """The intent to take `amount_fen` from the card's own memory back into the account."""

    __slots__ = ("amount_fen",)

    def __init__(self, amount_fen: int, *, memo: bytes = b"") -> None:
        super().__init__(False, memo)
        self.amount_fen = admit_positive(amount_fen)


class Pay(Command):
    """The intent to sell for `amount_fen` against the card's own memory while on-line: `Arrive` makes it the store's sale."""

    __slots__ = ("amount_fen",)

    def __init__(self, amount_fen: int, *, memo: bytes = b"") -> None:
        super().__init__(False, memo)
        self.amount_fen = admit_positive(amount_fen)


class Arrive(Command):
    """Proof that the load, unload or payment of the named entry happened on the card."""

    __slots__ = ()

    def __init__(self, *, memo: bytes = b"") -> None:
        super().__init__(False, memo)


class Return(Command):
    """Proof that the load, unload or payment of the named entry never happened on the card."""

    __slots__ = ()

    def __init__(self, *, memo: bytes = b"") -> None:
        super().__init__(False, memo)


class Clear(Command):
    """An off-line purchase that the card proved with its TAC or TMAC: value on the card becomes the store's sale."""

    __slots__ = ("amount_fen",)

    def __init__(self, amount_fen: int, *, memo: bytes = b"") -> None:
        super().__init__(False, memo)
        self.amount_fen = admit_positive(amount_fen)


class Transfer(Command):
    """Move money, or points (`unit` "points", R10), from the card to `snapshot.others[0]`, lot by lot, keeping each lot's paid ratio and
    expiry. Raises InvalidCommand for another unit."""

    __slots__ = ("amount", "unit")

    def __init__(self, amount: int, *, unit: str = "fen", memo: bytes = b"") -> None:
        super().__init__(False, memo)
        if unit not in ("fen", "points"):
            raise InvalidCommand(f"{unit!r} is nothing that can be transferred")
        self.amount = admit_positive(amount)
        self.unit = unit


class Adjust(Command):
    """Correct a purse by `amount` (signed units). Two people: the desk checks (O04)."""

    __slots__ = ("amount", "purse")

    def __init__(self, purse: str, amount: int, *, memo: bytes = b"") -> None:
        super().__init__(False, memo)
        if admit(amount) == 0:
            raise AmountOutOfRange("an adjustment of nothing", limit=1)
        self.purse = purse
        self.amount = amount


class Give(Command):
    """Coupons of one kind for the card, a lot each (C15). `expires_at`: epoch seconds if they end sooner than the pack says, else 0."""

    __slots__ = ("count", "coupon", "expires_at")

    def __init__(self, coupon: str, count: int = 1, *, expires_at: int = 0, memo: bytes = b"") -> None:
        super().__init__(False, memo)
        self.coupon = admit_name(coupon, "a kind of coupon")
        if not 1 <= admit(count) <= GIVE_MAX:
            raise AmountOutOfRange(f"1 to {GIVE_MAX} coupons are given at once", limit=GIVE_MAX)
        self.count = count
        if admit(expires_at) < 0:
            raise AmountOutOfRange("a time is not negative", limit=0)
        self.expires_at = expires_at


class Redeem(Command):
    """Points for a gift of the pack: `quantity` coupons, or of the thing `item` (R04-R06, R11)."""

    __slots__ = ("gift", "item", "quantity")

    def __init__(self, gift: str, *, item: str = "", quantity: int = 1, memo: bytes = b"") -> None:
        super().__init__(False, memo)
        self.gift = gift
        self.item = item
        if not 1 <= admit(quantity) <= GIVE_MAX:
            raise AmountOutOfRange(f"1 to {GIVE_MAX} are exchanged at once", limit=GIVE_MAX)
        self.quantity = quantity


class Event(Command):
    """Something that happens to a card without a sale (E09-E14): what the pack's rules for it give.

    amount_fen: what it is about, such as the money that a friend spent. random: 62 bits from the caller's random source, for a draw (R08);
    the entry keeps it. Declined nothing_to_do where no rule gives and no counter counts.
    """

    __slots__ = ("amount_fen", "name", "random")

    def __init__(self, name: str, *, amount_fen: int = 0, random: int = 0, explain: bool = False, memo: bytes = b"") -> None:
        super().__init__(explain, memo)
        self.name = admit_name(name, "an event")
        if not name:
            raise InvalidCommand("an event has a name")
        if admit(amount_fen) < 0:
            raise AmountOutOfRange("the amount of an event is not negative", limit=0)
        self.amount_fen = amount_fen
        if type(random) is not int or not 0 <= random < 1 << 62:
            raise InvalidCommand("the random number of a draw has 62 bits")
        self.random = random


class Review(Command):
    """Look whether a card reached its tier again in the period that ended, and let it fall where it did not (T05)."""

    __slots__ = ()

    def __init__(self, *, memo: bytes = b"") -> None:
        super().__init__(False, memo)


class Expire(Command):
    """Void what has lapsed by `at`: lots past their expiry and holds past their life, as postings (X01).

    keep_principal: leave what the holder paid for where a law does not let it lapse (W2).
    """

    __slots__ = ("keep_principal",)

    def __init__(self, *, keep_principal: bool = False, memo: bytes = b"") -> None:
        super().__init__(False, memo)
        self.keep_principal = keep_principal
