"""Goal: a settle that is done alone is a shorter way and no other one: same entries, rows, answers and figures, and once only (O1-O4, F2).

Method: seeded requests one at a time at two copies of a shop, with the short way and without; the store's part of it replaced by one
that fails before or after each of its steps, and SQLite itself failing within a statement; registry changes between two settles.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cardapi.desk import Problem, Request
from cardapi.store import direct, log
from cardapi.store.port import Entry, Found, StoreError
from cardcore.errors import CardcoreError
from cardcore.settlement import Sale, TopUp
from tests.desk.test_parts import START_US
from tests.desk.test_settles import other_verb, prepared, settle
from tests.desk.till import PLAIN, Till
from tests.support import sized

pytestmark = pytest.mark.embedded("no other store has a shorter way")
needs_direct = pytest.mark.skipif(not direct.available, reason="SQLite's library is not within reach")
REQUESTS = sized(150, 1_500)


class Counted:
    """The short way, and how many it did."""

    def __init__(self, way: Any) -> None:
        self.way = way
        self.done = 0
        self.since = 0.0

    def call(self, desk: Any, request: Request) -> Entry | None:
        entry: Entry | None = self.way.call(desk, request)
        self.done += entry is not None
        return entry


def lived(directory: Path, cards: list[str], seed: int, *, alone: bool) -> tuple[Any, ...]:
    """What a shop answers to the requests of a seed, what it keeps and counts; the number that the short way did."""
    rng = random.Random(seed)
    now = START_US + 60_000_000
    till = Till(directory, lambda: now)
    desk = till.shop.desk
    side = desk._sides._sides[0]
    way = Counted(desk._lone)
    desk._lone = way if alone else None  # type: ignore[assignment]
    told: list[Any] = []
    for n in range(REQUESTS):
        now += rng.choice([1, 1_000, 1_000_000])
        if rng.random() < 0.05:
            side.forget()  # what comes next is read
        key = f"{seed}-{n}"
        card = rng.choice([*cards[:2] * 4, *cards, "8801000000000009"])
        if rng.random() < 0.1:
            one = other_verb(till, rng, key, card, cards[-1])
        else:
            one = settle(till, rng, rng.choice([*[key] * 8, "first", f"{seed}-{n // 2}"]), card)
        if rng.random() < 0.1:
            one.fingerprint = bytes(16)
        try:
            told.append(desk.call(one))
        except CardcoreError as problem:
            told.append((problem.code, str(problem)))
        told.append((desk.head, desk.waiting, desk.stalled_s(), till.shop.registry.position))
    till.sound()
    kept = {account_id: (account.pack(), side.rows.changed[account_id]) for account_id, account in side.rows.accounts.items()}
    sizes = desk.commits.entries
    store = till.shop.store.reader()
    rows = [(row.account_id, row.state, row.changed_at) for row in store.accounts()]
    entries = list(store.journal(0))
    till.shop.close()
    signed = till.shop.checkpoints.newest()[0]
    assert (signed.position, signed.mac) == (entries[-1].position, entries[-1].mac.hex())
    return way.done, (told, entries, rows, kept, sizes.counts, sizes.total)


@needs_direct
@pytest.mark.parametrize("seed", range(sized(3, 30)))
def test_one_alone_gives_what_a_batch_of_one_gives(tmp_path: Path, seed: int) -> None:
    cards = prepared(tmp_path / "short", 1)
    shutil.copytree(tmp_path / "short", tmp_path / "long")
    done, short = lived(tmp_path / "short", cards, seed, alone=True)
    none, long = lived(tmp_path / "long", cards, seed, alone=False)
    assert done > REQUESTS // 5, "the short way did hardly any"
    assert none == 0
    for mine, theirs in zip(short, long, strict=True):
        assert mine == theirs, f"seed {seed}"
    codes = {answer.code if isinstance(answer, Entry) else answer[0] for answer in short[0][::2]}
    assert {"", "key_required", "key_reused", "unknown_card", "holder_excluded", "card_not_active", "insufficient_funds"} <= codes, codes


def test_several_partitions_and_pythons_own_sqlite_have_no_short_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = prepared(tmp_path / "several", 3)
    till = Till(tmp_path / "several")
    assert till.shop.desk._lone is None
    assert till.sale(cards[0], 1_00).outcome == "applied"
    till.shop.close()
    monkeypatch.setattr(direct, "available", False)
    till = Till(tmp_path / "plain")
    assert till.shop.desk._lone is None
    assert till.sale(till.card(5_00), 1_00).outcome == "applied"
    till.shop.close()


@needs_direct
@pytest.mark.parametrize("known", [True, False], ids=["kept", "read"])
def test_the_same_key_again_changes_nothing_that_is_kept(till: Till, known: bool) -> None:
    """The commit finds the key: what was folded into the account before is not there any more, and the next settle is right."""
    card, other = till.card(100_00), till.card(100_00)
    first = till.sale(card, 30_00, key="sale")
    side = till.shop.desk._sides._sides[0]
    if not known:
        side.forget()
    assert till.sale(card, 30_00, key="sale") == first
    assert till.problem("settle", card=card, key="sale", meaning="another", command=Sale("settle", [(1, 1)])) == "key_reused"
    assert till.problem("settle", card=other, key="sale", meaning="another", command=Sale("settle", [(1, 1)])) == "key_reused"
    assert till.sale(card, 70_00).outcome == "applied"
    assert till.sale(other, 100_00).outcome == "applied"
    assert (till.balance(card), till.balance(other)) == (0, 0)
    till.sound()


@needs_direct
def test_what_was_handed_in_alone_takes_it_too(till: Till) -> None:
    """The writer thread has one request: over HTTP, in a shop with one till."""
    card = till.card(100_00)
    desk = till.shop.desk
    seen: list[Entry | None] = []

    class Listening:
        since = 0.0

        def settle(self, *asked: Any) -> Entry | None:
            seen.append(lone.settle(*asked))  # type: ignore[union-attr]
            return seen[-1]

    lone, desk._lone = desk._lone, Listening()  # type: ignore[assignment]
    one = till.request("settle", card=card, command=Sale("settle", [(1_00, 1)]))
    (entry,) = desk.begin([one]).result(timeout=60)
    assert [entry] == seen
    (again,) = desk.begin([one]).result(timeout=60)
    assert (again, seen[1:]) == (entry, [None])
    assert till.balance(card) == 99_00
    till.sound()


@needs_direct
def test_a_change_of_the_registry_counts_for_the_next_settle(till: Till) -> None:
    card = till.card(100_00)
    assert till.sale(card, 1_00).outcome == "applied"
    pack = PLAIN.replace('version = 1', 'version = 2').replace('pin = "never"', 'pin = "always"')
    till.done("change", payload={"kind": "programme", "id": "plain@2", "document": {"valid_from": 1, "pack": pack}})
    assert till.sale(card, 1_00).code == "pin_required"
    till.sound()


@needs_direct
def test_a_version_that_begins_counts_from_its_second(tmp_path: Path) -> None:
    now = START_US
    till = Till(tmp_path / "shop", lambda: now)
    card = till.card(100_00)
    pack = PLAIN.replace('version = 1', 'version = 2').replace('pin = "never"', 'pin = "always"')
    begins = START_US // 1_000_000 + 5
    till.done("change", payload={"kind": "programme", "id": "plain@2", "document": {"valid_from": begins, "pack": pack}})
    now = begins * 1_000_000 - 1
    assert till.sale(card, 1_00).outcome == "applied"
    now += 1
    assert till.sale(card, 1_00).code == "pin_required"
    till.shop.close()


class Faulty:
    """The store's part, whose n-th step fails before or after it did its work."""

    def __init__(self, real: direct.Single, at: int, error: BaseException, *, after: bool) -> None:
        self.real, self.at, self.error, self.after = real, at, error, after
        self.calls = 0
        self.fired = ""

    def _do(self, name: str, step: Callable[[], Any]) -> Any:
        self.calls += 1
        hit = self.calls == self.at
        if hit:
            self.fired = name
        if hit and not self.after:
            raise self.error
        result = step()
        if hit:
            raise self.error
        return result

    def read(self, number: str) -> Found | None:
        found: Found | None = self._do("read", lambda: self.real.read(number))
        return found

    def commit(self, entry: Entry, account_id: int, state: bytes) -> None:
        self._do("commit", lambda: self.real.commit(entry, account_id, state))

    def abandon(self) -> None:
        self.real.abandon()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@needs_direct
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [StoreError("disk I/O error"), KeyboardInterrupt()], ids=["fault", "interrupt"])
@pytest.mark.parametrize("at", [1, 2])
def test_every_step_of_a_settle_alone(till: Till, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException, after: bool) -> None:
    card = till.card(100_00)
    till.reopen()  # so that the card is read
    desk, store = till.shop.desk, till.shop.store
    real = store.single()
    assert isinstance(real, direct.Single)
    faulty = Faulty(real, at, error, after=after)
    monkeypatch.setattr(store, "single", lambda: faulty)
    desk._lone = desk._sides.lone(desk._commits, desk._checkpoints)
    if isinstance(error, Exception):
        assert till.problem("settle", card=card, key="sale", meaning="m", command=Sale("settle", [(1_00, 1)])) == "unexpected"
    else:
        with pytest.raises(KeyboardInterrupt):
            till.ask("settle", card=card, key="sale", meaning="m", command=Sale("settle", [(1_00, 1)]))
    assert faulty.fired == ("read", "commit")[at - 1]
    assert desk.failed is not None
    assert (desk.waiting, desk.stalled_s()) == (0, 0.0)
    assert till.problem("settle", card=card) == "not_ready"
    assert till.problem("topup", card=card, command=TopUp(1)) == "not_ready"
    assert till.balance(card) == (99_00 if after and faulty.fired == "commit" else 100_00)
    till.reopen()
    assert till.ask("settle", card=card, key="sale", meaning="m", command=Sale("settle", [(1_00, 1)])).outcome == "applied"
    assert till.balance(card) == 99_00
    till.sound()


@needs_direct
@pytest.mark.parametrize("table", ["entry", "account"])
@pytest.mark.parametrize("when", ["BEFORE", "AFTER"])
def test_a_statement_that_fails_inside_sqlite_leaves_nothing(till: Till, table: str, when: str) -> None:
    """A trigger of that one connection stands for whatever SQLite may say no to."""
    card = till.card(100_00)
    till.sale(card, 1_00)
    before = till.shop.desk.head
    event = "UPDATE" if table == "account" and when == "AFTER" else "INSERT"
    rows: Any = till.shop.store
    rows._rows._connection.write([(
        f"CREATE TEMP TRIGGER no {when} {event} ON main.{table} BEGIN SELECT RAISE(ABORT, 'no'); END", [()],
    )])  # fmt: skip
    assert till.problem("settle", card=card, key="sale", meaning="m", command=Sale("settle", [(1_00, 1)])) == "unexpected"
    assert till.problem("settle", card=card) == "not_ready"
    assert till.balance(card) == 99_00
    till.reopen()
    assert till.shop.desk.head == before
    assert till.ask("settle", card=card, key="sale", meaning="m", command=Sale("settle", [(1_00, 1)])).outcome == "applied"
    assert till.balance(card) == 98_00
    till.sound()


@needs_direct
def test_a_fold_that_breaks_stops_the_desk(till: Till) -> None:
    """The account was changed in memory and the state that it comes to cannot be written: nothing more is acknowledged (F2)."""
    card = till.card(100_00)
    desk, store = till.shop.desk, till.shop.store

    class Full:
        def commit(self, *_: object) -> None:
            raise MemoryError

        def __getattr__(self, name: str) -> Any:
            return getattr(single, name)

    single = store.single()
    till.shop.store.single = Full  # type: ignore[method-assign]
    desk._lone = desk._sides.lone(desk._commits, desk._checkpoints)
    with pytest.raises(Problem) as raised:
        till.sale(card, 1_00, key="sale")
    assert raised.value.code == "unexpected"
    assert till.problem("settle", card=card) == "not_ready"
    till.reopen()
    assert till.sale(card, 1_00, key="sale").outcome == "applied"
    assert till.balance(card) == 99_00
    till.sound()


@needs_direct
def test_the_log_is_tended_while_settles_come_alone(till: Till) -> None:
    card = till.card(100_00)
    for _ in range(log.LENGTHEN_AFTER + 20):
        till.sale(card, 1)
    assert till.shop.store.path.with_name("cardcore.db-wal").stat().st_size >= log.STEP_BYTES  # type: ignore[attr-defined]
    till.sound()


@needs_direct
def test_a_row_that_was_read_is_forgotten_again(till: Till) -> None:
    """What is kept stays bounded though nothing but lone settles come."""
    cards = [till.card(10_00) for _ in range(20)]
    side = till.shop.desk._sides._sides[0]
    side.forget()
    side.rows.accounts_max = 8
    for card in cards:
        till.sale(card, 1_00)
        assert len(side.rows.accounts) <= 8
        assert len(side.rows.cards) <= 8
    assert {till.balance(card) for card in cards} == {9_00}
    till.sound()
