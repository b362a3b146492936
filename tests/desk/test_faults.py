"""A fault in each write and sync call of one settle (F2, O3, O4): nothing false is acknowledged, nothing is lost or doubled.

A preloaded library makes the n-th system call on the database's files fail with EIO or ENOSPC, for every n a settle makes, once
as a passing fault and once as a disk that stays bad. Faults above the system calls are put into each statement of a commit.
"""

from __future__ import annotations

import errno
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cardapi.desk import Problem
from cardapi.store import direct
from cardapi.store import statements as sql
from cardapi.store.rows import Direct, Plain
from tests.desk.preload import compiled, on_linux, run
from tests.desk.till import Till

pytestmark = pytest.mark.embedded("system calls on its files fail")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("fault", tmp_path_factory.mktemp("fault"))


@on_linux
@pytest.mark.parametrize("sticky", [0, 1], ids=["passing", "staying"])
@pytest.mark.parametrize(
    ("way", "reason"),
    [("direct", errno.EIO), ("plain", errno.EIO), ("direct", errno.ENOSPC), ("parts", errno.EIO), ("parts", errno.ENOSPC)],
)
def test_every_write_and_sync_of_a_settle(library: Path, tmp_path: Path, sticky: int, way: str, reason: int) -> None:
    shown = run(library, "tests.desk.fault_child", str(tmp_path / "shop"), str(sticky), way, str(reason), seconds=120)
    lines = [json.loads(line) for line in shown.splitlines()]
    reached = [line for line in lines if line["fired"]]
    if way == "direct" and direct.gathers:
        assert (len(reached), lines[-1]["seen"]) == (2, 2), "a settle is one write and one sync"
    else:
        assert len(reached) >= 4, "a settle makes more calls than that: the fault did not reach its window"
    assert lines[-1]["fired"] == 0, "not every call of a settle was failed"
    for line in reached:
        assert line["told"] in ("applied", "unexpected"), line
        if line["told"] == "applied":
            assert line["kept"] == 1_00, f"acknowledged and lost: {line}"
        else:
            assert line["failed"], line
            assert line["after_failure"] == "not_ready", f"acknowledged after a failure: {line}"
            assert line["kept"] in (0, 1_00), line
        assert line["retried"] == "applied", line
        assert line["taken"] == 1_00, f"doubled or lost: {line}"
        assert line["sound"], line
    assert any(line["told"] == "unexpected" for line in reached), "no fault was noticed at all"


class Faulty:
    """A connection whose n-th statement fails, before or after it did its work."""

    def __init__(self, real: sqlite3.Connection, at: int, *, after: bool) -> None:
        self.real, self.at, self.after = real, at, after
        self.calls: list[str] = []
        self.fired = ""

    def _call(self, name: str, statement: str, *arguments: Any) -> Any:
        self.calls.append(statement)
        hit = len(self.calls) == self.at
        if hit:
            self.fired = statement
        if hit and not self.after:
            raise sqlite3.OperationalError("disk I/O error")
        result = getattr(self.real, name)(statement, *arguments)
        if hit:
            raise sqlite3.OperationalError("disk I/O error")
        return result

    def execute(self, statement: str, *arguments: Any) -> Any:
        return self._call("execute", statement, *arguments)

    def executemany(self, statement: str, *arguments: Any) -> Any:
        return self._call("executemany", statement, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class FaultyDirect:
    """The direct way, with a fault in its n-th statement. Inside a transaction the fault is real: a row that is there already."""

    POISON = (sql.INSERT_PARTITION, [(0, b"")])

    def __init__(self, real: direct.Connection, at: int, *, after: bool) -> None:
        self.real, self.at, self.after = real, at, after
        self.calls = 0
        self.fired = ""

    def _reached(self, name: str) -> bool:
        self.calls += 1
        if self.calls == self.at:
            self.fired = name
        return self.calls == self.at

    def read(self, statement: str, keys: Any) -> Any:
        hit = self._reached("SELECT")
        if hit and not self.after:
            raise direct.DirectError("disk I/O error", 10)
        found = self.real.read(statement, keys)
        if hit:
            raise direct.DirectError("disk I/O error", 10)
        return found

    def begin(self, queries: list[Any]) -> Any:
        for name in ("BEGIN", *("SELECT" for _ in queries)):
            if self._reached(name):
                if self.after:
                    self.real.begin(queries)
                    self.real.abandon()  # what was begun does not outlive an error of `begin`
                raise direct.DirectError("disk I/O error", 10)
        return self.real.begin(queries)

    def abandon(self) -> None:
        self.real.abandon()

    def write(self, steps: list[Any]) -> None:
        told = []
        for step in steps:
            hit = self._reached(step[0].split()[0])
            told += [self.POISON, step] if hit and not self.after else [step, self.POISON] if hit else [step]
        done = self._reached("COMMIT")
        self.real.write([*told, self.POISON] if done and not self.after else told)
        if done:
            raise direct.DirectError("disk I/O error", 10)

    def close(self) -> None:
        self.real.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("way", ["direct", "plain"])
def test_every_statement_of_a_settle(till: Till, after: bool, way: str) -> None:
    card = till.card(100_00)
    fired: list[str] = []
    for at in range(1, 20):
        till.shop.desk._lone = None  # as a batch; `test_lone` has the other way
        store: Any = till.shop.store
        whole = store._rows
        faulty: Any
        if way == "direct":
            assert isinstance(whole, Direct)
            whole._connection = faulty = FaultyDirect(whole._connection, at, after=after)  # type: ignore[assignment]
        else:
            faulty = Faulty(store._connection, at, after=after)
            store._rows = Plain(faulty)
        before = till.balance(card)
        try:
            outcome = till.sale(card, 1_00, key=f"sale-{at}").outcome
        except Problem as problem:
            outcome = problem.code
        store._rows = whole
        if not faulty.fired:
            break
        fired.append(faulty.fired.split()[0])
        assert outcome == "unexpected"
        assert till.shop.desk.failed is not None
        assert till.problem("settle", card=card) == "not_ready"
        kept = before - till.balance(card)
        assert kept == (1_00 if after and faulty.fired == "COMMIT" else 0)
        till.reopen()
        assert till.sale(card, 1_00, key=f"sale-{at}").outcome == "applied"
        assert till.balance(card) == before - 1_00
    assert {"SELECT", "BEGIN", "INSERT", "COMMIT"} <= set(fired), fired
    till.sound()


def test_a_checkpoint_that_cannot_be_written_stops_the_desk(till: Till) -> None:
    card = till.card(100_00)
    till.sale(card, 1_00)
    path = till.shop.checkpoints.path
    good = path.read_bytes()
    path.unlink()
    path.mkdir()
    till.shop.close()
    assert till.shop.desk.failed is not None
    path.rmdir()
    path.write_bytes(good)
    till.reopen()
    till.sound()


def test_a_broken_invariant_stops_the_desk(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    card = till.card(100_00)

    def broken(*_: object) -> None:
        raise AssertionError("a lot below zero")

    monkeypatch.setattr("cardapi.desk.work.Work.apply", broken)
    assert till.problem("settle", card=card, command=None) == "invalid_payload"
    from cardcore.settlement import TopUp

    assert till.problem("topup", card=card, command=TopUp(1)) == "unexpected"
    assert till.problem("topup", card=card, command=TopUp(1)) == "not_ready"
    monkeypatch.undo()
    till.reopen()
    assert till.balance(card) == 100_00
    till.sound()


def test_a_poisonous_decision_does_not_stop_the_desk(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    card = till.card(100_00)

    def poisonous(*_: object) -> None:
        raise OverflowError("value too large")

    monkeypatch.setattr("cardapi.desk.money.decide", poisonous)
    from cardcore.settlement import TopUp

    assert till.problem("topup", card=card, command=TopUp(1)) == "unexpected"
    monkeypatch.undo()
    assert till.shop.desk.failed is None
    till.topup(card, 1)
    till.sound()


def test_an_interrupt_in_the_callers_thread_stops_the_desk(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lone caller writes in the writer's place; Ctrl-C there leaves rows folded and not written, so nothing more is answered."""
    card = till.card(100_00)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(till.shop.store, "commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        till.topup(card, 10_00)
    monkeypatch.undo()
    assert till.problem("settle", card=card) == "not_ready"
    assert till.shop.desk.waiting == 0
    till.reopen()
    assert till.balance(card) == 100_00
    till.sound()
