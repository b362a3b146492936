"""A batch in which everything is tried: good purchases among eighteen kinds of bad ones, each with the outcome it must have."""

from __future__ import annotations

from dataclasses import replace

from cardcore.clearing import PurseRecord, Record
from tests.clearing.yard import NOW, Yard, tac

Expected = list[tuple[Record, str]]


def hostile(yard: Yard) -> Expected:
    """Records with their outcomes, whatever order they come in. The same yard gives the same records."""
    one, two, chip, poor = yard.card(100_00), yard.card(100_00), yard.card(80_00, chip=True), yard.card(10_00)
    lost, dead, twin = yard.card(50_00), yard.card(0), yard.card(60_00)
    unknown = replace(one, serial=bytes(9) + b"\xee")
    good: list[Record] = [
        *(yard.pay(one, fen, terminal=n % 2) for n, fen in enumerate((1, 12_50, 30_00))),
        *(yard.pay(two, fen) for fen in (9_99, 50_00)),
        *(yard.debit(chip, fen, terminal=1) for fen in (5_00, 7_77)),
    ]
    first = yard.pay(one, 2_00)
    split = yard.pay(two, 3_00)
    # MAC1 covers only the low half of the terminal's number: the card may have signed another one than was recorded.
    halves = replace(split, tac=tac(replace(split, number=split.number + 65_536)))
    taken = yard.pay(twin, 1_00)
    number = taken.number
    same_number = yard.pay(two, 4_00, number=number)
    same_counter = yard.pay(twin, 2_00, counter=0)
    bad: Expected = [
        (replace(first, amount=200_00), "bad_mac"),
        (replace(first, tac=bytes(4)), "bad_mac"),
        (replace(first, terminal=yard.terminals[1]), "bad_mac"),
        (replace(first, serial=two.serial), "bad_mac"),
        (halves, "bad_mac"),
        (yard.pay(one, 1_00, at=bytes.fromhex("20261322101112")), "malformed"),
        (yard.pay(one, 1_00, kind=4), "malformed"),
        (yard.pay(one, 0), "malformed"),
        (yard.pay(one, 1_00, terminal=0, minutes=70 * 1440), "late_upload"),
        (yard.pay(one, 1_00, minutes=-2 * 1440), "future_dated"),
        (yard.pay(unknown, 1_00), "unknown_card"),
        (replace(yard.pay(one, 1_00), key_version=9), "key_not_allowed"),
        (replace(yard.pay(one, 1_00), terminal=bytes(6)), "unknown_terminal"),
        (yard.debit(chip, 1_00, reader_proven=False, previous=bytes(16)), "payee_unproven"),
        (replace(yard.debit(chip, 1_00), value=1), "bad_mac"),
        (yard.pay(poor, 10_01), "card_overdrawn"),
        (yard.pay(dead, 1_00), "card_dead"),
        (yard.pay(lost, 1_00, minutes=10), "stale_blacklist"),
    ]
    yard.till.done("lost", card=lost.number, payload={"effective_at": int(NOW.timestamp()) - 1800})
    yard.till.done("cancel", card=dead.number)
    yard.till.done("destroy", card=dead.number)
    good += [yard.pay(lost, 2_00, minutes=40), taken, same_number, same_counter]
    return [(record, "accepted") for record in good] + bad


def forms(yard: Yard, records: Expected) -> list[Record]:
    """The records, and replays of some accepted ones with other uncovered fields."""
    every = [record for record, _ in records]
    replayed = every[0]
    assert isinstance(replayed, PurseRecord)
    return [*every, replace(replayed, counter=9), replace(replayed, balance=7), replace(replayed, sam=b"ANOTHERSAM")]
