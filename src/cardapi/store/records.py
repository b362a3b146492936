"""Records in SQLite: the row with its keys, and one index row for each key."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cardapi.store import statements as sql
from cardapi.store.port import Record, record_of

CHUNK = 1_000  # rows fetched at a time when all are read


def read(connection: sqlite3.Connection, kind: str, ids: Sequence[str]) -> dict[str, Record]:
    """By id. Raises sqlite3.Error."""
    return {row[1]: record_of(row) for row in connection.execute(sql.RECORDS, (kind, json.dumps(ids))).fetchall()}


def find(connection: sqlite3.Connection, asked: tuple[Any, ...]) -> list[Record]:
    """By key, as `Store.find_records`. Raises sqlite3.Error."""
    return [record_of(row) for row in connection.execute(sql.FIND_RECORDS, asked).fetchall()]


def every(connection: sqlite3.Connection, kind: str | None, after: str) -> Iterator[Record]:
    """All, or all of a kind beyond an id; other statements may run between two rows, and those of a kind keep no statement open."""
    if kind is None:
        yield from map(record_of, connection.execute(sql.ALL_RECORDS))
        return
    size = 1  # who only asks whether there is one does not read a thousand
    while rows := connection.execute(sql.RECORDS_OF, (kind, after, size)).fetchall():
        yield from map(record_of, rows)
        after, size = rows[-1][1], CHUNK


def steps(connection: sqlite3.Connection, rows: Iterable[Record]) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """The statements that upsert rows and their keys, each with its parameters. Raises sqlite3.Error.

    The keys as they are now are read here, before the transaction: nobody else writes.
    """
    gone_keys, gone, put, put_keys = [], [], [], []
    for (kind, name), row in {(row.kind, row.id): row for row in rows}.items():
        old = connection.execute(sql.RECORD_KEYS, (kind, name)).fetchone()
        before = {tuple(pair) for pair in json.loads(old[0])} if old else set()
        after = set(row.keys) if row.body else set()
        gone_keys += [(kind, *pair, name) for pair in before - after]
        put_keys += [(kind, *pair, name) for pair in sorted(after - before)]
        if row.body:
            put.append((kind, name, row.body, json.dumps(row.keys), row.changed_at))
        elif old:
            gone.append((kind, name))
    return [(sql.DELETE_RECORD_KEY, gone_keys), (sql.DELETE_RECORD, gone), (sql.UPSERT_RECORD, put), (sql.INSERT_RECORD_KEY, put_keys)]


def replacing(connection: sqlite3.Connection, rows: Iterable[Record]) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """The statements that put these in the place of every record that is a projection of the journal. Raises sqlite3.Error."""
    stale = [record_of(row) for row in connection.execute(sql.JOURNALED_RECORDS).fetchall()]
    rows = list(rows)
    return [
        (sql.DELETE_RECORD_KEY, [(row.kind, *pair, row.id) for row in stale for pair in row.keys]),
        (sql.DELETE_RECORD, [(row.kind, row.id) for row in stale]),
        (sql.UPSERT_RECORD, [(row.kind, row.id, row.body, json.dumps(row.keys), row.changed_at) for row in rows]),
        (sql.INSERT_RECORD_KEY, [(row.kind, *pair, row.id) for row in rows for pair in row.keys]),
    ]


def stray_keys(connection: sqlite3.Connection) -> list[str]:
    """Where the index rows are not those the records name. Raises sqlite3.Error."""
    named = connection.execute(sql.RECORD_KEY_DIFFERENCES).fetchall()
    return [f"table record_key: {kind} {name} is not indexed as the record says" for kind, name in named]
