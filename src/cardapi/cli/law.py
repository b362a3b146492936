"""`cardcore law`: law packs - read them, choose one, escrow figures, the statutory refund of a card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, CardNumber, DataDir, Json, Key, Operator, Token, Url
from cardapi.cli.service import reach
from cardapi.cli.show import details, emit_json, listing, note, say, table, yuan

app = group("Law packs: what the law of a country asks of prepaid cards, as dated data. None holds until a shop chooses one.")

Pack = Annotated[str, typer.Argument(metavar="PACK", help="The name of a shipped pack, or a TOML file.", show_default=False)]


def _text(pack: str) -> str:
    from cardapi import shipped

    return shipped.law_text(pack) if pack in shipped.laws() else Path(pack).read_text(encoding="utf-8")


@app.command("list")
def list_laws(as_json: Json = False) -> None:
    """List the packs that ship."""
    from cardapi import shipped
    from cardapi.laws import pack

    found = [pack.load(shipped.law_text(name)) for name in shipped.laws()]
    rows = [{"name": law.name, "country": law.country, "title_zh": law.title["zh"], "title_en": law.title["en"]} for law in found]
    listing("Law packs", rows, {"name": "name", "country": "country", "title_zh": "名称", "title_en": "title"}, as_json=as_json)


@app.command()
def check(pack: Pack) -> None:
    """Check a pack; every problem with its line."""
    from cardapi.laws import pack as laws

    problems = laws.check(_text(pack))
    for problem in problems:
        say(f"line {problem['line']}: {problem['reason']}")
    if problems:
        raise typer.Exit(1)
    say("ok")


@app.command()
def show(data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False) -> None:
    """Show the law the shop chose and what it asks today."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        found = service.do("getLaw")
    details("Law", found if as_json else {**found, **found["rules"]}, as_json=as_json)


@app.command("set")
def set_law(
    pack: Pack,
    issuer_class: Annotated[str, typer.Option("--class", help="Class of issuer: scale, group or brand.")] = "scale",
    licensed: Annotated[bool, typer.Option("--licensed", help="The shop holds a payment licence: legal entities may share value.")] = False,
    off: Annotated[bool, typer.Option("--off", help="Leave the law pack.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is journaled.")] = "chosen on the command line",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Ask to choose a law pack; a second person approves.

    Example: cardcore law set cn-prepaid --class scale
    """
    body = {"pack": _text(pack), "issuer_class": issuer_class, "licensed": licensed, "state": "off" if off else "on", "reason": reason}
    with reach(data, url=url, token=token, operator=operator) as service:
        asked = service.do("setLaw", body, key=key)
    details("Law asked for", asked, as_json=as_json)
    if not as_json:
        note("Kept. Nothing changes until somebody else approves it.")


@app.command()
def escrow(
    quarter: Annotated[str, typer.Argument(metavar="QUARTER", help="Such as 2026Q3.", show_default=False)],
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Show the escrow and the return of a quarter that has ended."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        found = service.do("escrowFigures", query={"quarter": quarter})
    details(f"Quarter {quarter}", found, as_json=as_json)


@app.command()
def refund(
    card: CardNumber,
    ground: Annotated[str, typer.Option("--ground", help="regret, consumer or merchant.", show_default=False)],
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Work out the statutory refund of a card, line by line. Nothing is moved."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        found = service.do("quoteCardRefund", {"ground": ground}, path={"card": card})
    if as_json:
        emit_json(found)
        return
    rows = [[yuan(line["amount_fen"]), line["zh"], line["en"], line["ticket_id"]] for line in found["lines"]]
    table(f"Refund of card {card}", ["amount", "说明", "why", "ticket"], [*rows, [yuan(found["refund_fen"]), "应退", "refund", ""]],
          right=["amount"])  # fmt: skip
