"""Line `store`: durable settles by one caller in the same process, against the disk itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cardcore.settlement import Sale

from . import dataset
from .harness import Line, Options, Sample, Subject, Target
from .machine import SyncProbe
from .scenarios import TICKET


def rate(call: Callable[[], object], seconds: float, items: int = 1) -> Callable[[], Sample]:
    """A slice that calls `call` for `seconds` and counts `items` a call."""

    def run() -> Sample:
        clock = time.perf_counter
        number, start = 0, clock()
        end = start + seconds
        while (now := clock()) < end:
            call()
            number += 1
        return Sample(number * items / (now - start))

    return run


def raw_sync(options: Options, seconds: float) -> Subject:
    probe = SyncProbe(options.work)
    return Subject("raw 4 KiB append + fdatasync", "/s", lambda: Sample(probe.run(seconds)))


def settling(caller: dataset.Caller, command: Sale) -> Callable[[], None]:
    return lambda: caller.settle(command)


@contextmanager
def one_caller(options: Options) -> Iterator[Line]:
    """One caller, one settle at a time, each on disk before the next."""
    cards = 10_000 if options.quick else 100_000
    data = dataset.build(options.work / "store", cards)
    with dataset.opened(data) as shop:
        caller, command = dataset.Caller(shop, data, options.seed), dataset.sale(TICKET)
        for _ in range(50):
            caller.settle(command)
        seconds = options.seconds(0.8, 0.4)
        subjects = [Subject("durable settle, one caller", "/s", rate(settling(caller, command), seconds)), raw_sync(options, seconds)]
        targets = [Target("durable settle, one caller, SQLite", subjects[0].name, subjects[1].name, 0.85)]
        yield Line("store", "durable settle in process, one caller", subjects, targets, [f"{cards:,} cards; SQLite, WAL, synchronous=FULL"])
