"""A PostgreSQL server of our own, where none is given: for `make run STORE=postgres`, the tests and the benchmarks (standbys too).

Uses the installed PostgreSQL's own programs. The server listens on a socket in its own directory only, which nobody else may
enter. It refuses to run as root, so root starts it as the system user `postgres`, which the package makes.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cardapi.store.port import StoreError

OWNER, ROLE, DATABASE = "cardcore_owner", "cardcore", "cardcore"
SYSTEM_USER = "postgres"
START_S = 60
# Said aloud, so that no default of a distribution can weaken it.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


def programs() -> Path:
    """The folder of the newest installed PostgreSQL's programs. Raises StoreError with what to install."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if folders:
        return max(folders, key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    raise StoreError("there is no PostgreSQL here: apt-get install postgresql (or give one: --store postgresql://...)")


class LocalServer:
    """One cluster in one directory. The socket's folder is `directory`."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.data = directory / "data"
        self._settings = {**DURABLE, **(settings or {})}
        self._programs = programs()

    def url(self, role: str = ROLE, database: str = DATABASE) -> str:
        """A connection string for one of the two roles, or for the superuser `postgres`."""
        return f"postgresql:///{database}?host={self.directory}&user={role}"

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs as the user the server belongs to. Raises StoreError with what it said."""
        done = subprocess.run(
            [str(self._programs / program), *arguments], cwd="/", capture_output=True, text=True, check=False, **self.options()
        )  # type: ignore[call-overload]  # keywords by name
        if done.returncode:
            raise StoreError(f"{program} failed: {(done.stderr or done.stdout).strip()[-500:]}")
        return str(done.stdout)

    def options(self) -> dict[str, object]:
        """How its programs are run, as keywords of `subprocess.run`. Raises StoreError."""
        if os.geteuid() != 0:
            return {}
        try:
            entry = pwd.getpwnam(SYSTEM_USER)
        except KeyError as error:
            raise StoreError(f"PostgreSQL does not run as root, and there is no user {SYSTEM_USER}") from error
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def create(self) -> None:
        """Make the cluster if it is not there. Killed in between, what is half made is made again."""
        if (self.directory / "made").exists():
            return
        shutil.rmtree(self.data, ignore_errors=True)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self.directory, SYSTEM_USER, SYSTEM_USER)
        # Only who may enter the directory reaches the socket, so the socket itself asks nothing.
        self.run("initdb", "-D", str(self.data), "-U", SYSTEM_USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()
        try:
            self._make_roles()
        finally:
            self.stop()
        (self.directory / "made").touch()

    def follow(self, primary: LocalServer) -> None:
        """Become a standby of a running server, under the name of this directory. Raises StoreError."""
        self.directory.mkdir(mode=0o700, parents=True)
        if os.geteuid() == 0:
            shutil.chown(self.directory, SYSTEM_USER, SYSTEM_USER)
        source = f"host={primary.directory} user={SYSTEM_USER} application_name={self.directory.name}"
        self.run("pg_basebackup", "-D", str(self.data), "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        (self.directory / "made").touch()

    def promote(self) -> None:
        """Let a standby be the primary from now on. Raises StoreError."""
        self.run("pg_ctl", "promote", "-w", "-t", str(START_S), "-D", str(self.data))

    def _make_roles(self) -> None:
        for statement in (
            f"CREATE ROLE {OWNER} LOGIN",
            f"CREATE ROLE {ROLE} LOGIN",
            f"CREATE DATABASE {DATABASE} OWNER {OWNER}",
        ):
            self.sql(statement)

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """One statement as the superuser. Raises psycopg.Error."""
        import psycopg

        with psycopg.connect(self.url(SYSTEM_USER, database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @property
    def running(self) -> bool:
        """Whether a server runs on this cluster."""
        try:
            self.run("pg_ctl", "status", "-D", str(self.data))
        except StoreError:
            return False
        return True

    def start(self) -> None:
        """Start the server and wait until it answers. Raises StoreError."""
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.directory), **self._settings}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        log = self.directory / "log"
        self.run("pg_ctl", "start", "-w", "-t", str(START_S), "-D", str(self.data), "-l", str(log), "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Stop it, if it runs. mode: fast, or immediate (as a crash does)."""
        if self.running:
            self.run("pg_ctl", "stop", "-w", "-t", str(START_S), "-m", mode, "-D", str(self.data))
