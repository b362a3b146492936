"""The page of /metrics: what the edge counted, and the state of desk, store, pools and process at this moment."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cardapi.http.metrics import Page, decimal
from cardapi.shipped import version
from cardcore.errors import CardcoreError

if TYPE_CHECKING:
    from cardapi.http.call import Service
    from cardapi.store.port import Store

COUNTED_MAX = 10_000
COUNTS_KEPT_S = 10.0
COUNTS_WAIT_S = 2.0
MICRO = 1_000_000


class Counts:
    """What waits for a person or for a card, counted in the store at most every ten seconds."""

    def __init__(self) -> None:
        self._known: tuple[int, int] | None = None
        self._until = 0.0

    async def read(self, service: Service) -> tuple[int, int] | None:
        """Items in flight with a card, and open cases; None when the store does not say so at once."""
        if time.monotonic() >= self._until:
            try:
                self._known = await asyncio.wait_for(service.report(_count), COUNTS_WAIT_S)
            except (CardcoreError, TimeoutError):
                self._known = None
            self._until = time.monotonic() + COUNTS_KEPT_S
        return self._known


def _count(store: Store) -> tuple[int, int]:
    open_cases = store.find_records("case", "state", "open/", "open/~", limit=COUNTED_MAX)
    return len(store.in_flight(0, COUNTED_MAX)), len(open_cases)


async def page(service: Service) -> str:
    """The whole text."""
    counts = await service.counts.read(service)
    page = Page()
    page.family("cardcore_build_info", "gauge", "Always 1; the labels say what runs.")
    page.sample(1, version=version(), python=platform.python_version(), store="embedded" if service.shop.embedded else "server")
    service.metrics.write(page)
    _desk(page, service)
    _pools(page, service)
    if service.neighbours is not None:
        answered, failed = service.neighbours.counts
        page.family("cardcore_passed_on_total", "counter", "Requests passed to the process that has their card's partition.")
        page.sample(answered, outcome="answered")
        page.sample(failed, outcome="done_here")
    if counts is not None:
        flying, cases = counts
        page.single("cardcore_in_flight_items", "gauge", f"Loads, unloads, payments that wait for their card, up to {COUNTED_MAX}.", flying)
        page.single("cardcore_open_cases", "gauge", f"Cases that a person must look at, up to {COUNTED_MAX}.", cases)
    _process(page)
    return page.text()


def _desk(page: Page, service: Service) -> None:
    """The desk's queue and commits, and the journal as this process last saw it."""
    desk, commits, lag = service.desk, service.desk.commits, service.shop.checkpoint_lag()
    entries, liability_fen = (sum(values) for values in zip(*((head.position, head.liability_fen) for head in desk.heads), strict=True))
    one = page.single
    one("cardcore_storage_failed", "gauge", "1 after a storage error: nothing is acknowledged any more.", int(desk.failed is not None))
    one("cardcore_draining", "gauge", "1 while the process is shutting down.", int(service.draining))
    one("cardcore_desk_waiting_requests", "gauge", "Requests handed to the desk and not answered yet.", desk.waiting)
    page.family("cardcore_commit_entries", "histogram", "Journal entries in one commit.")
    page.histogram(commits.entries)
    page.family("cardcore_commit_seconds", "histogram", "Writing one commit, its sync included.")
    page.histogram(commits.write_us, MICRO)
    page.family("cardcore_sync_seconds", "histogram", "Making one commit durable: the COMMIT with its fsync, or a server's round trip.")
    page.histogram(commits.sync_us, MICRO)
    one("cardcore_commit_retries_total", "counter", "Batches decided again since somebody else wrote.", commits.tried_again)
    one("cardcore_remembered_cards", "gauge", "Accounts of cards in memory, which are not read again to be sold to.", desk.kept)
    one("cardcore_journal_entries", "gauge", "Entries of the journal, over all partitions.", entries)
    one("cardcore_liability_fen", "gauge", "Customers' money, over all partitions.", liability_fen)
    one("cardcore_checkpoint_behind_entries", "gauge", "Entries of this process that no checkpoint covers yet.", lag.entries)
    one("cardcore_checkpoint_age_seconds", "gauge", "For how long the oldest of them has waited for one.", _seconds(lag.age_s))


def _pools(page: Page, service: Service) -> None:
    desk = service.desk
    page.family("cardcore_pool_waiting_calls", "gauge", "Calls waiting or running in a pool of threads.")
    for name, pool in (
        ("reads", desk.tills), ("reports", desk.reports), ("uploads", desk.uploads), ("cards", service.taps), ("chores", service.chores)
    ):  # fmt: skip
        page.sample(pool.waiting, pool=name)
    page.single("cardcore_nonces", "gauge", "Nonces of signed requests that are remembered.", service.signatures.nonces())


def _process(page: Page) -> None:
    """What client libraries of Prometheus say of a process, under their names."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    page.single("process_cpu_seconds_total", "counter", "Processor time, user and system.", _seconds(used.ru_utime + used.ru_stime))
    page.single("process_resident_memory_bytes", "gauge", "Memory in use, the mapped database of an embedded shop included.", _resident())
    page.single("process_open_fds", "gauge", "Open files and connections.", len(os.listdir("/proc/self/fd")))  # noqa: PTH208 (no objects wanted)
    page.single("process_max_fds", "gauge", "How many there may be.", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    page.single("process_start_time_seconds", "gauge", "When the process started, since 1970.", _seconds(STARTED_S))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _seconds(value: float) -> str:
    return decimal(int(value * MICRO), MICRO)


STARTED_S = time.time()
