"""The libraries of this folder that stand between a process and its disk or clock: compiling them, and working them from outside."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support import needs

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

on_linux = pytest.mark.skipif(not sysconfig.get_platform().startswith("linux"), reason="needs Linux: LD_PRELOAD and /proc")


def compiled(name: str, room: Path) -> Path:
    """`name`.c as a library to be preloaded, in `room`."""
    needs("cc", "gcc")
    target = room / f"{name}.so"
    words = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(target), str(HERE / f"{name}.c"), "-ldl", "-lpthread"]
    subprocess.run(words, check=True)
    return target


def run(library: Path, module: str, *arguments: str, seconds: int) -> str:
    """What a module of the tests printed that ran with the library before it."""
    environment = os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Faults:
    """What `fault.c` does to the processes that are started with `environment`; changed while they run."""

    _FIELDS = ("armed", "length", "reason", "count", "fired", "shift_s")

    def __init__(self, library: Path, path: Path) -> None:
        path.write_bytes(bytes(8 * len(self._FIELDS)))
        path.chmod(0o666)
        self.environment = {"LD_PRELOAD": str(library), "CARDCORE_FAULTS": str(path)}
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 0)

    def _put(self, name: str, value: int) -> None:
        struct.pack_into("=q", self._shared, 8 * self._FIELDS.index(name), value)

    def _get(self, name: str) -> int:
        found: int = struct.unpack_from("=q", self._shared, 8 * self._FIELDS.index(name))[0]
        return found

    def fail(self, at: int, length: int, reason: int) -> None:
        """Let `length` writes or syncs of a database fail, from the `at`-th from now on, with errno `reason`."""
        for name, value in (("armed", 0), ("count", 0), ("fired", 0), ("length", length), ("reason", reason), ("armed", at)):
            self._put(name, value)

    def heal(self) -> None:
        self._put("armed", 0)

    @property
    def fired(self) -> int:
        """Calls that failed since `fail`."""
        return self._get("fired")

    @property
    def clock_s(self) -> int:
        """How far the wall clock of these processes is from the real one."""
        return self._get("shift_s")

    def step_clock(self, seconds: int) -> None:
        """Set the wall clock of these processes so far from the real one."""
        self._put("shift_s", seconds)
