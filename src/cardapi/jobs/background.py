"""What a shop does without being asked: its jobs and its messages, put together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cardapi.custody import Custody
from cardapi.desk import Desk
from cardapi.jobs.expiry import Expiry
from cardapi.jobs.inactivity import Inactivity
from cardapi.jobs.model import Context, Job
from cardapi.jobs.notices import Birthdays, Reminders
from cardapi.jobs.periods import Periods, Rankings
from cardapi.jobs.pruning import Pruning
from cardapi.jobs.runner import Runner
from cardapi.messages.courier import Courier
from cardapi.messages.settings import MessageSettings, channels
from cardapi.people.registry import Registry
from cardapi.store.port import Store


class Background:
    """`jobs` and `courier` of one shop; nothing runs before `start`."""

    def __init__(
        self, desk: Desk, reader: Callable[[], Store], registry: Registry, custody: Custody, clock: Callable[[], int],
        settings: MessageSettings, directory: Path,
    ) -> None:  # fmt: skip
        """clock: microseconds since 1970 UTC. Raises SendFailed, BadTemplate for settings that cannot be."""

        def now() -> int:
            return clock() // 1_000_000

        ways = channels(settings, directory, custody.webhook_key())
        self.courier = Courier(desk, reader, registry, custody, now, ways, settings.templates)
        jobs: list[Job] = [Periods(), Rankings(), Expiry(), Inactivity(), Birthdays(self.courier), Reminders(self.courier), Pruning()]
        self.jobs = Runner(jobs, lambda: Context(desk, reader(), registry, custody, now))

    def start(self) -> None:
        """Run both, each on a thread of its own."""
        self.jobs.start()
        self.courier.start()

    def stop(self) -> None:
        """End both after what is under way. Safe to call twice."""
        self.jobs.stop()
        self.courier.stop()
