"""Line `store`: durable settles by one caller in the same process, against the disk itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cardcore.settlement import Sale

from . import dataset
from .harness import Line, Options, Sample, Subject, Target, Together
from .machine import Append, SyncProbe
from .scenarios import TICKET

RAW = "raw 4 KiB append + fdatasync"


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
    return Subject(RAW, "/s", lambda: Sample(probe.run(seconds)))


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
        append = Append(options.work / "append")
        turns = Together(options.seconds(0.8, 0.4), {"durable settle, one caller": settling(caller, command), RAW: append})
        subjects = [turns.subject("durable settle, one caller"), turns.subject(RAW)]
        targets = [Target("durable settle, one caller, SQLite", subjects[0].name, subjects[1].name, 0.85)]
        notes = [f"{cards:,} cards; SQLite, WAL, synchronous=FULL; both take turns every 20 ms"]
        yield Line("store", "durable settle in process, one caller", subjects, targets, notes)
        append.close()
