"""The one writer of a ticket's JSON: `money_schemas.Ticket`, straight from the settlement's own records."""

from collections.abc import Sequence

from cardcore.settlement import Settlement

def time_text(at_us: int) -> str:
    """Microseconds since 1970 as ISO 8601 with offset, exactly. Raises OverflowError outside the years 1 to 9999."""

def write(
    settlement: Settlement, *, partition: int, position: int, at_us: int, client_key: str, verb: str, outcome: str, card: str,
    programme: str, tier: str, lines: bool, receipt: Sequence[str] = (), explanation: Sequence[str] = (),
) -> bytes:
    """The fields in the order of the schema. `position` 0 is a quote: it has no ticket id. Empty lists are left out."""
