"""The partitions that a desk writes: where each ends and the rows kept of it, from one batch to the next.

Another process may write a partition between two of our batches; the store says so when the next one begins, and what was
kept of that partition is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Protocol

from cardapi.custody import Custody
from cardapi.desk.request import Request
from cardapi.desk.route import partitions_of
from cardapi.desk.settles import Lone
from cardapi.desk.work import Rows, Work
from cardapi.ids import ACCOUNT_BITS, home
from cardapi.measures import Commits
from cardapi.people.follow import REGISTRY, catch_up
from cardapi.people.registry import Registry
from cardapi.store import media
from cardapi.store.chain import start_head
from cardapi.store.fold import MONEY_VERBS
from cardapi.store.port import AccountRow, Batch, Entry, Found, Head, Pipelined, Store, Unread

ROWS_MAX = 131_072  # accounts kept, over all partitions, where nobody says how many
READ_ON = 50  # cards read at once while there is nothing else to do: whoever comes meanwhile waits for these, a millisecond or two
CALM_S = 10.0  # a partition that somebody else wrote last is not read on before it was left alone for so long
_CARD_ALONE = MONEY_VERBS - media.VERBS  # verbs that need nothing read but their card, where no entry is named by its key


class Checkpoints(Protocol):
    """What the desk tells of each commit (`cardapi.store.checkpoint.Checkpointer`)."""

    def committed(self, heads: Sequence[Head], entries: int) -> None: ...
    def stop(self) -> None: ...


class Side:
    """One partition."""

    def __init__(self, chain_key: bytes, head: Head, rows_max: int) -> None:
        self.chain_key = chain_key
        self.head = head  # where the next batch goes on
        self.committed = head  # where the store's journal ends; behind `head` while batches are on their way
        self.next_account = 0
        self.rows_max = rows_max
        self.rows = Rows(rows_max)
        self.read_upto: int | None = 0  # accounts up to this one are kept, or were; None: no more of them are read on
        self.forgotten_at = monotonic()
        self.sought: set[str] = set()  # cards that are being read, as long as no row was forgotten since they were asked for
        self.work: Work | None = None  # of the last batch, once there was one

    def forget(self) -> None:
        """Keep nothing of what was read."""
        self.next_account = 0
        self.rows = Rows(self.rows_max)
        self.read_upto = 0
        self.forgotten_at = monotonic()
        self.sought.clear()
        self.work = None

    def trim(self) -> None:
        """Forget rows where there are too many, as far as the store has them."""
        before = len(self.rows.accounts)
        self.rows.trim(self.committed.position)
        if len(self.rows.accounts) < before:  # what is being read may be older than what was forgotten
            self.sought.clear()
            self.read_upto = None  # the room is for cards that are wanted


Wanted = tuple[list[tuple[str, str]], dict[int, set[str]], dict[int, list[Request]], bool]
"""Client keys; numbers of cards and requests that show a medium, by partition; whether `Store.begin` may be `trusting`."""


def _wanted(requests: Sequence[Request], places: Sequence[int], extra: Iterable[int], count: int) -> Wanted:
    """What a batch asks of the store: `places` its partitions, with `extra`, of `count` there are."""
    if len(requests) == count == 1:  # most batches of a shop that is not busy
        request = requests[0]
        if request.card and request.verb in _CARD_ALONE and not request.further and not request.ref_key:
            return [(request.client, request.client_key)], {0: {request.card}}, {}, True
    keys: list[tuple[str, str]] = []
    numbers: dict[int, set[str]] = {place: set() for place in {*places, *extra}}
    shown: dict[int, list[Request]] = {}
    plain = True
    for request, place in zip(requests, places, strict=True):
        keys.append((request.client, request.client_key))
        if request.ref_key:
            keys.append(request.ref_key)
            plain = False
        if request.card:
            # The place of nearly every request is that of its card.
            lives = place if request.verb == "settle" and not request.ref else home(request.card, count)
            numbers.setdefault(lives, set()).add(request.card)
        for number in request.further:
            numbers.setdefault(home(number, count), set()).add(number)
        if request.verb not in MONEY_VERBS:
            plain = False
        elif request.verb in media.VERBS:
            shown.setdefault(place, []).append(request)
    return keys, numbers, shown, plain


class Sides:
    """All partitions of a store, opened for one batch at a time by the thread that writes."""

    def __init__(
        self, store: Store, registry: Registry, custody: Custody, pin_tries_max: int, coupons_a_day: int, rows_max: int
    ) -> None:  # fmt: skip
        self._store = store
        self._rows_max = rows_max
        self._registry = registry
        self._custody = custody
        self._pin_tries_max = pin_tries_max
        self._coupons_a_day = coupons_a_day
        self._genesis: dict[int, bytes] = {}
        self._sides: dict[int, Side] = {}
        self.missed = True  # the last batch wanted cards that had to be read for it

    def load(self) -> None:
        """Read where every partition ends."""
        self._genesis = self._store.partitions()
        rows_max = max(256, self._rows_max // len(self._genesis))
        for head in self._store.heads():
            key = self._custody.chain_key(head.partition)
            self._sides[head.partition] = Side(key, self._started(head, key), rows_max)

    def lone(self, commits: Commits, checkpoints: Checkpoints | None) -> Lone | None:
        """How a plain settle is done that is alone; None where the store knows no shorter way than a batch's.

        `commits` and `checkpoints` are told of each.
        """
        single = self._store.single() if len(self._sides) == 1 else None
        return Lone(single, self._registry, self._sides[REGISTRY], commits, checkpoints) if single is not None else None

    def _started(self, head: Head, chain_key: bytes) -> Head:
        return head if head.position else start_head(chain_key, head.partition, self._genesis[head.partition])

    @property
    def count(self) -> int:
        """How many partitions there are."""
        return len(self._sides)

    @property
    def partitions(self) -> frozenset[int]:
        """The numbers of all partitions."""
        return frozenset(self._sides)

    @property
    def kept(self) -> int:
        """How many accounts are kept, over all partitions."""
        return sum([len(side.rows.accounts) for side in self._sides.values()])

    @property
    def heads(self) -> list[Head]:
        """Where each partition ended when this desk last wrote or read it."""
        return [side.committed for _, side in sorted(self._sides.items())]

    def open(
        self, requests: Sequence[Request], at_us: int, *, everywhere: bool = False, extra: Iterable[int] = (),
        behind: Pipelined | None = None,
    ) -> list[Work]:  # fmt: skip
        """Begin a batch at `at_us`; the working set of each request, one for each partition.

        `everywhere`: look for the client keys in all partitions, which a commit has asked for (`KeyTaken`); `extra`: partitions
        that turned out to be needed (`Elsewhere`); `behind`: the store, while others are on their way: nothing is begun, and the answer is
        empty, where it would have to wait for them.
        """
        count = len(self._sides)
        places = partitions_of(requests, count, self._store)
        keys, numbers, shown, plain = _wanted(requests, places, extra, count)
        if behind is not None and not (plain and behind.trusts(numbers.keys())):
            return []
        missing: list[str] = []
        for place, named in numbers.items():
            missing.extend(named.difference(self._sides[place].rows.cards))
        self.missed = bool(missing)
        try:
            begun = self._store.begin(numbers.keys(), keys, missing, trusting=plain and not everywhere)
        except Unread:
            if behind is None:
                raise
            return []
        known = begun.keys
        found: Mapping[str, Found] = begun.found
        if everywhere:
            known |= self._store.find_keys(keys)
        if begun.heads:
            found = self._anew(begun.heads, numbers, found)
        works: dict[int, Work] = {}
        for place, named in numbers.items():
            side = self._sides[place]
            work = works[place] = side.work or self._work(place, side)
            work.begin(side.head, at_us, works, known, side.next_account)
            work.asked = begun.asked
            if place in begun.heads:
                work.take_in(named, found)
            elif missing:
                work.take_in(named.intersection(missing), found)
            if place in shown:
                work.prefetch_media(shown[place])
        return [works[place] for place in places] if len(works) > 1 else [work] * len(places)

    def _anew(self, heads: Mapping[int, Head], numbers: Mapping[int, set[str]], found: Mapping[str, Found]) -> Mapping[str, Found]:
        """Forget what was kept of partitions that another process wrote; the cards of this batch, read as they are now."""
        for place, head in heads.items():
            side = self._sides[place]
            if place == REGISTRY:  # a change is decided on the documents as they are now
                catch_up(self._registry, self._store)
            side.forget()
            side.head = side.committed = self._started(head, side.chain_key)
            again = [number for number in numbers[place] if number not in found]
            if again:
                found = {**found, **self._store.read(again)}
        return found

    def _work(self, place: int, side: Side) -> Work:
        """A working set over the rows that are kept of a partition."""
        side.work = Work(
            self._store, self._registry, self._custody, side.rows, place, side.chain_key, self._pin_tries_max, self._coupons_a_day,
            len(self._sides),
        )  # fmt: skip
        return side.work

    def unread(self, requests: Iterable[Request]) -> list[str]:
        """The cards that these move money of and no row is kept of: they are to be read, and `admit` is told what came."""
        count = len(self._sides)
        found: set[str] = set()
        for request in requests:
            number = request.card
            if number and request.verb in MONEY_VERBS:
                side = self._sides[home(number, count)]
                if number not in side.rows.cards:
                    side.sought.add(number)
                    found.add(number)
        return list(found)

    def admit(self, came: Mapping[str, Found]) -> None:
        """Keep what was read since `unread`, where nothing was forgotten meanwhile that may be newer.

        A row that was changed meanwhile is still there, which is the newer one, or it was forgotten after it was committed. What another
        process changed meanwhile is found out as with any row that is kept: by its partition's token.
        """
        for number, found in came.items():
            side = self._sides[found.card.account_id >> ACCOUNT_BITS]
            if number in side.sought:
                side.rows.admit(found)
        for side in self._sides.values():
            side.sought.clear()

    def read_on(self, server: Pipelined) -> bool:
        """Keep a few more cards of a partition that is ours, while nothing is on its way; False when there are none. Raises StoreError.

        Where others write as well, what is read now is soon forgotten: such a partition is left alone.
        """
        long_ago = monotonic() - CALM_S
        for place, side in self._sides.items():
            if side.read_upto is None or side.forgotten_at > long_ago or not server.trusts((place,)):
                continue
            if len(side.rows.accounts) >= side.rows_max:
                side.read_upto = None
                continue
            came = server.read_on(place, side.read_upto, READ_ON)
            side.read_upto = came[-1].account.account_id if len(came) == READ_ON else None
            for found in came:
                with suppress(Exception):  # of a row that is damaged: whoever wants it is told
                    side.rows.admit(found)
            return True
        return False

    def feed(self, works: Iterable[Work]) -> None:
        """Let the store write what is decided by now, while more is."""
        entries: list[Entry] = []
        accounts: list[AccountRow] = []
        parts = list(works)
        for work in parts:
            added, changed = work.unfed()
            entries += added
            accounts += changed
        if entries and self._store.feed(entries, accounts):
            for work in parts:
                work.fed()

    def commit(self, works: Iterable[Work]) -> list[Head]:
        """Write what these working sets added, in one transaction. Returns the new ends; none when there was nothing."""
        written = _written(works)
        if not written:
            self._store.abandon()
            return []
        self._store.commit(_batch(written))
        heads = self._advance(written)
        self.landed(heads)
        for work in written:
            if work.documents:
                for (kind, name), data in work.documents.items():
                    self._registry.put(kind, name, data, work.position)
            if work.partition == REGISTRY and work.entries:
                self._registry.position = max(self._registry.position, work.position)
        return heads

    def launch(self, store: Pipelined, works: Iterable[Work]) -> list[Head]:
        """Send what these working sets added on its way. Returns the ends that the journal will have; none when there was nothing."""
        written = _written(works)
        if not written:
            store.abandon()
            return []
        store.launch(_batch(written))
        return self._advance(written)

    def landed(self, heads: Iterable[Head]) -> None:
        """A batch is committed that leaves the journal so."""
        for head in heads:
            side = self._sides[head.partition]
            side.committed = head
            side.trim()

    def crashed(self) -> None:
        """Nothing that is on its way was written: go on from what is."""
        for side in self._sides.values():
            if side.head is not side.committed:
                side.forget()
                side.head = side.committed

    def _advance(self, written: Iterable[Work]) -> list[Head]:
        heads = []
        for work in written:
            if not work.entries:
                continue
            side = self._sides[work.partition]
            heads.append(work.head())
            side.head = heads[-1]
            side.next_account = work.next_account
        return heads

    def forget(self, works: Iterable[Work]) -> None:
        """What these working sets changed was not written."""
        for work in works:
            self._sides[work.partition].forget()


def _written(works: Iterable[Work]) -> list[Work]:
    """Those with something to write."""
    written = []
    for work in works:
        assert not work.recording, "an entry is folded half way"
        if work.entries or work.kept:
            written.append(work)
    return written


def _batch(written: Sequence[Work]) -> Batch:
    if all(work.light for work in written):
        parts = [work.unfed() for work in written]
        return Batch([entry for added, _ in parts for entry in added], [], [row for _, changed in parts for row in changed], [])
    batch = written[0].batch()
    for work in written[1:]:
        other = work.batch()
        batch = Batch(
            batch.entries + other.entries, batch.cards + other.cards, batch.accounts + other.accounts,
            batch.documents + other.documents, batch.media + other.media, batch.records + other.records,
            batch.cleared + other.cleared, batch.uncleared + other.uncleared,
        )  # fmt: skip
    return batch
