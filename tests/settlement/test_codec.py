"""Goal: the bytes of accounts and settlements are canonical, and damaged bytes are refused, never misread (A2).

Method: records from real decisions; every truncation, every single-byte change and random bytes are read back. What is
still readable must write the same bytes again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from cardcore.errors import InvalidRecord
from cardcore.settlement import Account, Line, Sale, Settlement, Snapshot, TopUp, decide
from tests.settlement.test_batch import AT_US, funded, programme


def records() -> list[tuple[Callable[[bytes], Any], bytes]]:
    """Accounts and settlements with lots, holds, notes, lines and a memo."""
    rng = random.Random(7)
    rules = programme()
    account, other = funded(rng, rules, 1), funded(rng, rules, 1 << 40)
    hold = decide(Snapshot(rules, account), Sale("hold", [(5_00,)], hold_seconds=60), AT_US)
    account.apply(hold, 9)
    sale = Sale("settle", [Line(559_00, 2, "food"), Line(20_00, 1, "massage")], points=-1, shortfall_tender="cash", explain=True,
                memo=b"\x00memo")  # fmt: skip
    ticket = decide(Snapshot(rules, account, others=[Snapshot(rules, other)]), sale, AT_US)
    topup = decide(Snapshot(rules, account), TopUp(2000_00, explain=True), AT_US)
    lawful = Settlement.unpack(topup.pack())
    lawful.document = "untaxed_invoice"
    return [(Account.unpack, account.pack())] + [(Settlement.unpack, s.pack()) for s in (hold, ticket, topup, lawful)]


@pytest.mark.parametrize(("unpack", "data"), records())
def test_records_read_back_as_written(unpack: Callable[[bytes], Any], data: bytes) -> None:
    assert unpack(data).pack() == data


@pytest.mark.parametrize(("unpack", "data"), records())
def test_truncated_and_extended_records_are_refused(unpack: Callable[[bytes], Any], data: bytes) -> None:
    for end in range(len(data)):
        with pytest.raises(InvalidRecord):
            unpack(data[:end])
    with pytest.raises(InvalidRecord):
        unpack(data + b"\x00")


@pytest.mark.parametrize(("unpack", "data"), records())
def test_a_changed_byte_is_refused_or_reads_as_another_canonical_record(unpack: Callable[[bytes], Any], data: bytes) -> None:
    for place in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            changed = data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]
            try:
                again = unpack(changed).pack()
            except InvalidRecord:
                continue
            assert again == changed != data


@pytest.mark.parametrize("unpack", [Account.unpack, Settlement.unpack])
def test_random_bytes_never_crash_the_reader(unpack: Callable[[bytes], Any]) -> None:
    rng = random.Random(11)
    form = b"A" if unpack is Account.unpack else b"S"
    for _ in range(20_000):
        data = form + rng.randbytes(rng.randrange(0, 60))
        try:
            assert unpack(data).pack() == data
        except InvalidRecord:
            continue


def test_numbers_in_a_longer_form_are_refused() -> None:
    data = Account(0).pack()
    assert data[1:2] == b"\x00"
    with pytest.raises(InvalidRecord):
        Account.unpack(data[:1] + b"\x80\x00" + data[2:])
