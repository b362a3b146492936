"""Coupons on a server: a code works once and a stock is exact, though several processes write at the same moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.coupons.desk import awarded_and_taken_back, publish, race_for_a_code, stock_is_exact
from tests.postgres.till import ServerTill


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop", 4)
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
    awarded_and_taken_back(till)
    till.sound()
