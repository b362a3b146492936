"""Line `pcsc`: one APDU, and a whole off-line purchase, through the real pcscd to simulated cards in processes of their own.

A purchase is what a till says to card and module between tap and receipt: SELECT, INITIALIZE, seal, DEBIT, check.
Writing it down is left out, as is the network; the disk has its own lines.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

from cardapi.pcsc.context import Context
from cardapi.pcsc.drive import drive
from cardapi.pcsc.errors import PcscError
from cardapi.pcsc.link import Link
from cardcore.card import psam, purse, purse_debit
from cardcore.card.purse_debit import SealPurchase
from cardcore.crypto import pboc
from firmware_sim import pcscd
from firmware_sim.pcscd import Pcscd, until

from .harness import LIMIT, Line, LineFailed, Options, Sample, Subject, Target

APDU_US, PURCHASE_MS = 150.0, 1.0
AT = bytes.fromhex("20261122093000")
GET_BALANCE = bytes.fromhex("805C000204")
READER = "Benchmark"
BALANCE = 4_000_000_000
ROOT = Path(__file__).resolve().parents[1]


def _each(call: Callable[[], object], seconds: float, scale: float) -> Sample:
    """The median time of one call, in `scale`ths of a second."""
    clock, taken = time.perf_counter, []
    end = clock() + seconds
    while (start := clock()) < end:
        call()
        taken.append(clock() - start)
    return Sample(median(taken) * scale, {"p90": sorted(taken)[len(taken) * 9 // 10] * scale})


class Counter:
    """A card and a module on the two readers, connected once as a till has them."""

    def __init__(self, card: Link, module: Link) -> None:
        self.card, self.module, self.make = card, module, purse.Make()
        self.application = drive(purse.open_application(self.make), card)
        self.terminal = module.transmit(bytes.fromhex("00B0960006"))[:6]

    def apdu(self) -> None:
        """GET BALANCE."""
        if self.card.transmit(GET_BALANCE)[-2:] != b"\x90\x00":
            raise LineFailed("the card refuses GET BALANCE")

    def purchase(self) -> None:
        """From select to the check of MAC2."""
        application = drive(purse.open_application(self.make), self.card)
        dialogue = purse_debit.debit(self.make, application, pboc.PURCHASE_EP, 1, self.terminal, AT)
        drive(dialogue, self.card, module=self._ask, intend=lambda _: None)

    def _ask(self, request: Any) -> Any:
        asked = psam.seal(self.make, request) if isinstance(request, SealPurchase) else psam.check(request)
        return drive(asked, self.module)


@contextmanager
def _simulator(port: int, *words: str) -> Iterator[None]:
    command = [sys.executable, "-m", "firmware_sim", "--port", str(port), *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def _connected(stack: ExitStack, reader: str) -> Link:
    context = stack.enter_context(Context())
    links: list[Link] = []

    def connect() -> bool:
        with suppress(PcscError):
            links.append(context.connect(reader))
        return bool(links)

    until(connect, f"a card in {reader}")
    return stack.enter_context(links[0])


@contextmanager
def taps(options: Options) -> Iterator[Line]:
    """An APDU and a purchase, each by its median."""
    with ExitStack() as stack:
        try:
            service: Pcscd = stack.enter_context(pcscd.started(options.work, READER))
        except (RuntimeError, TimeoutError) as error:
            raise LineFailed(str(error)) from error
        port = service.readers[READER]
        stack.enter_context(_simulator(port, "--card", "pboc", "--balance", str(BALANCE)))
        stack.enter_context(_simulator(port + 1, "--card", "psam"))
        try:
            counter = Counter(_connected(stack, f"{READER} 00 00"), _connected(stack, f"{READER} 00 01"))
        except (PcscError, TimeoutError) as error:
            raise LineFailed(str(error)) from error
        seconds = options.seconds(1.0, 0.3)
        apdu = Subject("one APDU (GET BALANCE)", "us", lambda: _each(counter.apdu, seconds, 1e6))
        purchase = Subject("purchase: 5 APDUs to card and module", "ms", lambda: _each(counter.purchase, seconds, 1e3))
        targets = [
            Target("APDU through pcscd, median", apdu.name, LIMIT, 1.0, ratio="cost", limit=APDU_US),
            Target("purchase through pcscd, median", purchase.name, LIMIT, 1.0, ratio="cost", limit=PURCHASE_MS),
        ]
        yield Line("pcsc", "card and module through pcscd and vpcd", [apdu, purchase], targets, ["simulators in processes of their own"])
