"""The loop of a batch of plain settles, and the one place where an entry is chained.

Nearly every request is a settle that names one card, which is known, in a programme that asks for nothing else. Its steps are those
of `money`, `Work.add` and `Fold.apply`, taken one after the other without what other verbs need; whatever is not plain, refused or
wrong is left to them.
"""

from collections.abc import Sequence

from cardapi.desk.request import Request
from cardapi.desk.work import Work
from cardapi.store.port import Entry
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
