"""Judging records by themselves: what needs no other record and no balance, so that the order of uploads cannot matter.

`read_columns` turns blocks into columns; `claims` says which terminals, media and keys they name, for the caller to look up; `judge`
gives each record its outcome. Whether it was cleared before, and whether the card holds as much, is for whoever posts it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardcore.clearing.layout import DESFIRE, DESFIRE_BLOCK, PURSE_BLOCK, READER_PROVEN
from cardcore.clearing.reasons import (
    ACCEPTED,
    BAD_MAC,
    KEY_NOT_ALLOWED,
    MALFORMED,
    PAYEE_UNPROVEN,
    UNKNOWN_CARD,
    UNKNOWN_TERMINAL,
)
from cardcore.crypto import pboc, tmac
from cardcore.crypto.batch import Octets

Integers = NDArray[np.int64]
PURCHASES = (pboc.PURCHASE_ED, pboc.PURCHASE_EP, pboc.COMPOUND_PURCHASE)
"""Types that a purse record may have; cash withdrawals are not sales."""
CENTURY = 0x20
INPUT_OCTETS = 80
"""TMI of a debit: GetValue 16, Debit 16, CommitReaderID 48."""


class Columns(NamedTuple):
    """Records column by column. `local` is the terminal's own clock in seconds since 1970, -1 where the digits are no time."""

    blocks: NDArray[np.void]  # PURSE_BLOCK
    chips: NDArray[np.void]  # the same octets as DESFIRE_BLOCK
    is_chip: NDArray[np.bool_]
    amounts: Integers
    local: Integers


def read_columns(blocks: NDArray[np.void]) -> Columns:
    """Columns of an array of `PURSE_BLOCK`, whatever kinds of records stand in it."""
    blocks = np.ascontiguousarray(blocks)
    signed = blocks["signed"]
    local = _seconds(signed["date"], signed["time"])
    return Columns(blocks, blocks.view(DESFIRE_BLOCK), blocks["kind"] == DESFIRE, signed["amount"].astype(np.int64), local)


def _seconds(dates: Octets, times: Octets) -> Integers:
    """BCD YYYYMMDD and hhmmss as seconds since 1970 of the same clock; -1 for what the calendar does not have."""
    digits = np.concatenate([dates, times], axis=1).astype(np.int64)
    high, low = digits >> 4, digits & 15
    good: NDArray[np.bool_] = np.all((high < 10) & (low < 10), axis=1)
    pairs = np.where(good[:, None], high * 10 + low, 1)
    year, month, day = pairs[:, 0] * 100 + pairs[:, 1], pairs[:, 2], pairs[:, 3]
    hour, minute, second = pairs[:, 4], pairs[:, 5], pairs[:, 6]
    good &= (year >= 1970) & (month >= 1) & (month <= 12) & (day >= 1) & (hour < 24) & (minute < 60) & (second < 60)
    year, month, day = np.where(good, year, 1970), np.where(good, month, 1), np.where(good, day, 1)
    months = (year - 1970).astype("M8[Y]").astype("M8[M]") + (month - 1)
    days = months.astype("M8[D]") + (day - 1)
    good &= days.astype("M8[M]") == months
    total = days.astype(np.int64) * 86_400 + hour * 3_600 + minute * 60 + second
    return np.where(good, total, -1)


def terminals(columns: Columns) -> tuple[list[bytes], Integers]:
    """The terminal numbers that the records are signed over, and for each record which of them."""
    names, place = np.unique(np.ascontiguousarray(columns.blocks["signed"]["terminal"]).view("V6").ravel(), return_inverse=True)
    return [name.tobytes() for name in names], place.astype(np.int64)


def media(columns: Columns) -> tuple[list[str], Integers]:
    """The media that the records name, and for each record which of them: "pboc:<issuer><serial>" or "desfire:<uid>"."""
    raw = np.zeros((len(columns.blocks), 19), np.uint8)
    raw[:, 0] = columns.is_chip
    raw[:, 1:9], raw[:, 9:] = columns.blocks["issuer"], columns.blocks["serial"]
    raw[columns.is_chip, 1:] = 0
    raw[columns.is_chip, 1:8] = columns.chips["uid"][columns.is_chip]
    names, place = np.unique(raw.view("V19").ravel(), return_inverse=True)
    return [_medium(name.tobytes()) for name in names], place.astype(np.int64)


def _medium(raw: bytes) -> str:
    return f"desfire:{raw[1:8].hex()}" if raw[0] else f"pboc:{raw[1:].hex()}"


def key_versions(columns: Columns) -> Integers:
    """The version of the TAC or transaction MAC key that each record names."""
    return np.where(columns.is_chip, columns.chips["key_version"], columns.blocks["key_version"]).astype(np.int64)


def transaction_inputs(columns: Columns, which: NDArray[np.bool_]) -> tuple[Octets, Integers]:
    """The transaction inputs (TMI) of the chosen DESFire records, zero filled, and how long each is (see `ValueRecord.inputs`)."""
    chips = columns.chips[which]
    inputs = np.zeros((len(chips), INPUT_OCTETS), np.uint8)
    for at, command, field in ((0, tmac.GET_VALUE, chips["value"]), (16, tmac.DEBIT, chips["signed"]["amount"])):
        inputs[:, at], inputs[:, at + 1] = command, chips["file"]
        inputs[:, at + 2 : at + 6] = field.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :4]
    proven = (chips["flags"] & READER_PROVEN) != 0
    signed = chips["signed"]
    inputs[proven, 32] = tmac.COMMIT_READER_ID
    inputs[proven, 33:39] = signed["terminal"][proven]
    inputs[proven, 39:43] = np.ascontiguousarray(signed["terminal_number"]).view(np.uint8).reshape(-1, 4)[proven]
    inputs[proven, 43:46] = signed["date"][proven, 1:]
    inputs[proven, 46:49] = signed["time"][proven]
    inputs[proven, 49:65] = chips["previous"][proven]
    return inputs, np.where(proven, INPUT_OCTETS, 32)


def judge(
    columns: Columns, payee: Integers, account: Integers, key_known: NDArray[np.bool_], mac_right: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The outcome of each record by itself; ACCEPTED stands for "proven, and to be posted if nothing else is against it".

    payee: index of who is to be paid, -1 for nobody. account: whose card, 0 for nobody. The first rule that a record breaks is its
    outcome, so that each has exactly one.
    """
    signed = columns.blocks["signed"]
    good_type = np.where(columns.is_chip, signed["kind"] == tmac.DEBIT, np.isin(signed["kind"], PURCHASES))
    # A DESFire amount is signed in the card's eyes.
    good_amount = (columns.amounts > 0) & (~columns.is_chip | (columns.amounts < 1 << 31))
    # A reader id carries the year without its century: with any, one transaction MAC would prove records of several dates (K3).
    good_century = ~columns.is_chip | (signed["date"][:, 0] == CENTURY)
    unproven = columns.is_chip & ((columns.chips["flags"] & READER_PROVEN) == 0)
    rules = (
        (~good_type | ~good_amount | (columns.local < 0) | ~good_century, MALFORMED),
        (payee < 0, UNKNOWN_TERMINAL),
        (account == 0, UNKNOWN_CARD),
        (~key_known, KEY_NOT_ALLOWED),
        (~mac_right, BAD_MAC),
        (unproven, PAYEE_UNPROVEN),
    )
    outcome = np.full(len(columns.blocks), ACCEPTED, np.uint8)
    for broken, reason in reversed(rules):
        outcome[broken] = reason
    return outcome


assert PURSE_BLOCK.itemsize == DESFIRE_BLOCK.itemsize, "one view serves both"
