"""Runs what README.md tells a reader to paste: a block for one terminal, then a session in another one, line by line.

Lines that start with `$` are commands; what follows a command is what it prints. What differs from run to run is masked on both sides.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```(sh|console)\n(.*?)```", re.DOTALL)
ONCE = (
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "HH:MM:SS"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "YYYY-MM-DD"),
    (re.compile(r"\b00-[0-9a-f]{12}\b"), "TICKET"),
    (re.compile(r"\b62\d{14}\b"), "CARD"),
    (re.compile(r"\b0{11}1-\d{10}\b"), "BATCH"),
)
"""What is another in each run: times, dates, tickets, card numbers, batches."""


class Step(NamedTuple):
    """A command of the session and the lines it prints."""

    command: str
    printed: list[str]


def blocks(section: str) -> tuple[str, list[Step]]:
    """The first terminal's script and the second one's session, from a section of the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    part = text[text.index(f"\n## {section}\n") :]
    part = part[: part.index("\n## ", 5)]
    found = BLOCK.findall(part)
    script = next(body for kind, body in found if kind == "sh")
    steps: list[Step] = []
    for line in next(body for kind, body in found if kind == "console").splitlines():
        if line.startswith("$ "):
            steps.append(Step(line[2:], []))
        elif line.strip():
            steps[-1].printed.append(line)
    return script, steps


def masked(lines: list[str]) -> list[str]:
    """Without what is another in each run, and in an order: two readers are told of by two threads."""
    for pattern, name in ONCE:
        lines = [pattern.sub(name, line) for line in lines]
    return sorted(" ".join(line.split()) for line in lines if line.strip())


class Terminal:
    """A shell in a folder, with the commands of this checkout on its path."""

    def __init__(self, folder: Path, programs: Path) -> None:
        programs.mkdir(exist_ok=True)
        for name, arguments in (("cardcore", "-m cardapi.cli"), ("python", "")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
            program.chmod(0o755)
        path = f"{programs}:{os.environ['PATH']}:/usr/sbin"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
        for name in ("CARDCORE_PIN", "CARDCORE_READER", "CARDCORE_SAM"):
            environment.pop(name, None)
        self._process = subprocess.Popen(
            ["bash"], cwd=folder, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line.rstrip("\n"))

    def type(self, text: str) -> None:
        """As a person would."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def until(self, sign: str, patience_s: float) -> list[str]:
        """The lines up to the one with the sign. Raises TimeoutError with what there is."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            for number, line in enumerate(self._lines):
                if sign in line:
                    taken, self._lines = self._lines[:number], self._lines[number + 1 :]
                    return taken
            time.sleep(0.02)
        raise TimeoutError(f"no {sign!r} within {patience_s} s in:\n" + "\n".join(self._lines))

    def run(self, command: str, patience_s: float = 60) -> list[str]:
        """What a command prints. Raises TimeoutError."""
        self.type(f"{command}\necho '=== done'")
        return self.until("=== done", patience_s)

    def close(self) -> None:
        """End it and everything that it started."""
        for stop in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, stop)
            except ProcessLookupError:
                break
            time.sleep(0.3)
        self._process.wait(60)
