"""Line `growth`: the same settles with a hundred times the cards, and on top of a million entries of history.

Four shops side by side: few cards and many, and a middle number of cards, new and with a long journal. Next to each
stands the bare loop of the same size, since a B-tree of a million accounts costs SQLite itself more. Client keys are
time-ordered as the documentation asks; one more subject sends random ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

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
def growth(options: Options) -> Iterator[Line]:
    """Single settles, batches and the bare loop on each shop."""
    command, seconds = dataset.sale(TICKET), options.seconds(0.4, 0.15)
    one_by_one: dict[str, Callable[[], object]] = {}
    batches, loops, extra = [], [], []
    with ExitStack() as stack:
        for place, size in enumerate(sizes(options)):
            data = dataset.build(options.work / f"growth-{place}", size.cards)
            shop = stack.enter_context(dataset.opened(data))
            caller = dataset.Caller(shop, data, options.seed)
            bare = BareLoop(options.work / f"growth-{place}.db", size.cards, options.seed)
            stack.callback(bare.close)
            for _ in range(size.history // BATCH):
                caller.settle_many(command, BATCH)
                bare.write()
            one_by_one[f"one a commit: {size.name}"] = settling(caller, command)
            batches.append(Subject(f"{BATCH:,} a commit: {size.name}", "/s", rate(batching(caller, command), seconds, BATCH)))
            loops.append(Subject(f"bare loop: {size.name}", "/s", rate(bare.write, seconds / 2, BATCH)))
            if size.history:
                random = dataset.Caller(shop, data, options.seed + 1, RandomKeys(options.seed))
                name = f"{BATCH:,} a commit, random keys: {size.name}"
                extra.append(Subject(name, "/s", rate(batching(random, command), seconds, BATCH)))
        turns = Together(seconds, one_by_one)
        singles = [turns.subject(name) for name in one_by_one]
        subjects = [*singles, *batches, *loops, *extra, raw_sync(options, seconds / 2)]
        few, many, _, old = sizes(options)
        aged = f"0 -> {old.history:,} entries"
        grown = f"{few.cards:,} -> {many.cards:,} cards"
        targets = [
            Target(f"one a commit, {grown}", singles[1].name, singles[0].name, 0.9),
            Target(f"one a commit, {aged}", singles[3].name, singles[2].name, 0.9),
            Target(f"batch beside the bare loop, {grown}", batches[1].name, batches[0].name, 1, beside=_pair(loops, 1, 0)),
            Target(f"batch beside the bare loop, {aged}", batches[3].name, batches[2].name, 1, beside=_pair(loops, 3, 2)),
        ]
        notes = ["time-ordered client keys unless said; the single settles take turns every 20 ms"]
        yield Line("growth", "growth with cards and with history", subjects, targets, notes)


def _pair(loops: list[Subject], grown: int, first: int) -> tuple[str, str]:
    return loops[grown].name, loops[first].name
