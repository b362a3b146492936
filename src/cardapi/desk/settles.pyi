"""The loop of a batch of plain settles, and the one place where an entry is chained.

Nearly every request is a settle that names one card, which is known, in a programme that asks for nothing else. Its steps are those
of `money`, `Work.add` and `Fold.apply`, taken one after the other without what other verbs need; whatever is not plain, refused or
wrong is left to them.
"""

from collections.abc import Sequence
from typing import final

from cardapi.desk.request import Request
from cardapi.desk.sides import Checkpoints, Side
from cardapi.desk.work import Work
from cardapi.desk.writer import Desk
from cardapi.measures import Commits
from cardapi.people.registry import Registry
from cardapi.store.port import Entry, Single
from cardcore.clearing.body import Cleared
from cardcore.errors import CardcoreError
from cardcore.settlement import Settlement

def chain(
    work: Work,
    verb: str,
    code: str,
    account_id: int,
    card: str,
    key: tuple[str, str],
    fingerprint: bytes,
    request: Request,
    ref: int,
    further: Sequence[int],
    body: bytes,
    settlement: Settlement | Cleared | None,
    delta: int,
) -> Entry:
    """Seal an entry after the last one of a partition, and fold it. `delta`: what it adds to the partition's liability, in fen."""

def settles(works: list[Work], requests: list[Request], first: int, end: int, answers: list[Entry | CardcoreError]) -> int:
    """Do the plain settles at the start of `requests[first:end]`; their entries go to `answers`. `works`: of each request, of one batch.

    Returns how many there were: what comes next, if anything, is not plain, and nothing of it has been done.
    """

@final
class Lone:
    """The plain settle that nobody else's request came with, in a store that is one partition and has a `Store.single`."""

    def __init__(
        self, store: Single, registry: Registry, side: Side, commits: Commits, checkpoints: Checkpoints | None
    ) -> None: ...
    @property
    def since(self) -> float:
        """When the settle that `call` has under way began (monotonic seconds), 0 while there is none."""

    def call(self, desk: Desk, request: Request) -> Entry | None:
        """`settle` by the calling thread in the writer's place. None also where somebody else writes or waits to, or the desk is not ready."""

    def settle(self, request: Request, at_us: int) -> Entry | None:
        """Decide and commit it; durable when it returns. None: it is not plain, or its client key has its effect; nothing was done.

        By whoever writes, between two batches. What it raises means what it means in a batch: nothing may be acknowledged after it.
        """
