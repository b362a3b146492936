"""A demo shop made once for the command line and replay suites, copied for each test; and services as real processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from typer.testing import CliRunner

from cardapi.cli.root import app
from tests.postgres.server import Database, empty, needs_postgres
from tests.shops import PARTITIONS, copy_out
from tests.support import ON_SERVER

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "cardapi.cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "CARDCORE_TRACE": "", "COLUMNS": "200"}


def run(*words: str | Path, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `cardcore WORDS` as a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, words)], env={**ENVIRONMENT, **environment}, capture_output=True, text=True, timeout=120, check=check
    )  # fmt: skip


def call(*words: str | Path, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same inside this process, which spares the start of an interpreter."""
    result = CliRunner().invoke(app, [str(word) for word in words], env={"CARDCORE_TRACE": None, **environment})
    assert not check or result.exit_code == 0, f"exit {result.exit_code}: {result.output} {result.stderr} {result.exception!r}"
    assert "Traceback" not in result.output + result.stderr
    return subprocess.CompletedProcess(list(words), result.exit_code, result.stdout, result.stderr)


@cache
def _template() -> Path:
    place = Path(tempfile.mkdtemp(prefix="cardcore-test-"))
    call("init", "--data", place / "shop", "--demo", *(_database().options if ON_SERVER else ()))
    return place / "shop"


@cache
def _database() -> Database:
    needs_postgres()
    return empty("demo", PARTITIONS)


def remove_template() -> None:
    """At the end of the run."""
    if _template.cache_info().currsize:
        shutil.rmtree(_template().parent, ignore_errors=True)


def demo_shop(target: Path) -> dict[str, Any]:
    """A fresh copy of the demo shop at `target`. Returns its credentials."""
    if ON_SERVER:
        copy_out(_template(), _database(), target)
    else:
        shutil.copytree(_template(), target)
    made: dict[str, Any] = msgspec.json.decode((target / "demo.json").read_bytes())
    return made


class Served:
    """A running `cardcore serve`."""

    def __init__(self, process: subprocess.Popen[str], lines: list[str]) -> None:
        self.process = process
        self.lines = lines  # what it printed up to and with the line that starts with `listening`
        self.port = int(lines[-1].split()[-1])
        self.url = f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def served(data: Path, port: int = 0) -> Iterator[Served]:
    """Serve `data` until the block ends."""
    words = [*COMMAND, "serve", "--data", str(data), "--port", str(port)]
    process = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("listening"):
                break
        assert any(line.startswith("listening") for line in lines), f"it did not come up: {lines} {process.stderr.read()}"
        yield Served(process, lines)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
