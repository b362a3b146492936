"""What one commit sees and writes in one partition: rows read for the batch, changed by the fold as entries are added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from cardapi.custody import Custody
from cardapi.desk.request import Problem, Request
from cardapi.desk.settles import chain
from cardapi.ids import ACCOUNT_BITS, home, is_leg, leg_key
from cardapi.people.follow import REGISTRY
from cardapi.people.registry import ProgrammeVersion, Registry
from cardapi.store import media
from cardapi.store.fold import Fold, Records, accounts_of, digest, liability_delta, pack_body
from cardapi.store.port import AccountRow, Batch, CardRow, Entry, Found, Head, MediumRow, Record, Store
from cardcore.clearing.body import BatchCount, Case, Cleared, Row, unpack_batch, unpack_case
from cardcore.errors import AmountOutOfRange, CardcoreError
from cardcore.settlement import Account, Settlement
from cardcore.settlement.lifecycle import GONE

LIABILITY_MAX = 1 << 62  # fen of one partition: a store keeps 64 bits with a sign
FOUND_MAX = 10_000  # records with one key that a decision may ask for: the cards of one holder
_NO_FINGERPRINT = bytes(16)


class Rows:
    """Cards and accounts kept between batches: one writer, so what it committed last is what the store holds.

    A batch that cannot be committed ends the desk, so a row changed here and not written is never answered from.
    """

    def __init__(self, accounts_max: int = 131_072) -> None:
        self.cards: dict[str, CardRow] = {}
        self.accounts: dict[int, Account] = {}
        self.changed: dict[int, int] = {}
        self.media: dict[str, MediumRow] = {}
        self.accounts_max = accounts_max

    def admit(self, found: Found) -> CardRow:
        """Keep a row that was read, unless a newer one is kept; the one that is."""
        card, account = found.card, found.account
        if account.account_id not in self.accounts:
            self.accounts[account.account_id] = Account.unpack(account.state)
            self.changed[account.account_id] = account.changed_at
        return self.cards.setdefault(card.number, card)

    def trim(self, committed: int) -> None:
        """Forget what was read longest ago, once there is too much.

        Not what the store does not have yet, whatever it would say if it were asked: `committed` is where its journal ends.
        """
        surplus = len(self.accounts) - self.accounts_max
        if surplus <= 0:
            return
        for account_id in list(islice(self.accounts, surplus + self.accounts_max // 4)):
            if self.changed[account_id] <= committed:
                del self.accounts[account_id], self.changed[account_id]
        # In place: the working set has these very mappings.
        for number in [number for number, row in self.cards.items() if row.account_id not in self.accounts]:
            del self.cards[number]
        for name in [name for name, row in self.media.items() if row.account_id not in self.accounts]:
            del self.media[name]


class Elsewhere(Exception):
    """A request needs rows of a partition that its batch does not hold: the batch is begun again with it."""

    def __init__(self, partition: int) -> None:
        super().__init__(partition)
        self.partition = partition


class Spoilt(Exception):
    """A request failed after its own entry was added, while what goes with it was made: the batch is begun again without it.

    So it has all of its effects or none, and who is told that it failed is told the truth (O4).
    """

    def __init__(self, request: Request, answer: CardcoreError) -> None:
        super().__init__(request.verb)
        self.request = request
        self.answer = answer


class Work(Fold):
    """The working set of a partition, from batch to batch. Commands on the same card see each other here (design, section 2)."""

    def __init__(
        self, store: Store, registry: Registry, custody: Custody, rows: Rows, partition: int, chain_key: bytes, pin_tries_max: int,
        coupons_a_day: int, partitions: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self._rows = rows
        self.cards = rows.cards
        self.accounts = rows.accounts
        self.changed = rows.changed
        self.media = rows.media
        self.store = store
        self.registry = registry
        self.custody = custody
        self.pin_tries_max = pin_tries_max
        self.coupons_a_day = coupons_a_day
        self.partition = partition
        self.partitions = partitions  # how many there are
        self.asked = True  # whether the batch's keys were looked for; if not, the commit finds those that have their effect
        self.kept: dict[tuple[str, str], Record] = {}  # beside the journal, by this batch
        self.recording = False  # an exception while True leaves the working set in doubt
        self.half_made = False  # an exception while True leaves an entry without what goes with it, whatever key it has
        self._chain_key = chain_key
        self._touched: dict[int, AccountRow] = {}  # accounts to write, in order
        self._absent: set[str] = set()
        self._no_media: set[str] = set()
        self._records_touched: set[tuple[str, str]] = set()
        self._keyed: dict[tuple[str, str, str], set[str]] = {}  # ids of this batch's records by (kind, index, value)
        self._versions: dict[str, ProgrammeVersion | None] = {}
        # What else a batch may have to write; then what else it may leave to be emptied.
        self._rare: tuple[dict[Any, Any] | set[Any], ...] = (
            self.cards_touched, self.documents, self.media_touched, self._records_touched, self.kept, self.cleared_touched, self.uncleared,
        )  # fmt: skip
        self._of_batch: tuple[dict[Any, Any] | set[Any], ...] = (
            *self._rare, self.records, self.seals, self.cleared, self._absent, self._no_media, self._keyed,
        )  # fmt: skip

    def begin(self, head: Head, at_us: int, works: dict[int, Work], keys: dict[tuple[str, str], Entry], next_account: int) -> None:
        """Start a batch at `at_us` where the journal ends: nothing of the last one is left but the rows.

        `works`: of the whole batch, by partition; `keys`: what is known of client keys, one for all of these; `next_account`: the
        account number to give next, 0 = not asked for yet.
        """
        if any(self._of_batch):
            for one in self._of_batch:
                one.clear()
        self._touched.clear()
        self._versions.clear()
        self.entries: list[Entry] = []
        self._fed = 0  # of them, what the store has taken
        self.position = head.position
        self.mac = head.mac
        self.liability_fen = head.liability_fen
        self.at_us = at_us
        self.at_s = at_us // 1_000_000
        self.works = works
        self.keys = keys
        self.next_account = next_account
        self.half_made = False

    # ------------------------------------------------------------ reading
    def prefetch_media(self, requests: list[Request]) -> None:
        """Read the media that these requests show, in one statement."""
        names = {self.shown_name(request) for request in requests}
        names = {name for name in names if name and name not in self.media}
        if names:
            for name, row in self.store.read_media(list(names)).items():
                if row.account_id >> ACCOUNT_BITS == self.partition:
                    self.media[name] = row
            self._no_media |= names - self.media.keys()

    @staticmethod
    def shown_name(request: Request) -> str:
        """The medium that a request's memo names, "" when none or when it does not decode (judged later)."""
        try:
            shown = media.unpack_shown(request.command.memo) if request.command is not None else None
        except msgspec.MsgspecError:
            return ""
        return shown.medium if shown is not None else ""

    def medium(self, name: str) -> MediumRow | None:
        """A medium by id; read now if the batch did not name it."""
        row = self.media.get(name)
        if row is None and name and name not in self._no_media:
            row = self.store.read_media([name]).get(name)
            if row is None or row.account_id >> ACCOUNT_BITS != self.partition:
                self._no_media.add(name)
                return None
            self.media[name] = row
        return row

    def medium_taken(self, name: str) -> bool:
        """Whether a medium is registered already, in whatever partition and be it by this very batch: a name is one chip."""
        return any(name in work.media for work in self.works.values()) or name in self.store.read_media([name])

    def media_of(self, account_id: int) -> list[MediumRow]:
        """Every medium of an account, as this batch leaves it."""
        names = {row.medium: self.media.setdefault(row.medium, row) for row in self.store.media_of(account_id)}
        # Not all that is kept: there may be very many, and only this batch's own are not in the store yet.
        names |= {name: self.media[name] for name in self.media_touched if self.media[name].account_id == account_id}
        return list(names.values())

    def take_in(self, numbers: Iterable[str], found: Mapping[str, Found]) -> None:
        """Cards that were asked for; `found` has those of them that there are."""
        for number in numbers:
            row = found.get(number)
            if row is not None:
                self.admit(row)
            else:
                self._absent.add(number)

    def admit(self, found: Found) -> None:
        """Take a row that was read into the working set, unless this batch has a newer one."""
        self._rows.admit(found)

    def card(self, number: str) -> CardRow | None:
        """A card by number; read now if the batch did not name it."""
        row = self.cards.get(number)
        if row is None and self.partitions > 1 and home(number, self.partitions) != self.partition:
            return self.at(home(number, self.partitions)).card(number)
        if row is None and number not in self._absent:
            self.take_in((number,), self.store.read([number]))
            row = self.cards.get(number)
        return row

    def lost_from(self, row: CardRow) -> int:
        """`CardRow.state_from` for a decision now: a loss that counted when it was reported still does, though the clock went back (F1)."""
        if row.state == "lost" and row.state_from > self.at_s:
            reported = self.at(row.account_id >> ACCOUNT_BITS).entry_at(row.changed_at)
            if reported is not None and reported.at_us // 1_000_000 >= row.state_from:
                return self.at_s
        return row.state_from

    def at(self, partition: int) -> Work:
        """The working set of another partition of this batch. Raises Elsewhere when the batch does not hold it."""
        work = self.works.get(partition)
        if work is None:
            raise Elsewhere(partition)
        return work

    def account(self, account_id: int) -> Account:
        """An account that was read with its card. Raises KeyError, Elsewhere."""
        if account_id >> ACCOUNT_BITS == self.partition:
            return self.accounts[account_id]
        return self.at(account_id >> ACCOUNT_BITS).accounts[account_id]

    def card_anywhere(self, number: str) -> CardRow | None:
        """A card as it stands now, whichever partition it lives in: to name it, not to decide about its value."""
        if home(number, self.partitions) == self.partition:
            return self.card(number)
        found = self.store.read([number]).get(number)
        return found.card if found is not None else None

    def card_of(self, account_id: int) -> CardRow | None:
        """The card that stands for an account (`Store.read_accounts`). Raises Elsewhere."""
        if account_id >> ACCOUNT_BITS != self.partition:
            return self.at(account_id >> ACCOUNT_BITS).card_of(account_id)
        found = self.store.read_accounts([account_id]).get(account_id)
        if found is not None:
            self.admit(found)
        on_it = [self.cards[number] for number in self.cards_touched if self.cards[number].account_id == account_id]
        if found is not None:
            on_it.append(self.cards[found.card.number])
        return min(on_it, key=lambda row: (row.state in GONE, -row.changed_at, row.number), default=None)

    def named(self, request: Request) -> Entry | None:
        """The entry that `ref` or `ref_key` names, None when there is none. The further leg of a movement is named by its first."""
        if request.ref_key:
            return self.keys.get(request.ref_key)
        if request.partition != self.partition:
            return None
        entry = self.entry_at(request.ref)
        return None if entry is None or is_leg(entry.client, entry.client_key) else entry

    def entry_at(self, position: int) -> Entry | None:
        """An entry of this partition, of this batch or the store; None when there is none."""
        first = self.position - len(self.entries) + 1
        if first <= position <= self.position:
            return self.entries[position - first]
        return self.store.entry(self.partition, position)

    def read_cleared(self, keys: list[bytes]) -> dict[bytes, Row]:
        """Off-line purchases by key, as this batch leaves them; what is read is known to the fold."""
        missing = [key for key in keys if key not in self.cleared and key not in self.uncleared]
        if missing:
            self.cleared.update(self.store.read_cleared(missing))
        return self.cleared

    def case(self, name: str) -> Case | None:
        """A case by id."""
        row = self.record("case", name)
        return unpack_case(row.body) if row is not None else None

    def batch_count(self, name: str) -> BatchCount | None:
        """What has come of a batch."""
        row = self.record("clearing-batch", name)
        return unpack_batch(row.body) if row is not None else None

    def admit_cards(self, numbers: set[str]) -> None:
        """Read many cards with their accounts at once, each where it lives. Raises Elsewhere."""
        if self.partitions > 1:
            by_home: dict[int, set[str]] = {}
            for number in numbers:
                by_home.setdefault(home(number, self.partitions), set()).add(number)
            for place, own in by_home.items():
                self.at(place)._admit_own(own)
        else:
            self._admit_own(numbers)

    def _admit_own(self, numbers: set[str]) -> None:
        missing = {number for number in numbers if number not in self.cards and number not in self._absent}
        if missing:
            self.take_in(missing, self.store.read(list(missing)))

    def admit_media(self, names: set[str]) -> None:
        """Read many media at once."""
        missing = [name for name in names if name not in self.media]
        if missing:
            self.media.update(self.store.read_media(missing))

    def followers(self, position: int) -> list[Entry]:
        """Entries that name this one, those of this batch included."""
        return self.store.followers(self.partition, position) + [entry for entry in self.entries if entry.ref == position]

    def record(self, kind: str, name: str) -> Record | None:
        """A record as this batch sees it, None when there is none."""
        row = self.kept.get((kind, name)) or self.records.get((kind, name))
        if row is None:
            row = self.store.records(kind, [name]).get(name)
            if row is not None and row.changed_at:
                self.records[kind, name] = row
        return row if row is not None and row.body else None

    def find_record(self, kind: str, index: str, value: str) -> list[Record]:
        """Records with this key as this batch sees them, by id."""
        stored = {row.id: row for row in self.store.find_records(kind, index, value, limit=FOUND_MAX)}
        found = []
        for name in sorted(stored.keys() | self._keyed.get((kind, index, value), set())):
            row = self.kept.get((kind, name)) or self.records.get((kind, name)) or stored.get(name)
            if row is not None and row.body and (index, value) in row.keys:
                found.append(row)
        return found

    def version(self, card: CardRow, number: int = 0) -> ProgrammeVersion:
        """The card's programme version valid now, or version `number` of it. Raises Problem unknown_programme."""
        known = self._versions.get(card.programme)
        if number and (known is None or known.version != number):
            for version in self.registry.versions(card.programme):
                if version.version == number:
                    return version
        if known is None:
            known = self._versions[card.programme] = self.registry.version(card.programme, self.at_s)
        if known is None:
            raise Problem("unknown_programme", f"no programme {card.programme!r} is valid now", programme=card.programme)
        return known

    # ------------------------------------------------------------ writing
    def add(
        self,
        request: Request,
        *,
        account_id: int,
        card: str,
        body: bytes,
        code: str = "",
        ref: int = 0,
        settlement: Settlement | Cleared | None = None,
        verb: str = "",
        key: tuple[str, str] | None = None,
        fingerprint: bytes = b"",
    ) -> Entry:
        """Chain one entry and fold it. `verb`, `key` and `fingerprint` replace the request's own.

        Raises AmountOutOfRange, and changes nothing, where the liability would leave what a store can keep.
        """
        name = key or (request.client, request.client_key)
        delta = 0
        further: Sequence[int] = ()
        legs: dict[int, list[int]] = {}
        if settlement is not None:
            if settlement.further_accounts:
                legs = self._legs(settlement)
                further = legs.pop(self.partition, ())
            delta = liability_delta(settlement, self.partition)
            if self.liability_fen + delta > LIABILITY_MAX:
                raise _unbounded()
        entry = self.keys[name] = chain(
            self, verb or request.verb, code, account_id, card, name, fingerprint or request.fingerprint, request, ref, further, body,
            settlement, delta,
        )  # fmt: skip
        self.recording = bool(legs)  # one without the others is half an entry
        for partition, accounts in legs.items():
            # The same body once more in the journal of each further partition: what it does there, in the same commit (M5, M6).
            # Of an upload, which touches thousands of accounts, its part there.
            leg = leg_key(self.partition, entry.position, partition)
            assert settlement is not None, "only a settlement moves value to other accounts"
            part = settlement.part(accounts_of(partition)) if isinstance(settlement, Cleared) else settlement
            chain(
                self.at(partition), entry.verb, "", accounts[0], card, leg, _NO_FINGERPRINT, request, 0, accounts[1:],
                part.pack() if part is not settlement else body, part, liability_delta(part, partition),
            )  # fmt: skip
        self.recording = False
        return entry

    def _legs(self, settlement: Settlement | Cleared) -> dict[int, list[int]]:
        """The further accounts of a settlement by partition.

        Raises AmountOutOfRange where the liability of another partition would leave its bound, Elsewhere for one that is not held.
        """
        legs: dict[int, list[int]] = {}
        for account_id in settlement.further_accounts:
            legs.setdefault(account_id >> ACCOUNT_BITS, []).append(account_id)
        for partition in legs:
            if self.at(partition).liability_fen + liability_delta(settlement, partition) > LIABILITY_MAX:
                raise _unbounded()
        return legs

    def touch_cleared(self, cleared: Cleared) -> None:
        """The records that an upload's entry changed are to be written."""
        self._records_touched.update(("case", case.id) for case in cleared.cases)
        if cleared.batch is not None:
            self._records_touched.add(("clearing-batch", cleared.batch.id))

    def add_records(self, request: Request, after: list[Record], *, kept: tuple[Record, ...] = (), facts: dict[str, Any] | None = None,
                    account_id: int = 0, card: str = "", verb: str = "", key: tuple[str, str] | None = None) -> Entry:  # fmt: skip
        """Chain one entry that changes records: rows after it, and what is kept beside the journal, which gets a digest.

        `verb` and `key` replace the request's own, for what goes with another entry of the same commit. Raises Elsewhere when the
        batch does not hold the registry's partition, where all records are kept.
        """
        self.at(REGISTRY)
        if account_id >> ACCOUNT_BITS != self.partition:
            account_id = 0  # its own entries are in another journal; the number stays
        before = [self.record(row.kind, row.id) for row in after]
        rows = [msgspec.structs.replace(row, changed_at=0) for row in before if row is not None]
        seals = [(row.kind, row.id, digest(row) if row.body else b"") for row in kept]
        body = pack_body(Records(rows, [msgspec.structs.replace(row, changed_at=0) for row in after], seals, facts or {}))
        fingerprint = _NO_FINGERPRINT if key else b""
        entry = self.add(request, account_id=account_id, card=card, body=body, verb=verb, key=key, fingerprint=fingerprint)
        for row in kept:
            self.kept[row.kind, row.id] = row
        for row in (*after, *kept):
            for index, value in row.keys:
                self._keyed.setdefault((row.kind, index, value), set()).add(row.id)
        self._records_touched.update((row.kind, row.id) for row in after)
        return entry

    def tombstone(self, request: Request, key: tuple[str, str]) -> Entry:
        """Occupy a client key that was voided before its request arrived (O6)."""
        return self.add(request, account_id=0, card="", body=b"", code="key_voided", verb="tombstone", key=key, fingerprint=_NO_FINGERPRINT)

    def new_account(self) -> int:
        """The next account id of the partition."""
        if self.next_account == 0:
            self.next_account = self.store.next_account_number(self.partition)
        number = self.next_account
        self.next_account += 1
        return self.partition << 40 | number

    def unfed(self) -> tuple[list[Entry], list[AccountRow]]:
        """What was added since the store last took something."""
        return (self.entries[self._fed :] if self._fed else self.entries), list(self._touched.values())

    def fed(self) -> None:
        """The store has taken all that was added."""
        self._fed = len(self.entries)
        self._touched.clear()

    @property
    def light(self) -> bool:
        """Whether this batch changes accounts and nothing else: all of it is in the rows that are kept, committed or not."""
        return not any(self._rare)

    def batch(self) -> Batch:
        """What to commit, but for what the store has taken."""
        entries, accounts = self.unfed()
        if self.light:
            return Batch(entries, [], accounts, [])
        return Batch(
            entries,
            [self.cards[number] for number in self.cards_touched],
            accounts,
            [(kind, name, self.documents[kind, name]) for kind, name in self.documents],
            [self.media[name] for name in self.media_touched],
            [*(self.records[name] for name in sorted(self._records_touched)), *self.kept.values()],
            [self.cleared[key] for key in self.cleared_touched],
            [key for key in self.uncleared if key not in self.cleared_touched],
        )

    def head(self) -> Head:
        """The end of the journal once this is committed."""
        return Head(self.partition, self.position, self.mac, self.liability_fen, self.at_us)


def _unbounded() -> AmountOutOfRange:
    return AmountOutOfRange("all customers' money together leaves its bound", limit=LIABILITY_MAX)
