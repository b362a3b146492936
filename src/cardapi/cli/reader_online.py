"""What `cardcore reader` does with a running service: load, unload, pay and settle, through card sessions."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cardapi.cli.options import DEFAULT_DATA, PIN, DataDir, Json, Token, Url
from cardapi.cli.reader_words import ReaderName, Wait, Yuan, choose
from cardapi.cli.show import Mistake, emit_json, note, say, yuan

Terminal = Annotated[str, typer.Option("--terminal", help="The terminal that signs (CARDCORE_TERMINAL_KEY); the demo's when left out.")]
KeyVersion = Annotated[int, typer.Option("--key-version", help="The version of the terminal's key.")]
Tender = Annotated[str, typer.Option("--tender", help="The money is paid at the till: cash, bank ... From the account when left out.")]


def load(
    amount: Yuan, tender: Tender = "", reader: ReaderName = "", wait: Wait = 60, data: DataDir = DEFAULT_DATA, url: Url = "",
    token: Token = "", terminal: Terminal = "", key_version: KeyVersion = 1, as_json: Json = False,
) -> None:  # fmt: skip
    """Load the card in a reader with money from its account, or with money paid at the till.

    The PIN of the card comes from CARDCORE_PIN, or is asked for.

    Example: cardcore reader load 100 --tender cash
    """
    where = {"data": data, "url": url, "token": token, "terminal": terminal, "version": key_version}
    run({"purpose": "load", "amount_fen": amount, "tender": tender, **pin()}, reader, wait, where, as_json=as_json)


def unload(
    amount: Yuan, reader: ReaderName = "", wait: Wait = 60, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "",
    terminal: Terminal = "", key_version: KeyVersion = 1, as_json: Json = False,
) -> None:  # fmt: skip
    """Put money of the card in a reader back into its account, where the make of card allows it."""
    where = {"data": data, "url": url, "token": token, "terminal": terminal, "version": key_version}
    run({"purpose": "unload", "amount_fen": amount, **pin()}, reader, wait, where, as_json=as_json)


def settle(
    reader: ReaderName = "", wait: Wait = 60, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "",
    terminal: Terminal = "", key_version: KeyVersion = 1, as_json: Json = False,
) -> None:  # fmt: skip
    """Ask the card in a reader what became of a load or payment that was torn, and nothing else."""
    where = {"data": data, "url": url, "token": token, "terminal": terminal, "version": key_version}
    run({"purpose": "recover", **pin()}, reader, wait, where, as_json=as_json)


def pin() -> dict[str, str]:
    """The holder's PIN for a session, nothing where none is given. It is asked for where somebody can type it."""
    given = os.environ.get(PIN)
    if given is None and sys.stdin.isatty():
        given = str(typer.prompt("PIN of the card (Enter for none)", default="", hide_input=True, show_default=False, err=True))
    return {"pin": given} if given else {}


def run(body: dict[str, Any], reader: str, wait: float, where: dict[str, Any], *, as_json: bool) -> None:
    """One session with whatever card comes, and what came of it."""
    result = session(body, reader, wait, **where)
    if as_json:
        emit_json(result)
    else:
        tell(body, result)


def session(
    body: dict[str, Any], reader: str, wait: float, *, data: Path, url: str = "", token: str = "", terminal: str = "", version: int = 1
) -> dict[str, Any]:
    """The result of one session with a running service. Raises as `Session.offer` and `tap`."""
    from cardapi.cli.service import fresh_key, station
    from cardapi.pcsc.online import Session
    from cardapi.pcsc.tap import tap

    if body["purpose"] in ("load", "unload", "pay") and body["amount_fen"] <= 0:
        raise Mistake("amount_not_positive", "the amount is zero")
    name = choose(reader)
    with station(data, url=url, token=token, terminal=terminal, version=version) as service:
        asked = Session(service, {field: value for field, value in body.items() if value != ""}, fresh_key)
        result: dict[str, Any] = tap(name, asked.offer, wait_s=wait, note=note)
    return result


SAID = {"load": "loaded", "unload": "unloaded", "pay": "paid"}


def tell(body: dict[str, Any], result: dict[str, Any]) -> None:
    """A result for people."""
    verb, amount = result.get("verb", ""), result.get("amount_fen", 0)
    left = f"  on it now {yuan(result['chip_fen'])}" if result.get("chip_fen", -1) >= 0 else ""
    if result["outcome"] == "done" and not verb:
        say(f"nothing is open on card {result.get('card', '')}{left}")
        return
    how = SAID[verb] if result.get("happened") else f"not {SAID[verb]}"
    proved = " (the card has proved it)" if result["outcome"] == "settled" or result.get("recovered") else ""
    say(f"{how}{proved}: {yuan(amount)}  card {result.get('card', '')}{left}")
    say(f"ticket {result.get('ticket_id', '')}")
    if result.get("refund_fen"):
        note(f"hand back {yuan(result['refund_fen'])} ({result['refund_tender']}): the load it paid for never reached the card")
    if result["outcome"] == "settled" and body["purpose"] != "recover":
        note(f"this was an earlier {verb}; nothing else has been done: ask again if it was another one")
