"""The server store: PostgreSQL, shared by several processes.

A partition has one writer at a time (F3): whoever holds the lock on its row of `partition`. The row says who wrote last and
carries a token that grows with each change of hands, so a process knows whether what it remembers of a partition is still so.
A process that dies loses its locks with its connection; nothing is left to expire. No writer can be late: it writes under the
lock, and only while the token is its own.

A batch is one round trip where nobody else writes its partitions and its cards are remembered: lock, look at the tokens, write
and commit. Where others write too, or rows have to be read, it is two: one that locks, finds client keys and reads cards, one
that writes and commits. The server begins to write a large batch while the rest of it is decided (`feed`), and the next batch is
decided while the last one is written (`launch`).
"""

from __future__ import annotations

import os
import secrets
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from time import perf_counter_ns
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import TransactionStatus

from cardapi.store import postgres_arrays as arrays
from cardapi.store import postgres_clearing as clearing
from cardapi.store import postgres_records as records
from cardapi.store import postgres_rows as rows
from cardapi.store import postgres_sql as sql
from cardapi.store import schema
from cardapi.store.port import (
    AccountRow,
    Batch,
    Begun,
    CardRow,
    Entry,
    Found,
    Head,
    KeyTaken,
    MediumRow,
    Overtaken,
    Record,
    StoreError,
    Unread,
    found_of,
)  # fmt: skip
from cardapi.store.postgres_ahead import Ahead
from cardapi.store.postgres_reads import PostgresReads, beside, by_key, connect, errors, head_of, key_columns, said
from cardapi.store.postgres_safety import refuse_unsafe
from cardapi.store.postgres_wire import BEGIN, COMMIT, ROLLBACK, Step, Wire
from cardcore.clearing.body import Row
from cardcore.errors import CardcoreError

TRIES = 5  # of a commit that the server asks to repeat (serialization, deadlock)
FLIGHTS = 2  # batches on their way at once: one that the server writes, one behind it that it need not wait for

_REPEAT = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


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
            with errors("create"):
                connection.execute(sql.DROP_ALL)
        schema.upgrade_postgres(owner, role)
        if isinstance(partitions, int):
            partitions = {number: secrets.token_bytes(16) for number in range(partitions)}
        with errors("create"):
            columns = arrays.int8s(list(partitions)), arrays.byteas(list(partitions.values()))
            connection.execute(sql.INSERT_PARTITIONS, columns)
    finally:
        connection.close()


def has_shop(owner: str) -> bool:
    """Whether a database has its tables and partitions, asked as their owner. Raises StoreError."""
    connection = connect(owner, {"client_min_messages": "warning"})
    with closing(connection), errors("read"):
        return bool(schema.current_postgres(connection)) and connection.execute("SELECT count(*) FROM partition").fetchone() != (0,)


class _Flight(NamedTuple):
    """A batch on its way."""

    flushes: int  # that it was sent in
    number: int
    sent_ns: int


class _Aside(PostgresReads):
    """Questions over a connection of their own."""

    def __init__(self, connection: psycopg.Connection, count: int) -> None:
        self._connection = connection
        self._count = count
        self.wire = Wire(connection)

    def close(self) -> None:
        self._connection.close()


class PostgresStore(PostgresReads):
    """Implements `cardapi.store.port.Store`."""

    flights = FLIGHTS

    def __init__(self, url: str, *, standby: str = "none", read_only: bool = False) -> None:
        """Raises StoreError, SchemaError, UnsafeServer."""
        self._url = url
        self._read_only = read_only
        self._settings = sql.READER_SETTINGS if read_only else sql.SETTINGS
        self._holder = arrays.text(f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}")
        self._tokens: dict[int, int] = {}  # partition -> its token when we wrote last
        self._taken: list[int] = []  # partitions taken over since the last commit
        self._begun: frozenset[int] = frozenset()  # partitions of the batch
        self._trusting = False  # it was begun without waiting for the server
        self._steps: list[Step] = []  # what of it was sent
        self._aside: _Aside | None = None  # answers questions while the server works on a batch
        self._ahead = Ahead(self._second)
        self._launched: deque[_Flight] = deque()  # batches on their way
        self._number = 0  # of the last batch that others may follow before it is known to be written
        self._known = 0  # the number that the server has
        self._disputed = True  # somebody else wrote what we had, when we last asked
        self._warnings: list[str] = []
        self._standby = standby
        self.sync_ns = 0
        self._open()
        self._count = len(self.partitions())

    def _open(self) -> None:
        """A connection that was checked: nothing else is written through."""
        connection = connect(self._url, self._settings)
        try:
            found = schema.current_postgres(connection)
            if found != schema.HEAD:
                raise schema.SchemaError(
                    f"the database is at schema {found or 'none'}, this release needs {schema.HEAD}: cardcore migrate", found=found
                )
            if self._read_only:
                connection.execute(sql.READ_ONLY)
            else:
                refuse_unsafe(connection, self._standby)
                connection.add_notice_handler(self._noticed)
            self._started = connection.execute(sql.STARTED).fetchone()
        except psycopg.Error as error:
            connection.close()
            raise StoreError(f"cannot read the database: {said(error)}") from error
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._wire = Wire(connection)
        self._launched.clear()
        self._number = self._known = 0
        self._close_aside()  # it may have been another server's
        self._ahead.close()

    def _noticed(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        self._warnings.append(diagnostic.message_primary or "")

    def reader(self) -> PostgresStore:
        return PostgresStore(self._url, read_only=True)

    def _rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """While a batch is being written: over a connection of its own, which sees what is committed and nothing of the batch."""
        if not self._wire.busy:
            return super()._rows(statement, parameters)
        with self._beside() as aside:
            return aside._rows(statement, parameters)

    def _second(self) -> psycopg.Connection:
        """One more connection to the server that is written. Raises StoreError."""
        return beside(self._url, self._started)

    @contextmanager
    def _beside(self) -> Iterator[_Aside]:
        """The connection for questions meanwhile; one that failed is not used again. Raises StoreError."""
        if self._aside is None:
            self._aside = _Aside(self._second(), self._count)
        try:
            with errors("read"):
                yield self._aside
        except StoreError:
            self._close_aside()
            raise

    def _close_aside(self) -> None:
        if self._aside is not None:
            self._aside.close()
            self._aside = None

    # ------------------------------------------------------------ begin
    def begin(
        self, partitions: Collection[int], keys: Sequence[tuple[str, str]], numbers: Sequence[str], *, trusting: bool = False
    ) -> Begun:
        """Lock, find and read in one round trip. When it is `trusting`, and nobody else wrote these when we last asked, only read
        what is named, and that without a lock: a token that is the same when we write says that nobody wrote in between.

        Raises StoreError; then nothing is locked. Unread: what is on its way goes on.
        """
        self._begun, self._trusting, self._steps = frozenset(partitions), False, []
        try:
            if trusting and self.trusts(self._begun):
                cards = self._read_cards(numbers) if numbers else []
                self._trusting = True
                return Begun({}, {}, {row[0]: found_of(row) for row in cards}, asked=False)
            assert not self._launched, "who has to wait lets those land that are on their way"
            if self._connection.closed:
                self._open()
            return self._ask(sorted(partitions), keys, numbers)
        except psycopg.Error as error:
            self._undo()
            raise StoreError(f"cannot begin: {said(error)}") from error
        except Unread:
            raise
        except BaseException:
            self._undo()
            raise

    def trusts(self, partitions: Collection[int]) -> bool:
        return not self._disputed and self._tokens.keys() >= set(partitions) and not self._connection.closed

    def _read_cards(self, numbers: Sequence[str]) -> list[Any]:
        """Rows of cards, without a lock. Those that a batch on its way changes are not asked for: its caller has them.

        Raises Unread where the server works on a batch and cannot be asked beside it, psycopg.Error.
        """
        steps: list[Step] = [(sql.READ_CARDS, self._card_columns(numbers))]
        if not self._wire.busy:
            return self._wire.run(steps)[0]
        try:
            with self._beside() as aside:
                return aside.wire.run(steps)[0]
        except StoreError as error:
            raise Unread(error.detail) from error

    def _ask(self, partitions: list[int], keys: Sequence[tuple[str, str]], numbers: Sequence[str]) -> Begun:
        column = arrays.int8s(partitions)
        steps: list[Step] = [BEGIN, (sql.LOCK, (column,))]
        if keys:
            steps.append((sql.FIND_KEYS, (*key_columns(keys), column)))
        if numbers:
            steps.append((sql.READ_CARDS, self._card_columns(numbers)))
        answers = iter(self._wire.run(steps)[1:])
        tokens: dict[int, int] = dict(next(answers))
        if len(tokens) != len(partitions):
            raise StoreError(f"partitions {sorted(set(partitions) - set(tokens))} are not there")
        found = by_key(next(answers)) if keys else {}
        cards = {row[0]: found_of(row) for row in next(answers)} if numbers else {}
        heads = self._take_over([number for number, token in tokens.items() if self._tokens.get(number) != token], tokens)
        return Begun(heads, found, cards)

    def _take_over(self, changed: list[int], tokens: dict[int, int]) -> dict[int, Head]:
        """Put our name on partitions that somebody else wrote last, and read where they end now."""
        self._disputed = bool(changed)
        if not changed:
            return {}
        column = arrays.int8s(changed)
        _, heads = self._wire.run([(sql.TAKE_OVER, (self._holder, column)), (sql.HEADS_OF, (column,))])
        for number in changed:
            self._tokens[number] = tokens[number] + 1
        self._taken = changed
        return {row[0]: head_of(row) for row in heads}

    def abandon(self) -> None:
        """End what `begin` began without writing. What was taken over in it stays ours: the caller was told where it ends."""
        if self._trusting and not self._steps:
            self._trusting = False
            return
        if self._connection.info.transaction_status != TransactionStatus.INTRANS:
            self._undo()
            return
        try:
            self._wire.run([COMMIT])
            self._taken = []
        except psycopg.Error:
            self._undo()

    def _undo(self) -> None:
        """After an error: forget what was taken over, and the connection too when it cannot be brought to rest."""
        for number in self._taken:
            self._tokens.pop(number, None)
        self._taken, self._steps, self._trusting = [], [], False
        self._launched.clear()
        self._number = self._known
        connection = self._connection
        if self._wire.busy or connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            try:
                self._wire.run([ROLLBACK])
            except psycopg.Error:  # of this, or of what was sent before it: what state the connection is in says which
                pass
        if connection.closed or connection.info.transaction_status != TransactionStatus.IDLE:
            connection.close()  # which ends its transaction
            try:
                self._open()
            except CardcoreError:  # the error that brought us here is the one to report; `begin` tries again
                pass

    # ------------------------------------------------------------ commit
    def feed(self, entries: Sequence[Entry], accounts: Sequence[AccountRow]) -> bool:
        """The server writes these while the caller goes on; whether it could is known at the commit."""
        part = Batch(list(entries), [], list(accounts), [])
        assert self._begun.issuperset(rows.partitions_of(part)), "a batch writes where it was begun"
        steps = [*self._lock(alone=False), *rows.columns_of(part)]
        self._steps += steps
        try:
            self._wire.send(steps)
        except (psycopg.Error, OSError) as error:
            raise self._failed(error) from error
        return True

    def single(self) -> None:
        """A batch of one is two round trips as it is."""

    def commit(self, batch: Batch) -> None:
        """Raises KeyTaken and Overtaken when nothing was written and it has to be decided again; any other StoreError means
        nothing was written, or it is unknown (F2)."""
        unasked: list[int] = []
        assert not self._launched, "a commit that is waited for follows what has landed"
        written = rows.columns_of(batch)
        steps = [*self._lock(), *written, COMMIT]
        if not self._trusting and self._connection.info.transaction_status == TransactionStatus.IDLE:
            self.begin(rows.partitions_of(batch), (), ())
            unasked = self._taken  # nobody was told what others wrote there: the next `begin` has to
        assert not written or self._begun.issuperset(rows.partitions_of(batch)), "a batch writes where it was begun"
        self._warnings.clear()
        try:
            self._write(steps)
        except (psycopg.Error, OSError) as error:
            raise self._failed(error) from error
        self._taken, self._steps, self._trusting = [], [], False
        self._known = self._number
        for number in unasked:
            self._tokens.pop(number, None)
        self._refuse_warned()

    def _refuse_warned(self) -> None:
        if self._warnings:
            # A wait for the synchronous standby that was cancelled is a warning and no error: written here, perhaps not there (O3, O4).
            raise StoreError(f"the outcome of a commit is unknown: {self._warnings[0]}")

    def _lock(self, *, alone: bool = True) -> list[Step]:
        """What has to come before the first write of a batch that was begun without a lock. `alone`: none is sent before it lands.

        Batches that are sent behind each other stand or fall in their order: the server keeps the number of the last one that it
        committed, which is rolled back with the rest of it, and one that does not find its predecessor's is an error.
        """
        if not self._trusting or self._steps:
            return []
        numbers = sorted(self._begun)
        column = arrays.int8s(numbers)
        hold: Step = (sql.HOLD, (column, column, arrays.int8s([self._tokens[number] for number in numbers])))
        if alone:
            return [BEGIN, hold]
        before, self._number = self._number, self._number + 1
        return [BEGIN, (sql.FOLLOW, (arrays.text(str(before)), arrays.text(str(self._number)))), hold]

    def launch(self, batch: Batch) -> None:
        assert self._trusting, "a batch that is not waited for has no locks before it is sent"
        written = rows.columns_of(batch)
        assert not written or self._begun.issuperset(rows.partitions_of(batch)), "a batch writes where it was begun"
        if not self._launched:
            self._warnings.clear()
        steps = [*self._lock(alone=False), *written, COMMIT]
        before = sum([flight.flushes for flight in self._launched])
        try:
            self._wire.send(steps)
        except (psycopg.Error, OSError) as error:
            raise self._failed(error) from error
        self._launched.append(_Flight(self._wire.flushes - before, self._number, perf_counter_ns()))
        self._steps, self._trusting = [], False

    def landed(self) -> bool:
        if not self._launched:
            return False
        try:
            return self._wire.arrived(self._launched[0].flushes)
        except psycopg.Error:  # which `land` meets as well
            return True

    def land(self) -> None:
        flight = self._launched.popleft()
        try:
            self._wire.take(flight.flushes)
        except _REPEAT as error:
            self._failed(error)
            raise Overtaken("the server rolled a batch back to let others pass") from error
        except (psycopg.Error, OSError) as error:
            raise self._failed(error) from error
        self._known = flight.number
        self.sync_ns = perf_counter_ns() - flight.sent_ns
        self._refuse_warned()

    def wait(self, other: int | None) -> bool:
        return self._wire.wait(other, self._ahead.wire)

    # ------------------------------------------------------------ read ahead
    def read_ahead(self, numbers: Sequence[str]) -> bool:
        return self._ahead.send(self._card_columns(numbers))

    def came(self) -> bool:
        return self._ahead.arrived()

    def read_on(self, partition: int, after: int, limit: int) -> list[Found]:
        assert not self._launched, "who reads on has nothing else to do"
        return [found_of(row) for row in self._rows(sql.READ_ON, (partition, after, limit))]

    def take_ahead(self) -> dict[str, Found]:
        return {row[0]: found_of(row) for row in self._ahead.take()}

    def _write(self, steps: list[Step]) -> None:
        """Run the last steps of a batch; what the server rolled back to let others pass is run again, whole. Raises psycopg.Error."""
        trusting, again = self._trusting, [*self._steps, *steps]
        for left in reversed(range(TRIES)):
            try:
                began = perf_counter_ns()
                self._wire.run(steps)
                self.sync_ns = perf_counter_ns() - began
                return
            except _REPEAT:
                if not left:
                    raise
                held = dict(self._tokens)
                self._undo()
                self._tokens = held
                # Begun without waiting, its steps lock by themselves; else the locks come first, and tell whether somebody else wrote.
                if not trusting and self.begin(self._begun, (), ()).heads:
                    raise  # decided in vain
                steps = again

    def _failed(self, error: BaseException) -> StoreError:
        """What an error at a commit means."""
        self._undo()
        self._disputed = True
        if isinstance(error, psycopg.errors.DivisionByZero):
            return Overtaken("somebody else wrote there meanwhile")
        if isinstance(error, psycopg.errors.UniqueViolation):
            if error.diag.constraint_name == "entry_client_key":
                return KeyTaken("a client key has its effect already")
            if error.diag.constraint_name == "medium_name":
                return Overtaken("somebody else registered a medium in another partition meanwhile")
        return StoreError(f"commit failed: {said(error)}")

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
        with errors("rebuild"), connection.transaction():
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
        self._close_aside()
        self._ahead.close()
        self._connection.close()
