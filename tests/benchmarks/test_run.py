"""The command that people and CI run must measure, report and write what tools read.

Method: one round of the quickest line in this process, and a line that cannot be measured.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import lines
from benchmarks.harness import LineFailed


def test_a_line_is_measured_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    status = command.main(
        ["--quick", "--rounds", "1", "--only", "core", "--work", str(tmp_path / "work"), "--results", str(tmp_path / "results")]
    )
    assert status == 0
    rows = json.loads((tmp_path / "results" / "core.json").read_text())
    assert [row["baseline"] for row in rows] == ["plain Python ints", "plain Python Decimal", "empty Python call"]
    assert all(row["value"] > 0 and row["baseline_value"] > 0 and row["ratio"] > 0 for row in rows)
    report = (tmp_path / "results" / "report.txt").read_text()
    for word in ("kernel", "sqlite", "fdatasync in the same seconds", "settle decision vs empty call"):
        assert word in report
    assert list((tmp_path / "work").iterdir()) == []  # nothing is left behind
    assert "Targets" in capsys.readouterr().out


def test_a_line_that_fails_is_said_and_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def broken(_options: object) -> object:
        raise LineFailed("the server said [no]")

    monkeypatch.setitem(lines.LINES, "core", broken)  # type: ignore[arg-type]
    status = command.main(["--quick", "--only", "core", "--work", str(tmp_path / "work"), "--results", str(tmp_path / "results")])
    assert status == 1
    assert "the server said [no]" in capsys.readouterr().out
    assert not (tmp_path / "results" / "core.json").exists()


def test_an_unknown_line_is_refused():
    with pytest.raises(SystemExit) as ended:
        command.main(["--only", "nothing"])
    assert ended.value.code == 2
