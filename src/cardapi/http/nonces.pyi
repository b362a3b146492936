"""Nonces seen in the last minutes, 16 bytes each (F4). Not safe for threads: it belongs to the event loop."""

class NonceTable:
    """At most `limit` digests; signed times below `floor` (epoch seconds) count as seen."""

    floor: int
    def __init__(self, limit: int, window_s: int) -> None: ...
    def forget_before(self, second: int) -> None:
        """Raise the floor: times before it are refused for ever, whatever the clock does later."""
    def add(self, digest: int, signed_at: int, now: int) -> int:
        """0 when the digest is new (and is kept), 1 when it was seen, -1 when the table is full."""
    def count(self) -> int:
        """Digests kept."""
