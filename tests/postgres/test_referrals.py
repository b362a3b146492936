"""A friend who is brought in counts once on a server, though two processes hear of it and cards live in other partitions (E10, O1)."""

from __future__ import annotations

from pathlib import Path

from tests.members.till import referrals_are_paid_once
from tests.postgres.till import ServerTill


def test_a_referral_is_paid_once_by_two_processes(tmp_path: Path) -> None:
    till = ServerTill(tmp_path / "shop", 4)
    try:
        referrals_are_paid_once(till, [till.shop.desk, till.beside().desk])
        till.sound()
    finally:
        till.end()
