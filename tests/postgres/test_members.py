"""Members on a server: what goes with a step of one reaches cards in other partitions, once, whichever process is asked (L06, L10, O1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.members.till import benefits_follow_the_member, fees_are_taken_once, referrals_are_paid_once
from tests.postgres.till import ServerTill


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop", 4)
    yield till
    till.end()


def test_a_referral_is_paid_once_by_two_processes(till: ServerTill) -> None:
    referrals_are_paid_once(till, [till.shop.desk, till.beside().desk])
    till.sound()


def test_a_fee_is_taken_once_by_two_processes(till: ServerTill) -> None:
    fees_are_taken_once(till, [till.shop.desk, till.beside().desk])
    till.sound()


def test_benefits_follow_a_member_into_every_partition(till: ServerTill) -> None:
    benefits_follow_the_member(till, [till.shop.desk, till.beside().desk])
    till.sound()
