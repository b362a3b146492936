"""What commands print: tables for people, JSON for programs, one clear sentence for an error.

Money is shown as yuan made from integer fen by integer arithmetic; no float comes near it (M2).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from cardcore.errors import CardcoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

FEN_PER_YUAN = 100
PLAIN_WIDTH = 200
TIMES = ("at", "closed_at")
SECONDS = "2026-11-22T06:17:06"
_YUAN = re.compile(r"([0-9]{1,13})(?:\.([0-9]{1,2}))?")


class Mistake(CardcoreError):
    """Something the caller can put right; `code` is per instance."""

    def __init__(self, code: str, detail: str, **facts: Any) -> None:
        super().__init__(detail, **facts)
        self.code = code


def yuan(fen: int) -> str:
    """`¥1,234.50` from 123450."""
    sign = "-" if fen < 0 else ""
    whole, cents = divmod(abs(fen), FEN_PER_YUAN)
    return f"{sign}¥{whole:,}.{cents:02d}"


def parse_yuan(text: str) -> int:
    """Fen from an amount as people write it: `25`, `25.5`, `25.50`. Raises typer.BadParameter."""
    match = _YUAN.fullmatch(text.removeprefix("¥"))
    if match is None:
        raise typer.BadParameter(f"{text!r} is not an amount in yuan such as 25 or 25.50")
    return int(match[1]) * FEN_PER_YUAN + int((match[2] or "0").ljust(2, "0"))


def console() -> Console:
    """The console for people; it drops colour by itself where output is not a terminal."""
    from rich.console import Console

    # Where output is not a terminal nobody scrolls: lines may be as long as their content.
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=PLAIN_WIDTH)


def say(text: str = "") -> None:
    """One plain line on standard output."""
    typer.echo(text)


def note(text: str) -> None:
    """One plain line on standard error, out of the way of what programs read."""
    typer.echo(text, err=True)


def emit_json(value: Any) -> None:
    """One JSON document on one line."""
    import msgspec

    typer.echo(msgspec.json.encode(value).decode())


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """A table for people. Columns named in `right` hold numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    built = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left")
    for column in columns:
        built.add_column(column, justify="right" if column in right else "left", no_wrap=column in right)
    for row in rows:
        built.add_row(*(Text(str(cell)) for cell in row))
    console().print(built)


def listing(title: str, rows: Sequence[dict[str, Any]], columns: dict[str, str], *, as_json: bool) -> None:
    """Rows of dictionaries as JSON (all of them, whole) or as a table of the given `field: heading` columns."""
    if as_json:
        emit_json(rows)
        return
    if not rows:
        say(f"{title}: none")
        return
    columns = {field: heading for field, heading in columns.items() if any(row.get(field) not in ("", None) for row in rows)}
    right = [heading for field, heading in columns.items() if field.endswith("_fen") or isinstance(rows[0].get(field), int)]
    table(title, list(columns.values()), ([_cell(field, row.get(field)) for field in columns] for row in rows), right=right)


def details(title: str, document: dict[str, Any], *, as_json: bool) -> None:
    """One document as JSON, or as a two-column table."""
    if as_json:
        emit_json(document)
        return
    shown = ((name, _cell(name, value)) for name, value in document.items() if not isinstance(value, list | dict) and value != "")
    table(title, ["", ""], shown)


def _cell(field: str, value: Any) -> str:
    if value is None:
        return ""
    if field.endswith("_fen") and isinstance(value, int):
        return yuan(value)
    if field in TIMES and isinstance(value, str) and len(value) > len(SECONDS):
        return value[: len(SECONDS)].replace("T", " ") + value[-6:]
    if isinstance(value, list):
        return ", ".join(_cell("", item) for item in value)
    if isinstance(value, dict):
        return " ".join(str(item) for item in value.values())
    return str(value)


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; gives the function that advances it. Silent where standard error is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    shown = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*shown, console=Console(stderr=True), disable=not sys.stderr.isatty())
    with bar:
        task = bar.add_task(label, total=total)
        yield lambda step: bar.advance(task, step)


def explain_error(error: CardcoreError) -> str:
    """The sentence for an error: what, and the stable code by which to look it up."""
    code = getattr(error, "declined_code", None) or error.code
    return f"error: {error.detail} [{code}]"


def fail(error: CardcoreError) -> typer.Exit:
    """Print the error and give the exit to raise."""
    note(explain_error(error))
    problems = error.facts.get("problems")
    if isinstance(problems, list):
        for problem in problems[:20]:
            if isinstance(problem, dict) and "line" in problem:
                note(f"  line {problem['line']}: {problem.get('path', '')} {problem.get('reason', '')}".rstrip())
    return typer.Exit(1)
