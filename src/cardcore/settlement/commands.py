"""The commands other than a sale: plain values, checked once when they are made (see the stubs for meanings)."""

from __future__ import annotations

from collections.abc import Sequence

from cardcore.errors import AmountOutOfRange, InvalidCommand
from cardcore.money import AMOUNT_MAX, admit


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
    __slots__ = ("paid_fen", "product", "tender")

    def __init__(self, paid_fen: int, *, tender: str = "cash", product: str = "", explain: bool = False, memo: bytes = b"") -> None:
        super().__init__(explain, memo)
        self.paid_fen = admit_positive(paid_fen)
        self.tender = admit_name(tender, "a tender")
        self.product = product


class Capture(Command):
    __slots__ = ("amount_fen",)

    def __init__(self, amount_fen: int = -1, *, explain: bool = False, memo: bytes = b"") -> None:
        super().__init__(explain, memo)
        if admit(amount_fen) < -1:
            raise AmountOutOfRange("a capture is not negative", limit=0)
        self.amount_fen = amount_fen


class Void(Command):
    __slots__ = ()

    def __init__(self, *, memo: bytes = b"") -> None:
        super().__init__(False, memo)


class Refund(Command):
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
    __slots__ = ()

    def __init__(self, *, memo: bytes = b"") -> None:
        super().__init__(False, memo)


class Transfer(Command):
    __slots__ = ("amount_fen",)

    def __init__(self, amount_fen: int, *, memo: bytes = b"") -> None:
        super().__init__(False, memo)
        self.amount_fen = admit_positive(amount_fen)


class Adjust(Command):
    __slots__ = ("amount", "purse")

    def __init__(self, purse: str, amount: int, *, memo: bytes = b"") -> None:
        super().__init__(False, memo)
        if admit(amount) == 0:
            raise AmountOutOfRange("an adjustment of nothing", limit=1)
        self.purse = purse
        self.amount = amount


class Expire(Command):
    __slots__ = ()

    def __init__(self, *, memo: bytes = b"") -> None:
        super().__init__(False, memo)
