"""Lines `growth` and `growth_batch`: the same settles with a hundred times the cards, and on top of a million entries of history.

Four shops side by side: few cards and many, and a middle number of cards, new and with a long journal. Batches have a line of their
own: a slice of them leaves tens of megabytes of log to copy back, which the single settles after it would pay for. Next to each batch
stands the bare loop of the same size, since a B-tree of a million accounts costs SQLite itself more. Client keys are time-ordered as the
documentation asks; one more subject sends random ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from cardapi.app import Shop
from cardcore.settlement import Sale

from . import dataset
from .harness import Line, Options, Subject, Target, Together
from .line_http import BATCH, BareLoop
from .line_store import rate, raw_sync, settling
from .scenarios import TICKET, RandomKeys


@dataclass(frozen=True)
class Size:
    name: str
    cards: int
    history: int


def sizes(options: Options) -> tuple[Size, Size, Size, Size]:
    """Few cards, many cards; and a middle number of cards, new and with a history."""
    few, middle, many, history = (3_000, 6_000, 30_000, 20_000) if options.quick else (10_000, 100_000, 1_000_000, 1_000_000)
    return (
        Size(f"{few:,} cards", few, 0),
        Size(f"{many:,} cards", many, 0),
        Size(f"{middle:,} cards", middle, 0),
        Size(f"{middle:,} cards, {history:,} entries", middle, history),
    )


def batching(caller: dataset.Caller, command: Sale) -> Callable[[], None]:
    return lambda: caller.settle_many(command, BATCH)


@contextmanager
def _shops(options: Options, line: str) -> Iterator[list[tuple[Size, dataset.Dataset, Shop, dataset.Caller]]]:
    """A shop of each size, with its history."""
    command = dataset.sale(TICKET)
    with ExitStack() as stack:
        shops = []
        for place, size in enumerate(sizes(options)):
            data = dataset.build(options.work / f"{line}-{place}", size.cards)
            shop = stack.enter_context(dataset.opened(data))
            caller = dataset.Caller(shop, data, options.seed)
            for _ in range(size.history // BATCH):
                caller.settle_many(command, BATCH)
            shops.append((size, data, shop, caller))
        yield shops


@contextmanager
def growth(options: Options) -> Iterator[Line]:
    """Single settles on each shop."""
    command, seconds = dataset.sale(TICKET), options.seconds(0.8, 0.15)
    with _shops(options, "growth") as shops:
        calls: dict[str, Callable[[], object]] = {}
        for size, _, _, caller in shops:
            calls[f"one a commit: {size.name}"] = settling(caller, command)
        turns = Together(seconds, calls)
        singles = [turns.subject(name) for name in calls]
        few, many, _, old = sizes(options)
        targets = [
            Target(f"one a commit, {_grown(few, many)}", singles[1].name, singles[0].name, 0.9),
            Target(f"one a commit, {_aged(old)}", singles[3].name, singles[2].name, 0.9),
        ]
        notes = ["time-ordered client keys; the shops take turns every 20 ms"]
        yield Line("growth", "single settles, growth with cards and with history", [*singles, raw_sync(options, seconds)], targets, notes)


@contextmanager
def growth_batch(options: Options) -> Iterator[Line]:
    """Batches and the bare loop on each shop."""
    command, seconds = dataset.sale(TICKET), options.seconds(0.4, 0.15)
    batches, loops, extra = [], [], []
    with _shops(options, "growth_batch") as shops, ExitStack() as stack:
        for place, (size, data, shop, caller) in enumerate(shops):
            bare = BareLoop(options.work / f"growth-{place}.db", size.cards, options.seed)
            stack.callback(bare.close)
            for _ in range(size.history // BATCH):
                bare.write()
            batches.append(Subject(f"{BATCH:,} a commit: {size.name}", "/s", rate(batching(caller, command), seconds, BATCH)))
            loops.append(Subject(f"bare loop: {size.name}", "/s", rate(bare.write, seconds / 2, BATCH)))
            if size.history:
                random = dataset.Caller(shop, data, options.seed + 1, RandomKeys(options.seed))
                name = f"{BATCH:,} a commit, random keys: {size.name}"
                extra.append(Subject(name, "/s", rate(batching(random, command), seconds, BATCH)))
        few, many, _, old = sizes(options)
        targets = [
            Target(f"batch beside the bare loop, {_grown(few, many)}", batches[1].name, batches[0].name, 1, beside=_pair(loops, 1, 0)),
            Target(f"batch beside the bare loop, {_aged(old)}", batches[3].name, batches[2].name, 1, beside=_pair(loops, 3, 2)),
        ]
        subjects = [*batches, *loops, *extra, raw_sync(options, seconds / 2)]
        notes = ["time-ordered client keys unless said"]
        yield Line("growth_batch", "batches, growth with cards and with history", subjects, targets, notes)


def _grown(few: Size, many: Size) -> str:
    return f"{few.cards:,} -> {many.cards:,} cards"


def _aged(old: Size) -> str:
    return f"0 -> {old.history:,} entries"


def _pair(loops: list[Subject], grown: int, first: int) -> tuple[str, str]:
    return loops[grown].name, loops[first].name
