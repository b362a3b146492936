"""The embedded store: SQLite in WAL mode, synchronous FULL, one writer (S).

The thread that commits uses the writing connection; `reader()` opens a read-only one for another thread. The write-ahead
log is copied back into the database by a thread of its own, so no commit waits for it.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from cardapi.store import direct, log, records, schema
from cardapi.store import statements as sql
from cardapi.store.chain import unpack_further
from cardapi.store.port import AccountRow, Batch, Begun, CardRow, Entry, Found, Head, MediumRow, Record, StoreError, asked_records, found_of
from cardapi.store.rows import Direct, Failed, Insert, Plain, Rows, Step
from cardcore.clearing.blocked import Blocked
from cardcore.clearing.body import Row as Cleared

POSITION_MASK = (1 << 48) - 1
CHUNK = 1_000  # rows fetched at a time when the journal is read through
STATEMENTS_KEPT = 512  # prepared statements: an insert has one for each count of rows

_astuple = msgspec.structs.astuple
ENTRIES = Insert(sql.INSERT_ENTRIES, len(Entry.__struct_fields__), first="? << 48 | ?")  # the id: partition and position
ACCOUNTS = Insert(sql.UPSERT_ACCOUNTS, 3, sql.UPSERT_ACCOUNTS_END)
CARDS = Insert(sql.UPSERT_CARDS, len(sql.CARD_COLUMNS.split(", ")))
MEDIA = Insert(sql.UPSERT_MEDIA, len(sql.MEDIUM_COLUMNS.split(", ")))
CLEARED = Insert(sql.UPSERT_CLEARED, len(sql.CLEARED_COLUMNS.split(", ")))
DOCUMENTS = Insert(sql.UPSERT_DOCUMENTS, 3)

# What is only read is mapped, as far as SQLite maps. Its own cache holds what was written lately, and each split of a page makes it
# go through all of that (a search for pages beyond the file's end), so it is small; within a transaction it may grow.
SETTINGS: tuple[str, ...] = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = FULL",
    "PRAGMA mmap_size = 2147418112",  # bytes
    "PRAGMA cache_size = -8192",  # KiB
    "PRAGMA cache_spill = 16384",  # pages: 64 MB
    "PRAGMA temp_store = MEMORY",
)
LOG_SETTING = f"PRAGMA wal_autocheckpoint = {log.PAGES_MAX}"


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """One connection with the settings every connection needs; transactions are explicit."""
    uri = path.absolute().as_uri() + ("?mode=ro" if read_only else "")
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS_KEPT, timeout=10
    )
    for setting in SETTINGS:
        connection.execute(setting)
    return connection


def create(path: Path, partitions: int | dict[int, bytes] = 1) -> None:
    """Make an empty database with its partitions: how many, or number -> genesis for a journal that is copied here.

    Raises StoreError when there is a file already.
    """
    if isinstance(partitions, int):
        partitions = {number: secrets.token_bytes(16) for number in range(partitions)}
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError as error:
        raise StoreError(f"{path} exists already") from error
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    schema.upgrade(path)
    connection = connect(path)
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(sql.INSERT_PARTITION, list(partitions.items()))
    connection.execute("COMMIT")
    connection.close()


def _entry(row: tuple[Any, ...]) -> Entry:
    return Entry(row[0] >> 48, row[0] & POSITION_MASK, *row[1:])


class SqliteStore:
    """Implements `cardapi.store.port.Store`."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open and migrate (unless read-only). Raises StoreError, SchemaError."""
        self.path = path
        self._read_only = read_only
        if not path.is_file():
            raise StoreError(f"there is no database at {path}")
        try:
            self._connection = connect(path, read_only=read_only)
            found = schema.current(self._connection)
            if found != schema.HEAD:
                if read_only:
                    raise schema.SchemaError(f"{path} is at schema {found or 'none'}, this release needs {schema.HEAD}")
                self._connection.close()
                schema.upgrade(path)
                self._connection = connect(path)
            if not read_only:
                self._connection.execute(LOG_SETTING)
                mode = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                if mode != "wal":
                    raise StoreError(f"{path} cannot use a write-ahead log (journal mode {mode})")
            alone = read_only or not direct.available
            self._rows: Rows = Plain(self._connection) if alone else Direct(path, (*SETTINGS, LOG_SETTING))
        except Failed as error:
            raise StoreError(f"cannot open {path}: {error}") from error
        self._keeper: log.LogKeeper | None = None
        self._begun = False  # a transaction of `begin` is open
        self._fed = 0  # entries that it has already

    @property
    def sync_ns(self) -> int:
        return self._rows.sync_ns

    # ------------------------------------------------------------ reads
    def reader(self) -> SqliteStore:
        return SqliteStore(self.path, read_only=True)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """One deferred read transaction; for a `reader()`, never for the writer's connection."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def partitions(self) -> dict[int, bytes]:
        return dict(self._connection.execute(sql.PARTITIONS).fetchall())

    def heads(self) -> list[Head]:
        heads = []
        for number in self.partitions():
            row = self._connection.execute(sql.LAST_ENTRY, (number << 48, number << 48 | POSITION_MASK)).fetchone()
            entry = _entry(row) if row else None
            if entry:
                heads.append(Head(number, entry.position, entry.mac, entry.liability_fen, entry.at_us))
            else:
                heads.append(Head(number, 0, b"", 0, 0))
        return heads

    def find_keys(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Entry]:
        return {(row[7], row[8]): _entry(row) for row in self._rows.find_keys(keys)}

    def read(self, numbers: Sequence[str]) -> dict[str, Found]:
        return {one.card.number: one for one in self._rows.read_cards(numbers)}

    def read_accounts(self, account_ids: Sequence[int]) -> dict[int, Found]:
        rows = [row for account_id in account_ids for row in self._connection.execute(sql.READ_ACCOUNT, (account_id,))]
        return {row[1]: found_of(row) for row in rows}

    def read_media(self, media: Sequence[str]) -> dict[str, MediumRow]:
        return {row.medium: row for row in self._rows.read_media(media)}

    def media_of(self, account_id: int) -> list[MediumRow]:
        return [MediumRow(*row) for row in self._connection.execute(sql.MEDIA_OF, (account_id,))]

    def in_flight(self, after: int, limit: int) -> list[MediumRow]:
        return [MediumRow(*row) for row in self._connection.execute(sql.IN_FLIGHT, (after, limit))]

    def blocked(self) -> list[Blocked]:
        return [Blocked(*row) for row in self._connection.execute(sql.BLOCKED)]

    def read_cleared(self, keys: Sequence[bytes]) -> dict[bytes, Cleared]:
        return {row[0]: Cleared._make(row) for row in self._rows.read_cleared(keys)}

    def entry(self, partition: int, position: int) -> Entry | None:
        if not (0 <= partition < 256 and 0 < position <= POSITION_MASK):
            return None
        row = self._connection.execute(sql.ENTRY_BY_ID, (partition << 48 | position,)).fetchone()
        return _entry(row) if row else None

    def followers(self, partition: int, position: int) -> list[Entry]:
        bounds = (position, partition << 48, partition << 48 | POSITION_MASK)
        return [_entry(row) for row in self._connection.execute(sql.FOLLOWERS, bounds)]

    def journal(self, partition: int, after: int = 0, upto: int | None = None) -> Iterator[Entry]:
        low, high = partition << 48 | after, partition << 48 | (POSITION_MASK if upto is None else upto)
        while rows := self._connection.execute(sql.JOURNAL, (low, high, CHUNK)).fetchall():
            yield from map(_entry, rows)
            low = rows[-1][0]

    def statement(self, account_id: int, before: int | None, limit: int) -> list[Entry]:
        partition = account_id >> 40
        entries: list[Entry] = []
        if before is None:
            row = self._connection.execute("SELECT changed_at FROM account WHERE account_id = ?", (account_id,)).fetchone()
            position = row[0] if row else 0
        else:
            position = self._prior(account_id, self.entry(partition, before))
        while position and len(entries) < limit:
            entry = self.entry(partition, position)
            if entry is None:
                raise StoreError(f"account {account_id} names entry {position}, which is not there")
            entries.append(entry)
            position = self._prior(account_id, entry)
        return entries

    @staticmethod
    def _prior(account_id: int, entry: Entry | None) -> int:
        if entry is None:
            return 0
        if entry.account_id == account_id:
            return entry.prior
        return dict(unpack_further(entry.further)).get(account_id, 0)

    def documents(self, kind: str | None = None) -> Iterable[tuple[str, str, bytes]]:
        if kind is None:
            return self._connection.execute(sql.DOCUMENTS).fetchall()
        return self._connection.execute(sql.DOCUMENTS_OF, (kind,)).fetchall()

    def records(self, kind: str, ids: Sequence[str]) -> dict[str, Record]:
        return records.read(self._connection, kind, ids)

    def find_records(
        self, kind: str, index: str, low: str, high: str | None = None, *, after: tuple[str, str] = ("", ""), limit: int = 100
    ) -> list[Record]:
        return records.find(self._connection, asked_records(kind, index, low, high, after, limit))

    def all_records(self, kind: str | None = None, after: str = "") -> Iterator[Record]:
        return records.every(self._connection, kind, after)

    def cards(self) -> Iterator[CardRow]:
        for row in self._connection.execute(sql.CARDS):
            yield CardRow(*row)

    def accounts(self) -> Iterator[AccountRow]:
        """A page at a time, for jobs that write meanwhile: a statement that stays open keeps the log from being begun anew."""
        after = -1
        while rows := self._connection.execute(sql.ACCOUNTS, (after, records.CHUNK)).fetchall():
            yield from (AccountRow(*row) for row in rows)
            after = rows[-1][0]

    def media(self) -> Iterator[MediumRow]:
        for row in self._connection.execute(sql.MEDIA):
            yield MediumRow(*row)

    def cleared(self, after: bytes = b"") -> Iterator[Cleared]:
        return map(Cleared._make, self._connection.execute(sql.CLEARED, (after,)))

    def cleared_by_card(self, after: bytes = b"") -> Iterator[Cleared]:
        return map(Cleared._make, self._connection.execute(sql.CLEARED_BY_CARD, (after,)))

    def cleared_at(self, places: Sequence[tuple[bytes, int]]) -> list[Cleared]:
        return [Cleared._make(row) for place in places for row in self._connection.execute(sql.CLEARED_AT, place)]

    def next_account_number(self, partition: int) -> int:
        low = partition << 40
        last = self._connection.execute(sql.LAST_ACCOUNT, (low, low | (1 << 40) - 1)).fetchone()[0]
        return 1 if last is None else (last & (1 << 40) - 1) + 1

    def counts(self) -> dict[str, int]:
        tables = {
            "entries": "entry", "cards": "card", "accounts": "account", "documents": "document", "media": "medium", "records": "record",
        }  # fmt: skip
        return {name: self._connection.execute(sql.COUNT[table]).fetchone()[0] for name, table in tables.items()}

    def check(self) -> list[str]:
        try:
            found = [row[0] for row in self._connection.execute("PRAGMA integrity_check(10)") if row[0] != "ok"]
            found += [f"table {row[0]}: row {row[1]} refers to no {row[2]}" for row in self._connection.execute("PRAGMA foreign_key_check")]
            found += [f"table entry: partition {row[0]} is not known" for row in self._connection.execute(sql.STRAYS)]
            found += records.stray_keys(self._connection)
            if schema.current(self._connection) != schema.HEAD:
                found.append("table alembic_version: not the schema of this release")
        except sqlite3.Error as error:
            found = [str(error)]
        return found

    # ------------------------------------------------------------ writes
    def begin(
        self, partitions: Collection[int], keys: Sequence[tuple[str, str]], numbers: Sequence[str], *, trusting: bool = False
    ) -> Begun:
        """Nobody else writes: the data directory is locked. So nothing is stale, and keys are found wherever they are.

        Raises StoreError; then nothing is begun.
        """
        try:
            self._tend()
            self._begun = True  # before it is: `abandon` ends it, whatever is raised from here on
            rows, cards = self._rows.begin(keys, numbers)
        except (*Failed, OSError) as error:
            raise StoreError(f"cannot begin: {error}") from error
        known = {(row[7], row[8]): _entry(row) for row in rows} if rows else {}
        return Begun({}, known, {one.card.number: one for one in cards} if cards else {})

    def feed(self, entries: Sequence[Entry], accounts: Sequence[AccountRow]) -> bool:
        try:
            taken = self._rows.feed([(ENTRIES, entries), (ACCOUNTS, accounts)])
        except Failed as error:
            raise StoreError(f"cannot write: {error}") from error
        if taken:
            self._fed += len(entries)
        return taken

    def abandon(self) -> None:
        if self._begun:
            self._begun = False
            self._fed = 0
            try:
                self._rows.abandon()
            except Failed as error:
                raise StoreError(f"cannot end: {error}") from error

    def commit(self, batch: Batch) -> None:
        """Raises StoreError; then nothing was written, or it is unknown (F2)."""
        steps: list[Step] = [(ENTRIES, batch.entries), (ACCOUNTS, batch.accounts)]
        if batch.cards:
            steps.append((CARDS, batch.cards))
        if batch.media:
            steps.append((MEDIA, batch.media))
        if batch.cleared or batch.uncleared:
            steps += [(sql.DELETE_CLEARED, [(key,) for key in batch.uncleared]), (CLEARED, list(map(tuple, batch.cleared)))]
        if batch.documents:
            steps.append((DOCUMENTS, [row for row in batch.documents if row[2]]))
            steps.append((sql.DELETE_DOCUMENT, [row[:2] for row in batch.documents if not row[2]]))
        try:
            if not self._begun:
                self._tend()
            if batch.records:
                steps += records.steps(self._connection, batch.records)
            self._rows.write(steps)
        except (*Failed, OSError) as error:
            raise StoreError(f"commit failed: {error}") from error
        written, self._fed = self._fed + len(batch.entries), 0
        self._begun = False
        pages = 2 + 2 * written + 4 * len(batch.records)
        if batch.cleared:
            # One entry changes many accounts. Its records lie beside each other: about 290 octets a row, its key and its part of the body.
            pages += len(batch.accounts) + len(batch.cleared) // 14
        self._count(pages)

    def single(self) -> direct.Single | None:
        rows = self._rows
        return rows.single(ENTRIES, ACCOUNTS, self._told) if isinstance(rows, Direct) else None

    def _told(self, pages: int, commits: int) -> None:
        """So many commits of so many pages came by `single`. Raises StoreError."""
        try:
            self._count(pages, commits)
            self._tend()
        except (*Failed, OSError) as error:
            raise StoreError(f"cannot begin: {error}") from error

    def _count(self, pages: int, commits: int = 1) -> None:
        """So many commits of about so many pages are durable."""
        if self._keeper is None:
            self._keeper = log.LogKeeper(self.path, lambda: connect(self.path))
        self._keeper.committed(pages, commits)

    def _tend(self) -> None:
        """What the log asks for, while no transaction is open."""
        if self._keeper is not None:
            self._keeper.tend(self._connection)

    def rebuild(
        self,
        cards: Iterable[CardRow],
        accounts: Iterable[AccountRow],
        documents: Iterable[tuple[str, str, bytes]],
        media: Iterable[MediumRow] = (),
        journaled: Iterable[Record] = (),
        cleared: Iterable[Cleared] = (),
    ) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for statement in sql.DELETE_PROJECTIONS:
                connection.execute(statement)
            connection.executemany(ACCOUNTS.one, map(_astuple, accounts))
            connection.executemany(CARDS.one, map(_astuple, cards))
            connection.executemany(DOCUMENTS.one, documents)
            connection.executemany(MEDIA.one, map(_astuple, media))
            connection.executemany(CLEARED.one, cleared)
            for statement, rows in records.replacing(connection, journaled):
                connection.executemany(statement, rows)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise StoreError(f"rebuild failed: {error}") from error

    def close(self) -> None:
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        self._rows.close()
        self._connection.close()
