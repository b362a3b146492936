"""The PC/SC service of the suites: one of our own with virtual readers at free ports, or the machine's where one runs already."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cardapi.pcsc.context import Context
from firmware_sim import pcscd
from firmware_sim.card import Card
from firmware_sim.pcscd import Pcscd, free_ports, until
from firmware_sim.vpcd import DEFAULT_PORT, Slot, serve_in_thread
from tests.support import IN_CI

INSTALL = f"apt-get install -y {pcscd.PACKAGES} libpcsclite-dev, then make again"


def missing() -> str:
    """What keeps the suites from running, with the line that helps; "" if nothing does."""
    try:
        import smartcard.scard  # noqa: F401  is it there?
    except ImportError:
        return f"needs pyscard: {INSTALL}"
    return pcscd.missing()


def needs_pcsc() -> None:
    """Skip the calling suite, saying how to get what it needs. In CI it must run: it fails."""
    reason = missing()
    if reason and IN_CI:
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@dataclass
class Daemon:
    """A running service and its two virtual readers: the till's and the one for a module. service: None when it is the machine's."""

    service: Pcscd | None = None

    @property
    def own(self) -> bool:
        return self.service is not None

    @property
    def name(self) -> str:
        return "Virtual Till" if self.service else "Virtual PCD"

    @property
    def port(self) -> int:
        return self.service.readers[self.name] if self.service else DEFAULT_PORT

    @property
    def reader(self) -> str:
        """The reader at `port`."""
        return f"{self.name} 00 00"

    @property
    def second(self) -> str:
        """The reader at `port` + 1."""
        return f"{self.name} 00 01"

    @contextlib.contextmanager
    def holding(self, card: Card, *, second: bool = False, away: float = 0.1, seen: bool = True) -> Iterator[Slot]:
        """Put a simulated card into a reader until the block ends; one torn out stays out for `away` seconds.

        seen: start when the service has noticed it.
        """
        slot = Slot(card, port=self.port + second, away=away, patience=0.05)
        thread = serve_in_thread(slot, timeout=30)
        reader = self.second if second else self.reader
        try:
            if seen:
                self.sees(reader, card=True)
            yield slot
        finally:
            slot.stop()
            thread.join(30)
            if pcscd.running():
                self.sees(reader, card=False)

    def sees(self, reader: str, *, card: bool) -> None:
        """Wait until the service has noticed that a card came or went; it looks a few times a second."""
        with Context() as context:
            until(lambda: context.state(reader).present is card, f"a card {'in' if card else 'out of'} {reader}")


@contextlib.contextmanager
def service(folder: Path) -> Iterator[Daemon]:
    """The service for one suite, exclusively: suites side by side take turns."""
    with pcscd.alone():
        if pcscd.running():
            yield Daemon()
            return
        own = Pcscd(folder, {"Virtual Till": free_ports()})
        own.start()
        try:
            yield Daemon(own)
        finally:
            own.stop()
