"""A batch as columns: what each statement of `postgres_sql` takes, and which partitions it writes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from cardapi.store import postgres_arrays as arrays
from cardapi.store import postgres_clearing as clearing
from cardapi.store import postgres_records as records
from cardapi.store import postgres_sql as sql
from cardapi.store.port import AccountRow, Batch, CardRow, MediumRow, StoreError

PART = 1_000  # rows of one statement when a whole table is written
_astuple = msgspec.structs.astuple


def partitions_of(batch: Batch) -> list[int]:
    """The partitions whose rows a batch writes, in order."""
    numbers = {entry.partition for entry in batch.entries} | {row.account_id >> 40 for row in batch.accounts}
    numbers |= {row.account_id >> 40 for row in batch.cards} | {row.account_id >> 40 for row in batch.media}
    if batch.documents or batch.records or batch.cleared or batch.uncleared:
        numbers.add(0)
    return sorted(numbers or {0})


_INTEGERS = {
    "partition", "position", "at_us", "account_id", "ref", "prior", "liability_fen", "state_from", "valid_until", "flags", "pin_tries",
    "changed_at", "purse", "online_counter", "offline_counter", "balance_fen", "in_flight",
}  # fmt: skip
_BYTES = {"fingerprint", "further", "body", "mac", "pin_value", "keys"}


def kinds(fields: Sequence[str]) -> list[Callable[[Any], bytes]]:
    """The kind of column of each field of a row."""
    return [arrays.int8s if name in _INTEGERS else arrays.byteas if name in _BYTES else arrays.texts for name in fields]


CARD_KINDS = kinds(CardRow.__struct_fields__)
MEDIUM_KINDS = kinds(MediumRow.__struct_fields__)


def columns_of(batch: Batch) -> list[tuple[str, Sequence[Any]]]:
    """The statements that write a batch, each with its parameters. Raises StoreError for what no column takes."""
    columns: list[tuple[str, Sequence[Any]]] = []
    try:
        if batch.entries:
            columns.append((sql.INSERT_ENTRIES, [arrays.entries(batch.entries)]))
        if batch.accounts:
            columns.append((sql.UPSERT_ACCOUNTS, account_columns(batch.accounts)))
        if batch.cards:
            columns.append((sql.UPSERT_CARDS, row_columns(batch.cards, CARD_KINDS)))
        if batch.media:
            columns.append((sql.UPSERT_MEDIA, row_columns(batch.media, MEDIUM_KINDS)))
        columns += clearing.steps(batch.uncleared, batch.cleared)
        if gone := [row for row in batch.documents if not row[2]]:
            columns.append((sql.DELETE_DOCUMENTS, document_columns(gone)[:2]))
        if put := [row for row in batch.documents if row[2]]:
            columns.append((sql.UPSERT_DOCUMENTS, document_columns(put)))
        columns += records.steps(batch.records)
    except (ValueError, TypeError, OverflowError, struct.error) as error:
        raise StoreError(f"a row cannot be written: {error}") from error
    return columns


def account_columns(rows: Sequence[AccountRow]) -> list[Any]:
    """Parameters of UPSERT_ACCOUNTS."""
    ids = [row.account_id for row in rows]
    return [
        arrays.int8s([account_id >> 40 for account_id in ids]), arrays.int8s(ids), arrays.byteas([row.state for row in rows]),
        arrays.int8s([row.changed_at for row in rows]),
    ]  # fmt: skip


def row_columns(rows: Sequence[CardRow] | Sequence[MediumRow], kinds: Sequence[Callable[[Any], bytes]]) -> list[Any]:
    """Rows that belong to an account, with its partition in front."""
    columns = zip(*map(_astuple, rows), strict=True)
    partitions = arrays.int8s([row.account_id >> 40 for row in rows])
    return [partitions, *(kind(column) for kind, column in zip(kinds, columns, strict=True))]


def document_columns(rows: Sequence[tuple[str, str, bytes]]) -> list[Any]:
    """Parameters of UPSERT_DOCUMENTS."""
    return [arrays.texts([row[0] for row in rows]), arrays.texts([row[1] for row in rows]), arrays.byteas([row[2] for row in rows])]


def parts(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """Some rows at a time."""
    part: list[Any] = []
    for row in rows:
        part.append(row)
        if len(part) == PART:
            yield part
            part = []
    if part:
        yield part
