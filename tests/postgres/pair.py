"""A PostgreSQL primary with its standbys on this machine: killed as a machine dies, promoted, joined again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from cardapi.store.postgres_local import DATABASE, ROLE, LocalServer
from tests.postgres.server import SETTINGS

WAIT_S = 120


def until(what: str, true: Callable[[], object]) -> None:
    """Wait for something that comes by itself."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)


class Pair:
    """A primary with its standbys. `server` makes each of them."""

    def __init__(self, room: Path, standbys: int, names: str, server: Callable[[Path], LocalServer] | None = None) -> None:
        self.room = room
        self._names = names
        self._numbers = iter(range(1, 1_000))
        self._server = server or (lambda directory: LocalServer(directory, SETTINGS))
        self.primary = self._server(room / "primary")
        self.primary.create()
        self.primary.start()
        self.standbys = [self.join() for _ in range(standbys)]
        self.require(names)

    def join(self) -> LocalServer:
        """One standby more, streaming."""
        standby = self._server(self.room / f"s{next(self._numbers)}")
        standby.follow(self.primary)
        standby.start()
        self.stream(standby)
        return standby

    def stream(self, standby: LocalServer) -> None:
        name = standby.directory.name
        asked = f"SELECT 1 FROM pg_stat_replication WHERE application_name = '{name}' AND state = 'streaming'"
        until("a standby streams", lambda: self.primary.sql(asked))

    def require(self, names: str) -> None:
        """Set which standbys a commit waits for, "" for none."""
        self.primary.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.primary.sql("SELECT pg_reload_conf()")
        until("the setting counts", lambda: self.primary.sql("SHOW synchronous_standby_names") == [(names,)])

    def address(self, role: str = ROLE) -> str:
        """One for all: whoever is the primary answers."""
        hosts = ",".join(str(server.directory) for server in (self.primary, *self.standbys))
        return f"postgresql:///{DATABASE}?host={hosts}&user={role}&target_session_attrs=read-write"

    def kill(self) -> None:
        """The machine of the primary is gone: every process of it at once."""
        lines = (self.primary.data / "postmaster.pid").read_text().split("\n")
        head, segment = int(lines[0]), lines[6].split()[-1]
        os.kill(head, signal.SIGSTOP)  # so that it starts no more
        for process in [*_children(head), head]:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        until("the primary is gone", lambda: _state(head) in ("", "Z"))
        (self.primary.data / "postmaster.pid").unlink()
        subprocess.run(["ipcrm", "-m", segment], check=False)  # what a machine that is gone would have taken with it

    def promote(self) -> None:
        """The standby that has most becomes the primary."""
        until("standbys answer", lambda: all(standby.running for standby in self.standbys))
        received = "SELECT coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'"
        self.standbys.sort(key=lambda standby: int(str(standby.sql(received)[0][0])), reverse=True)
        shutil.rmtree(self.primary.directory)
        self.primary = self.standbys.pop(0)
        self.primary.promote()
        self.require("")

    def end(self) -> None:
        for server in (self.primary, *self.standbys):
            server.stop("immediate")
        shutil.rmtree(self.room, ignore_errors=True)


def _stat(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["", "0"]


def _state(process: int) -> str:
    """One letter, none when there is no such process."""
    return _stat(process)[0]


def _children(process: int) -> list[int]:
    numbers = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [number for number in numbers if _stat(number)[1] == str(process)]
