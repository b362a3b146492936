"""Export of the journal: one line for each side of a posting, so that anybody's spreadsheet can add it up to zero."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from cardapi.ids import ticket_id
from cardapi.reports.figures import Ledger, Progress, cleared, journal, settled, whole
from cardapi.store.port import Entry
from cardcore.clearing.body import Cleared

FIELDS = ("position", "time", "account", "unit", "amount", "reference", "partition", "ticket_id", "verb", "terminal")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_text(at_us: int) -> str:
    """Microseconds since 1970 as RFC 3339 in UTC, exactly (no float on the way)."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds")


def account_text(kind: str, account_id: int) -> str:
    """`sales`, `outside` ... for the shop's own accounts, `customer:17` for the customer's account 17."""
    return f"{kind}:{account_id}" if account_id else kind


def export_entry(entry: Entry) -> Iterator[dict[str, Any]]:
    """The lines of one entry: value leaves the source (negative) and arrives at the target; they sum to 0 per unit."""
    batch = cleared(entry)
    if batch is not None:
        yield from _export_cleared(entry, batch)
        return
    done = settled(entry)
    if done is None:
        return
    shared = {
        "partition": entry.partition,
        "ticket_id": ticket_id(entry.partition, entry.position),
        "verb": entry.verb,
        "terminal": entry.terminal,
    }
    head = {"position": entry.position, "time": time_text(entry.at_us)}
    reference = f"{entry.client}/{entry.client_key}"
    for posting in done.postings():
        for kind, account_id, amount in (
            (posting.source, posting.source_account, -posting.amount),
            (posting.target, posting.target_account, posting.amount),
        ):
            yield {
                **head,
                "account": account_text(kind, account_id),
                "unit": posting.unit,
                "amount": amount,
                "reference": reference,
                **shared,
            }


def _export_cleared(entry: Entry, batch: Cleared) -> Iterator[dict[str, Any]]:
    """Two lines for each purchase that was posted: what left the card, and the sale of the terminal that it pays."""
    accounts, payees, amounts = batch.account_ids().tolist(), batch.payee_index().tolist(), batch.amounts().tolist()
    for place in np.flatnonzero(batch.accepted()).tolist():
        for account, amount in ((account_text("on_card", accounts[place]), -amounts[place]), ("sales", amounts[place])):
            yield {
                "position": entry.position, "time": time_text(entry.at_us), "account": account, "unit": "fen", "amount": amount,
                "reference": f"{entry.client}/{entry.client_key}", "partition": entry.partition,
                "ticket_id": ticket_id(entry.partition, entry.position), "verb": entry.verb, "terminal": batch.tills[payees[place]][1],
            }  # fmt: skip


def export_rows(
    store: Ledger, *, after: int = 0, upto: int | None = None, partition: int | None = None, progress: Progress | None = None
) -> Iterator[dict[str, Any]]:
    """Lines of the whole journal, or of positions (after, upto] of each or one partition."""
    ranges = [
        (number, after, head if upto is None else min(upto, head))
        for number, _, head in whole(store.heads())
        if partition is None or number == partition
    ]
    for entry in journal(store, ranges, progress):
        yield from export_entry(entry)


def export_lines(store: Ledger, form: str = "json", **bounds: Any) -> Iterator[str]:
    """`export_rows` as text lines without line ends: JSON lines, or CSV with a heading."""
    if form == "csv":
        yield ",".join(FIELDS)
        for row in export_rows(store, **bounds):
            yield _csv_line([row[name] for name in FIELDS])
        return
    encode = msgspec.json.Encoder().encode
    for row in export_rows(store, **bounds):
        yield encode(row).decode()


def _csv_line(values: list[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue()
