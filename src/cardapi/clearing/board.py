"""The lists of blocked cards as the service gives them out: made anew from the registry of media now and then, kept for a while.

Nothing of it is stored: a list follows from cards and media. A station that says which list it has gets what changed since, as far back
as this process has watched; else the whole one.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cardcore.clearing.blocked import GONE, Blocked, digest

KEEP_S = 20
"""How long a list is given out before it is made again (R5)."""
SETTLE_S = 60
"""A card that is blocked as a list is made may be missing on it: its entry may have the time and not be committed yet. A list vouches for
what was blocked this long before."""
LISTS_MAX = 4
CHANGES_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Listing:
    """One list. `version`: the second up to which it has every blocked card."""

    version: int
    rows: tuple[Blocked, ...]
    digest: bytes


class Board:
    """The newest list and what changed before it. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made = 0
        self._lists: OrderedDict[int, Listing] = OrderedDict()  # oldest first
        self._changed: dict[str, tuple[int, Blocked]] = {}  # medium -> version that it changed with, what it is now
        self._watched = 0  # version from which on changes are known

    def current(self, now: int, read: Callable[[], Iterable[Blocked]]) -> Listing:
        """The newest list; made by `read` when the last one is too old. now: epoch seconds."""
        with self._lock:
            if self._lists and self._made <= now < self._made + KEEP_S:
                return next(reversed(self._lists.values()))
            rows = tuple(sorted(read()))
            before = next(reversed(self._lists.values())) if self._lists else None
            # A clock that was set back makes no older list of what is newer.
            version = max(now - SETTLE_S, before.version + 1 if before else 0)
            listing = Listing(version, rows, digest(rows))
            self._note(before, listing)
            self._made = now
            self._lists[version] = listing
            while len(self._lists) > LISTS_MAX:
                self._lists.popitem(last=False)
            return listing

    def kept(self, version: int) -> Listing | None:
        """A list that was given out a while ago, as long as it is kept: its further pages may be asked for."""
        with self._lock:
            return self._lists.get(version)

    def changes(self, since: int, listing: Listing) -> list[Blocked] | None:
        """What is otherwise in `listing` than in the list of version `since`, by medium; None where that is not known any more."""
        with self._lock:
            if not self._watched <= since <= listing.version:
                return None
            return sorted(row for version, row in self._changed.values() if since < version <= listing.version)

    def _note(self, before: Listing | None, after: Listing) -> None:
        if before is None or len(self._changed) > CHANGES_MAX:
            self._changed, self._watched = {}, after.version
            return
        old, new = {row.medium: row for row in before.rows}, {row.medium: row for row in after.rows}
        for medium in old.keys() | new.keys():
            row = new.get(medium) or Blocked(medium, GONE, 0)
            if old.get(medium) != row:
                self._changed[medium] = after.version, row


def page(rows: list[Blocked] | tuple[Blocked, ...], after: str, most: int) -> tuple[list[Blocked], str]:
    """Rows in order beyond the medium `after`, and the last medium of the page where there are more."""
    start = bisect_right(rows, after, key=lambda row: row.medium) if after else 0
    chosen = list(rows[start : start + most])
    return chosen, chosen[-1].medium if chosen and start + len(chosen) < len(rows) else ""
