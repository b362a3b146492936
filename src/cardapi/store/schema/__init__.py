"""Schema changes by Alembic migration, run at open. Raw SQL: the tables are the adapter's, not an object model's."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from cardcore.errors import CardcoreError

HEAD = "0004"


class SchemaError(CardcoreError):
    """The database was made by a newer release, or its version is none that we know."""

    code = "schema_unknown"


def current(connection: sqlite3.Connection) -> str:
    """The revision a database is at, "" when it is empty."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is None:
        return ""
    rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(rows[0][0]) if len(rows) == 1 else "?"


def upgrade(path: Path, to: str = HEAD) -> None:
    """Bring the database at `path` to revision `to`; each migration is one transaction. Raises SchemaError."""
    from alembic import command, util
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["path"] = str(path)
    try:
        command.upgrade(config, to)
    except util.CommandError as error:
        raise SchemaError(f"cannot migrate {path}: {error}") from error
