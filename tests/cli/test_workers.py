"""Goal: the process that watches the workers starts again what ended, all of them at once too, and ends everything when it is told to.
Method: processes of its own whose work is to count their starts in a file; no store and no socket.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.cli.shop import ENVIRONMENT

PROGRAM = """
import os, signal, sys
from pathlib import Path
from cardapi.cli.workers import Workers

count, lives, accepts = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "accepts"

def work(number, ready):
    with Path(f"starts-{number}").open("a") as starts:
        starts.write("x")
    if accepts:
        ready()
    life = Path(f"starts-{number}").stat().st_size
    os.write(1, f"worker {number} life {life}\\n".encode())  # in one piece, beside the other worker's
    if life < lives:
        return 1
    signal.pause()
    return 0

sys.exit(Workers(count, work).run(lambda: os.write(1, b"ready\\n")))
"""


@contextmanager
def watching(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def until(process: subprocess.Popen[str], lines: set[str]) -> None:
    """Until all these lines came."""
    assert process.stdout is not None
    left = set(lines)
    while left:
        line = process.stdout.readline()
        assert line, f"it ended before {left}"
        left.discard(line.strip())


def test_all_workers_end_at_once_and_come_back(tmp_path: Path) -> None:
    """As they do when the server of their store is started again."""
    with watching(tmp_path, "2", "2", "accepts") as process:
        until(process, {"ready", "worker 0 life 2", "worker 1 life 2"})
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors.count("ended with code 1") == 2
    assert sorted(place.stat().st_size for place in tmp_path.iterdir()) == [2, 2]


def test_told_to_end_before_the_workers_accept(tmp_path: Path) -> None:
    with watching(tmp_path, "2", "1", "never") as process:
        until(process, {"worker 0 life 1", "worker 1 life 1"})
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


def test_a_worker_that_cannot_start_ends_the_others(tmp_path: Path) -> None:
    (tmp_path / "starts-1").mkdir()  # the second one fails on it
    with watching(tmp_path, "2", "1", "accepts") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "worker 1: IsADirectoryError" in errors
