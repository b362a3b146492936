"""`cardcore terminal`: tills and their signing keys."""

from __future__ import annotations

from typing import Annotated

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Key, Operator, Reason, Token, Url
from cardapi.cli.service import reach
from cardapi.cli.show import details, listing, note

app = group("Tills. Each signs its requests with a key of its own.")

Terminal = Annotated[str, typer.Argument(metavar="ID", help="The terminal's id.", show_default=False)]

KEEP = "Put the key into the till now: it is shown only here (rotate makes a new one)."


@app.command()
def create(
    name: Terminal,
    unit: Annotated[str, typer.Option("--unit", help="The store or counter where it stands.", show_default=False)],
    title: Annotated[str, typer.Option("--name", help="Name as people say it; the id when left out.")] = "",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Create a terminal and show its signing key.

    Example: cardcore terminal create till-3 --unit store-1
    """
    with reach(data, url=url, token=token, operator=operator) as service:
        made = service.do("createTerminal", {"id": name, "unit": unit, "name": title or name}, key=key)
    details("Terminal created", made, as_json=as_json)
    if not as_json:
        note(KEEP)


@app.command("list")
def list_terminals(data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False) -> None:
    """List all terminals, without their keys."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        rows = service.pages("listTerminals", "terminals")
    columns = {"id": "id", "unit": "unit", "name": "name", "state": "state", "key_version": "key version"}
    listing("Terminals", rows, columns, as_json=as_json)


@app.command()
def revoke(
    name: Terminal,
    reason: Reason = "revoked on the command line",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Revoke a terminal: its next request is refused."""
    with reach(data, url=url, token=token, operator=operator) as service:
        done = service.do("revokeTerminal", {"reason": reason}, key=key, path={"terminal": name})
    details("Terminal revoked", done, as_json=as_json)


@app.command()
def rotate(
    name: Terminal,
    reason: Reason = "rotated on the command line",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Give a terminal a new signing key; the old one is refused from then on."""
    with reach(data, url=url, token=token, operator=operator) as service:
        done = service.do("rotateTerminalKey", {"reason": reason}, key=key, path={"terminal": name})
    details("New key", done, as_json=as_json)
    if not as_json:
        note(KEEP)


# ---------------------------------------------------------------- purchase SAMs
@app.command()
def sam(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The SAM's terminal number, 12 hex digits.", show_default=False)],
    terminal: Annotated[str, typer.Option("--terminal", help="Whose it is; nobody's when left out.")] = "",
    valid_from: Annotated[int, typer.Option("--from", min=0, help="From which second since 1970 UTC on.")] = 0,
    offset: Annotated[str, typer.Option("--utc-offset", help="Of the terminal's clock.")] = "+08:00",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Say for which terminal a purchase SAM stands from a time on: its purchases are that terminal's sales.

    Example: cardcore terminal sam 000000000001 --terminal till-3
    """
    body = {"sam": number, "terminal": terminal, "valid_from": valid_from, "utc_offset": offset}
    with reach(data, url=url, token=token, operator=operator) as service:
        done = service.do("assignSam", body, key=key)
    details(f"Purchase SAM {number}", done, as_json=as_json)


@app.command()
def sams(data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False) -> None:
    """List purchase SAMs and whose they are now."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        rows = service.pages("listSams", "sams")
    now = rows if as_json else [{"sam": row["sam"], **row["periods"][-1]} for row in rows]
    listing("Purchase SAMs", now, {"sam": "number", "terminal": "terminal", "unit": "unit", "valid_from": "from"}, as_json=as_json)


@app.command()
def release(
    name: Terminal,
    reason: Reason = "released on the command line",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Let a terminal that sent too many wrong MACs clear again; then upload its batches again."""
    with reach(data, url=url, token=token, operator=operator) as service:
        done = service.do("releaseTerminal", {"reason": reason}, key=key, path={"terminal": name})
    details("Terminal released", done, as_json=as_json)
