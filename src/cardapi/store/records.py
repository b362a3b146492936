"""Records in SQLite: the row with its keys, and one index row for each key."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cardapi.store import statements as sql
from cardapi.store.port import Record

CHUNK = 1_000  # rows fetched at a time when all are read


def _record(row: tuple[Any, ...]) -> Record:
    kind, name, body, text, changed_at = row
    try:
        keys = tuple((index, value) for index, value in json.loads(text))
    except (ValueError, TypeError):  # damaged: `verify` shall find that it is another row
        keys = (("", text),)
    return Record(kind, name, body, keys, changed_at)


def read(connection: sqlite3.Connection, kind: str, ids: Sequence[str]) -> dict[str, Record]:
    """By id. Raises sqlite3.Error."""
    return {row[1]: _record(row) for row in connection.execute(sql.RECORDS, (kind, json.dumps(ids))).fetchall()}


def find(connection: sqlite3.Connection, asked: tuple[Any, ...]) -> list[Record]:
    """By key, as `Store.find_records`. Raises sqlite3.Error."""
    return [_record(row) for row in connection.execute(sql.FIND_RECORDS, asked).fetchall()]


def every(connection: sqlite3.Connection, kind: str | None, after: str) -> Iterator[Record]:
    """All, or all of a kind beyond an id; other statements may run between two rows."""
    cursor = connection.execute(sql.ALL_RECORDS) if kind is None else connection.execute(sql.RECORDS_OF, (kind, after))
    while rows := cursor.fetchmany(CHUNK):
        yield from map(_record, rows)


def write(connection: sqlite3.Connection, rows: Iterable[Record]) -> None:
    """Upsert rows and their keys in the open transaction. Raises sqlite3.Error."""
    for row in rows:
        name = (row.kind, row.id)
        old = connection.execute(sql.RECORD_KEYS, name).fetchone()
        before = {tuple(pair) for pair in json.loads(old[0])} if old else set()
        after = set(row.keys) if row.body else set()
        if before - after:
            connection.executemany(sql.DELETE_RECORD_KEY, [(row.kind, *pair, row.id) for pair in before - after])
        if not row.body:
            connection.execute(sql.DELETE_RECORD, name)
            continue
        connection.execute(sql.UPSERT_RECORD, (*name, row.body, json.dumps(row.keys), row.changed_at))
        if after - before:
            connection.executemany(sql.INSERT_RECORD_KEY, [(row.kind, *pair, row.id) for pair in sorted(after - before)])


def replace(connection: sqlite3.Connection, rows: Iterable[Record]) -> None:
    """Put these in the place of every record that is a projection of the journal. Raises sqlite3.Error."""
    stale = [_record(row) for row in connection.execute(sql.JOURNALED_RECORDS).fetchall()]
    write(connection, (Record(row.kind, row.id, b"") for row in stale))
    write(connection, rows)


def stray_keys(connection: sqlite3.Connection) -> list[str]:
    """Where the index rows are not those the records name. Raises sqlite3.Error."""
    named = connection.execute(sql.RECORD_KEY_DIFFERENCES).fetchall()
    return [f"table record_key: {kind} {name} is not indexed as the record says" for kind, name in named]
