"""Coupons on a server: a code works once and a stock is exact, though several processes write at the same moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cardapi.ids import home
from tests.coupons.desk import AWARDING, awarded_and_taken_back, publish, race_for_a_code, stock_is_exact
from tests.postgres.till import ServerTill

PARTITIONS = 4


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop", PARTITIONS)
    yield till
    till.end()


def test_a_code_is_used_once_by_two_processes(till: ServerTill) -> None:
    publish(till)
    other = till.beside()
    race_for_a_code(till, [till.shop.desk, other.desk])
    till.sound()


def test_a_stock_is_never_overdrawn_by_two_processes(till: ServerTill) -> None:
    publish(till)
    other = till.beside()
    stock_is_exact(till, [till.shop.desk, other.desk])
    till.sound()


def test_what_a_rule_awards_goes_back_with_its_ticket(till: ServerTill) -> None:
    """On a card of each partition: what is due is a record, and all records are in one."""
    publish(till, AWARDING)
    by_home: dict[int, str] = {}
    while len(by_home) < PARTITIONS:
        card = till.card(0, "coupon-shop")
        by_home[home(card, PARTITIONS)] = card
    for card in by_home.values():
        awarded_and_taken_back(till, card)
    till.sound()
