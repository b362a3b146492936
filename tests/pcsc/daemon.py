"""A pcscd for the tests: one of our own with virtual readers at free ports, or the machine's where one runs already.

There is one pcscd on a machine, so whoever uses it holds a lock: test processes side by side take turns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cardapi.pcsc.context import Context
from cardapi.pcsc.errors import PcscError
from firmware_sim.card import Card
from firmware_sim.vpcd import DEFAULT_PORT, Slot, serve_in_thread
from tests.support import IN_CI

DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
LOCK = Path(tempfile.gettempdir()) / "cardcore-tests-pcscd.lock"
INSTALL = "apt-get install -y pcscd vsmartcard-vpcd libpcsclite-dev, then make again"
PATIENCE_S = 20.0
SYSTEM = "Virtual PCD"


def missing() -> str:
    """What keeps the suite from running, with the line that helps; "" if nothing does."""
    try:
        import smartcard.scard  # noqa: F401  is it there?
    except ImportError:
        return f"needs pyscard: {INSTALL}"
    if shutil.which("pcscd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None or not DRIVER.exists():
        return f"needs pcscd and vpcd: {INSTALL}"
    if os.geteuid() != 0 and not running():
        return "needs root to start a pcscd of its own, or one that runs: systemctl start pcscd.socket"
    return ""


def needs_pcsc() -> None:
    """Skip the calling suite, saying how to get what it needs. In CI it must run: it fails."""
    reason = missing()
    if reason and IN_CI:
        pytest.fail(reason)
    if reason:
        pytest.skip(reason, allow_module_level=True)


def running() -> bool:
    """Whether a service answers."""
    try:
        Context().close()
    except PcscError:
        return False
    return True


def until(held: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + patience_s
    while not held():
        assert time.monotonic() < deadline, f"{what} did not happen within {patience_s} s"
        time.sleep(0.02)


def free_pair() -> int:
    """A port that is free together with the one after it: vpcd listens on one for each of its two slots."""
    for _ in range(50):
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            two.bind(("127.0.0.1", port + 1))
            return port
    raise AssertionError("no two free ports beside each other")


@dataclass
class Daemon:
    """A running service and its two virtual readers: the till's and the one for a module."""

    folder: Path
    own: bool
    port: int = DEFAULT_PORT
    process: subprocess.Popen[bytes] | None = None
    extra: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "Virtual Till" if self.own else SYSTEM

    @property
    def reader(self) -> str:
        """The reader at `port`."""
        return f"{self.name} 00 00"

    @property
    def second(self) -> str:
        """The reader at `port` + 1."""
        return f"{self.name} 00 01"

    def configure(self) -> None:
        """Write which readers there are."""
        text = "".join(
            f'FRIENDLYNAME "{name}"\nDEVICENAME /dev/null:{port:#06x}\nLIBPATH {DRIVER}\nCHANNELID {port:#06x}\n\n'
            for name, port in {self.name: self.port, **self.extra}.items()
        )
        (self.folder / "reader.conf").write_text(text)

    def start(self) -> None:
        """Start our own and wait for its readers."""
        self.configure()
        path = f"{os.environ.get('PATH', '')}:/usr/sbin"
        log = (self.folder / "pcscd.log").open("ab")
        command = ["pcscd", "--foreground", "--config", str(self.folder / "reader.conf")]
        self.process = subprocess.Popen(command, env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        until(self._up, "pcscd with its readers")

    def _up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "pcscd.log").read_text()
        if not running():
            return False
        with Context() as context:
            return len(context.readers()) >= 2 + 2 * len(self.extra)

    def kill(self) -> None:
        """End it without warning, and remove what it leaves behind."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_S)
        for name in ("pcscd.comm", "pcscd.pid"):
            Path("/run/pcscd", name).unlink(missing_ok=True)

    def stop(self) -> None:
        """End it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()

    @contextlib.contextmanager
    def holding(self, card: Card, *, second: bool = False, away: float = 0.1, seen: bool = True) -> Iterator[Slot]:
        """Put a simulated card into a reader until the block ends; one torn out stays out for `away` seconds.

        seen: start when the service has noticed it.
        """
        slot = Slot(card, port=self.port + second, away=away, patience=0.05)
        thread = serve_in_thread(slot)
        reader = self.second if second else self.reader
        try:
            if seen:
                self.sees(reader, card=True)
            yield slot
        finally:
            slot.stop()
            thread.join(5)
            if self.process is None or self.process.poll() is None:
                self.sees(reader, card=False)

    def sees(self, reader: str, *, card: bool) -> None:
        """Wait until the service has noticed that a card came or went; it looks a few times a second."""
        with Context() as context:
            until(lambda: context.state(reader).present is card, f"a card {'in' if card else 'out of'} {reader}")


@contextlib.contextmanager
def service(folder: Path) -> Iterator[Daemon]:
    """The service for one suite, exclusively."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if running():
            yield Daemon(folder, own=False)
            return
        daemon = Daemon(folder, own=True, port=free_pair())
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.stop()
