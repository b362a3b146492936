"""Schema changes by Alembic migration: one history for both databases. Raw SQL: the tables are the adapter's, not an object model's.

A revision gives its statements for SQLite and for PostgreSQL (`run`). On PostgreSQL the owner of the tables migrates; what
the role that serves may do with them is granted at the end of each upgrade (`GRANTS`), so a new table cannot be forgotten.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cardcore.errors import CardcoreError

HEAD = "0010"
APPEND_ONLY = ("entry",)
READ_ONLY = ("alembic_version",)


class SchemaError(CardcoreError):
    """The database was made by a newer release, or its version is none that we know."""

    code = "schema_unknown"


def current(connection: sqlite3.Connection) -> str:
    """The revision a database is at, "" when it is empty."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is None:
        return ""
    return _one(connection.execute("SELECT version_num FROM alembic_version").fetchall())


def current_postgres(connection: Any) -> str:
    """The revision of a PostgreSQL database (a psycopg connection), "" when it is empty."""
    if connection.execute("SELECT to_regclass('alembic_version')").fetchone()[0] is None:
        return ""
    return _one(connection.execute("SELECT version_num FROM alembic_version").fetchall())


def _one(rows: Sequence[tuple[Any, ...]]) -> str:
    return str(rows[0][0]) if len(rows) == 1 else "?"


def upgrade(path: Path, to: str = HEAD) -> None:
    """Bring the SQLite database at `path` to revision `to`; each migration is one transaction. Raises SchemaError."""
    _upgrade({"path": str(path)}, str(path), to)


def upgrade_postgres(owner: str, role: str, to: str = HEAD) -> None:
    """Bring a PostgreSQL database to revision `to` as the owner of its tables, and grant `role` what serving needs.

    `owner` is a connection string. Killed at any point it can be called again (V). Raises SchemaError.
    """
    _upgrade({"owner": owner, "role": role}, "the database", to)


def _upgrade(attributes: dict[str, str], shown: str, to: str) -> None:
    from alembic import command, util
    from alembic.config import Config
    from sqlalchemy.exc import SQLAlchemyError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes.update(attributes)
    try:
        command.upgrade(config, to)
    except (util.CommandError, SQLAlchemyError) as error:
        raise SchemaError(f"cannot migrate {shown}: {error}") from error


def run(sqlite: Sequence[str], postgres: Sequence[str]) -> None:
    """The statements of one revision for the database that is being migrated."""
    from alembic import op

    for statement in postgres if op.get_bind().dialect.name == "postgresql" else sqlite:
        op.execute(statement)
