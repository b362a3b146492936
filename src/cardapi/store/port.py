"""The narrow port between the desk and any store, in domain words and batch-shaped (design: one port, several adapters).

One writer at a time per partition. A store never decides about money; it reads, and it commits what was decided,
atomically and durably (O3). SQL, files and connections are the adapters' business.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from sys import intern
from typing import Any, Protocol, runtime_checkable

import msgspec

from cardcore.clearing.blocked import Blocked
from cardcore.clearing.body import Row
from cardcore.errors import CardcoreError


class StoreError(CardcoreError):
    """The database cannot be opened, read or written. After one at a commit the desk acknowledges nothing (F2)."""

    code = "store"


class DecideAgain(StoreError):
    """Nothing of this batch was written; begin it anew and decide again."""


class KeyTaken(DecideAgain):
    """A client key of this batch has its effect already, where `begin` did not look: ask `find_keys`."""


class Overtaken(DecideAgain):
    """Somebody else wrote a partition of this batch since it was begun `trusting`, or took a name that counts in all of them."""


class Unread(StoreError):
    """Cards could not be read while batches are on their way. Nothing was begun, and those are as they were."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One effect in the journal: a ticket, another money verb, a card's life cycle step or a registry change.

    `mac` = HMAC-SHA256(chain key, previous mac || length-prefixed encoding of every other field) (A2).
    """

    partition: int
    position: int  # 1, 2, 3 ... without gaps in its partition
    at_us: int  # microseconds since 1970 UTC; information, order is the position (F1)
    verb: str  # a settlement verb, a life cycle verb ("issue", "activate", "lost", ...), "pin", "change", "close", "tombstone"
    outcome: str  # "applied" | "refused"
    code: str  # decline code when refused, else ""
    account_id: int  # 0 if none
    card: str  # card number, "" if none
    client: str  # "terminal:<id>" | "operator:<id>" | "system"
    client_key: str  # unique with `client` for ever (O1)
    fingerprint: bytes  # 16 bytes over the parsed meaning of the request (O2)
    unit: str
    terminal: str
    operator: str
    approver: str
    reason: str
    ref: int  # position of the entry this one names (ticket, hold, corrected entry), 0 if none
    prior: int  # position of this account's entry before this one, 0 if none: a statement is a walk, without an index
    further: bytes  # (account id, its prior) as big-endian pairs of 8 bytes, for each further account touched
    liability_fen: int  # customers' money in this partition after this entry (M10)
    body: bytes  # Settlement.pack() for money verbs, msgpack otherwise, b"" when nothing
    mac: bytes


class CardRow(msgspec.Struct, gc=False):
    """A card as the store keeps it: a projection of its entries."""

    number: str
    account_id: int
    programme: str
    state: str  # stock issued active lost frozen swapped cancelled expired destroyed (L01)
    state_from: int  # epoch seconds from which the state counts: a loss may have an effective time (K5), else 0
    unit: str  # where it was issued
    kind: str  # "primary", "replacement" ...
    valid_until: int  # epoch seconds, 0 = no end
    flags: int  # holder flags, 1 = excluded (C19)
    pin_value: bytes  # keyed value, never the PIN (N); b"" if not set
    pin_tries: int  # wrong tries since the last right one
    changed_at: int  # position of the entry that last changed this row


class AccountRow(msgspec.Struct, gc=False):
    """The value of one account as the store keeps it: a projection of its entries (M3)."""

    account_id: int
    state: bytes  # Account.pack()
    changed_at: int


class MediumRow(msgspec.Struct, gc=False):
    """A carrier of a card as the store keeps it: a projection of its entries. What holds value is a chip; the rest identifies (K8)."""

    medium: str  # "pboc:<issuer><serial>", "desfire:<uid>", "ntag424:<uid>", "uid:<uid>", "magstripe:...", "barcode:..."; hex in lower case
    account_id: int
    card: str  # number of the card it was made for
    profile: str  # make of chip ("pboc2-3des", "ev2" ...), "" where nothing is spoken
    state: str  # active retired blocked
    keys: bytes  # `media.pack_keys`: key versions on the card with their dates (K6)
    purse: int  # which purse of a PBOC chip holds the money: 1 ED, 2 EP; 0 on others
    online_counter: int  # last proven; PBOC only
    offline_counter: int  # last proven; of a DESFire chip its transaction counter
    balance_fen: int  # what the chip held at these counters
    in_flight: int  # position of the open load, unload or payment, 0 if none
    changed_at: int  # position of the entry that last changed this row


class Found(msgspec.Struct, gc=False):
    """One card with its account, as read for a decision."""

    card: CardRow
    account: AccountRow


class Record(msgspec.Struct, gc=False):
    """A row of what there may be millions of and no decision reads on its hot path: members, who holds an account, messages.

    A record with a `changed_at` is a projection of journal entries, like a card. One without is kept beside the journal:
    what may be erased again, such as a person's data, of which the journal has only a digest.
    """

    kind: str
    id: str
    body: bytes  # MessagePack, or sealed; b"" in a batch takes the record away
    keys: tuple[tuple[str, str], ...] = ()  # (index, value): how else it is found; a value may not be in clear what the body seals
    changed_at: int = 0  # position of the entry that last changed it, 0 = beside the journal


def found_of(row: Sequence[Any]) -> Found:
    """A card with its account as a store's row has them: the fields of `CardRow`, then state and position of the account.

    The few words that most cards share are one object each: the desk keeps many rows, and looks at these words in every sale.
    """
    number, account_id, programme, state, state_from, unit, kind = row[:7]
    card = CardRow(number, account_id, intern(programme), intern(state), state_from, intern(unit), intern(kind), *row[7:12])
    return Found(card, AccountRow(account_id, row[12], row[13]))


def record_of(row: Sequence[Any]) -> Record:
    """A record as a store's row has it: kind, id, body, its keys as JSON, the position that changed it."""
    kind, name, body, text, changed_at = row
    try:
        keys = tuple((index, value) for index, value in msgspec.json.decode(text))
    except (msgspec.MsgspecError, ValueError, TypeError):  # damaged: `verify` shall find that it is another row
        keys = (("", text),)
    return Record(kind, name, body, keys, changed_at)


def asked_records(
    kind: str, index: str, low: str, high: str | None, after: tuple[str, str], limit: int
) -> tuple[str, str, str, str, str, int]:
    """The parameters of a look-up by key (`Store.find_records`): kind, index, the (value, id) it begins behind, the last value, how many.

    One lower bound, as an index is entered by one: beside a second one every row before the page was read, too.
    """
    return kind, index, *(after if after[0] >= low else (low, "")), low if high is None else high, limit


class Batch(msgspec.Struct):
    """What one commit writes: all of it or nothing."""

    entries: list[Entry]
    cards: list[CardRow]  # upserts
    accounts: list[AccountRow]  # upserts, the last state of each account touched
    documents: list[tuple[str, str, bytes]]  # registry upserts: kind, id, JSON; b"" takes it away
    media: list[MediumRow] = []  # upserts
    records: list[Record] = []  # upserts; one with an empty body is taken away
    cleared: list[Row] = []  # upserts: off-line purchases and what became of them
    uncleared: list[bytes] = []  # keys of such rows to take away, before the upserts


class Head(msgspec.Struct, frozen=True):
    """The end of a partition's journal."""

    partition: int
    position: int  # 0 when empty
    mac: bytes
    liability_fen: int
    at_us: int


class Begun(msgspec.Struct, frozen=True):
    """What `Store.begin` found. `heads` has the partitions that somebody else wrote since this store last did: whatever the
    caller remembers of them is stale, and `found` is not.
    """

    heads: dict[int, Head]
    keys: dict[tuple[str, str], Entry]
    found: dict[str, Found]
    asked: bool = True  # False: begun in trust, nothing was looked up


class Single(Protocol):
    """`begin` and `commit` of one entry that changes one account, between two batches; its client key was not looked for."""

    write_ns: int  # what the last `commit` took
    sync_ns: int  # of that, what the database took to make it durable

    def read(self, number: str, /) -> Found | None:
        """Begin, and read a card with its account. Raises StoreError; then nothing is begun."""
        ...

    def commit(self, entry: Entry, account_id: int, state: bytes, /) -> None:
        """`Store.commit`, whether or not `read` has begun. Raises KeyTaken, after which nothing is begun or written; StoreError."""
        ...

    def abandon(self) -> None:
        """End what `read` began, and write nothing."""
        ...


class Store(Protocol):
    """What the desk, the reports and `verify` may ask of a store. Reads see every acknowledged commit.

    One thread commits. Other threads read through a view of their own (`reader`).
    """

    @property
    def sync_ns(self) -> int:
        """Of the last commit, what the database took to make it durable: a file's COMMIT with its sync, a server's last round trip."""
        ...

    def reader(self) -> Store:
        """A read-only view for one other thread. Close it when done."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Everything read inside sees one commit, whatever is written meanwhile (for `verify` beside a running service)."""
        ...

    def partitions(self) -> dict[int, bytes]:
        """Partition number -> its genesis value, which starts the chain."""
        ...

    def heads(self) -> list[Head]:
        """The end of every partition's journal; position 0 and the chain's start are the caller's to know when empty."""
        ...

    def find_keys(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Entry]:
        """Entries by (client, client_key); absent keys are absent from the answer."""
        ...

    def read(self, numbers: Sequence[str]) -> dict[str, Found]:
        """Cards with their accounts by number; unknown numbers are absent."""
        ...

    def read_accounts(self, account_ids: Sequence[int]) -> dict[int, Found]:
        """Accounts with the card that stands for each: not an exchanged or dead number if there is another, then the newest."""
        ...

    def read_media(self, media: Sequence[str]) -> dict[str, MediumRow]:
        """Media by id; unknown ones are absent."""
        ...

    def media_of(self, account_id: int) -> list[MediumRow]:
        """Every medium of an account, by id."""
        ...

    def in_flight(self, after: int, limit: int) -> list[MediumRow]:
        """Media with an open load, unload or payment, oldest first; `after` (exclusive) is a position."""
        ...

    def blocked(self) -> list[Blocked]:
        """Chips that no till may take, in no order: of cards that were active and are not any more, retired and blocked ones."""
        ...

    def read_cleared(self, keys: Sequence[bytes]) -> dict[bytes, Row]:
        """Off-line purchases by key; unknown ones are absent."""
        ...

    def entry(self, partition: int, position: int) -> Entry | None: ...
    def followers(self, partition: int, position: int) -> list[Entry]:
        """Entries whose `ref` is this position, oldest first."""
        ...

    def begin(
        self, partitions: Collection[int], keys: Sequence[tuple[str, str]], numbers: Sequence[str], *, trusting: bool = False
    ) -> Begun:
        """Become the one writer of these partitions until `commit` or `abandon` (F3), and read what a batch names.

        Keys are looked for in these partitions only; one that has its effect elsewhere is found at the commit (KeyTaken).
        `trusting`: a store that believes to be the one writer anyway, and has nothing to read, may begin without asking
        (`Begun.asked`); the commit then finds out (KeyTaken, Overtaken). Raises Unread, where batches are on their way; StoreError.
        """
        ...

    def feed(self, entries: Sequence[Entry], accounts: Sequence[AccountRow]) -> bool:
        """Take a part of what `commit` will be asked to make durable, to write it while the rest is decided. False: it comes with `commit`.

        Nothing of it is there before the commit, which is all or nothing as ever. Entries and accounts in the order they were made; the
        rows do not change any more. Raises StoreError, as does the commit for a part that failed later.
        """
        ...

    def abandon(self) -> None:
        """End what `begin` began, and write nothing. Safe to call at any time."""
        ...

    def commit(self, batch: Batch) -> None:
        """Atomic and durable when it returns; ends what `begin` began.

        Raises DecideAgain; any other error means: nothing written, or unknown -> the desk stops (F2).
        """
        ...

    def single(self) -> Single | None:
        """A shorter way for one entry alone, None where a batch of one is as short."""
        ...

    def journal(self, partition: int, after: int = 0, upto: int | None = None) -> Iterator[Entry]:
        """Entries in order of position, `after` exclusive, `upto` inclusive."""
        ...

    def statement(self, account_id: int, before: int | None, limit: int) -> list[Entry]:
        """Newest entries of one account, newest first; `before` (exclusive) must be a position of this account."""
        ...

    def documents(self, kind: str | None = None) -> Iterable[tuple[str, str, bytes]]: ...
    def records(self, kind: str, ids: Sequence[str]) -> dict[str, Record]:
        """Records of a kind by id; absent ids are absent from the answer."""
        ...

    def find_records(
        self, kind: str, index: str, low: str, high: str | None = None, *, after: tuple[str, str] = ("", ""), limit: int = 100
    ) -> list[Record]:
        """Records with a key of this index from `low` to `high` (both included; None: equal to `low`), by (value, id).

        `after` is the (value, id) of the last row of the page before.
        """
        ...

    def all_records(self, kind: str | None = None, after: str = "") -> Iterator[Record]:
        """Every record (of a kind, with an id beyond `after`), by kind and id."""
        ...

    def cards(self) -> Iterator[CardRow]: ...
    def accounts(self) -> Iterator[AccountRow]: ...
    def media(self) -> Iterator[MediumRow]: ...
    def cleared(self, after: bytes = b"") -> Iterator[Row]:
        """Off-line purchases by key, beyond `after`: unproven ones, then by terminal and its transaction number, then replays."""
        ...

    def cleared_by_card(self, after: bytes = b"") -> Iterator[Row]:
        """Proven ones by card and purse, then counter; `after` is a card (exclusive)."""
        ...

    def cleared_at(self, places: Sequence[tuple[bytes, int]]) -> list[Row]:
        """Proven purchases of chips at these counters: (card as in `cleared_by_card`, counter)."""
        ...

    def next_account_number(self, partition: int) -> int:
        """One more than the largest account number of the partition."""
        ...

    def counts(self) -> dict[str, int]:
        """How many entries, cards, accounts, documents, media and records there are."""
        ...

    def check(self) -> list[str]:
        """What the adapter's own structure check finds wrong (pages, indexes, constraints); empty when sound."""
        ...

    def rebuild(
        self,
        cards: Iterable[CardRow],
        accounts: Iterable[AccountRow],
        documents: Iterable[tuple[str, str, bytes]],
        media: Iterable[MediumRow] = (),
        journaled: Iterable[Record] = (),
        cleared: Iterable[Row] = (),
    ) -> None:
        """Replace every projection in one transaction; the journal and the records beside it stay as they are."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Pipelined(Store, Protocol):
    """A store to which the next batch can be sent while the last one is being written.

    They are committed in the order they were launched, each whole, and one only if all before it were. Between the first `launch` and the
    last `land` only batches may be begun that it `trusts`, with nothing to read but cards that no batch on its way changes.
    """

    flights: int
    """How many batches may be on their way at once."""

    def trusts(self, partitions: Collection[int]) -> bool:
        """Whether `begin` of these would be trusting (`Begun.asked` is False)."""
        ...

    def launch(self, batch: Batch) -> None:
        """`commit` of a batch that was begun in trust, without waiting for it. Raises StoreError."""
        ...

    def landed(self) -> bool:
        """Whether it is known that `land` would not have to wait."""
        ...

    def land(self) -> None:
        """Durable when it returns: the batch that was launched first. Raises as `commit` does; then nothing that was launched after it
        was written either, or that is unknown as well, and nothing is on its way any more."""
        ...

    def wait(self, other: int | None) -> bool:
        """Until something more is known of what was launched or read ahead, or the file `other` can be read: whether that can.

        After `landed` and `came` said no: what they know of is not waited for again.
        """
        ...

    def read_ahead(self, numbers: Sequence[str]) -> bool:
        """Begin to read cards, and go on. Whether it could; if so, `take_ahead` comes before the next.

        What comes is what was committed at a moment between these two: whoever changed a card in between has a newer one.
        """
        ...

    def came(self) -> bool:
        """Whether it is known that `take_ahead` would not have to wait."""
        ...

    def read_on(self, partition: int, after: int, limit: int) -> list[Found]:
        """Cards of accounts beyond the number `after`, by account, as committed now; while nothing is on its way. Raises StoreError."""
        ...

    def take_ahead(self) -> dict[str, Found]:
        """The cards that were asked for, of those that there are; none where the reading failed."""
        ...


Json = dict[str, Any]
