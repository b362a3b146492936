"""The books: close a day, trial balance, verify, rebuild, export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Operator, Token, Url
from cardapi.cli.service import reach
from cardapi.cli.show import Mistake, emit_json, note, progress, say, table, yuan

if TYPE_CHECKING:
    from cardapi.app import Shop

Z_COLUMNS = {
    "tickets": "tickets", "gross_fen": "gross", "discount_fen": "discount", "coupon_fen": "coupons", "covered_fen": "covered",
    "net_fen": "net", "principal_fen": "principal", "bonus_fen": "bonus", "points_fen": "points", "outside_fen": "outside",
    "refund_fen": "refunds", "topup_fen": "top-ups", "fees_fen": "fees", "refused": "refused",
}  # fmt: skip


@contextmanager
def beside(data: Path) -> Iterator[Shop]:
    """The shop read-only: works beside a running service and changes nothing."""
    from cardapi.app import open_shop

    with open_shop(data, read_only=True) as shop:
        yield shop


def entries_of(shop: Shop) -> int:
    """How long the journal is, for progress bars."""
    return sum(head.position for head in shop.store.heads())


# ---------------------------------------------------------------- close
def close(
    day: Annotated[str, typer.Option("--day", help="The day to close, as 2026-11-22; today when left out.")] = "",
    offset: Annotated[str, typer.Option("--utc-offset", help="The books' offset from UTC.")] = "+08:00",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Close a day: the Z report per store and terminal.

    A close covers a range of the journal that starts where the close before it ended. Closing the same day again gives the
    same report. What happens after the close of a day belongs to the next close.

    Example: cardcore close --day 2026-11-22
    """
    chosen = day or today(offset)
    with reach(data, url=url, token=token, operator=operator) as service:
        report = service.do("closeDay", {"day": chosen, "utc_offset": offset})
    if as_json:
        emit_json(report)
        return
    say(f"Z report no. {report['number']} of {report['day']}, closed at {report['closed_at']}")
    for span in report["ranges"]:
        say(f"  journal partition {span['partition']}: positions {span['after'] + 1} to {span['upto']}")
    before, change, after = report["liability_before_fen"], report["total"]["liability_delta_fen"], report["liability_after_fen"]
    wrong = "" if report["ok"] else "  DOES NOT ADD UP"
    say(f"  customers' money: {yuan(before)} before, {yuan(change)} change, {yuan(after)} after{wrong}")
    _figures("Terminals", ["unit", "terminal"], report["terminals"])
    _figures("Stores", ["unit"], report["stores"])
    _figures("Total", [], [report["total"]])
    drawers = [
        (row["unit"], row["terminal"], tender, yuan(fen)) for row in report["terminals"] for tender, fen in row["drawer_fen"].items()
    ]
    if drawers:
        table("Taken from customers, less given back", ["unit", "terminal", "tender", "amount"], drawers, right=["amount"])
    if not report["ok"]:
        raise typer.Exit(1)


def today(offset: str) -> str:
    """Today's date at an offset such as +08:00. Raises Mistake."""
    sign = {"+": 1, "-": -1}.get(offset[:1])
    hours, _, minutes = offset[1:].partition(":")
    if sign is None or not (len(offset) == 6 and hours.isdigit() and minutes.isdigit()):
        raise Mistake("bad_offset", f"{offset!r} is not an offset such as +08:00")
    zone = timezone(sign * timedelta(hours=int(hours), minutes=int(minutes)))
    return datetime.now(UTC).astimezone(zone).date().isoformat()


def _figures(title: str, names: list[str], rows: list[dict[str, Any]]) -> None:
    used = [field for field in Z_COLUMNS if any(row.get(field) for row in rows)] or ["tickets"]
    shown = ([*(row[name] or "-" for name in names), *(_figure(field, row.get(field, 0)) for field in used)] for row in rows)
    headings = [Z_COLUMNS[field] for field in used]
    table(title, [*names, *headings], shown, right=headings)


def _figure(field: str, value: int) -> str:
    return yuan(value) if field.endswith("_fen") else f"{value:,}"


# ---------------------------------------------------------------- trial balance
def trial(data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False) -> None:
    """Trial balance: every ledger account's total; each unit sums to zero. Works beside a running service."""
    if url:
        with reach(data, url=url, token=token, operator=operator) as service:
            found = service.do("trialBalance")
    else:
        from cardapi.reports.trial import trial_balance

        with beside(data) as shop, progress("entries", entries_of(shop)) as advance:
            found = trial_balance(shop.store, progress=advance)
    if as_json:
        emit_json(found)
    else:
        rows = (
            [row["account"], row["unit"], *(_amount(row["unit"], row[side]) for side in ("debit", "credit", "balance"))]
            for row in found["accounts"]
        )
        table("Trial balance", ["account", "unit", "debit", "credit", "balance"], rows, right=["debit", "credit", "balance"])
        sums = ", ".join(f"{unit} {total}" for unit, total in found["sums"].items()) or "nothing posted"
        say(f"sums: {sums}; customers' money {yuan(found['liability_fen'])} ({found['entries']:,} entries)")
    if not found["ok"]:
        raise Mistake("out_of_balance", "the ledger does not sum to zero: run `cardcore verify`")


def _amount(unit: str, amount: int) -> str:
    return yuan(amount) if unit == "fen" else f"{amount:,}"


# ---------------------------------------------------------------- verify, rebuild
def verify(data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False) -> None:
    """Replay the whole journal - chain, balances, lots, projections, checkpoints - and name the first bad place.

    Exit code 1 when something is wrong. Works beside a running service.
    """
    if url:
        with reach(data, url=url, token=token, operator=operator) as service:
            found = service.do("verifyLedger")
    else:
        with beside(data) as shop, progress("entries", entries_of(shop)) as advance:
            found = as_report(shop.verify(shop.store, steps(advance)))
    if as_json:
        emit_json(found)
    elif found["ok"]:
        say("the books are in order: chain, balances, lots, projections and checkpoints agree")
    else:
        note(f"first bad place: {bad_place(found['first_bad'])}")
    if not found["ok"]:
        raise typer.Exit(1)


def rebuild(data: DataDir = DEFAULT_DATA, as_json: Json = False) -> None:
    """Make every projection (cards, accounts) again from the journal. Stop the service first."""
    from cardapi.app import open_shop
    from cardapi.store.verify import rebuild as rebuild_projections

    with open_shop(data, start=False) as shop, progress("entries", entries_of(shop)) as advance:
        marks = list(shop.checkpoints.read())
        made = as_report(rebuild_projections(shop.store, shop.custody.chain_key, checkpoints=marks, progress=steps(advance)))
    if as_json:
        emit_json(made)
    elif made["ok"]:
        counts = ", ".join(f"{made[name]:,} {name}" for name in ("cards", "accounts", "documents"))
        say(f"rebuilt from {made['entries']:,} entries: {counts}")
    else:
        note(f"the journal itself is bad, nothing was rebuilt: {bad_place(made['first_bad'])}")
    if not made["ok"]:
        raise typer.Exit(1)


def as_report(report: Any) -> dict[str, Any]:
    """A verify report as plain values."""
    import msgspec

    built: dict[str, Any] = msgspec.to_builtins(report)
    return built


def steps(advance: Callable[[int], None]) -> Callable[[int, int], None]:
    """From (done, total) as `verify` reports it to the steps a bar takes."""
    last = 0

    def report(done: int, total: int) -> None:
        nonlocal last
        del total
        advance(done - last)
        last = done

    return report


def bad_place(bad: Any) -> str:
    """One line for the first bad place."""
    if not isinstance(bad, dict):
        return str(bad)
    where = (
        f"journal partition {bad['partition']}, position {bad['position']}"
        if bad["table"] == "entry"
        else f"{bad['table']} {bad['key']}".strip()
    )
    return f"{where}: {bad['reason']}"


# ---------------------------------------------------------------- export
def export(
    form_csv: Annotated[bool, typer.Option("--csv", help="CSV with a heading instead of JSON lines.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead of standard output.")] = None,
    after: Annotated[int, typer.Option("--after", min=0, help="Only entries after this journal position.")] = 0,
    upto: Annotated[int | None, typer.Option("--upto", min=0, help="Only entries up to this journal position.")] = None,
    data: DataDir = DEFAULT_DATA,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines (also without this option).")] = False,
) -> None:
    """Export the journal: one line for each side of a posting, with position, time, account, unit, amount and reference.

    The amounts of each entry sum to zero per unit. Works beside a running service.

    Example: cardcore export --csv -o journal.csv
    """
    from cardapi.reports.export import export_lines

    if form_csv and as_json:
        raise Mistake("usage", "say --json or --csv, not both")
    with beside(data) as shop, progress("entries", entries_of(shop)) as advance:
        lines = export_lines(shop.store, "csv" if form_csv else "json", after=after, upto=upto, progress=advance)
        if output is None:
            for line in lines:
                typer.echo(line)
        else:
            with output.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{line}\n" for line in lines)
            note(f"wrote {output}")
