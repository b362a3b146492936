"""`cardcore reader`: which readers and cards there are, and what is on a card."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cardapi.cli import reader_blocked, reader_online, reader_pay
from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Token, Url
from cardapi.cli.reader_words import KINDS, ReaderName, Wait, choose, described, document, named, record_row
from cardapi.cli.show import details, emit_json, listing, note

if TYPE_CHECKING:
    from cardapi.pcsc.contents import Contents
    from cardapi.pcsc.identify import Found
    from cardapi.pcsc.link import Link

app = group(
    "Readers: which there are, which cards lie in them, what is on a card; load and pay with one.\n\n"
    "Needs pcscd and pyscard: apt-get install pcscd, pip install 'cardcore[pcsc]'."
)


def _contents(link: Link, found: Found) -> Contents:
    from cardapi.pcsc import contents
    from cardapi.pcsc.drive import drive

    return drive(contents.read(found), link)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the readers and the cards in them."""
    from cardapi.pcsc.context import Context
    from cardapi.pcsc.errors import PcscError
    from cardapi.pcsc.tap import identified

    rows = []
    with Context() as context:
        for name in context.readers():
            row: dict[str, Any] = {"reader": name, "card": None}
            if context.state(name).present:
                try:
                    row["card"] = described(identified(lambda _, found: found)(context, name))
                except PcscError as error:
                    row["error"] = {"code": error.code, "detail": error.detail}
            rows.append(row)
    if as_json:
        emit_json(rows)
        return
    shown = []
    for row in rows:
        card = row["card"] or {}
        told = KINDS[card["kind"]] if card else row.get("error", {}).get("code", "empty")
        number = card.get("printed_number") or card.get("number", "")
        shown.append({"reader": row["reader"], "card": told, "number": "not personalised" if card.get("blank") else number})
    listing("Readers", shown, {"reader": "reader", "card": "card", "number": "number"}, as_json=False)


@app.command()
def watch(
    seconds: Annotated[float, typer.Option("--for", min=0, help="Stop after so many seconds; 0 watches until Ctrl-C.")] = 0,
    as_json: Json = False,
) -> None:
    """Watch readers and cards come and go, until Ctrl-C. With --json one line for each event.

    Example: cardcore reader watch --for 30
    """
    from cardapi.cli.reader_view import Lines, Table
    from cardapi.pcsc.tap import identified
    from cardapi.pcsc.watch import Watcher

    ends = time.monotonic() + (seconds or math.inf)
    view = Lines(as_json) if as_json or not Table.fits() else Table()
    with Watcher(identified(_contents)) as watcher, view:
        try:
            while (left := ends - time.monotonic()) > 0:
                event = watcher.next(left)
                if event is not None:
                    view.tell(event)
        except KeyboardInterrupt:
            pass


@app.command()
def show(
    online: Annotated[bool, typer.Option("--online", help="Ask the service too: the card's number, the value of a DESFire card.")] = False,
    reader: ReaderName = "", wait: Wait = 10, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "",
    terminal: reader_online.Terminal = "", key_version: reader_online.KeyVersion = 1, as_json: Json = False,
) -> None:  # fmt: skip
    """Show what is on the card in a reader: who issued it, balance, last records, PIN tries left.

    Example: cardcore reader show --reader "00 00"
    """
    from cardapi.pcsc.errors import UnknownCard
    from cardapi.pcsc.tap import tap

    read: Contents = tap(choose(reader), _contents, wait_s=wait, note=note)
    if read.found.kind not in ("pboc", "desfire", "psam"):
        raise UnknownCard("the card in the reader answers as none that is known")
    rows = [record_row(record) for record in read.records]
    told = document(read)
    if online:
        where: dict[str, Any] = {"data": data, "url": url, "token": token, "terminal": terminal, "version": key_version}
        known = reader_online.session({"purpose": "show"}, reader, wait, **where)
        told |= {"card": known.get("card", ""), "balance_fen": known["chip_fen"] if known.get("chip_fen", -1) >= 0 else told["balance_fen"]}
    if as_json:
        emit_json(told | {"records": rows})
        return
    details(named(read.found), told, as_json=False)
    if rows:
        listing(
            "Last records",
            rows,
            {"at": "at", "what": "what", "amount_fen": "amount", "terminal": "terminal", "counter": "counter"},
            as_json=False,
        )


app.command()(reader_pay.pay)
app.command()(reader_blocked.blocked)
app.command()(reader_online.load)
app.command()(reader_online.unload)
app.command()(reader_online.settle)
