"""What a run of the tests leaves on the machine when it is killed, and clearing it away at the start of the next one.

Every process that a run starts inherits its mark in the environment, and every folder it makes outside pytest's carries the mark in
its name. A mark is the process id and start time of the run, so that it is known to be over when no such process is there.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

MARK = "CARDCORE_TEST_RUN"
SHARED = Path("/dev/shm")
ROOM_BYTES = 1 << 30  # what has to be free in memory for a server to lie there
END_S = 30


def _fields(process: int | str) -> list[str]:
    """Of /proc/N/stat, from the state on; [] when there is no such process."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def _mark(process: int) -> str:
    return f"{process}.{(_fields(process) or [''] * 20)[19]}"


def _over(mark: str) -> bool:
    number = mark.partition(".")[0]
    return not number.isdigit() or (_fields(number) or ["Z"])[0] == "Z" or _mark(int(number)) != mark


def begin() -> None:
    """Mark this run, unless it is a part of one, and clear away what earlier ones left."""
    if _over(os.environ.get(MARK, "")):
        os.environ[MARK] = _mark(os.getpid())
        clear()


def room(kind: str) -> Path:
    """A folder that other users may enter, for a server of this run; in memory where there is room."""
    place = SHARED if SHARED.is_dir() and shutil.disk_usage(SHARED).free > ROOM_BYTES else None
    made = Path(tempfile.mkdtemp(prefix=f"cardcore-{kind}-{os.environ[MARK]}-", dir=place))
    made.chmod(0o755)
    return made


def clear() -> None:
    """End the processes and remove the rooms of runs that are over."""
    deadline = time.monotonic() + END_S
    while left := _strays():
        for process in left:
            # A PostgreSQL server that may end by itself gives its shared memory back.
            gently = _comm(process) == "postgres" and time.monotonic() < deadline - END_S / 2
            try:
                os.kill(process, signal.SIGQUIT if gently else signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert time.monotonic() < deadline, f"processes of an earlier run do not end: {left}"
        time.sleep(0.05)
    for place in {SHARED, Path(tempfile.gettempdir())}:
        for path in place.glob("cardcore-*-*.*-*"):
            mark = path.name.split("-")[2]
            if mark.replace(".", "").isdigit() and _over(mark):
                shutil.rmtree(path, ignore_errors=True)


def _strays() -> list[int]:
    """Living processes that carry the mark of a run that is over."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes()
        except OSError:
            continue
        mark = dict(item.partition(b"=")[::2] for item in environment.split(b"\0")).get(MARK.encode(), b"").decode()
        if mark and int(path.name) != os.getpid() and _over(mark) and (_fields(path.name) or ["Z"])[0] != "Z":
            found.append(int(path.name))
    return found


def _comm(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""
