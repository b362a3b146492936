"""One shop for each test that asks for a till."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desk.till import Till


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    till = Till(tmp_path / "shop")
    yield till
    till.shop.close()


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Till]:
    """A till of a shop whose journal has one partition on either store: every card is in it, and one sum runs along."""
    till = Till(tmp_path / "lone", partitions=1)
    yield till
    till.shop.close()
