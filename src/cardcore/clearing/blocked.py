"""The list of blocked cards that stations keep for when they are off line: its rows, its version, and what its MAC covers. Pure.

The version of a list is a second since 1970: the list has every card that was blocked up to it. That is all a clearing batch says of the
list its station used, and it is enough to tell who bears a loss (control D).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final, NamedTuple

GONE: Final = ""
"""The state in a change that takes a medium off the list."""


class Blocked(NamedTuple):
    """A medium that nobody may take: its id, the state of its card or of itself, and the second from which that counts (K5)."""

    medium: str
    state: str
    since: int


def digest(rows: Iterable[Blocked]) -> bytes:
    """SHA-256 over a whole list, whatever order its rows come in. No field holds a tab or a line feed, so the text has one meaning."""
    return hashlib.sha256("".join(f"{row.medium}\t{row.state}\t{row.since}\n" for row in sorted(rows)).encode()).digest()


def mac(key: bytes, terminal: str, version: int, count: int, list_digest: bytes) -> bytes:
    """HMAC-SHA256 by which one terminal knows that its own service made a list of this version, size and content."""
    said = f"cardcore-blocked-1\n{terminal}\n{version}\n{count}\n{list_digest.hex()}"
    return hmac.digest(key, said.encode(), "sha256")


def merge(rows: Iterable[Blocked], changes: Iterable[Blocked]) -> list[Blocked]:
    """A list with later changes, by medium."""
    found = {row.medium: row for row in rows}
    for change in changes:
        if change.state == GONE:
            found.pop(change.medium, None)
        else:
            found[change.medium] = change
    return sorted(found.values())
