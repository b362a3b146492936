"""The primary is killed under load and its standby promoted: nothing acknowledged is lost (O3), nothing is done twice (O1).

A primary and standbys of their own, on this machine. Processes that serve lose the primary and end; what had no answer is sent
again to the promoted standby. The canary is the same with a standby that follows asynchronously and lags: it must lose, or the
check could not tell. A server with the standby asked for, and none that is synchronous, is not served.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cardapi.app import create_shop, write_store
from cardapi.store import postgres
from cardapi.store.port import StoreError
from cardapi.store.postgres_local import OWNER, LocalServer
from cardapi.store.postgres_safety import UnsafeServer
from tests import leftovers
from tests.desk.till import Till
from tests.postgres.life import Life, context, judge_journal
from tests.postgres.pair import Pair, until
from tests.postgres.server import needs_postgres
from tests.support import LONG, sized

FAILOVERS = sized(1, 10)
CARDS = 6
MONEY_FEN = 1_000_000


@pytest.fixture
def laid() -> Iterator[Callable[[int, str], Pair]]:
    needs_postgres()
    made: list[Pair] = []

    def lay(standbys: int, names: str) -> Pair:
        made.append(Pair(leftovers.room("failover"), standbys, names))
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
