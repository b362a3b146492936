"""Gaps, forks and breaks are read from the set of records: they are there, go away when records come, and do not see what loads explain.

Method: purchases of a yard with some left out or altered; findings are compared with lists written by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cardapi.clearing.sequences import findings
from cardcore.clearing.sequences import BY_CARD, BY_TERMINAL
from tests.clearing.yard import Yard


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path / "shop")
    yield made
    made.till.sound()
    made.till.shop.close()


def seen(yard: Yard, about: str) -> list[tuple[str, int, int]]:
    return [(found.reason, found.first, found.last) for found in findings(yard.store, about)]


def test_a_gap_closes_when_its_records_come(yard: Yard) -> None:
    card = yard.card()
    records = [yard.pay(card, 1_00) for _ in range(6)]
    yard.upload([records[0], records[4], records[5]])
    assert seen(yard, BY_TERMINAL) == [("terminal_gap", 2, 4)]
    assert seen(yard, BY_CARD) == [("counter_gap", 1, 3)]
    yard.upload([records[2]])
    assert seen(yard, BY_TERMINAL) == [("terminal_gap", 2, 2), ("terminal_gap", 4, 4)]
    yard.upload([records[1], records[3]])
    assert seen(yard, BY_TERMINAL) == seen(yard, BY_CARD) == []


def test_forks_of_terminals_and_cards(yard: Yard) -> None:
    one, two = yard.card(), yard.card()
    first = yard.pay(one, 1_00)
    yard.upload([first, yard.pay(two, 1_00, number=first.number)])
    assert seen(yard, BY_TERMINAL) == [("terminal_fork", 1, 1)]
    yard.upload([yard.pay(two, 2_00, counter=0, terminal=1)])
    assert seen(yard, BY_CARD) == [("counter_fork", 0, 0)]


def test_a_balance_that_does_not_follow_is_a_break_unless_loads_explain_it(yard: Yard) -> None:
    """K4. The second load is on the card between two purchases; nothing explains the third."""
    card = yard.card(50_00)
    first = yard.pay(card, 10_00)
    yard.till.topup(card.number, 30_00)
    yard.load(card, 30_00)
    second = yard.pay(card, 5_00)
    yard.upload([first, second])
    assert seen(yard, BY_CARD) == []
    third = yard.pay(card, 1_00, balance=card.balance - 7)
    yard.upload([third])
    assert seen(yard, BY_CARD) == [("balance_break", 1, 2)]


def test_a_record_with_replays_says_nothing_about_its_card(yard: Yard) -> None:
    """Its counter and balance are covered by nothing, and which form is the true one is not known."""
    card = yard.card()
    records = [yard.pay(card, 1_00) for _ in range(3)]
    yard.upload([*records, replace(records[1], counter=0, balance=1)])
    assert seen(yard, BY_CARD) == [("counter_gap", 1, 1)]


def test_chips_prove_their_values_and_take_counters_for_loads_too(yard: Yard) -> None:
    card = yard.card(50_00, chip=True)
    first = yard.debit(card, 1_00)
    card.counter += 1  # a load
    second = yard.debit(card, 1_00)
    broken = yard.debit(card, 1_00, value=card.balance - 500)
    yard.upload([first, second, broken])
    assert seen(yard, BY_CARD) == [("balance_break", 3, 4)]
