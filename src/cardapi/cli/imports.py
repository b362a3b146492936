"""`cardcore import`: move in from another system - dry run, ask, run, compare, take back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Key, Operator, Reason, Token, Url
from cardapi.cli.service import Service, reach
from cardapi.cli.show import Mistake, details, emit_json, note, progress, table, yuan

if TYPE_CHECKING:
    from cardapi.imports.rows import Checked

app = group(
    "Move in from another system: cards, people, balances and points from CSV or Excel.\n\n"
    "check (a dry run), ask (a second person approves the totals), run (may be stopped and run again), close. undo takes it back."
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A CSV or .xlsx file with a header line.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The import's id, such as old-cards.", show_default=False)]
Map = Annotated[list[str], typer.Option("--map", help="FIELD=COLUMN where a column has another name; may be given more than once.")]
Rate = Annotated[str, typer.Option("--points-rate", help="What one old point becomes: 1/10 is ten to one, floored per card.")]
Encoding = Annotated[str, typer.Option("--encoding", help="Of a CSV file; gb18030 for old Chinese files.")]
PART = 200


def _read(file: Path, columns: list[str], rate: str, encoding: str) -> Checked:
    from cardapi.imports import rows

    try:
        numerator, denominator = (int(part) for part in rate.split("/"))
        if not (0 < numerator <= 10_000 and 0 < denominator <= 10_000):
            raise ValueError
        mapped = dict(entry.split("=", 1) for entry in columns)
    except ValueError:
        raise Mistake("bad_option", "--points-rate looks like 1/10 and --map like card=卡号") from None
    return rows.read(file, rate=(numerator, denominator), columns=mapped, encoding=encoding)


@app.command()
def check(
    file: File, columns: Map = [], rate: Rate = "1/1", encoding: Encoding = "utf-8-sig", as_json: Json = False,  # noqa: B006
) -> None:  # fmt: skip
    """Read a file without writing anything: every problem with its row, and the control totals. Exit code 1 when there is a problem.

    Example: cardcore import check old.csv --map card=卡号 --points-rate 1/10
    """
    import msgspec

    found = _read(file, columns, rate, encoding)
    totals = msgspec.structs.asdict(found.totals)
    problems = [{"row": number, "field": field, "reason": reason} for number, field, reason in found.problems]
    if as_json:
        emit_json({"ok": not problems, "totals": totals, "problems": problems, "digest": found.digest})
    else:
        for problem in problems[:50]:
            note(f"row {problem['row']}: {problem['field']}: {problem['reason']}")
        if len(problems) > 50:
            note(f"and {len(problems) - 50} more problems")
        details("Control totals", totals, as_json=False)
    if problems:
        raise typer.Exit(1)


@app.command()
def ask(
    name: Name,
    file: File,
    programme: Annotated[str, typer.Option("--programme", help="The pack the cards live by here.", show_default=False)],
    columns: Map = [],  # noqa: B006
    rate: Rate = "1/1",
    encoding: Encoding = "utf-8-sig",
    reason: Reason = "moving in",
    data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", key: Key = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Ask to import a file: a second person approves its totals."""
    found = _sound(file, columns, rate, encoding)
    totals = found.totals
    body = {"id": name, "programme": programme, "rows": totals.rows, "principal_fen": totals.principal_fen, "bonus_fen": totals.bonus_fen,
            "points": totals.points, "digest": found.digest, "reason": reason}  # fmt: skip
    with reach(data, url=url, token=token, operator=operator) as service:
        asked = service.do("createImport", body, key=key)
    details("Import asked for", asked, as_json=as_json)


@app.command()
def approve(
    name: Name,
    reason: Reason = "the totals agree",
    data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", key: Key = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Approve an import, or taking it back, that somebody else asked for."""
    with reach(data, url=url, token=token, operator=operator) as service:
        waiting = [
            row["id"] for row in service.pages("listApprovals", "approvals")
            if row["state"] == "pending" and row["operation"] in ("createImport", "undoImport")
            and name in (row["body"].get("id"), row["path"].get("import"))
        ]  # fmt: skip
        if not waiting:
            raise Mistake("nothing_to_approve", f"nobody asked for an import {name!r}, or it is approved already")
        done = service.do("approve", {"reason": reason}, key=key, path={"approval": waiting[-1]})
    details("Approved", done, as_json=as_json)


def _sound(file: Path, columns: list[str], rate: str, encoding: str) -> Checked:
    found = _read(file, columns, rate, encoding)
    if found.problems:
        raise Mistake("import_file", f"the file has {len(found.problems)} problems: cardcore import check {file}")
    return found


@app.command()
def run(
    name: Name,
    file: File,
    columns: Map = [],  # noqa: B006
    rate: Rate = "1/1",
    encoding: Encoding = "utf-8-sig",
    data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", key: Key = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Import the rows of an approved import and close it when the totals come out. Stopped anywhere, run it again."""
    import msgspec

    from cardapi.imports.rows import parts

    found = _sound(file, columns, rate, encoding)
    with reach(data, url=url, token=token, operator=operator) as service:
        if service.do("getImport", path={"import": name})["expected"]["rows"] != found.totals.rows:
            raise Mistake("import_file", "that is not the file whose totals were approved: it has another number of rows")
        work = [(first, {"first": first, "rows": msgspec.to_builtins(part)}) for first, part in parts(found.rows, PART)]
        refused = _all(service, "importRows", name, work, found.totals.rows)
        closed = None if refused else service.do("closeImport", key=key, path={"import": name})
    _tell(closed, refused, as_json)


@app.command()
def show(
    name: Name, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False
) -> None:
    """Show what an import must come to and what the journal says it came to."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        _tell(service.do("getImport", path={"import": name}), {}, as_json)


@app.command()
def undo(
    name: Name,
    reason: Reason = "taken back",
    data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", key: Key = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Take an import back: the first call asks for a second person, called again after the approval it does it."""
    with reach(data, url=url, token=token, operator=operator) as service:
        found = service.do("getImport", path={"import": name})
        if found["state"] in ("open", "closed"):
            details("Asked for", service.do("undoImport", {"reason": reason}, key=key, path={"import": name}), as_json=as_json)
            return
        rows = found["expected"]["rows"]
        work = [(first, {"first": first, "count": min(PART, rows - first + 1)}) for first in range(1, rows + 1, PART)]
        refused = _all(service, "undoImportRows", name, work, rows)
        closed = None if refused else service.do("closeImport", key=key, path={"import": name})
    _tell(closed, refused, as_json)


def _all(service: Service, operation: str, name: str, work: list[tuple[int, dict[str, Any]]], rows: int) -> dict[str, str]:
    refused: dict[str, str] = {}
    with progress(f"{operation} {name}", rows) as tell:
        for first, body in work:
            refused |= service.do(operation, body, path={"import": name})["refused"]
            tell(min(PART, rows - first + 1))
    return refused


def _tell(view: dict[str, Any] | None, refused: dict[str, str], as_json: bool) -> None:
    if as_json:
        emit_json({"import": view, "refused": refused})
    elif view is not None:
        rows = [[total, *(yuan(view[side][total]) if total.endswith("_fen") else view[side][total] for side in ("expected", "found"))]
                for total in view["expected"]]  # fmt: skip
        columns = ["total", "approved", "in the journal"]
        table(f"Import {view['id']} is {view['state']}", columns, rows, right=columns[1:])
    for number, code in list(refused.items())[:50]:
        note(f"row {number}: {code}")
    if refused:
        note(f"error: {len(refused)} rows were refused; put them right and run it again [rows_refused]")
        raise typer.Exit(1)
