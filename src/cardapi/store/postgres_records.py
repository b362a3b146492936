"""Records in PostgreSQL: the row with its keys, and one index row for each key. All in the registry's partition."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from cardapi.store import postgres_arrays as arrays
from cardapi.store.port import Record

COLUMNS = "kind, id, body, keys, changed_at"
BY_ID = f"SELECT {COLUMNS} FROM record WHERE partition = 0 AND kind = %s AND id = any(%b)"  # noqa: S608
# OFFSET keeps the planner from reading a whole kind, which it does where it has no statistics and takes a table for empty.
FIND = (
    "SELECT r.kind, r.id, r.body, r.keys, r.changed_at FROM record_key k "
    "CROSS JOIN LATERAL (SELECT * FROM record o WHERE o.partition = 0 AND o.kind = k.kind AND o.id = k.id OFFSET 0) r "
    "WHERE k.partition = 0 AND k.kind = %s AND k.name = %s AND (k.value, k.id) > (%s, %s) AND k.value <= %s "
    "ORDER BY k.value, k.id LIMIT %s"
)
ALL = f"SELECT {COLUMNS} FROM record ORDER BY kind, id"  # noqa: S608
OF_KIND = f"SELECT {COLUMNS} FROM record WHERE partition = 0 AND kind = %s AND id > %s ORDER BY id"  # noqa: S608
_DELETE_KEYS = (
    "DELETE FROM record_key k USING unnest(%b, %b) o (kind, id) WHERE k.partition = 0 AND k.kind = o.kind AND k.id = o.id"
)
_DELETE = "DELETE FROM record r USING unnest(%b, %b) o (kind, id) WHERE r.partition = 0 AND r.kind = o.kind AND r.id = o.id"
_UPSERT = (
    "INSERT INTO record (partition, kind, id, body, keys, changed_at) SELECT 0, * FROM unnest(%b, %b, %b, %b, %b) "
    "ON CONFLICT (partition, kind, id) DO UPDATE SET body = excluded.body, keys = excluded.keys, changed_at = excluded.changed_at"
)
_INSERT_KEYS = "INSERT INTO record_key (partition, kind, name, value, id) SELECT 0, * FROM unnest(%b, %b, %b, %b)"
# What is a projection of the journal, before it is made again.
DELETE_JOURNALED = (
    "DELETE FROM record_key WHERE partition = 0 AND (kind, id) IN (SELECT kind, id FROM record WHERE partition = 0 AND changed_at > 0)",
    "DELETE FROM record WHERE partition = 0 AND changed_at > 0",
)
_NAMED = "SELECT r.kind, j ->> 0 AS name, j ->> 1 AS value, r.id FROM record r, jsonb_array_elements(r.keys::jsonb) j"
_KEPT = "SELECT kind, name, value, id FROM record_key"
STRAYS = (
    f"SELECT DISTINCT kind || ' ' || id FROM (({_NAMED} EXCEPT {_KEPT}) UNION ALL ({_KEPT} EXCEPT {_NAMED})) d LIMIT 10"  # noqa: S608
)


def steps(rows: Iterable[Record]) -> list[tuple[str, Sequence[Any]]]:
    """The statements that upsert records and their keys, or take them away, each with its parameters."""
    last = {(row.kind, row.id): row for row in rows}
    if not last:
        return []
    put = [row for row in last.values() if row.body]
    gone = [name for name, row in last.items() if not row.body]
    found: list[tuple[str, Sequence[Any]]] = [(_DELETE_KEYS, _names(list(last)))]
    if gone:
        found.append((_DELETE, _names(gone)))
    if put:
        bodies, keys = arrays.byteas([row.body for row in put]), arrays.texts([json.dumps(row.keys) for row in put])
        found.append((_UPSERT, [*_names([(row.kind, row.id) for row in put]), bodies, keys, arrays.int8s([row.changed_at for row in put])]))
        pairs = [(row.kind, index, value, row.id) for row in put for index, value in sorted(set(row.keys))]
        if pairs:
            found.append((_INSERT_KEYS, [arrays.texts(column) for column in zip(*pairs, strict=True)]))
    return found


def _names(names: Sequence[tuple[str, str]]) -> list[Any]:
    return [arrays.texts([kind for kind, _ in names]), arrays.texts([name for _, name in names])]
