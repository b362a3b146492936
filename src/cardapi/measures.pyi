"""What a running service counts and times, without names or a format: `http.metrics` writes it out.

Compiled, because a lone caller's commit is counted just after its sync, when the caches are cold and every step is dear.
"""

from collections.abc import Iterable
from typing import Final, Self, final

LATENCY_US: Final[tuple[int, ...]]
SYNC_US: Final[tuple[int, ...]]
SIZES: Final[tuple[int, ...]]

@final
class Histogram:
    """Counts per bucket and the sum, in the unit of its bounds. One thread observes; any may read."""

    @property
    def bounds(self) -> tuple[int, ...]: ...
    @property
    def total(self) -> int: ...
    def __init__(self, bounds: tuple[int, ...]) -> None:
        """`bounds`: ascending, at most 20. Raises ValueError."""

    @property
    def counts(self) -> list[int]:
        """How many there were in each bucket, and last those above every bound."""

    def observe(self, value: int) -> None:
        """Count one value; a bucket holds what is not above its bound."""

    def add(self, other: Histogram) -> None:
        """Take in what another one of the same bounds counted. Raises ValueError for one of others."""

@final
class Commits:
    """The work of a desk: how large its commits were, how long they took, and how often one was decided or run again."""

    @property
    def entries(self) -> Histogram:
        """Journal entries in one commit."""

    @property
    def write_us(self) -> Histogram:
        """The whole commit, as its writer waited for it."""

    @property
    def sync_us(self) -> Histogram:
        """Of that, what the database took to make it durable."""

    tried_again: int
    def record(self, entries: int, write_ns: int, sync_ns: int) -> None:
        """One durable commit."""

    @classmethod
    def sum(cls, parts: Iterable[Commits]) -> Self:
        """The work of several writers together."""
