"""What the peers ask for the lines of the benchmark's ticket: two rates that multiply, each line rounded half up by itself."""

from collections.abc import Iterable


def net_fen(amounts_fen: Iterable[int]) -> int:
    """All lines after 88 of 100 and 95 of 100."""
    return sum([(amount * 88 * 95 * 2 + 10_000) // 20_000 for amount in amounts_fen])
