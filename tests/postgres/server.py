"""The PostgreSQL server of a test run: one for each process of the run, with a database for each test that asks."""

from __future__ import annotations

import atexit
import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import psycopg
import pytest

from cardapi.store import postgres
from cardapi.store.port import StoreError
from cardapi.store.postgres_local import DATABASE, OWNER, ROLE, LocalServer, programs
from tests import leftovers
from tests.support import IN_CI

# Small and quiet; what makes a commit durable stays on, as the store asks for it. Shared memory lies in the data directory, where
# a kill leaves nothing behind.
SETTINGS = {
    "shared_buffers": "64MB", "autovacuum": "off", "max_wal_size": "1GB", "max_connections": "60", "dynamic_shared_memory_type": "mmap",
}  # fmt: skip
_numbers = itertools.count(1)


def needs_postgres() -> None:
    """Skip the calling test, loudly, where there is no PostgreSQL; in CI that is a failure."""
    try:
        programs()
    except StoreError as error:
        reason = f"needs PostgreSQL: {error.detail}"
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)


@cache
def server() -> LocalServer:
    """Started at the first use, stopped and removed with the process. In memory where the machine has room for that."""
    room = leftovers.room("pg")
    local = LocalServer(room / "server", SETTINGS)

    def end() -> None:
        local.stop("immediate")
        shutil.rmtree(room, ignore_errors=True)

    atexit.register(end)
    local.create()
    local.start()
    return local


class Database:
    """A database of its own with the tables made."""

    def __init__(self, name: str, partitions: int) -> None:
        self.name = name
        self.partitions = partitions
        self.url = server().url(ROLE, name)
        self.owner = server().url(OWNER, name)
        self.superuser = server().url("postgres", name)

    @property
    def options(self) -> tuple[str, ...]:
        """Of `cardcore init`, for a shop here."""
        return "--store", self.url, "--owner", self.owner, "--partitions", str(self.partitions)

    def open(self, **options: bool | str) -> postgres.PostgresStore:
        return postgres.PostgresStore(self.url, **options)  # type: ignore[arg-type]

    @staticmethod
    def copy_of(template: Database) -> Database:
        """A copy of a database that nobody is connected to."""
        name = f"test_{next(_numbers)}"
        server().sql(f"CREATE DATABASE {name} TEMPLATE {template.name} OWNER {OWNER}")
        return Database(name, template.partitions)

    def drop(self) -> None:
        server().sql(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")


def empty(name: str, partitions: int) -> Database:
    """A database without tables."""
    server().sql(f"CREATE DATABASE {name} OWNER {OWNER}")
    return Database(name, partitions)


@cache
def _template(partitions: int) -> Database:
    """A database with empty tables, made once by the migrations themselves."""
    template = empty(f"template_{partitions}", partitions)
    postgres.create(template.owner, ROLE, partitions)
    return template


def fresh(partitions: int = 1) -> Database:
    """A new database with empty tables."""
    return Database.copy_of(_template(partitions))


@contextmanager
def held(url: str, numbers: str = "0") -> Iterator[None]:
    """Somebody else has the rows of these partitions, so that no batch there is written before the end."""
    with psycopg.connect(url) as connection:
        connection.execute(f"SELECT FROM partition WHERE number IN ({numbers}) FOR UPDATE")  # type: ignore[arg-type]
        yield
        connection.rollback()


__all__ = ["DATABASE", "Database", "empty", "fresh", "held", "needs_postgres", "server"]
