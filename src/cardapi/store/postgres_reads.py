"""What can be asked of the server store, on one connection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from cardapi.ids import home
from cardapi.store import postgres_arrays as arrays
from cardapi.store import postgres_clearing as clearing
from cardapi.store import postgres_records as records
from cardapi.store import postgres_sql as sql
from cardapi.store import schema
from cardapi.store.chain import unpack_further
from cardapi.store.port import AccountRow, CardRow, Entry, Found, Head, MediumRow, Record, StoreError, asked_records, found_of, record_of
from cardcore.clearing.blocked import Blocked
from cardcore.clearing.body import Row

POSITION_MAX = (1 << 48) - 1
CHUNK = 1_000


def connect(url: str, settings: dict[str, str]) -> psycopg.Connection:
    """One connection with its settings; transactions are explicit. Raises StoreError."""
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    try:
        connection = psycopg.connect(url, autocommit=True, options=options, application_name="cardcore", connect_timeout=10)
    except psycopg.Error as error:
        raise StoreError(f"cannot reach the database: {said(error)}") from error
    connection.prepare_threshold = 1
    connection.prepared_max = 200
    arrays.register(connection)
    return connection


def beside(url: str, started: Any) -> psycopg.Connection:
    """One more connection, which only reads, to the server that `started` then (`sql.STARTED`). Raises StoreError.

    An address may lead to several servers. One that lags, or was the primary once, would answer with money that is spent.
    """
    connection = connect(url, sql.SETTINGS)
    try:
        with errors("read"):
            if connection.execute(sql.STARTED).fetchone() != started:
                raise StoreError("the address leads to another server than before")
            connection.execute(sql.READ_ONLY)
    except BaseException:
        connection.close()
        raise
    return connection


class PostgresReads:
    """The questions of `cardapi.store.port.Store`. Whoever derives from it opens the connection and says how many partitions there are."""

    _connection: psycopg.Connection
    _count: int

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """One repeatable read; for a `reader()`, never for the writing connection."""
        with errors("read"):
            self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            if not self._connection.closed:  # a server that is gone ended it with the connection
                with errors("read"):
                    self._connection.execute("ROLLBACK")

    def _rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with errors("read"):
            return self._connection.execute(statement, parameters or None, binary=True).fetchall()

    def partitions(self) -> dict[int, bytes]:
        return dict(self._rows(sql.PARTITIONS))

    def heads(self) -> list[Head]:
        return [head_of(row) for row in self._rows(sql.HEADS_ALL)]

    def find_keys(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Entry]:
        return by_key(self._rows(sql.FIND_KEYS_EVERYWHERE, key_columns(keys)))

    def read(self, numbers: Sequence[str]) -> dict[str, Found]:
        return {row[0]: found_of(row) for row in self._rows(sql.READ_CARDS, self._card_columns(numbers))}

    def _card_columns(self, numbers: Sequence[str]) -> tuple[Any, ...]:
        return arrays.int8s([home(number, self._count) for number in numbers]), arrays.texts(numbers)

    def read_accounts(self, account_ids: Sequence[int]) -> dict[int, Found]:
        columns = arrays.int8s([account_id >> 40 for account_id in account_ids]), arrays.int8s(account_ids)
        return {row[1]: found_of(row) for row in self._rows(sql.READ_ACCOUNTS, columns)}

    def read_media(self, media: Sequence[str]) -> dict[str, MediumRow]:
        return {row[0]: MediumRow(*row) for row in self._rows(sql.READ_MEDIA, (arrays.texts(media),))}

    def media_of(self, account_id: int) -> list[MediumRow]:
        return [MediumRow(*row) for row in self._rows(sql.MEDIA_OF, (account_id >> 40, account_id))]

    def read_cleared(self, keys: Sequence[bytes]) -> dict[bytes, Row]:
        return {row[0]: Row._make(row) for row in self._rows(clearing.BY_KEY, (arrays.byteas(keys),))}

    def blocked(self) -> list[Blocked]:
        return [Blocked(*row) for row in self._rows(sql.BLOCKED)]

    def in_flight(self, after: int, limit: int) -> list[MediumRow]:
        return [MediumRow(*row) for row in self._rows(sql.IN_FLIGHT, (after, limit))]

    def entry(self, partition: int, position: int) -> Entry | None:
        if not (0 <= partition < 256 and 0 < position <= POSITION_MAX):
            return None
        rows = self._rows(sql.ENTRY_AT, (partition, position))
        return Entry(*rows[0]) if rows else None

    def followers(self, partition: int, position: int) -> list[Entry]:
        return [Entry(*row) for row in self._rows(sql.FOLLOWERS, (partition, position))]

    def journal(self, partition: int, after: int = 0, upto: int | None = None) -> Iterator[Entry]:
        high = POSITION_MAX if upto is None else upto
        while rows := self._rows(sql.JOURNAL, (partition, after, high, CHUNK)):
            for row in rows:
                yield Entry(*row)
            after = rows[-1][1]

    def statement(self, account_id: int, before: int | None, limit: int) -> list[Entry]:
        partition = account_id >> 40
        entries: list[Entry] = []
        if before is None:
            rows = self._rows(sql.ACCOUNT_CHANGED, (partition, account_id))
            position = rows[0][0] if rows else 0
        else:
            position = _prior(account_id, self.entry(partition, before))
        while position and len(entries) < limit:
            entry = self.entry(partition, position)
            if entry is None:
                raise StoreError(f"account {account_id} names entry {position}, which is not there")
            entries.append(entry)
            position = _prior(account_id, entry)
        return entries

    def documents(self, kind: str | None = None) -> Iterable[tuple[str, str, bytes]]:
        return self._rows(sql.DOCUMENTS) if kind is None else self._rows(sql.DOCUMENTS_OF, (kind,))

    def records(self, kind: str, ids: Sequence[str]) -> dict[str, Record]:
        return {row[1]: record_of(row) for row in self._rows(records.BY_ID, (kind, arrays.texts(ids)))}

    def find_records(
        self, kind: str, index: str, low: str, high: str | None = None, *, after: tuple[str, str] = ("", ""), limit: int = 100
    ) -> list[Record]:
        return [record_of(row) for row in self._rows(records.FIND, asked_records(kind, index, low, high, after, limit))]

    def all_records(self, kind: str | None = None, after: str = "") -> Iterator[Record]:
        rows = self._stream(records.ALL) if kind is None else self._stream(records.OF_KIND, (kind, after))
        yield from map(record_of, rows)

    def cards(self) -> Iterator[CardRow]:
        for row in self._stream(sql.CARDS):
            yield CardRow(*row)

    def accounts(self) -> Iterator[AccountRow]:
        for row in self._stream(sql.ACCOUNTS):
            yield AccountRow(*row)

    def media(self) -> Iterator[MediumRow]:
        for row in self._stream(sql.MEDIA):
            yield MediumRow(*row)

    def cleared(self, after: bytes = b"") -> Iterator[Row]:
        yield from map(Row._make, self._stream(clearing.ALL, (after,)))

    def cleared_by_card(self, after: bytes = b"") -> Iterator[Row]:
        yield from map(Row._make, self._stream(clearing.BY_CARD, (after,)))

    def _stream(self, statement: str, parameters: Sequence[Any] = ()) -> Iterator[Any]:
        """Rows of a whole table, some at a time; inside a snapshot its own, else one for this table."""
        inside = self._connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
        with errors("read"):
            if not inside:
                self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            try:
                with self._connection.cursor(name="whole", binary=True) as cursor:
                    cursor.itersize = CHUNK
                    cursor.execute(statement, parameters or None)
                    yield from cursor
            finally:
                if not (inside or self._connection.closed):  # who reads no further may have closed it
                    self._connection.execute("ROLLBACK")

    def cleared_at(self, places: Sequence[tuple[bytes, int]]) -> list[Row]:
        columns = arrays.byteas([card for card, _ in places]), arrays.int8s([counter for _, counter in places])
        return [Row._make(row) for row in self._rows(clearing.AT, columns)]

    def next_account_number(self, partition: int) -> int:
        last = self._rows(sql.LAST_ACCOUNT, (partition,))[0][0]
        return 1 if last is None else (last & (1 << 40) - 1) + 1

    def counts(self) -> dict[str, int]:
        return {name: self._rows(statement)[0][0] for name, statement in sql.COUNTS.items()}

    def check(self) -> list[str]:
        try:
            found = [f"{what}: {row[0]}" for what, statement in sql.CHECKS.items() for row in self._rows(statement)]
            if schema.current_postgres(self._connection) != schema.HEAD:
                found.append("table alembic_version: not the schema of this release")
        except (StoreError, psycopg.Error) as error:
            found = [str(error)]
        return found


@contextmanager
def errors(what: str) -> Iterator[None]:
    """Raise StoreError for what the driver raises. `what`: what was being done."""
    try:
        yield
    except psycopg.Error as error:
        raise StoreError(f"{what} failed: {said(error)}") from error


def said(error: BaseException) -> str:
    """The server's sentence, without the values of a row (they may be a customer's)."""
    diagnostic = getattr(error, "diag", None)
    primary = diagnostic.message_primary if diagnostic is not None else None
    return primary or str(error).splitlines()[0] if str(error) or primary else type(error).__name__


def head_of(row: Sequence[Any]) -> Head:
    """A row of HEADS."""
    number, position, mac, liability_fen, at_us = row
    return Head(number, 0, b"", 0, 0) if position is None else Head(number, position, mac, liability_fen, at_us)


def by_key(rows: Iterable[Sequence[Any]]) -> dict[tuple[str, str], Entry]:
    """Rows of the journal by client and client key."""
    return {(row[8], row[9]): Entry(*row) for row in rows}


def key_columns(keys: Sequence[tuple[str, str]]) -> tuple[Any, Any]:
    """Client keys as two columns."""
    return arrays.texts([client for client, _ in keys]), arrays.texts([key for _, key in keys])


def _prior(account_id: int, entry: Entry | None) -> int:
    """The position of the account's entry before this one, 0 if there is none."""
    if entry is None:
        return 0
    if entry.account_id == account_id:
        return entry.prior
    return dict(unpack_further(entry.further)).get(account_id, 0)
