"""What a killed run leaves is cleared away by the next one, and what a living run uses is not."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests import leftovers


def test_a_dead_runs_processes_and_rooms_go() -> None:
    ended = subprocess.Popen(["true"])
    dead = f"{ended.pid}.1"  # whoever may have its number now did not start with the machine
    ended.wait()
    living = os.environ[leftovers.MARK]
    processes = [subprocess.Popen(["sleep", "600"], env=os.environ | {leftovers.MARK: mark}) for mark in (dead, living)]
    own = leftovers.room("test")
    other = own.with_name(own.name.replace(living, dead))
    other.mkdir()
    try:
        leftovers.clear()
        assert processes[0].wait(60) < 0
        assert processes[1].poll() is None
        assert (own.exists(), other.exists()) == (True, False)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(own)
        shutil.rmtree(other, ignore_errors=True)
