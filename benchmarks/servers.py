"""Servers under test, each a process of its own, and the load generator that is run against them."""

from __future__ import annotations

import json
import os
import pickle
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .harness import LineFailed, Sample
from .load import Outcome, Plan

ROOT = Path(__file__).parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 20.0


@contextmanager
def serving(command: Sequence[str], log: Path) -> Iterator[int]:
    """Run `command` until the block ends; gives the port, the last word of the line that starts with "listening"."""
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, env=_environment())
        try:
            yield _port(process, command, log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


def python(module: str, *arguments: str) -> list[str]:
    """The command line of one of our modules under this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def drive(plan: Plan) -> Sample:
    """One slice: run the load generator on `plan`. Raises LineFailed when any answer was not a success."""
    done = subprocess.run(
        python("benchmarks.load"), input=pickle.dumps(plan), stdout=subprocess.PIPE, cwd=ROOT, env=_environment(), check=False,
        timeout=plan.seconds + plan.warm_seconds + 60,
    )  # fmt: skip
    if done.returncode:
        raise LineFailed(f"the load generator ended with status {done.returncode}")
    outcome = Outcome(**json.loads(done.stdout))
    if outcome.failure:
        raise LineFailed(outcome.failure)
    return Sample(outcome.rate(plan.items), {"p50_ms": outcome.p50_ms, "p99_ms": outcome.p99_ms, "max_ms": outcome.max_ms})


def _environment() -> dict[str, str]:
    """Ours, with both this directory's parent and the sources importable when the project is not installed."""
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path), "PYTHONUNBUFFERED": "1"}


def _port(process: subprocess.Popen[bytes], command: Sequence[str], log: Path) -> int:
    assert process.stdout is not None
    deadline, text = time.monotonic() + START_SECONDS, b""
    while time.monotonic() < deadline:
        ready, _, _ = select.select([process.stdout], [], [], 0.2)
        if ready:
            chunk = os.read(process.stdout.fileno(), 65536)
            text += chunk
            for row in text.split(b"\n")[:-1]:
                if row.startswith(b"listening"):
                    return int(row.split()[-1].rstrip(b"/").rsplit(b":", 1)[-1])
            if not chunk:
                break
        if process.poll() is not None:
            break
    tail = log.read_bytes()[-1500:].decode("utf-8", "replace")
    raise LineFailed(f"{' '.join(command[:6])} did not start: {text.decode('utf-8', 'replace')[-500:]} {tail}")
