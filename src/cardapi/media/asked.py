"""What a station asks of a card session, and what comes of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from cardapi.custody import Pin

Purpose = Literal["show", "load", "unload", "pay", "recover", "personalise"]
PURPOSES = ("show", "load", "unload", "pay", "recover", "personalise")
Outcome = Literal["done", "refused", "settled", "in_flight", "torn"]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A record that a compound purchase writes together with the purse: its number (or identifier) and octets in hex."""

    number: int
    data: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One tap. `tender`: the money of a load is taken at the till and not from the account."""

    purpose: Purpose
    amount_fen: int = 0
    tender: str = ""
    pin: Pin | None = None
    records: tuple[Record, ...] = ()
    batch: str = ""  # personalise: which stock the card comes from


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who taps, and under which client key: everything the session writes derives from it (O5)."""

    client: str
    client_key: str
    unit: str
    terminal: str = ""
    operator: str = ""


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the card's own log. `at` is the card's date and time, YYYYMMDDhhmmss."""

    kind: int
    amount_fen: int
    counter: int
    terminal: str
    at: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a session.

    done: what was asked for happened and is posted. refused: it did not happen, `code` says why. settled: an open item of this card was
    ended first, ask again for anything else. in_flight: the card may have changed and must be presented again. torn: the card left
    before anything was written.
    """

    outcome: Outcome
    purpose: str
    code: str = ""
    detail: str = ""
    status: str = ""  # the card's status word, four hex digits
    tries_left: int = -1
    medium: str = ""
    card: str = ""
    verb: str = ""  # of the item that was ended or is open: load, unload, pay
    amount_fen: int = 0
    happened: bool = False  # whether that item happened on the card
    chip_fen: int = -1  # what the chip holds; -1 not read
    refund_fen: int = 0  # money of `refund_tender` to hand back: a load paid at the till never reached the card
    refund_tender: str = ""
    ticket_id: str = ""  # the intent's entry
    end_ticket_id: str = ""  # the entry that ended it
    proof: str = ""  # TAC, MAC3 or transaction MAC, hex
    log: tuple[LogLine, ...] = ()
