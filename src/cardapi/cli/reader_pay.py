"""`cardcore reader pay`: take money from the card in a reader, on line or with the till's own module."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cardapi.cli import reader_blocked, reader_online
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Token, Url
from cardapi.cli.reader_blocked import List, ListAge
from cardapi.cli.reader_online import KeyVersion, Terminal
from cardapi.cli.reader_words import ReaderName, Wait, Yuan, choose
from cardapi.cli.show import Mistake, emit_json, note, say, yuan

if TYPE_CHECKING:
    from cardapi.pcsc.blocked import BlockedCards
    from cardapi.pcsc.offline import Paid, Till
    from cardcore.card.purse import Make

Sam = Annotated[str, typer.Option("--sam", envvar="CARDCORE_SAM", help="Pay off line: the reader with the till's purchase module.")]
Batch = Annotated[Path | None, typer.Option("--batch", help="Off line: the clearing batch to add the purchase to; made when absent.")]

Offset = Annotated[str, typer.Option("--utc-offset", help="Off line: the till's local time, as the terminal number is assigned with.")]
Profile = Annotated[str, typer.Option("--profile", help="Off line: the make of the till's purse cards: pboc2-3des, fm1208, transit-sm4.")]


def pay(
    amount: Yuan, sam: Sam = "", batch: Batch = None, blocked: List = None, list_age: ListAge = 0, utc_offset: Offset = "+08:00",
    profile: Profile = "pboc2-3des",
    reader: ReaderName = "", wait: Wait = 60, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", terminal: Terminal = "",
    key_version: KeyVersion = 1, as_json: Json = False,
) -> None:  # fmt: skip
    """Pay with the money on the card in a reader: through the service, or off line with a purchase module and a clearing batch.

    A card that is taken away too early is waited for: it is asked what it has done, and never charged twice.
    Off line the till goes by its list of blocked cards, which it fetches while a service answers (cardcore reader blocked).

    Example: cardcore reader pay 12.50 --reader "00 00" --sam "00 01" --batch today.ccb
    """
    if bool(sam) != (batch is not None):
        raise Mistake("sam_and_batch", "paying off line needs both --sam READER and --batch FILE")
    if amount <= 0:
        raise Mistake("amount_not_positive", "there is nothing to pay")
    if batch is not None:
        now, listed = int(datetime.now(UTC).timestamp()), blocked or reader_blocked.beside(batch)
        cards = reader_blocked.current(listed, now, data=data, url=url, terminal=terminal, version=key_version)
        reader_blocked.need_young(cards, now, list_age)
        _offline(amount, sam, batch, cards, _zone(utc_offset), _make(profile), reader, wait, as_json=as_json)
        return
    where = {"data": data, "url": url, "token": token, "terminal": terminal, "version": key_version}
    reader_online.run({"purpose": "pay", "amount_fen": amount}, reader, wait, where, as_json=as_json)


def _zone(offset: str) -> timezone:
    """A fixed offset from its text. Raises Mistake bad_offset."""
    match = re.fullmatch(r"([+-])(\d\d):([0-5]\d)", offset)
    if match is None or int(match[2]) > 14:
        raise Mistake("bad_offset", f"{offset!r} is no offset from UTC such as +08:00")
    shift = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-shift if match[1] == "-" else shift)


def _make(profile: str) -> Make:
    """How the purses of a profile are spoken to. Raises Mistake unknown_profile."""
    from cardapi.media.profiles import PROFILES, PurseProfile

    found = PROFILES.get(profile)
    if not isinstance(found, PurseProfile):
        names = ", ".join(name for name, each in PROFILES.items() if isinstance(each, PurseProfile))
        raise Mistake("unknown_profile", f"{profile!r} is no make of purse cards: {names}")
    return found.make


def _offline(
    amount: int, sam: str, batch: Path, cards: BlockedCards | None, zone: timezone, make: Make, reader: str, wait: float, *, as_json: bool
) -> None:
    from cardapi.pcsc.offline import Module, Till
    from cardapi.pcsc.tap import tap

    module_reader = choose(sam)
    card_reader = choose(reader, without=module_reader)
    with Till(Module(module_reader, make), batch, datetime.now(zone), cards) as till:
        purchase = till.purchase(amount, lambda: datetime.now(zone))
        paid: Paid = tap(card_reader, purchase.offer, wait_s=wait, note=note, make=make)
        _tell(till, paid, amount, as_json=as_json)


def _tell(till: Till, paid: Paid, asked: int, *, as_json: bool) -> None:
    from cardapi.pcsc.intents import Begun

    intent, purse = paid.intent, isinstance(paid.begun, Begun)
    card = paid.begun.intent.application.serial.hex() if isinstance(paid.begun, Begun) else paid.begun.intent.uid.hex()
    terminal = till.module.terminal.hex()
    if as_json:
        emit_json({
            "outcome": "completed_earlier" if paid.earlier else "paid", "recovered": paid.recovered, "amount_fen": intent.amount,
            "balance_fen": paid.balance_after, "card": card, "terminal": terminal, "number": paid.begun.number,
            "counter": intent.counter, "tac" if purse else "tmv": paid.proof.hex(), "batch": str(till.batch.path),
            "batch_records": till.batch.count, "batch_total_fen": till.batch.total_fen, "in_flight": len(till.intents.open),
        })  # fmt: skip
        return
    proved = f" (the card has proved it, begun {_time(paid.begun.at)})" if paid.recovered else ""
    say(f"paid{proved}: {yuan(intent.amount)}  card {card}  on it now {yuan(paid.balance_after)}")
    batch = f"{till.batch.path}: {till.batch.count} record{'s' * (till.batch.count != 1)}, {yuan(till.batch.total_fen)}"
    say(f"terminal {terminal}  number {paid.begun.number}  {batch}")
    if paid.earlier:
        note(f"this was an earlier purchase; {yuan(asked)} has not been taken: pay again if it was another sale")
    if till.intents.open:
        note(f"{len(till.intents.open)} purchases of other cards are in flight until those cards come back")


def _time(at: bytes) -> str:
    text = at.hex()
    return f"{text[8:10]}:{text[10:12]}:{text[12:14]}"
