"""`cardcore unit`: the organisation tree - issuer, headquarters, regions, stores, counters."""

from __future__ import annotations

from typing import Annotated

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Key, Operator, Token, Url
from cardapi.cli.service import reach
from cardapi.cli.show import details, listing

app = group("Stores and what is above and below them.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="ID", help="Short id: a-z, 0-9 and -.", show_default=False)],
    title: Annotated[str, typer.Option("--name", help="Name as people say it; the id when left out.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="hq, region, store or counter.")] = "store",
    parent: Annotated[str, typer.Option("--parent", help="The unit above it.")] = "issuer",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Create a store or another unit.

    Example: cardcore unit create store-2 --name "West Street"
    """
    with reach(data, url=url, token=token, operator=operator) as service:
        made = service.do("createUnit", {"id": name, "name": title or name, "kind": kind, "parent": parent}, key=key)
    details("Unit created", made, as_json=as_json)


@app.command("list")
def list_units(data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False) -> None:
    """List all units."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        rows = service.pages("listUnits", "units")
    listing("Units", rows, {"id": "id", "name": "name", "kind": "kind", "parent": "parent"}, as_json=as_json)
