"""What was measured on: the machine, the versions, and the disk's rate of durable writes in the same seconds."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BLOCK = b"\x5a" * 4096
"""One durable append of the probe: a page, as the smallest thing a file system writes."""

PACKAGES = ("cython", "numpy", "msgspec", "fastapi", "uvicorn", "uvloop", "httptools")


def facts(work: Path) -> dict[str, str]:
    """The machine and the software, as rows of the report."""
    return {
        "processor": _processor(),
        "cores": f"{os.cpu_count()} (usable {len(os.sched_getaffinity(0))})",
        "memory": _memory(),
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": _file_system(work),
        "python": sys.version.split()[0],
        "sqlite": sqlite3.sqlite_version,
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "load average": "{:.2f} {:.2f} {:.2f}".format(*os.getloadavg()),
    }


def volatile(work: Path) -> bool:
    """True where a sync costs nothing, so that durable figures mean nothing (a RAM disk)."""
    return _file_system(work).split()[0] in {"tmpfs", "ramfs"}


class SyncProbe:
    """Appends 4 KiB and calls fdatasync, over and over: the floor of every durable figure on this disk."""

    def __init__(self, work: Path) -> None:
        self._path = work / "sync-probe"

    def run(self, seconds: float) -> float:
        """Syncs a second during the next `seconds`. The file is started anew each time, so it stays small."""
        with self._path.open("wb", buffering=0) as file:
            number, start = 0, time.perf_counter()
            end = start + seconds
            while (now := time.perf_counter()) < end:
                file.write(BLOCK)
                os.fdatasync(file.fileno())
                number += 1
        self._path.unlink()
        return number / (now - start)


class Append:
    """One durable append at a time, to a file of its own that is kept small."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._number = 0

    def __call__(self) -> None:
        """Write 4 KiB and sync them."""
        if self._number == 4_096:
            self._file.seek(0)
            self._file.truncate(0)
            self._number = 0
        self._number += 1
        self._file.write(BLOCK)
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def steal_share(before: tuple[int, int]) -> float:
    """Part of the processor time since `before` (`cpu_ticks()`) that the host gave to others."""
    steal, total = cpu_ticks()
    return (steal - before[0]) / max(1, total - before[1])


def cpu_ticks() -> tuple[int, int]:
    """(stolen, all) processor ticks since start, 0 where the kernel does not tell."""
    try:
        fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 0, 0
    return fields[7], sum(fields)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


def _processor() -> str:
    try:
        for row in Path("/proc/cpuinfo").read_text().splitlines():
            if row.startswith("model name"):
                return row.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _file_system(work: Path) -> str:
    """Type and mount point of the file system that holds `work`."""
    best, kind = "", "unknown"
    try:
        for row in Path("/proc/mounts").read_text().splitlines():
            _, mount, name, *_ = row.split()
            holds = mount == "/" or str(work.resolve()).startswith(mount + "/") or str(work.resolve()) == mount
            if holds and len(mount) > len(best):
                best, kind = mount, name
    except OSError:
        pass
    return f"{kind} at {best}"
