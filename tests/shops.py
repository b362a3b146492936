"""Shops for the suites: a new one is a copy of one made once, as hashing a password and migrating take longer than most tests.

On which store is said by `CARDCORE_TEST_STORE` alone (`tests.support`): the suites that open their shops here run on both.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from cardapi.app import Shop, create_shop
from cardapi.store.port import Entry
from tests.postgres.server import Database, empty, needs_postgres
from tests.support import ON_SERVER

PASSWORD = "a long enough password"
PARTITIONS = 4  # of a shop on the server whose test does not say how many
_databases: dict[Path, Database] = {}  # of the shops that tests have
_for_the_run: set[Path] = set()


def _room() -> Path:
    room = Path(tempfile.mkdtemp(prefix="cardcore-till-"))
    atexit.register(shutil.rmtree, room, ignore_errors=True)
    return room


@cache
def _embedded(partitions: int) -> Path:
    room = _room()
    create_shop(room / "shop", password=PASSWORD, partitions=partitions)
    return room / "shop"


@cache
def _on_server(partitions: int) -> tuple[Path, Database]:
    room = _room()
    database = empty(f"shop_{partitions}", partitions)
    create_shop(room / "shop", password=PASSWORD, store=database.url, owner=database.owner, partitions=partitions)
    return room / "shop", database


def lay_out(directory: Path, partitions: int) -> Database:
    """A new shop in `directory` and a database of its own."""
    return copy_out(*_on_server(partitions), directory)


def copy_out(source: Path, template: Database, directory: Path) -> Database:
    """A copy of a shop on the server, which nobody uses."""
    shutil.copytree(source, directory, dirs_exist_ok=True)
    database = Database.copy_of(template)
    (directory / "settings.toml").write_text(f'store = "{database.url}"\n')
    _databases[directory] = database
    return database


def new_shop(directory: Path, partitions: int = 0) -> None:
    """A new shop in `directory`, on the store that the run is for. `partitions` 0: one when it is embedded."""
    if ON_SERVER:
        needs_postgres()
        lay_out(directory, partitions or PARTITIONS)
    else:
        shutil.copytree(_embedded(partitions or 1), directory, dirs_exist_ok=True)


def keep_for_the_run(directory: Path) -> None:
    """This shop is one that several tests copy."""
    _for_the_run.add(directory)


def copy_shop(source: Path, target: Path) -> None:
    """The same once more, of a shop that is closed."""
    if ON_SERVER:
        copy_out(source, _databases[source], target)
    else:
        shutil.copytree(source, target)


def journal(shop: Shop) -> list[Entry]:
    """Every entry, those of each partition in their order."""
    reader = shop.store.reader()
    try:
        return [entry for partition in sorted(reader.partitions()) for entry in reader.journal(partition)]
    finally:
        reader.close()


def length(shop: Shop) -> int:
    """How many entries this process knows of."""
    return sum(head.position for head in shop.desk.heads)


@contextmanager
def dropped() -> Iterator[None]:
    """The databases that are laid out meanwhile are dropped at the end."""
    before = set(_databases)
    yield
    for directory in _databases.keys() - before - _for_the_run:
        _databases.pop(directory).drop()
