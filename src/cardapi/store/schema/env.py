"""How Alembic reaches the database: one connection, explicit transactions, one per migration."""

from __future__ import annotations

import sqlite3

from alembic import context
from sqlalchemy import create_engine, event, pool

path = context.config.attributes["path"]


def _connect() -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


engine = create_engine("sqlite://", creator=_connect, poolclass=pool.NullPool)


@event.listens_for(engine, "begin")
def _begin(connection) -> None:  # type: ignore[no-untyped-def]
    """sqlite3's own implicit transactions leave DDL outside; ours hold it."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
