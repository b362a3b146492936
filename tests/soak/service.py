"""`cardcore serve` as a supervisor keeps it: started again whenever it ends, with a disk and a clock that can be made to fail."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

from tests.cli.shop import COMMAND, ENVIRONMENT
from tests.desk.preload import Faults

PAUSE_S = 0.5
END_S = 120


class Service:
    """One process of a shop, life after life."""

    def __init__(self, name: str, data: Path, library: Path) -> None:
        self.name = name
        self.faults = Faults(library, data.with_name(f"{name}.faults"))
        self.port = 0  # 0 while it does not listen
        self.lives = 0
        self._data = data
        self._log = data.with_name(f"{name}.log")
        self._process: subprocess.Popen[str] | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        words = [*COMMAND, "serve", "--data", str(self._data), "--port", "0"]
        while not self._ending.is_set():
            with self._log.open("a") as log:
                process = subprocess.Popen(
                    words, env={**ENVIRONMENT, **self.faults.environment}, stdout=subprocess.PIPE, stderr=log, text=True
                )  # fmt: skip
            self._process = process
            assert process.stdout is not None
            with process.stdout as lines:
                for line in lines:
                    if line.startswith("listening"):
                        self.port = int(line.split()[-1])
                        self.lives += 1
            self.port = 0
            process.wait()
            self._ending.wait(PAUSE_S)

    def kill(self) -> None:
        """SIGKILL, whatever it is at."""
        if self._process is not None:
            self._process.kill()

    def end(self) -> None:
        """SIGTERM until it is gone for good. Raises AssertionError with what it said when it does not go."""
        self._ending.set()
        deadline = time.monotonic() + END_S
        while self._thread.is_alive():
            if self._process is not None:
                self._process.terminate()
            self._thread.join(0.5)
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"waited {END_S} s for {self.name} to end; it said: {self.said()}")

    def said(self) -> str:
        """The end of what it wrote to standard error in all its lives."""
        return self._log.read_bytes()[-2_000:].decode(errors="replace") if self._log.exists() else ""

