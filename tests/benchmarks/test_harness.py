"""The harness must turn rounds into the right ratios and verdicts, since every speed claim rests on it.

Method: lines of made-up subjects whose figures are known, judged against targets just met and just missed.
"""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.harness import LIMIT, Line, Sample, Spread, Subject, Target, Together, judge, measure


def replay(values: list[float]):
    left = iter(values)
    return lambda: next(left)


def line(unit: str, ours: list[float], theirs: list[float], *targets: Target) -> Line:
    return Line("made-up", "made up", [Subject("ours", unit, replay(ours)), Subject("theirs", unit, replay(theirs))], list(targets))


def verdicts(made: Line, rounds: int):
    return judge(made, measure(made, rounds, lambda _: None))


def test_the_ratio_is_the_median_of_the_rounds_not_the_ratio_of_medians():
    made = line("/s", [10, 90, 30], [10, 30, 90], Target("t", "ours", "theirs", 1.0))
    (verdict,) = verdicts(made, 3)
    assert verdict.ratio == Spread(1.0, 1 / 3, 3.0)
    assert (verdict.value.median, verdict.baseline_value.median) == (30, 30)


@pytest.mark.parametrize(
    ("unit", "ratio", "ours", "theirs", "expected"),
    [("/s", "speed", 20, 10, 2.0), ("/s", "cost", 20, 10, 0.5), ("ns", "speed", 20, 10, 0.5), ("ns", "cost", 20, 10, 2.0)],
)
def test_speed_and_cost_for_rates_and_durations(unit, ratio, ours, theirs, expected):
    (verdict,) = verdicts(line(unit, [ours], [theirs], Target("t", "ours", "theirs", 1.0, ratio=ratio)), 1)
    assert verdict.ratio.median == expected
    assert verdict.ok is (expected >= 1 if ratio == "speed" else expected <= 1)


@pytest.mark.parametrize(("value", "ok"), [(24.9, True), (25.0, True), (25.1, False)])
def test_a_limit_on_a_detail_is_at_most(value, ok):
    subject = Subject("ours", "/s", lambda: Sample(1000, {"p99_ms": value}))
    target = Target("p99", "ours", LIMIT, 1, ratio="cost", limit=25, metric="p99_ms", metric_unit="ms")
    (verdict,) = verdicts(Line("l", "l", [subject], [target]), 1)
    assert (verdict.ok, verdict.unit, verdict.value.median) == (ok, "ms", value)


def test_growth_is_judged_beside_the_growth_of_another_pair():
    figures = {"big": 50.0, "small": 100.0, "bare big": 40.0, "bare small": 100.0}
    subjects = [Subject(name, "/s", replay([value])) for name, value in figures.items()]
    target = Target("t", "big", "small", 1.0, beside=("bare big", "bare small"))
    (verdict,) = verdicts(Line("l", "l", subjects, [target]), 1)
    assert verdict.ratio.median == pytest.approx(0.5 / 0.4)
    assert verdict.ok


def test_every_round_runs_every_subject_and_starts_with_another():
    order: list[str] = []

    def noting(name: str):
        def note() -> float:
            order.append(name)
            return 1.0

        return note

    measure(Line("l", "l", [Subject(name, "/s", noting(name)) for name in "abc"], []), 3, lambda _: None)
    assert "".join(order) == "abcbcacab"


def test_the_json_holds_exactly_the_agreed_fields(tmp_path: Path):
    rows = verdicts(line("/s", [30], [10], Target("t", "ours", "theirs", 2.5)), 1)
    (row,) = json.loads(report.write(tmp_path, "made-up", rows).read_text())
    assert row == {
        "name": "t", "value": 30, "unit": "/s", "baseline": "theirs", "baseline_value": 10, "ratio": 3.0, "target_ratio": 2.5, "ok": True,
    }  # fmt: skip


def test_subjects_together_take_turns_and_are_run_once_a_round():
    order: list[str] = []

    def working(name: str, seconds: float):
        def work() -> None:
            order.append(name)
            time.sleep(seconds)

        return work

    turns = Together(0.05, {"slow": working("slow", 0.004), "fast": working("fast", 0.001)}, burst=0.01)
    made = Line("l", "l", [turns.subject("slow"), turns.subject("fast")], [Target("t", "fast", "slow", 1.5)])
    (verdict,) = verdicts(made, 2)
    assert verdict.ok
    changes = sum(one != two for one, two in pairwise(order))
    assert changes >= 10  # two rounds of ten bursts or more, not one block each
    assert order.count("fast") > order.count("slow")
