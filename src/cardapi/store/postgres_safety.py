"""What a PostgreSQL server must be before money is written to it (S, O3): checked at every start, never repaired here."""

from __future__ import annotations

from typing import Any

from cardcore.errors import CardcoreError

STANDBYS = ("none", "synchronous", "reports")


class UnsafeServer(CardcoreError):
    """The server, or the role we came as, would let acknowledged money be lost or the journal be changed."""

    code = "unsafe_store"


def refuse_unsafe(connection: Any, standby: str) -> None:
    """Raise UnsafeServer unless what this connection commits survives a crash, and a failover where one is configured.

    standby: "none" (a standby that is there must be synchronous all the same), "synchronous" (one must be configured) or
    "reports" (asynchronous replicas are wanted, for reading only).
    """
    complaints = [*_durability(connection), *_standby(connection, standby), *_role(connection)]
    if complaints:
        raise UnsafeServer("the database is not safe for money: " + "; ".join(complaints), complaints=complaints)


def _value(connection: Any, statement: str) -> Any:
    return connection.execute(statement).fetchone()[0]


def _durability(connection: Any) -> list[str]:
    found = [f"{name} is off" for name in ("fsync", "full_page_writes") if _value(connection, f"SHOW {name}") != "on"]
    configured = _value(connection, "SHOW synchronous_commit")
    if configured not in ("on", "remote_apply"):
        found.append(f"synchronous_commit is {configured}")
    if _value(connection, "SELECT pg_is_in_recovery()"):
        found.append("it is a standby: money is decided on the primary only")
    if int(_value(connection, "SHOW server_version_num")) < 140_000:
        found.append("it is older than PostgreSQL 14")
    return found


def _standby(connection: Any, standby: str) -> list[str]:
    names = _value(connection, "SHOW synchronous_standby_names").strip()
    if standby == "synchronous" and not names:
        return ["a synchronous standby is asked for, and synchronous_standby_names is empty"]
    if standby == "none" and not names:
        attached = _value(connection, "SELECT count(*) FROM pg_stat_get_wal_senders()")
        if attached:
            return [f"{attached} standby(s) follow it asynchronously: set synchronous_standby_names, or standby = \"reports\""]
    return []


def _role(connection: Any) -> list[str]:
    """The role that serves owns nothing, may not bypass row security and cannot touch what is written."""
    found = []
    superuser, bypass = connection.execute("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user").fetchone()
    if superuser:
        return ["the serving role is a superuser"]
    if bypass:
        found.append("the serving role bypasses row security")
    owned = _value(
        connection, "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND pg_has_role(current_user, tableowner, 'MEMBER')"
    )
    if owned:
        found.append("the serving role owns the tables")
    rights = [right for right in ("UPDATE", "DELETE", "TRUNCATE") if _value(connection, f"SELECT has_table_privilege('entry', '{right}')")]
    if rights:
        found.append(f"the serving role may {', '.join(rights)} the journal")
    if _value(connection, "SELECT has_schema_privilege(current_schema(), 'CREATE')"):
        found.append("the serving role may create tables")
    return found
