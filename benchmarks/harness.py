"""Rounds, ratios and verdicts: how every line of the benchmark is measured.

A disk's rate of syncs drifts by a factor of two within minutes, and so does a shared processor. So absolute figures
say little, and everything here is a ratio taken inside one round: each round runs one short slice of every subject,
starting with another one each time, and the figure is the median of the rounds' ratios.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

LIMIT = "limit"
"""Baseline name of a target that is a fixed figure and no other subject."""


@dataclass(frozen=True)
class Sample:
    """One slice of one subject. `value` is in the subject's unit; `detail` holds further figures (p99_ms ...)."""

    value: float
    detail: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """Something that is timed. `slice` runs it for a moment and returns a rate ("/s") or a duration ("ns", "ms")."""

    name: str
    unit: str
    slice: Callable[[], Sample | float]

    @property
    def is_rate(self) -> bool:
        return self.unit.endswith("/s")


@dataclass(frozen=True)
class Target:
    """What is asked of a subject, as a ratio to a baseline of the same round.

    `ratio` "speed" = how many times as fast as the baseline (at least `must`); "cost" = how many times as long
    (at most `must`). With the baseline LIMIT it is the figure's share of `limit`, at least or at most in the same way.
    """

    name: str
    subject: str
    baseline: str
    must: float
    stretch: float | None = None
    ratio: Literal["speed", "cost"] = "speed"
    limit: float = 0.0  # baseline LIMIT only: the fixed figure
    beside: tuple[str, str] | None = None  # (subject, baseline): divide by their ratio too, "grows no worse than"
    metric: str = ""  # a key of Sample.detail instead of its value
    metric_unit: str = ""

    @property
    def at_least(self) -> bool:
        return self.ratio == "speed"


@dataclass
class Line:
    """One question: subjects that share every round, and what is asked of them. `notes` go into the report."""

    name: str
    title: str
    subjects: list[Subject]
    targets: list[Target]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, with the smallest and the largest."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: list[float]) -> Spread:
        assert values, "a figure needs at least one round"
        return Spread(median(values), min(values), max(values))


@dataclass(frozen=True)
class Verdict:
    """One row of the report: the figure, what it was compared with, and whether the target was met."""

    target: Target
    unit: str
    value: Spread
    baseline_value: Spread
    ratio: Spread
    ok: bool

    def record(self) -> dict[str, Any]:
        """The row as written to `results/*.json`."""
        return {
            "name": self.target.name,
            "value": self.value.median,
            "unit": self.unit,
            "baseline": self.target.baseline,
            "baseline_value": self.baseline_value.median,
            "ratio": self.ratio.median,
            "target_ratio": self.target.must,
            "ok": self.ok,
        }


class LineFailed(Exception):
    """A line that could not be measured: a server that did not start, or answered anything but success."""


@dataclass(frozen=True)
class Options:
    """What the caller chose. `work` is a directory of our own on the disk to be measured, emptied afterwards."""

    rounds: int
    quick: bool
    work: Path
    seed: int = 20261122

    def seconds(self, full: float, quick: float) -> float:
        """The length of one slice."""
        return quick if self.quick else full


Opener = Callable[[Options], AbstractContextManager[Line]]


def measure(line: Line, rounds: int, tick: Callable[[str], None]) -> dict[str, list[Sample]]:
    """Run every subject once a round, each round starting with the next one; `tick` is told after each slice."""
    samples: dict[str, list[Sample]] = {subject.name: [] for subject in line.subjects}
    for number in range(rounds):
        for place in range(len(line.subjects)):
            subject = line.subjects[(place + number) % len(line.subjects)]
            taken = subject.slice()
            samples[subject.name].append(taken if isinstance(taken, Sample) else Sample(taken))
            tick(f"{line.title}: {subject.name}")
    return samples


def judge(line: Line, samples: dict[str, list[Sample]]) -> list[Verdict]:
    """Turn the rounds of a line into verdicts, one a target."""
    subjects = {subject.name: subject for subject in line.subjects}
    return [_verdict(target, subjects[target.subject], samples) for target in line.targets]


def _verdict(target: Target, subject: Subject, samples: dict[str, list[Sample]]) -> Verdict:
    values = [sample.detail[target.metric] if target.metric else sample.value for sample in samples[target.subject]]
    if target.baseline == LIMIT:
        baselines = [target.limit] * len(values)
        # Against a fixed figure the ratio is the figure's share of it, whatever its unit.
        ratios = [value / target.limit for value in values]
    else:
        baselines = [sample.value for sample in samples[target.baseline]]
        higher_first = subject.is_rate == target.at_least
        ratios = [value / base if higher_first else base / value for value, base in zip(values, baselines, strict=True)]
        if target.beside:
            others = [one.value / two.value for one, two in zip(*(samples[name] for name in target.beside), strict=True)]
            ratios = [ratio / (other if higher_first else 1 / other) for ratio, other in zip(ratios, others, strict=True)]
    ratio = Spread.of(ratios)
    met = ratio.median >= target.must if target.at_least else ratio.median <= target.must
    unit = target.metric_unit or subject.unit
    return Verdict(target, unit, Spread.of(values), Spread.of(baselines), ratio, met)


class Together:
    """Subjects that take turns in bursts of milliseconds within one slice.

    A disk's rate can change tenfold within a second; subjects that differ by percents must meet the same moments.
    The first subject asked in a round runs the turns of all, the others of that round hand out what was taken.
    """

    def __init__(self, seconds: float, calls: dict[str, Callable[[], object]], burst: float = 0.02) -> None:
        """`seconds` for each of `calls`, which do one unit of work each time."""
        self._seconds, self._calls, self._burst = seconds, calls, burst
        self._taken: dict[str, Sample] = {}

    def subject(self, name: str) -> Subject:
        return Subject(name, "/s", lambda: self._sample(name))

    def _sample(self, name: str) -> Sample:
        if name not in self._taken:
            self._taken = self._run()
        return self._taken.pop(name)

    def _run(self) -> dict[str, Sample]:
        clock = time.perf_counter
        spent, done = dict.fromkeys(self._calls, 0.0), dict.fromkeys(self._calls, 0)
        until = clock() + self._seconds * len(self._calls)
        while clock() < until:
            for name, call in self._calls.items():
                start = now = clock()
                while now < start + self._burst:
                    call()
                    done[name] += 1
                    now = clock()
                spent[name] += now - start
        return {name: Sample(done[name] / spent[name]) for name in self._calls}


@contextmanager
def as_line(line: Line) -> Iterator[Line]:
    """A line that needs nothing closed."""
    yield line
