"""The table people read and the JSON that tools read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .harness import LIMIT, Line, Sample, Spread, Verdict


def number(value: float) -> str:
    """A figure with about three digits that mean something."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def spread(value: Spread) -> str:
    return f"{number(value.low)} .. {number(value.high)}"


def times(value: float) -> str:
    return f"{value:.2f}x" if value < 10 else f"{value:.1f}x" if value < 100 else f"{value:.0f}x"


def facts_table(facts: Mapping[str, str]) -> Table:
    table = Table(title="Machine", show_header=False, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for key, value in facts.items():
        table.add_row(f"[dim]{key}[/dim]", value)
    return table


def subjects_table(line: Line, samples: Mapping[str, list[Sample]]) -> Table:
    """What each subject of one line did, absolute: only for the eye, the machine drifts."""
    table = Table(title=line.title, title_justify="left", caption="\n".join(line.notes) or None, caption_justify="left")
    for column in ("subject", "median", "min .. max", "also"):
        table.add_column(column, justify="left" if column in {"subject", "also"} else "right")
    for subject in line.subjects:
        taken = samples[subject.name]
        value = Spread.of([sample.value for sample in taken])
        details = (f"{key} {number(Spread.of([s.detail[key] for s in taken]).median)}" for key in taken[0].detail)
        table.add_row(subject.name, f"{number(value.median)} {subject.unit}", spread(value), ", ".join(details))
    return table


def verdicts_table(verdicts: Iterable[Verdict]) -> Table:
    table = Table(title="Targets", title_justify="left", caption="ratios are medians of the ratios of single rounds")
    for column in ("what", "value", "compared with", "its value", "ratio", "min .. max", "must", "stretch", ""):
        table.add_column(column, justify="left" if column in {"what", "compared with", ""} else "right")
    for verdict in verdicts:
        target = verdict.target
        sign = ">=" if target.at_least else "<="
        limit = target.baseline == LIMIT
        must = f"{sign} {number(target.must * target.limit)}" if limit else f"{sign} {target.must:g}x"
        must = must if target.must else ""  # a stretch only
        stretch = "" if target.stretch is None else number(target.stretch * target.limit) if limit else f"{target.stretch:g}x"
        table.add_row(
            target.name,
            f"{number(verdict.value.median)} {verdict.unit}",
            target.baseline,
            number(verdict.baseline_value.median),
            times(verdict.ratio.median),
            f"{times(verdict.ratio.low)} .. {times(verdict.ratio.high)}",
            must,
            stretch,
            "[green]ok[/green]" if verdict.ok else "[red]missed[/red]",
        )
    return table


def write(directory: Path, line: str, verdicts: Iterable[Verdict]) -> Path:
    """Write one line's rows to `DIRECTORY/LINE.json` and return the path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{line}.json"
    path.write_text(json.dumps([verdict.record() for verdict in verdicts], indent=2) + "\n")
    return path


def write_text(directory: Path, facts: Mapping[str, str], parts: Iterable[Table], name: str = "report.txt") -> Path:
    """The whole report as plain text beside the JSON."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    with path.open("w") as file:
        console = Console(file=file, width=180, color_system=None)
        console.print(facts_table(facts))
        for part in parts:
            console.print(part)
    return path
