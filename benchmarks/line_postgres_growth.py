"""Line `postgres_growth`: 16 callers on the server store with a hundred times the cards, and on top of a million entries of history.

The shops of `line_growth` on one server, in a database each, and in every round a slice of each. Before the first round each has sold
as much as the others, and to cards of its whole range, and its process remembers all of them, as it does by itself where there is time
between sales. One more has as many cards and may remember an eighth.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from . import dataset
from .harness import Line, Options, Subject, Target
from .line_growth import sizes
from .line_http import BATCH
from .line_postgres import CALLERS, PARTITIONS, WARM, Callers, database, served, server
from .line_store import raw_sync
from .scenarios import TICKET


@contextmanager
def growth(options: Options) -> Iterator[Line]:
    """Single settles of 16 callers on each shop."""
    command, seconds = dataset.sale(TICKET), options.seconds(2, 0.5)
    warm = 5 if options.quick else WARM
    few, many, _, old = sizes(options)
    some = replace(many, name=f"{many.name}, an eighth remembered")
    shops: list[tuple[str, Callers]] = []
    with server(options) as local, ExitStack() as stack:
        for place, size in enumerate((*sizes(options), some)):
            name = f"growth{place}"
            url, owner = database(local, name)
            data = dataset.build(options.work / name, size.cards, store=url, owner=owner, partitions=PARTITIONS)
            if size is some:
                with (data.directory / "settings.toml").open("a") as settings:
                    settings.write(f"remembered_cards = {size.cards // 8}\n")
            callers = Callers(stack.enter_context(dataset.opened(data)), data, command, options.seed)
            for _ in range(size.history // BATCH):
                callers.settle_many()
            local.sql("VACUUM ANALYZE", name)
            shops.append((size.name, callers))
        local.sql("CHECKPOINT")  # before the sales: the first write of a page after it takes the whole page along
        for _ in range(warm):
            for _, callers in shops:
                callers.settle_many()
        for _, callers in shops[:-1]:
            callers.wait_until_remembered()
        singles = [Subject(f"{CALLERS} callers: {name}", "/s", callers.rate(seconds)) for name, callers in shops]
        targets = [
            Target(f"PostgreSQL: {few.cards:,} -> {many.cards:,} cards", singles[1].name, singles[0].name, 0.75),
            Target(f"PostgreSQL: 0 -> {old.history:,} entries", singles[3].name, singles[2].name, 0.75),
        ]
        notes = [
            f"{PARTITIONS} partitions; each shop has sold {warm * BATCH:,} times or a few more just before, the one with a history besides",
            f"{sum(callers.remembered for _, callers in shops):,} cards remembered in all",
        ]
        subjects = [*singles, raw_sync(options, seconds / 3)]
        with served():
            yield Line("postgres_growth", "server store, growth with cards and with history", subjects, targets, notes)
