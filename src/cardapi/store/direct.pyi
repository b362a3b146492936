"""SQLite's C interface for whole batches, without the interpreter lock from the first statement to the end of the sync.

It uses the library that Python's own sqlite3 module has loaded, found at run time: two copies of SQLite in one process would
undo each other's file locks. Where it cannot be found (linked in statically), `available` is False and `rows.Plain` serves.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

import msgspec

from cardapi.store.port import Entry, Found

available: bool
gathers: bool
"""Whether the connections made here hand each transaction to the log in one write (`wal_file`)."""

class DirectError(Exception):
    """What SQLite says of a failed call: its message, and its extended result code."""

    code: int
    def __init__(self, message: str, code: int) -> None: ...

class Connection:
    """One connection for one thread at a time."""

    sync_ns: int
    """What the last `write` took from its COMMIT to the end of the sync."""

    def __init__(self, path: bytes, setup: Sequence[str] = ()) -> None:
        """Open an existing database (`path` as the file system spells it) for writing and run the `setup` statements. Raises DirectError."""
    def begin(self, queries: Iterable[tuple[str, Iterable[tuple[int | str | bytes, ...]]]]) -> list[list[tuple[Any, ...]]]:
        """Open a transaction that writes, which `write` or `abandon` ends, and `read` in it.

        Raises DirectError; then none is open, unless one was before.
        """
    def feed(self, steps: Iterable[tuple[str, Iterable[tuple[int | str | bytes, ...] | msgspec.Struct]]]) -> None:
        """Begin to run these within the transaction that is open, on a thread of its own; `write` does the rest and commits.

        Returns once the rows are laid out: structs must not change before the next call. Every other call waits for that thread.
        Raises DirectError for what went wrong in an earlier part; all calls do so until `abandon`. TypeError and OverflowError as `write`.
        """
    def abandon(self) -> None:
        """Roll back what is open. Safe to call at any time before `close`."""
    def write(self, steps: Iterable[tuple[str, Iterable[tuple[int | str | bytes, ...] | msgspec.Struct]]]) -> None:
        """One transaction, or the rest of the one that is open: each statement once for each of its rows, in order.

        Durable when it returns. A struct is the row of its fields. Raises DirectError after a ROLLBACK; if it came from the
        COMMIT, what is kept is unknown. Raises TypeError or OverflowError for a value SQLite does not take; then nothing was
        begun or written.
        """
    def read(self, statement: str, keys: Iterable[tuple[int | str | bytes, ...]]) -> list[tuple[Any, ...]]:
        """All rows of the statement for each key in turn, seen in one transaction: int, str, bytes or None. Raises DirectError."""
    def close(self) -> None:
        """Close it. Safe to call twice."""

@final
class Single:
    """`cardapi.store.port.Single` over a connection, which is the caller's to close."""

    def __init__(self, connection: Connection, card: str, entry: str, account: str, tell: Callable[[int, int], None]) -> None:
        """`card`: reads a row for `port.found_of` by its number; `entry`, `account`: insert a row. `tell` is told of pages and commits, some at a time."""
    write_ns: int
    sync_ns: int
    def read(self, number: str) -> Found | None: ...
    def commit(self, entry: Entry, account_id: int, state: bytes) -> None: ...
    def abandon(self) -> None: ...
