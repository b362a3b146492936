"""Databases for the tests of this room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres.server import Database, fresh, needs_postgres


@pytest.fixture(scope="session", autouse=True)
def _there() -> None:
    needs_postgres()


@pytest.fixture
def database() -> Iterator[Database]:
    """Four partitions, empty."""
    database = fresh(4)
    yield database
    database.drop()
