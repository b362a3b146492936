"""The primary is killed under load and its standby promoted: nothing acknowledged is lost (O3), nothing is done twice (O1).

A primary and standbys of their own, on this machine. Processes that serve lose the primary and end; what had no answer is sent
again to the promoted standby. The canary is the same with a standby that follows asynchronously and lags: it must lose, or the
check could not tell. A server with the standby asked for, and none that is synchronous, is not served.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cardapi.app import create_shop, write_store
from cardapi.store import postgres
from cardapi.store.port import StoreError
from cardapi.store.postgres_local import DATABASE, OWNER, ROLE, LocalServer
from cardapi.store.postgres_safety import UnsafeServer
from tests.desk.till import Till
from tests.postgres.life import Life, context, judge_journal
from tests.postgres.server import SETTINGS as SMALL
from tests.postgres.server import needs_postgres
from tests.support import LONG, sized

FAILOVERS = sized(1, 10)
CARDS = 6
MONEY_FEN = 1_000_000
WAIT_S = 120
SETTINGS = SMALL | {"dynamic_shared_memory_type": "mmap"}  # in the data directory, where a kill leaves nothing behind


def until(what: str, true: Callable[[], object]) -> None:
    """Wait for something that comes by itself."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)


class Pair:
    """A primary with its standbys."""

    def __init__(self, room: Path, standbys: int, names: str) -> None:
        self.room = room
        self._names = names
        self._numbers = iter(range(1, 1_000))
        self.primary = LocalServer(room / "primary", SETTINGS)
        self.primary.create()
        self.primary.start()
        self.standbys = [self.join() for _ in range(standbys)]
        self.require(names)

    def join(self) -> LocalServer:
        """One standby more, streaming."""
        standby = LocalServer(self.room / f"s{next(self._numbers)}", SETTINGS)
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


@pytest.fixture
def laid() -> Iterator[Callable[[int, str], Pair]]:
    needs_postgres()
    made: list[Pair] = []

    def lay(standbys: int, names: str) -> Pair:
        shared = Path("/dev/shm")
        room = Path(tempfile.mkdtemp(prefix="cardcore-failover-", dir=shared if shared.is_dir() else None))
        room.chmod(0o755)
        made.append(Pair(room, standbys, names))
        return made[-1]

    yield lay
    for pair in made:
        pair.end()


class Shop:
    """A shop on such a pair, and what its processes said."""

    def __init__(self, directory: Path, pair: Pair, standby: str) -> None:
        self.directory, self.pair = directory, pair
        self.sent: set[str] = set()
        self.answered: dict[str, str] = {}
        directory.mkdir()
        self.settings(standby)
        create_shop(directory, password="correct horse", owner=pair.address(OWNER), partitions=4)
        till = Till(directory)
        self.cards = [till.card(MONEY_FEN) for _ in range(CARDS)]
        till.shop.close()

    def settings(self, standby: str) -> None:
        (self.directory / "settings.toml").write_text(f'standby = "{standby}"\n')
        write_store(self.directory, self.pair.address())

    def live(self, name: str) -> Life:
        return Life(context(), self.directory, self.cards, name, sorted(self.sent - self.answered.keys()))

    def heard(self, life: tuple[set[str], dict[str, str]]) -> None:
        keys, answers = life
        self.sent |= keys
        for key, answer in answers.items():
            assert self.answered.setdefault(key, answer) == answer, f"key {key} was answered twice, differently"

    def judge(self) -> None:
        """Nothing acknowledged is lost, nothing is doubled; straight from the journal, as it stands now."""
        store = postgres.PostgresStore(self.pair.address(), read_only=True)
        try:
            judge_journal(store, self.sent, self.answered)
        finally:
            store.close()


@pytest.mark.parametrize(("standbys", "names"), [(1, "s1"), (2, "ANY 1 (s1, s2)")] if LONG else [(1, "s1")])
def test_a_promoted_standby_has_all_that_was_acknowledged(
    tmp_path: Path, laid: Callable[[int, str], Pair], standbys: int, names: str
) -> None:
    pair = laid(standbys, names)
    shop = Shop(tmp_path / "shop", pair, "synchronous")
    rng = random.Random(7)
    for number in range(FAILOVERS):
        life = shop.live(f"life-{number}")
        life.wait(rng.randrange(5, 60))
        pair.kill()
        shop.heard(life.end())
        assert life.process.exitcode == 3, "a process that loses its primary acknowledges nothing more, and ends"
        pair.promote()
        shop.judge()
        pair.standbys = [_again(pair, standby) for standby in pair.standbys]
        fresh = [pair.join() for _ in range(standbys - len(pair.standbys))]
        pair.standbys += fresh
        together = ", ".join(standby.directory.name for standby in pair.standbys)
        pair.require(f"ANY 1 ({together})")
        shop.settings("synchronous")
    life = shop.live("last")
    life.wait(len(shop.sent - shop.answered.keys()) + 5)
    shop.heard(life.kill())
    shop.judge()
    till = Till(shop.directory)
    till.sound()
    till.shop.close()


def _again(pair: Pair, standby: LocalServer) -> LocalServer:
    """A standby of the killed primary, made anew under the promoted one."""
    standby.stop("immediate")
    shutil.rmtree(standby.directory)
    return pair.join()


def test_an_asynchronous_standby_loses_and_the_check_sees_it(tmp_path: Path, laid: Callable[[int, str], Pair]) -> None:
    pair = laid(1, "")
    shop = Shop(tmp_path / "shop", pair, "reports")
    with pytest.raises(UnsafeServer, match="asynchronously"):
        postgres.PostgresStore(pair.address(), standby="none")
    pair.standbys[0].stop()  # it lags as far as it likes; nobody waits for it
    life = shop.live("life")
    life.wait(20)
    pair.kill()
    shop.heard(life.end())
    pair.standbys[0].start()
    pair.promote()
    with pytest.raises(AssertionError, match="acknowledged and lost"):
        shop.judge()


def test_nothing_is_acknowledged_without_the_standby(tmp_path: Path, laid: Callable[[int, str], Pair]) -> None:
    pair = laid(1, "s1")
    shop = Shop(tmp_path / "shop", pair, "synchronous")
    pair.standbys[0].stop()
    life = shop.live("life")
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    until("a commit waits for the standby", lambda: pair.primary.sql(waiting))
    assert life.answers == 0
    pair.standbys[0].start()
    life.wait(5)
    shop.heard(life.kill())
    shop.judge()
    pair.require("")
    with pytest.raises(UnsafeServer, match="synchronous_standby_names is empty"):
        postgres.PostgresStore(pair.address(), standby="synchronous")
    pair.kill()
    with pytest.raises(StoreError):
        postgres.PostgresStore(pair.address(), standby="synchronous")
