"""What comes of a hostile batch does not depend on how it is uploaded: whole or in pieces, in any order, repeated, interrupted by kill -9,
or by several at once. The accepted set is exact, every record is accounted for once, and the books stay in order.

Method: one yard is made, copied for each way of uploading, and what is left is compared with the outcomes written by hand.
"""

from __future__ import annotations

import atexit
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardcore.clearing import Record
from cardcore.clearing.body import Cleared
from tests.clearing.hostile import Expected, forms, hostile
from tests.clearing.yard import Yard
from tests.cli.shop import ENVIRONMENT, ROOT
from tests.shops import copy_shop, keep_for_the_run
from tests.support import LONG


@cache
def made() -> tuple[Path, Expected, list[Record]]:
    """A closed yard, the expected outcomes, and all records with their replays."""
    room = Path(tempfile.mkdtemp(prefix="cardcore-clearing-"))
    atexit.register(shutil.rmtree, room, ignore_errors=True)
    yard = Yard(room / "shop")
    expected = hostile(yard)
    yard.till.shop.close()
    keep_for_the_run(room / "shop")
    return room / "shop", expected, forms(yard, expected)


@contextmanager
def opened() -> Iterator[Yard]:
    """A fresh copy of the yard, whose books are verified at the end."""
    room = Path(tempfile.mkdtemp(prefix="cardcore-clearing-"))
    try:
        copy_shop(made()[0], room / "shop")
        yard = Yard(room / "shop", made=True)
        try:
            yield yard
            yard.till.sound()
        finally:
            yard.till.shop.close()
    finally:
        shutil.rmtree(room)


@cache
def baseline() -> dict[str, Any]:
    """What is left after one upload of everything, in the order in which it was made."""
    with opened() as yard:
        yard.upload(made()[2])
        return yard.state()


def pieces(records: Sequence[Record], rng: random.Random) -> list[list[Record]]:
    """Cut into pieces of random sizes."""
    out, at = [], 0
    while at < len(records):
        size = rng.randint(1, 9)
        out.append(list(records[at : at + size]))
        at += size
    return out


def test_a_hostile_batch_has_exactly_these_outcomes() -> None:
    _, expected, every = made()
    with opened() as yard:
        before = sum(yard.state()["on_card"].values())
        body = yard.upload(every)
        assert body.received == len(every) == len(body) + body.repeated
        replayed = every[0]
        for record, outcome in expected:
            assert record == replayed or yard.outcome(record) == outcome, (record, yard.outcome(record))
        assert sorted(yard.outcome(record) for record in [replayed, *every[-3:]]) == ["accepted"] + ["replayed"] * 3
        accepted = [record for record, outcome in expected if outcome == "accepted"]
        assert before - sum(yard.state()["on_card"].values()) == sum(record.amount for record in accepted) == -body.liability_delta_fen
        kinds = Counter(outcome for _, outcome in expected)
        assert len(kinds) >= 12
        open_cases = Counter(yard.cases())
        assert open_cases == Counter(outcome for _, outcome in expected if outcome != "accepted") + Counter(["replayed"])
        seen = Counter(name.partition(":")[0] for name in yard.state()["sequences"])
        assert seen["terminal_fork"] == 1
        assert seen["counter_fork"] == 1
        assert seen["terminal_gap"] > 0


def test_the_whole_batch_three_times_is_once() -> None:
    with opened() as yard:
        for _ in range(3):
            body = yard.upload(made()[2])
        assert len(body) == 0
        assert yard.state() == baseline()


@pytest.mark.parametrize("seed", range(40 if LONG else 4))
def test_shuffled_and_split_in_any_way(seed: int) -> None:
    rng = random.Random(seed)
    records = made()[2] * rng.randint(1, 2)
    rng.shuffle(records)
    with opened() as yard:
        for batch, piece in enumerate(pieces(records, rng)):
            yard.upload(piece, batch=batch % 3)
        assert yard.state() == baseline(), f"seed {seed}"


@settings(max_examples=60 if LONG else 6, deadline=None)
@given(st.data())
def test_any_permutation_partition_and_repetition(data: st.DataObject) -> None:
    """As before, with Hypothesis to shrink what fails."""
    records = made()[2]
    order = data.draw(st.permutations(range(len(records))))
    again = data.draw(st.lists(st.sampled_from(range(len(records))), max_size=6))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order)), max_size=5)))
    with opened() as yard:
        for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
            yard.upload([records[place] for place in order[start:end]])
        yard.upload([records[place] for place in again])
        assert yard.state() == baseline()


@pytest.mark.parametrize("seed", range(12 if LONG else 2))
def test_uploads_side_by_side(seed: int) -> None:
    rng = random.Random(seed)
    records = made()[2] * 2
    rng.shuffle(records)
    with opened() as yard, ThreadPoolExecutor(4) as pool:
        entries = list(pool.map(yard.upload_entry, pieces(records, rng)))
        assert sum(Cleared.unpack(entry.body).received for entry in entries) == len(records)
        assert yard.state() == baseline(), f"seed {seed}"


@pytest.mark.parametrize("seed", range(20 if LONG else 3))
def test_killed_in_the_middle_and_uploaded_again(seed: int) -> None:
    """F6: whatever the kill left, the next run of the same batch completes it."""
    rng = random.Random(seed)
    room = Path(tempfile.mkdtemp(prefix="cardcore-clearing-"))
    try:
        copy_shop(made()[0], room / "shop")
        records = made()[2] * 1
        rng.shuffle(records)
        (room / "records").write_bytes(pickle.dumps(records))
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.clearing.kill_child", str(room / "shop")], stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=ENVIRONMENT,
        )  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        answered = rng.randint(0, len(records) - 5)
        for _ in range(answered):
            child.stdout.readline()
        child.kill()
        child.wait()
        child.stdout.close()
        yard = Yard(room / "shop", made=True)
        try:
            known = len(list(yard.store.cleared()))
            assert answered <= known < len(records), "what was answered is there, and the kill came before the end"
            yard.till.sound()
            yard.upload(records)
            assert yard.state() == baseline()
            yard.till.sound()
        finally:
            yard.till.shop.close()
    finally:
        shutil.rmtree(room)


def test_held_records_are_judged_once_the_terminal_is_released() -> None:
    """Suspension depends on order, as it must; what it holds does not, once a person has released the terminal."""
    _, _, every = made()
    results = []
    for seed in range(2):
        rng = random.Random(seed)
        with opened() as yard:
            card = yard.card()
            wrong = [yard.pay(card, 1_00, terminal=1) for _ in range(12)]
            records = [*every, *(bad_mac(record, n) for n, record in enumerate(wrong))]
            rng.shuffle(records)
            for piece in pieces(records, rng):
                yard.upload(piece)
            assert yard.till.shop.registry.suspended("b")
            document = yard.till.shop.registry.document("suspension", "b") or {}
            yard.change("suspension", "b", {**document, "state": "released", "bad": 0})
            yard.upload(records)
            results.append({**yard.state(), "cases": [case for case in yard.state()["cases"] if case[2] == "open"]})
    assert results[0] == results[1]


def bad_mac(record: Any, n: int) -> Record:
    from dataclasses import replace

    forged: Record = replace(record, tac=bytes([n] * 4))
    return forged
