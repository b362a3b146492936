"""Refuse JSON that two readers could read differently, before anything decodes it (threat model I, M2)."""

from typing import Final

from cardcore.errors import CardcoreError

CODES: Final[tuple[str, ...]]
"""Every code a refusal can carry; the first is empty (no fault)."""

class StrictJsonError(CardcoreError, ValueError):
    """A body refused by the strict scan; `code` is one of CODES, `offset` (also in `facts`) the byte where it went wrong."""

    code: str
    offset: int
    def __init__(self, code: str, offset: int) -> None: ...

def find(data: bytes, depth_max: int = 8, keys_max: int = 64) -> tuple[str, int] | None:
    """The first fault of a JSON text as (code, byte offset), or None.

    depth_max: containers inside each other (1..32); keys_max: keys of one object (1..1024).
    Raises TypeError for anything but `bytes`, ValueError for bounds out of range. Releases the GIL.
    """

def check(data: bytes, depth_max: int = 8, keys_max: int = 64) -> None:
    """As `find`, but raises StrictJsonError."""
