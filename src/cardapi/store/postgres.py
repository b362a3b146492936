"""The server store: PostgreSQL, shared by several processes.

A partition has one writer at a time (F3): whoever holds the lock on its row of `partition`, from `begin` to the end of that
transaction. The row says who wrote last and carries a token that grows with each change of hands, so a process knows whether
what it remembers of a partition is still so. A process that dies loses its locks with its connection; nothing is left to
expire. No writer can be late: it reads and writes inside one transaction, under the lock.

A batch is two round trips: one that locks, finds client keys and reads cards, one that writes and commits.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import msgspec
import psycopg

from cardapi.ids import home
from cardapi.store import postgres_arrays as arrays
from cardapi.store import postgres_clearing as clearing
from cardapi.store import postgres_records as records
from cardapi.store import postgres_rows as rows
from cardapi.store import postgres_sql as sql
from cardapi.store import schema
from cardapi.store.chain import unpack_further
from cardapi.store.port import AccountRow, Batch, Begun, CardRow, Entry, Found, Head, KeyTaken, MediumRow, Record, StoreError
from cardapi.store.postgres_safety import refuse_unsafe
from cardcore.clearing.blocked import Blocked
from cardcore.clearing.body import Row
from cardcore.errors import CardcoreError

POSITION_MAX = (1 << 48) - 1
CHUNK = 1_000
TRIES = 5  # of a commit that the server asks to repeat (serialization, deadlock)

_astuple = msgspec.structs.astuple
_REPEAT = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


def connect(url: str, settings: dict[str, str]) -> psycopg.Connection:
    """One connection with its settings; transactions are explicit. Raises StoreError."""
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    try:
        connection = psycopg.connect(url, autocommit=True, options=options, application_name="cardcore", connect_timeout=10)
    except psycopg.Error as error:
        raise StoreError(f"cannot reach the database: {_said(error)}") from error
    connection.prepare_threshold = 1
    connection.prepared_max = 200
    arrays.register(connection)
    return connection


def create(owner: str, role: str, partitions: int | dict[int, bytes], *, again: bool = False) -> None:
    """Make the tables and their partitions in an empty database, as its owner. Raises StoreError, SchemaError.

    `partitions`: how many, or number -> genesis for a journal that is moved here. `again`: a database that a killed try left is
    emptied first, as long as nobody has sold anything in it.
    """
    connection = connect(owner, {"client_min_messages": "warning"})
    try:
        if schema.current_postgres(connection):
            if not again or connection.execute("SELECT count(*) FROM entry WHERE client <> 'system'").fetchone() != (0,):
                raise StoreError("the database holds a shop already")
            with _errors("create"):
                connection.execute(sql.DROP_ALL)
        schema.upgrade_postgres(owner, role)
        if isinstance(partitions, int):
            partitions = {number: secrets.token_bytes(16) for number in range(partitions)}
        with _errors("create"):
            columns = arrays.int8s(list(partitions)), arrays.byteas(list(partitions.values()))
            connection.execute(sql.INSERT_PARTITIONS, columns)
    finally:
        connection.close()


def has_shop(owner: str) -> bool:
    """Whether a database has its tables and partitions, asked as their owner. Raises StoreError."""
    connection = connect(owner, {"client_min_messages": "warning"})
    with closing(connection), _errors("read"):
        return bool(schema.current_postgres(connection)) and connection.execute("SELECT count(*) FROM partition").fetchone() != (0,)


class PostgresStore:
    """Implements `cardapi.store.port.Store`."""

    def __init__(self, url: str, *, standby: str = "none", read_only: bool = False) -> None:
        """Raises StoreError, SchemaError, UnsafeServer."""
        self._url = url
        self._read_only = read_only
        self._holder = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"
        self._tokens: dict[int, int] = {}  # partition -> its token when we wrote last
        self._taken: list[int] = []  # partitions taken over since the last commit
        self._warnings: list[str] = []
        self._standby = standby
        self._connection = self._connect()
        self._count = len(self.partitions())

    def _connect(self) -> psycopg.Connection:
        """A connection that was checked: nothing else is written through."""
        connection = connect(self._url, sql.READER_SETTINGS if self._read_only else sql.SETTINGS)
        try:
            found = schema.current_postgres(connection)
            if found != schema.HEAD:
                raise schema.SchemaError(
                    f"the database is at schema {found or 'none'}, this release needs {schema.HEAD}: cardcore migrate", found=found
                )
            if not self._read_only:
                refuse_unsafe(connection, self._standby)
                connection.add_notice_handler(self._noticed)
        except psycopg.Error as error:
            connection.close()
            raise StoreError(f"cannot read the database: {_said(error)}") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _noticed(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        self._warnings.append(diagnostic.message_primary or "")

    # ------------------------------------------------------------ reads
    def reader(self) -> PostgresStore:
        return PostgresStore(self._url, read_only=True)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """One repeatable read; for a `reader()`, never for the writing connection."""
        with _errors("read"):
            self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def _rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with _errors("read"):
            return self._connection.execute(statement, parameters or None, binary=True).fetchall()

    def partitions(self) -> dict[int, bytes]:
        return dict(self._rows(sql.PARTITIONS))

    def heads(self) -> list[Head]:
        return [_head(row) for row in self._rows(sql.HEADS_ALL)]

    def find_keys(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Entry]:
        return _by_key(self._rows(sql.FIND_KEYS_EVERYWHERE, _key_columns(keys)))

    def read(self, numbers: Sequence[str]) -> dict[str, Found]:
        return {row[0]: _found(row) for row in self._rows(sql.READ_CARDS, self._card_columns(numbers))}

    def _card_columns(self, numbers: Sequence[str]) -> tuple[Any, ...]:
        return arrays.int8s([home(number, self._count) for number in numbers]), arrays.texts(numbers)

    def read_accounts(self, account_ids: Sequence[int]) -> dict[int, Found]:
        columns = arrays.int8s([account_id >> 40 for account_id in account_ids]), arrays.int8s(account_ids)
        return {row[1]: _found(row) for row in self._rows(sql.READ_ACCOUNTS, columns)}

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
        return {row[1]: records.record(row) for row in self._rows(records.BY_ID, (kind, arrays.texts(ids)))}

    def find_records(
        self, kind: str, index: str, low: str, high: str | None = None, *, after: tuple[str, str] = ("", ""), limit: int = 100
    ) -> list[Record]:
        asked = (kind, index, low, low if high is None else high, *after, limit)
        return [records.record(row) for row in self._rows(records.FIND, asked)]

    def all_records(self, kind: str | None = None, after: str = "") -> Iterator[Record]:
        rows = self._stream(records.ALL) if kind is None else self._stream(records.OF_KIND, (kind, after))
        yield from map(records.record, rows)

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
        with _errors("read"):
            if not inside:
                self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            try:
                with self._connection.cursor(name="whole", binary=True) as cursor:
                    cursor.itersize = CHUNK
                    cursor.execute(statement, parameters or None)
                    yield from cursor
            finally:
                if not inside:
                    self._connection.execute("ROLLBACK")

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

    # ------------------------------------------------------------ writes
    def begin(self, partitions: Collection[int], keys: Sequence[tuple[str, str]], numbers: Sequence[str]) -> Begun:
        """Lock, find and read in one round trip. Raises StoreError; then nothing is locked."""
        if self._connection.closed:
            self._connection = self._connect()
        connection = self._connection
        try:
            with connection.pipeline():
                connection.execute("BEGIN")
                locked = connection.execute(sql.LOCK, (arrays.int8s(sorted(partitions)),), binary=True)
                found = cards = None
                if keys:
                    found = connection.execute(sql.FIND_KEYS, (*_key_columns(keys), arrays.int8s(list(partitions))), binary=True)
                if numbers:
                    cards = connection.execute(sql.READ_CARDS, self._card_columns(numbers), binary=True)
            tokens = {number: token for number, token, _ in locked.fetchall()}
            if len(tokens) != len(partitions):
                raise StoreError(f"partitions {sorted(set(partitions) - set(tokens))} are not there")
            heads = self._take_over([number for number, token in tokens.items() if self._tokens.get(number) != token], tokens)
        except psycopg.Error as error:
            self._undo()
            raise StoreError(f"cannot begin: {_said(error)}") from error
        except BaseException:
            self._undo()
            raise
        return Begun(
            heads,
            _by_key(found.fetchall()) if found is not None else {},
            {row[0]: _found(row) for row in cards.fetchall()} if cards is not None else {},
        )

    def _take_over(self, changed: list[int], tokens: dict[int, int]) -> dict[int, Head]:
        """Put our name on partitions that somebody else wrote last, and read where they end now."""
        if not changed:
            return {}
        column = arrays.int8s(changed)
        with self._connection.pipeline():
            self._connection.execute(sql.TAKE_OVER, (self._holder, column))
            heads = self._connection.execute(sql.HEADS_OF, (column,), binary=True)
        for number in changed:
            self._tokens[number] = tokens[number] + 1
        self._taken = changed
        return {row[0]: _head(row) for row in heads.fetchall()}

    def abandon(self) -> None:
        """End what `begin` began without writing. What was taken over in it stays ours: the caller was told where it ends."""
        if self._connection.info.transaction_status != psycopg.pq.TransactionStatus.INTRANS:
            self._undo()
            return
        self._taken = []
        try:
            self._connection.execute("COMMIT")
        except psycopg.Error:
            self._undo()

    def _undo(self) -> None:
        """After an error: forget what was taken over, and the connection too when it is not idle and sound."""
        for number in self._taken:
            self._tokens.pop(number, None)
        self._taken = []
        connection = self._connection
        if connection.closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            connection.close()  # which ends its transaction
            try:
                self._connection = self._connect()
            except CardcoreError:  # the error that brought us here is the one to report; `begin` tries again
                pass

    def commit(self, batch: Batch) -> None:
        """Raises KeyTaken when nothing was written because a client key has its effect elsewhere; any other StoreError
        means nothing was written, or it is unknown (F2)."""
        unasked: list[int] = []
        connection = self._connection
        if connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            self.begin(rows.partitions_of(batch), (), ())
            unasked = self._taken  # nobody was told what others wrote there: the next `begin` has to
        columns = rows.columns_of(batch)
        self._warnings.clear()
        for left in reversed(range(TRIES)):
            try:
                with connection.pipeline():
                    for statement, parameters in columns:
                        connection.execute(statement, parameters)
                    connection.execute("COMMIT")
                self._taken = []
                for number in unasked:
                    self._tokens.pop(number, None)
                break
            except _REPEAT as error:
                if not left or not self._again(batch):
                    raise StoreError(f"commit failed: {_said(error)}") from error
                connection = self._connection
            except psycopg.errors.UniqueViolation as error:
                self._undo()
                if error.diag.constraint_name == "entry_client_key":
                    raise KeyTaken("a client key has its effect in another partition") from error
                raise StoreError(f"commit failed: {_said(error)}") from error
            except (psycopg.Error, OSError) as error:
                self._undo()
                raise StoreError(f"commit failed: {_said(error)}") from error
        if self._warnings:
            # A wait for the synchronous standby that was cancelled is a warning and no error: written here, perhaps not there (O3, O4).
            raise StoreError(f"the outcome of a commit is unknown: {self._warnings[0]}")

    def _again(self, batch: Batch) -> bool:
        """Begin once more what the server rolled back; False when somebody else has written there since, so it was decided in vain."""
        held = dict(self._tokens)
        self._undo()
        self._tokens = held
        return not self.begin(rows.partitions_of(batch), (), ()).heads

    def rebuild(
        self,
        cards: Iterable[CardRow],
        accounts: Iterable[AccountRow],
        documents: Iterable[tuple[str, str, bytes]],
        media: Iterable[MediumRow] = (),
        journaled: Iterable[Record] = (),
        cleared: Iterable[Row] = (),
    ) -> None:
        connection = self._connection
        with _errors("rebuild"), connection.transaction():
            connection.execute(sql.LOCK, (arrays.int8s(list(self.partitions())),))
            for statement in (*sql.DELETE_PROJECTIONS, *records.DELETE_JOURNALED):
                connection.execute(statement)
            for part in rows.parts(accounts):
                connection.execute(sql.UPSERT_ACCOUNTS, rows.account_columns(part))
            for cards_part in rows.parts(cards):
                connection.execute(sql.UPSERT_CARDS, rows.row_columns(cards_part, rows.CARD_KINDS))
            for media_part in rows.parts(media):
                connection.execute(sql.UPSERT_MEDIA, rows.row_columns(media_part, rows.MEDIUM_KINDS))
            for cleared_part in rows.parts(cleared):
                connection.execute(clearing.UPSERT, clearing.columns(cleared_part))
            for records_part in rows.parts(journaled):
                for statement, parameters in records.steps(records_part):
                    connection.execute(statement, parameters)
            for documents_part in rows.parts(documents):
                connection.execute(sql.UPSERT_DOCUMENTS, rows.document_columns(documents_part))
            # Whoever else has the store open forgets what it remembers of these rows.
            connection.execute(sql.TAKE_OVER, (self._holder, arrays.int8s(list(self.partitions()))))
        self._tokens.clear()

    def close(self) -> None:
        self._connection.close()


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise StoreError(f"{what} failed: {_said(error)}") from error


def _said(error: BaseException) -> str:
    """The server's sentence, without the values of a row (they may be a customer's)."""
    diagnostic = getattr(error, "diag", None)
    primary = diagnostic.message_primary if diagnostic is not None else None
    return primary or str(error).splitlines()[0] if str(error) or primary else type(error).__name__


def _head(row: Sequence[Any]) -> Head:
    number, position, mac, liability_fen, at_us = row
    return Head(number, 0, b"", 0, 0) if position is None else Head(number, position, mac, liability_fen, at_us)


def _found(row: Sequence[Any]) -> Found:
    return Found(CardRow(*row[:12]), AccountRow(row[1], row[12], row[13]))


def _by_key(rows: Iterable[Sequence[Any]]) -> dict[tuple[str, str], Entry]:
    return {(row[8], row[9]): Entry(*row) for row in rows}


def _key_columns(keys: Sequence[tuple[str, str]]) -> tuple[Any, Any]:
    return arrays.texts([client for client, _ in keys]), arrays.texts([key for _, key in keys])


def _prior(account_id: int, entry: Entry | None) -> int:
    """The position of the account's entry before this one, 0 if there is none."""
    if entry is None:
        return 0
    if entry.account_id == account_id:
        return entry.prior
    return dict(unpack_further(entry.further)).get(account_id, 0)
