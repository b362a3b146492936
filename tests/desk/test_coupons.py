"""Goal: coupons hold where cards live in several partitions, and rules award them. Method: an embedded shop of four partitions.

The suite of the server store (`tests/postgres/test_coupons.py`) runs the same on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cardapi.app import create_shop
from tests.coupons.desk import AWARDING, awarded_and_taken_back, coupons, publish, race_for_a_code, sale, stock_is_exact
from tests.desk.till import Till


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    create_shop(tmp_path / "shop", password="correct horse", partitions=4)
    till = Till(tmp_path / "shop")
    yield till
    till.shop.close()


def test_a_code_is_used_once_in_all_partitions(till: Till) -> None:
    publish(till)
    race_for_a_code(till, [till.shop.desk])
    till.sound()


def test_a_stock_is_never_overdrawn(till: Till) -> None:
    publish(till)
    stock_is_exact(till, [till.shop.desk])
    till.sound()


def test_what_a_rule_awards_goes_back_with_its_ticket(till: Till) -> None:
    awarded_and_taken_back(till)
    till.sound()
    till.reopen()
    till.sound()


def test_a_code_is_nowhere_to_be_read(till: Till) -> None:
    """Neither the database nor the journal's refusals have it (A6)."""
    publish(till)
    code = race_for_a_code(till, [till.shop.desk])
    plain = code.replace("-", "")
    held = b"".join(path.read_bytes() for path in till.directory.rglob("*") if path.is_file())
    assert code.encode() not in held
    assert plain.encode() not in held


def test_an_award_of_nothing_known_changes_nothing(till: Till) -> None:
    """An award whose coupon the pack does not have is somebody else's to hand out."""
    publish(till, AWARDING.replace('id = "off-20"', 'id = "elsewhere"'))
    card = till.card(0, "coupon-shop")
    assert till.shop.desk.call(sale(till, card, 500_00)).outcome == "applied"
    assert coupons(till, card) == 0
