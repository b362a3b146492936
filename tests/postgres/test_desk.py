"""Goal: the desk is the same over the server store. Method: the desk's own tests, with a till of a shop on PostgreSQL under them.

With one partition everything holds word for word; the quick run takes one file of it. `test_partitions` has what is particular
to several.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desk import test_cards, test_money, test_once, test_pin, test_registry
from tests.postgres.till import ServerTill
from tests.support import LONG

globals().update(
    {
        name: test
        for module in ((test_once, test_money, test_cards, test_pin, test_registry) if LONG else (test_once,))
        for name, test in vars(module).items()
        if name.startswith("test_") and callable(test)
    }
)


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop")
    yield till
    till.end()
