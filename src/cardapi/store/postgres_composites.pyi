"""Rows as one array parameter in PostgreSQL's binary form (`array_recv`, `record_recv`): see `postgres_arrays`."""

from cardapi.store.port import Entry

def composites(element: int, kinds: tuple[int, ...], rows: list[Entry]) -> bytes:
    """A one-dimensional array of rows. `element`: the number of the rows' type; `kinds`: of each field's, 17, 20, 23 or 25.

    Raises TypeError, ValueError, OverflowError and UnicodeEncodeError for what no column takes.
    """
