"""`python -m benchmarks`: measure every line, print the table, write benchmarks/results/*.json.

Exit status: 0 measured, 1 some line could not be measured (or, with --strict, a target was missed), 2 bad arguments.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from . import lines, machine, report
from .harness import LineFailed, Options, Spread, Verdict, judge, measure

HERE = Path(__file__).parent


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each line (default 7; 3 with --quick)")
    parser.add_argument("--quick", action="store_true", help="short slices and small data, under a minute; the figures are rough")
    parser.add_argument("--only", action="append", metavar="NAME", default=[], help=f"only this line: {', '.join(lines.LINES)}")
    parser.add_argument("--work", type=Path, default=HERE / "scratch", help="directory on the disk to be measured")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where the JSON goes")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a target is missed")
    chosen = parser.parse_args(argv)
    for name in chosen.only:
        if name not in lines.LINES:
            parser.error(f"no line is called {name!r}; there are {', '.join(lines.LINES)}")
    if chosen.rounds < 0:
        parser.error("--rounds must be positive")
    chosen.rounds = chosen.rounds or (3 if chosen.quick else 7)
    return chosen


def main(argv: list[str]) -> int:
    chosen = arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else 180)
    chosen.work.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="run-", dir=chosen.work))
    try:
        return run(chosen, Options(rounds=chosen.rounds, quick=chosen.quick, work=work), console)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def run(chosen: argparse.Namespace, options: Options, console: Console) -> int:
    facts = machine.facts(options.work)
    console.print(report.facts_table(facts))
    if machine.volatile(options.work):
        console.print("[red]the work directory is on a RAM disk: a sync costs nothing there, give --work[/red]")
    ticks, started = machine.cpu_ticks(), time.monotonic()
    verdicts: list[Verdict] = []
    tables, failed = [], 0
    names = chosen.only or list(lines.LINES)
    columns = (TextColumn("{task.description:<70.70}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        overall = progress.add_task("lines", total=len(names))
        for name in names:
            progress.update(overall, description=f"line {name}")
            try:
                table, rows = one(name, options, progress)
            except LineFailed as failure:
                failed += 1
                console.print(f"[red]{name} could not be measured:[/red] {escape(str(failure))}")
            else:
                verdicts += rows
                tables.append(table)
                console.print(table)
                report.write(chosen.results, name, rows)
            progress.advance(overall)
    facts |= {
        "rounds": f"{options.rounds}{' (quick: short slices, small data)' if options.quick else ''}",
        "processor stolen": f"{machine.steal_share(ticks):.1%}",
        "took": f"{time.monotonic() - started:.0f} s",
    }
    tables.append(report.verdicts_table(verdicts))
    console.print(tables[-1])
    text = report.write_text(chosen.results, facts, tables)
    console.print(f"[dim]{facts['took']}; JSON and the whole report in {text.parent}[/dim]")
    missed = sum(not verdict.ok for verdict in verdicts)
    return 1 if failed or (chosen.strict and missed) else 0


def one(name: str, options: Options, progress: Progress) -> tuple[Table, list[Verdict]]:
    """Measure one line, in a directory of its own that is removed afterwards. Raises LineFailed."""
    probe, syncs = machine.SyncProbe(options.work), []
    task = progress.add_task(f"{name}: preparing", total=None)

    def tick(what: str) -> None:
        progress.update(task, description=what, advance=1)
        syncs.append(probe.run(0.05))

    inside = replace(options, work=options.work / name)
    inside.work.mkdir()
    try:
        with lines.LINES[name](inside) as line:
            progress.update(task, total=options.rounds * len(line.subjects), description=line.title)
            samples = measure(line, options.rounds, tick)
    finally:
        shutil.rmtree(inside.work, ignore_errors=True)
        progress.remove_task(task)
    rate = Spread.of(syncs)
    line.notes.append(f"raw 4 KiB append + fdatasync in the same seconds: {report.number(rate.median)}/s [{report.spread(rate)}]")
    return report.subjects_table(line, samples), judge(line, samples)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
