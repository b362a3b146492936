"""Options that many commands share, written once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cardapi.cli.show import parse_yuan

DataDir = Annotated[Path, typer.Option("--data", envvar="CARDCORE_DATA", help="The shop's data directory.", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]
Url = Annotated[str, typer.Option("--url", envvar="CARDCORE_URL", help="A running service, such as http://127.0.0.1:8080.")]
Token = Annotated[str, typer.Option("--token", envvar="CARDCORE_TOKEN", help="An operator's session token (cardcore user login).")]
Operator = Annotated[str, typer.Option("--as", envvar="CARDCORE_OPERATOR", help="The operator who does this; it is journaled.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is journaled.")]
CardNumber = Annotated[str, typer.Argument(help="The card's number.", show_default=False)]
Key = Annotated[str, typer.Option("--key", help="Client key: repeat it and the effect still happens once. Made from time when left out.")]


PIN = "CARDCORE_PIN"


def with_pin(body: dict[str, Any]) -> dict[str, Any]:
    """The body with the PIN of its card, where the environment has one (PIN)."""
    return body | {"pin": os.environ[PIN]} if os.environ.get(PIN) else body


def amount_argument(text: str) -> object:
    """An argument in yuan."""
    return typer.Argument(parser=parse_yuan, metavar="YUAN", help=text, show_default=False)


DEFAULT_DATA = Path("var/shop")
