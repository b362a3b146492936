"""Which store a shop uses, and making and opening it. With `cardapi.app` the only file that names adapters.

`store` of `settings.toml`: "" is the embedded database in the data directory; a `postgresql://` address is a server given by
whoever runs it; "local-postgres" is a PostgreSQL of our own, started and stopped with the services that use it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cardapi.store import schema, sqlite, statements
from cardapi.store.port import Store, StoreError
from cardapi.store.postgres_local import OWNER, LocalServer
from cardcore.errors import CardcoreError

DATABASE = "cardcore.db"
LOCAL = "local-postgres"
SERVER_PARTITIONS = 64


class NoStore(CardcoreError):
    """`store` of the settings, or the owner's address, is none that we know."""

    code = "settings"


def is_embedded(store: str) -> bool:
    """Whether the store is the file in the data directory. Raises NoStore."""
    if store and store != LOCAL and urlsplit(store).scheme not in ("postgresql", "postgres"):
        raise NoStore(f"store is postgresql://..., {LOCAL!r} or absent, not {store.rsplit('@', maxsplit=1)[-1]!r}")
    return not store


def _postgres() -> ModuleType:
    """The adapter, when it is asked for: shops on an embedded store need no driver. Raises NoStore."""
    try:
        from cardapi.store import postgres
    except ModuleNotFoundError as error:
        raise NoStore("a PostgreSQL store needs its driver: pip install 'cardcore[postgres]'") from error
    return postgres


def server_of(directory: Path) -> LocalServer:
    """The server of our own that belongs to a data directory. Raises StoreError when PostgreSQL is not installed."""
    if os.geteuid() == 0:
        # It runs as another user then, who may not enter the data directory.
        name = hashlib.sha256(str(directory.absolute()).encode()).hexdigest()[:12]
        return LocalServer(Path("/var/lib/postgresql") / f"cardcore-{name}")
    return LocalServer(directory / "postgres")


def _address(directory: Path, store: str) -> str:
    if store != LOCAL:
        return store
    server = server_of(directory)
    if not server.running:
        server.start()
    return server.url()


def make(directory: Path, store: str, owner: str, partitions: int | dict[int, bytes], *, again: bool = False) -> None:
    """Make an empty store. `owner` is the address to make the tables with, for a given server; `again`: the last try was killed.

    Raises StoreError, SchemaError, NoStore.
    """
    if is_embedded(store):
        assert isinstance(partitions, int), "a journal is moved to a server only"
        sqlite.create(directory / DATABASE, partitions or 1)
        return
    if store == LOCAL:
        server = server_of(directory)
        server.create()
        owner = server.url(OWNER)
    if not owner:
        raise NoStore("a shop on a PostgreSQL server is made with two addresses: --store of who serves, --owner of who owns the tables")
    _postgres().create(owner, _role(_address(directory, store)), partitions or SERVER_PARTITIONS, again=again)


def has_shop(directory: Path, store: str, owner: str) -> bool:
    """Whether the server's database has partitions already. Raises StoreError, NoStore."""
    if store == LOCAL:
        server = server_of(directory)
        server.create()
        if not server.running:
            server.start()
    return bool(_postgres().has_shop(_owner(directory, store, owner)))


def _role(store: str) -> str:
    """The role an address serves as."""
    from psycopg.conninfo import conninfo_to_dict

    role = conninfo_to_dict(store).get("user")
    if not role:
        raise NoStore("the address of the store names no user: postgresql://USER@HOST/DATABASE")
    return str(role)


class Place(NamedTuple):
    """What a checkpoint names of an entry."""

    mac: bytes
    liability_fen: int


class AnySchema:
    """Single entries of a database that a release before made, as far as checkpoints name them: those columns never change."""

    def __init__(self, look: Callable[[int, int], tuple[Any, ...] | None]) -> None:
        self._look = look

    def entry(self, partition: int, position: int) -> Place | None:
        row = self._look(partition, position)
        return Place(bytes(row[0]), row[1]) if row else None


@contextmanager
def any_schema(directory: Path, store: str, owner: str) -> Iterator[AnySchema]:
    """To compare a database with its checkpoints before it is migrated. Raises StoreError, NoStore."""
    if is_embedded(store):
        with closing(sqlite.connect(directory / DATABASE, read_only=True)) as connection:
            yield AnySchema(lambda *place: connection.execute(statements.ENTRY_NAMED, (place[0] << 48 | place[1],)).fetchone())
    else:
        _address(directory, store)
        postgres = _postgres()
        server = postgres.connect(_owner(directory, store, owner), {"client_min_messages": "warning"})
        with closing(server), postgres.errors("read"):
            yield AnySchema(lambda *place: server.execute(postgres.sql.ENTRY_NAMED, place).fetchone())


def _owner(directory: Path, store: str, owner: str) -> str:
    """Where the owner of a server's tables is reached. Raises NoStore."""
    if store == LOCAL:
        owner = server_of(directory).url(OWNER)
    if not owner:
        raise NoStore("name the address of the tables' owner: --owner postgresql://...")
    return owner


def migrate(directory: Path, store: str, owner: str) -> str:
    """Bring a shop's database to the schema of this release. Returns it. Raises StoreError, SchemaError, NoStore."""
    if is_embedded(store):
        sqlite.SqliteStore(directory / DATABASE).close()
    else:
        address = _address(directory, store)
        schema.upgrade_postgres(_owner(directory, store, owner), _role(address))
    return schema.HEAD


def open_store(directory: Path, store: str, standby: str, *, read_only: bool = False) -> Store:
    """Raises StoreError, SchemaError, UnsafeServer, NoStore."""
    if is_embedded(store):
        return sqlite.SqliteStore(directory / DATABASE, read_only=read_only)
    store_class = _postgres().PostgresStore
    opened: Store = store_class(_address(directory, store), standby=standby, read_only=read_only)
    return opened


def stop_server(directory: Path, store: str) -> None:
    """Stop the server of our own, by the last service that used it."""
    if store == LOCAL:
        try:
            server_of(directory).stop()
        except StoreError:  # somebody else stopped it
            return
