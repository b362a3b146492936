"""How Alembic reaches the database: one connection, explicit transactions, one per migration."""

from __future__ import annotations

import sqlite3
from typing import Any

from alembic import context
from sqlalchemy import Connection, create_engine, event, pool, text

from cardapi.store.schema import APPEND_ONLY, READ_ONLY

LOCK = 0x63617264  # one migration at a time, whichever process asks

attributes = context.config.attributes


def _sqlite() -> sqlite3.Connection:
    connection = sqlite3.connect(attributes["path"], isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _postgres() -> Any:
    import psycopg

    return psycopg.connect(attributes["owner"])


on_postgres = "owner" in attributes
engine = create_engine(
    "postgresql+psycopg://" if on_postgres else "sqlite://", creator=_postgres if on_postgres else _sqlite, poolclass=pool.NullPool
)


if not on_postgres:

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        """sqlite3's own implicit transactions leave DDL outside; ours hold it."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _grant(connection: Connection, role: str) -> None:
    """What the serving role may do: append to the journal, rewrite projections, take partitions; no DDL, nothing it owns (S)."""
    quoted = connection.dialect.identifier_preparer.quote_identifier(role)
    for (table,) in connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")).fetchall():
        rights = "SELECT, INSERT, UPDATE, DELETE"
        if table in APPEND_ONLY:
            rights = "SELECT, INSERT"
        elif table in READ_ONLY:
            rights = "SELECT"
        elif table == "partition":
            rights = "SELECT, UPDATE (holder, token)"
        connection.exec_driver_sql(f"REVOKE ALL ON {table} FROM {quoted}")
        connection.exec_driver_sql(f"GRANT {rights} ON {table} TO {quoted}")
    schema = connection.execute(text("SELECT current_schema()")).scalar_one()
    connection.exec_driver_sql(f'GRANT USAGE ON SCHEMA "{schema}" TO {quoted}')
    connection.exec_driver_sql(f'REVOKE CREATE ON SCHEMA "{schema}" FROM {quoted}, PUBLIC')


with engine.connect() as connection:
    if on_postgres:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
        connection.commit()
    context.configure(connection=connection, transaction_per_migration=True, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
    if on_postgres:
        _grant(connection, attributes["role"])
        connection.commit()
