"""Off-line purchases in PostgreSQL. They stand in the registry's partition, as the entries that clear them do."""
# ruff: noqa: S608  (put together from constants of this file; values are always bound)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cardapi.store import postgres_arrays as arrays
from cardcore.clearing.body import Row

COLUMNS = "key, card, digest, outcome, account_id, amount_fen, balance_fen, counter, at, entry, place"
UPSERT = (
    f"INSERT INTO clearing_record (partition, {COLUMNS}) SELECT 0, * FROM unnest({', '.join(['%b'] * 11)}) "
    "ON CONFLICT (partition, key) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS.split(", ")[1:])
)
DELETE = "DELETE FROM clearing_record WHERE partition = 0 AND key = any(%b)"
BY_KEY = f"SELECT {COLUMNS} FROM clearing_record WHERE partition = 0 AND key = any(%b)"
AT = (
    f"SELECT {', '.join('c.' + name for name in COLUMNS.split(', '))} FROM unnest(%b, %b) p (card, counter) JOIN clearing_record c "
    "ON c.partition = 0 AND c.card = p.card AND c.counter = p.counter AND length(c.card) = 17 AND substr(c.card, 17) = '\\x00'::bytea"
)
ALL = f"SELECT {COLUMNS} FROM clearing_record WHERE partition = 0 AND key > %s ORDER BY key"
BY_CARD = f"SELECT {COLUMNS} FROM clearing_record WHERE partition = 0 AND card > %s ORDER BY card, counter, key"


def columns(rows: Sequence[Row]) -> list[Any]:
    """Rows as the parameters of UPSERT."""
    whole = list(zip(*rows, strict=True))
    return [*map(arrays.byteas, whole[:3]), *map(arrays.int8s, whole[3:])]


def steps(gone: Sequence[bytes], rows: Sequence[Row]) -> list[tuple[str, Sequence[Any]]]:
    """The statements that take rows away and write others, each with its parameters."""
    out: list[tuple[str, Sequence[Any]]] = [(DELETE, [arrays.byteas(gone)])] if gone else []
    return [*out, (UPSERT, columns(rows))] if rows else out
