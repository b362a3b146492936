"""Fixtures of the replay suites."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli import shop


@pytest.fixture(scope="session", autouse=True)
def _clean() -> Iterator[None]:
    yield
    shop.remove_template()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of a demo shop of this test's own."""
    shop.demo_shop(tmp_path / "shop")
    return tmp_path / "shop"


@pytest.fixture
def made(data: Path) -> dict[str, Any]:
    """Its credentials."""
    import msgspec

    document: dict[str, Any] = msgspec.json.decode((data / "demo.json").read_bytes())
    return document
