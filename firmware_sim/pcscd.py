"""A PC/SC service of one's own with virtual readers at free ports, for tests and measurements: Debian's pcscd with vsmartcard's vpcd.

There is one pcscd on a machine (its socket has one place), so whoever wants their own holds a lock for as long as it runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
SOCKET, PID = Path("/run/pcscd/pcscd.comm"), Path("/run/pcscd/pcscd.pid")
LOCK = Path(tempfile.gettempdir()) / "cardcore-pcscd.lock"
PACKAGES = "pcscd vsmartcard-vpcd"
PATIENCE_S = 60.0
SLOTS = 2
"""Slots of a virtual reader: the second listens at the port after the first one's."""


def missing() -> str:
    """What keeps a service from being started here, "" if nothing does."""
    if shutil.which("pcscd", path=_path()) is None or not DRIVER.exists():
        return f"needs pcscd and its virtual reader: apt-get install -y {PACKAGES}"
    if os.geteuid() != 0 and not running():
        return "needs root to start a pcscd, or one that runs: systemctl start pcscd.socket"
    return ""


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin"


def running() -> bool:
    """Whether a service answers on this machine."""
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(str(SOCKET))
        except OSError:
            return False
    return True


def until(held: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for something that another process does. Raises TimeoutError."""
    deadline = time.monotonic() + patience_s
    while not held():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {patience_s} s")
        time.sleep(0.02)


def free_ports() -> int:
    """A free port whose neighbour is free too, below those that Linux hands out, so that nobody gets it before pcscd. Raises OSError."""
    for _ in range(50):
        port = 20_000 + secrets.randbelow(12_000)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", port))
            two.bind(("127.0.0.1", port + 1))
            return port
    raise OSError("no two free ports beside each other")


class Pcscd:
    """A pcscd that we start, kill and stop. `folder` takes its configuration and its log.

    Args:
        readers: name of each virtual reader, port of its first slot.
    """

    def __init__(self, folder: Path, readers: Mapping[str, int]) -> None:
        self.folder, self.readers = folder, dict(readers)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers. Raises TimeoutError, RuntimeError with its log."""
        text = "".join(
            f'FRIENDLYNAME "{name}"\nDEVICENAME /dev/null:{port:#06x}\nLIBPATH {DRIVER}\nCHANNELID {port:#06x}\n\n'
            for name, port in self.readers.items()
        )
        configuration = self.folder / "reader.conf"
        configuration.write_text(text)
        with (self.folder / "pcscd.log").open("ab") as log:
            command = ["pcscd", "--foreground", "--config", str(configuration)]
            self.process = subprocess.Popen(command, env={**os.environ, "PATH": _path()}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        # Configured readers are set up before it listens.
        until(self._answers, "the start of pcscd")

    def _answers(self) -> bool:
        assert self.process is not None, "started"
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "pcscd.log").read_text() or "pcscd ended at once")
        return running()

    def kill(self) -> None:
        """End it without warning, and remove what it leaves behind."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
            for left in (SOCKET, PID):
                left.unlink(missing_ok=True)

    def stop(self) -> None:
        """End it. It does not end by itself while a reader's driver waits for a card that hangs; then it is killed."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the machine's PC/SC for this process, waiting for others of ours."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def started(folder: Path, name: str) -> Iterator[Pcscd]:
    """A service with one virtual reader of two slots, `NAME 00 00` and `NAME 00 01`, exclusively. Raises RuntimeError with the reason."""
    if reason := missing():
        raise RuntimeError(reason)
    with alone():
        if running():
            raise RuntimeError("a pcscd that is not ours runs: systemctl stop pcscd.socket pcscd")
        service = Pcscd(folder, {name: free_ports()})
        service.start()
        try:
            yield service
        finally:
            service.stop()
