"""How often one name, and all names together, may try (N, B, F4): token buckets with bounded memory.

Times are monotonic seconds that the caller gives. Every process has buckets of its own.
"""

from typing import final

@final
class Limit:
    """At most `burst` at once and `rate` a second on average, for each name by itself. A rate of 0 is no limit."""

    rate: float

    def __init__(self, rate: float, burst: float, names_max: int = 10_000) -> None:
        """`names_max`: buckets kept. Full ones are forgotten first, then the names that came first. Raises ValueError."""
    def forget(self) -> None:
        """Begin anew."""
    def __len__(self) -> int: ...

@final
class Throttle:
    """One limit for each name, and another for all together."""

    one: Limit
    all: Limit

    def __init__(self, rate: float, burst: float, total_rate: float, total_burst: float, names_max: int = 10_000) -> None: ...
    def wait_s(self, name: str, now: float) -> float:
        """Take one token for `name`: 0 when it may go ahead, else how long to wait; then none is taken."""
    def forget(self) -> None:
        """Begin anew."""

@final
class Limits:
    """What requests count against: who asks, the card they name, and all together."""

    client: Limit
    card: Limit
    all: Limit
    over: str
    """Which limit the last refusal was for: client, card or all."""

    def __init__(self, client: Limit, card: Limit, all: Limit) -> None: ...
    def wait_s(self, client: str, card: str, now: float, count: float = 1.0) -> float:
        """Take `count` tokens of the client and of all, and one of the card unless its name is empty: 0 when the request may go ahead.

        Else how long to wait, and none is taken: who is refused uses up nothing of what others share. A request for more than a
        full bucket has is let through by a full one, and owes the rest.
        """
    def card_wait_s(self, card: str, now: float) -> float:
        """The same for one more card of a request that was let through."""
