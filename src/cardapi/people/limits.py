"""How many requests a second a shop takes: `[limits]` of settings.toml."""

from __future__ import annotations

from typing import Annotated

import msgspec

from cardapi.people.throttle import Limit, Limits

Rate = Annotated[float, msgspec.Meta(ge=0)]
Burst = Annotated[float, msgspec.Meta(ge=1)]
CARDS_MAX = 100_000  # buckets of cards kept in one process (some 15 MB)


class LimitSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Requests a second on average, and at once; a rate of 0 is no limit. Each process counts for itself.

    A ticket of a `settleBatch` counts as a request. What is given stands above what one process does, against programs that
    run wild: a shop that knows its tills says less.
    """

    terminal: Rate = 50_000.0  # of one terminal, or one operator
    terminal_burst: Burst = 200_000.0
    card: Rate = 5_000.0  # for one card, whoever asks
    card_burst: Burst = 50_000.0
    all: Rate = 0.0
    all_burst: Burst = 100_000.0

    def made(self) -> Limits:
        """The buckets, full."""
        return Limits(
            Limit(self.terminal, self.terminal_burst), Limit(self.card, self.card_burst, CARDS_MAX), Limit(self.all, self.all_burst)
        )  # fmt: skip
