"""What a decision may know of the member, the place and the day's campaigns; made by the caller, so that the core reads nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cardcore.errors import InvalidCommand

WORDS_MAX: Final = 1000
_LONGEST: Final = 64


class Facts:
    """Facts of one decision, for the conditions of a pack (`store`, `unit`, `channel`, `tag`, `stock`, `birthday`).

    birthday: month and day, None where it is not known. tags: words about the member, an attribute as `name:value`. stock: the
    campaigns that still have some. Conditions about what is not told are not met. Raises InvalidCommand.
    """

    __slots__ = ("birthday", "channel", "stock", "store", "tags", "unit")

    def __init__(
        self, *, birthday: tuple[int, int] | None = None, tags: Iterable[str] = (), store: str = "", unit: str = "", channel: str = "",
        stock: Iterable[str] = (),
    ) -> None:  # fmt: skip
        if birthday is not None:
            month, day = birthday
            if type(month) is not int or type(day) is not int or not 1 <= month <= 12 or not 1 <= day <= 31:
                raise InvalidCommand("a birthday is a month of 1 to 12 and a day of 1 to 31")
        self.birthday = birthday
        self.tags = _words(tags, "a tag")
        self.stock = _words(stock, "a campaign")
        self.store, self.unit, self.channel = (_word(word, "a place or channel") for word in (store, unit, channel))

    def __repr__(self) -> str:
        return f"Facts(store={self.store!r}, channel={self.channel!r}, {len(self.tags)} tags)"  # a birthday is personal


def _word(word: str, what: str) -> str:
    if type(word) is not str or len(word) > _LONGEST:
        raise InvalidCommand(f"{what} is text of at most {_LONGEST} characters")
    return word


def _words(words: Iterable[str], what: str) -> frozenset[str]:
    found = frozenset(_word(word, what) for word in words)
    if len(found) > WORDS_MAX:
        raise InvalidCommand(f"a member has at most {WORDS_MAX} tags, a day as many campaigns")
    return found
