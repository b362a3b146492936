"""What a running service counts and times, without names or a format: `http.metrics` writes it out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

LATENCY_US = (250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000)
SYNC_US = (50, 100, *LATENCY_US)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096)


class Histogram:
    """Counts per bucket and the sum, in the unit of its bounds. One thread observes; any may read."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0

    def observe(self, value: int) -> None:
        """Count one value; a bucket holds what is not above its bound."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: Histogram) -> None:
        """Take in what another one of the same bounds counted."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class Commits:
    """The work of a desk: how large its commits were, how long they took, and how often one was decided or run again."""

    __slots__ = ("entries", "sync_us", "tried_again", "write_us")

    def __init__(self) -> None:
        self.entries = Histogram(SIZES)  # journal entries in one commit
        self.write_us = Histogram(SYNC_US)  # the whole commit, as its writer waited for it
        self.sync_us = Histogram(SYNC_US)  # of that, what the database took to make it durable
        self.tried_again = 0

    def record(self, entries: int, write_ns: int, sync_ns: int) -> None:
        """One durable commit."""
        self.entries.observe(entries)
        self.write_us.observe(write_ns // 1_000)
        self.sync_us.observe(sync_ns // 1_000)

    @classmethod
    def sum(cls, parts: Iterable[Commits]) -> Commits:
        """The work of several writers together."""
        whole = cls()
        for part in parts:
            whole.entries.add(part.entries)
            whole.write_us.add(part.write_us)
            whole.sync_us.add(part.sync_us)
            whole.tried_again += part.tried_again
        return whole
