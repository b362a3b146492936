"""Full replay of the journal in one pass, compared with every projection (M3, A2): names the first bad place.

`verify` proves: the chain and its positions without gaps; every body decodes and folds; every name (`ref`, `prior`,
`further`) leads where it says; liability (M10) and refunds (M8) add up; checkpoints fit; every card, account, medium, document
and record equals its fold, or the digest that the journal has of it, and none stands without entries; client keys are unique
and indexes sound (the adapter's own check).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from cardapi.ids import ACCOUNT_BITS, is_leg, leg_key
from cardapi.store.chain import genesis_mac, holds, unpack_further
from cardapi.store.checkpoint import Checkpoint
from cardapi.store.fold import (
    CLEARING_VERBS,
    JOURNALED_KINDS,
    MONEY_VERBS,
    SEALED_KINDS,
    Fold,
    accounts_in,
    accounts_of,
    digest,
    is_settlement,
    liability_delta,
    unpack_facts,
)
from cardapi.store.port import AccountRow, CardRow, Entry, MediumRow, Record, Store
from cardcore.clearing.body import Cleared, Row
from cardcore.errors import CardcoreError
from cardcore.settlement import CUSTOMER_MONEY, Settlement

ChainKey = Callable[[int], bytes]
Progress = Callable[[int, int], None]
PROGRESS_STEP = 1_000


class Bad(msgspec.Struct, frozen=True):
    """The first bad place: a journal position (`table` is "entry"), or a projection row by table and key."""

    table: str
    partition: int
    position: int
    key: str
    reason: str

    def text(self) -> str:
        where = f"partition {self.partition}, position {self.position}" if self.table == "entry" else f"{self.table} {self.key}"
        return f"{where}: {self.reason}"


class Report(msgspec.Struct):
    """What `verify` saw. `first_bad` is None when all is well."""

    ok: bool
    entries: int
    cards: int
    accounts: int
    documents: int
    records: int
    liability_fen: int
    first_bad: Bad | None


class _Found(Exception):
    def __init__(self, bad: Bad) -> None:
        self.bad = bad


class _Ticket(msgspec.Struct):
    """What a sale took and what was given back since, to hold refunds to their ticket (M8)."""

    taken: dict[tuple[str, int], int]
    given: dict[tuple[str, int], int]


def verify(
    store: Store,
    chain_key: ChainKey,
    *,
    checkpoints: Iterable[Checkpoint] = (),
    progress: Progress | None = None,
    rebuilt: Fold | None = None,
) -> Report:
    """Replay everything. `progress(done, total)` is called now and then; `rebuilt` receives the fold."""
    fold = rebuilt if rebuilt is not None else Fold()
    report = Report(True, 0, 0, 0, 0, 0, 0, None)
    try:
        partitions = store.partitions()
        if not partitions:
            raise _Found(Bad("partition", 0, 0, "", "there is no partition"))
        total = store.counts()["entries"]
        marks, legs = _marks(checkpoints), _Legs()
        for number, genesis in partitions.items():
            replay = _Replay(store, fold, number, marks.pop(number, {}), legs)
            for entry in replay.run(chain_key(number), genesis):
                report.entries += 1
                if progress is not None and entry.position % PROGRESS_STEP == 0:
                    progress(report.entries, total)
            report.liability_fen += replay.liability_fen
        legs.check()
        if marks:
            raise _Found(Bad("checkpoint", min(marks), 0, "", "a checkpoint names a partition that is not there"))
        if rebuilt is None:
            _compare(store, fold)
        for complaint in store.check():
            raise _Found(Bad("database", 0, 0, "", complaint))
        if progress is not None:
            progress(report.entries, max(total, report.entries))
    except _Found as found:
        report.ok = False
        report.first_bad = found.bad
    except CardcoreError as error:
        report.ok = False
        report.first_bad = Bad("database", 0, 0, "", error.detail)
    report.cards, report.accounts, report.documents = len(fold.cards), len(fold.accounts), sum(map(bool, fold.documents.values()))
    report.records = len(fold.records)
    return report


def _marks(checkpoints: Iterable[Checkpoint]) -> dict[int, dict[int, Checkpoint]]:
    marks: dict[int, dict[int, Checkpoint]] = {}
    for checkpoint in checkpoints:
        mine = marks.setdefault(checkpoint.partition, {})
        if checkpoint.lost_upto:  # lines that name lost entries are void from here on
            mine = marks[checkpoint.partition] = {at: mark for at, mark in mine.items() if at <= checkpoint.position}
        mine[checkpoint.position] = checkpoint
    return marks


class _Legs:
    """Movements between partitions: the same body stands in the journal of each partition it touches (M5, M6)."""

    def __init__(self) -> None:
        self._owed: dict[tuple[int, str], bytes] = {}  # partition, client key of the leg -> digest of its body
        self._found: dict[tuple[int, str], tuple[int, bytes]] = {}

    def see(self, entry: Entry, settlement: Settlement) -> None:
        """A settlement's entry: the first of its movement, or a further leg of one."""
        accounts = (settlement.account_id, *settlement.further_accounts)
        partitions = {account_id >> ACCOUNT_BITS for account_id in accounts} - {entry.partition}
        if is_leg(entry.client, entry.client_key):
            self._found[entry.partition, entry.client_key] = entry.position, hashlib.sha256(entry.body).digest()
        elif partitions:
            body = hashlib.sha256(entry.body).digest()
            self._owed |= {(into, leg_key(entry.partition, entry.position, into)[1]): body for into in partitions}

    def see_cleared(self, entry: Entry, body: Cleared) -> None:
        """An upload's entry: the first, or the leg of a further partition with its part."""
        if is_leg(entry.client, entry.client_key):
            self._found[entry.partition, entry.client_key] = entry.position, hashlib.sha256(entry.body).digest()
            return
        for into in {account_id >> ACCOUNT_BITS for account_id in body.further_accounts} - {entry.partition}:
            part = hashlib.sha256(body.part(accounts_of(into)).pack()).digest()
            self._owed[into, leg_key(entry.partition, entry.position, into)[1]] = part

    def check(self) -> None:
        """Every movement has all its legs, and no leg is without its first entry."""
        for (partition, key), (position, body) in self._found.items():
            if self._owed.pop((partition, key), None) != body:
                raise _Found(Bad("entry", partition, position, "", "the leg of a movement whose first entry is another, or not there"))
        for partition, key in self._owed:
            raise _Found(Bad("entry", partition, 0, key, "missing: this leg of a movement is not in the journal"))


class _Replay:
    """One partition's journal from its start."""

    def __init__(self, store: Store, fold: Fold, partition: int, marks: dict[int, Checkpoint], legs: _Legs) -> None:
        self._store = store
        self._fold = fold
        self._partition = partition
        self._marks = marks
        self._legs = legs
        self._tickets: dict[int, _Ticket] = {}
        self.money: dict[tuple[int, int], None] = {}  # lots whose unit is fen, by (account, lot)
        self.liability_fen = 0

    def run(self, key: bytes, genesis: bytes) -> Iterator[Entry]:
        previous = genesis_mac(key, self._partition, genesis)
        self._mark(0, previous)
        position = 0
        for entry in self._store.journal(self._partition):
            position += 1
            if entry.position != position:
                self._bad(position, f"missing; the next entry is {entry.position}")
            if not holds(key, previous, entry):
                self._bad(position, "the mac does not fit: this entry, or the one before it, was changed")
            self._check(entry)
            previous = entry.mac
            self._mark(position, previous)
            yield entry
        for left in sorted(self._marks):
            self._bad(left, "a signed checkpoint names this entry, which is not there")
        self._liability(position)

    def _bad(self, position: int, reason: str) -> None:
        raise _Found(Bad("entry", self._partition, position, "", reason))

    def _mark(self, position: int, mac: bytes) -> None:
        mark = self._marks.pop(position, None)
        if mark is not None and (mark.mac != mac.hex() or mark.liability_fen != self.liability_fen):
            self._bad(position, "not the entry a signed checkpoint names")

    def _check(self, entry: Entry) -> None:
        """Fold one entry and hold its names and sums to what came before."""
        try:
            if entry.account_id and entry.prior != self._fold.changed.get(entry.account_id, 0):
                self._bad(entry.position, "`prior` is not the account's entry before")
            expected_further = []
            if is_settlement(entry):
                settlement = Settlement.unpack(entry.body)
                touched = accounts_in(settlement, self._partition)
                expected_further = [(other, self._fold.changed.get(other, 0)) for other in touched[1:]]
                if touched[:1] != [entry.account_id] or settlement.pack() != entry.body:
                    self._bad(entry.position, "the body is another account's, or not in canonical form")
                self._legs.see(entry, settlement)
                self._fold.apply(entry, settlement)
                self.liability_fen += liability_delta(settlement, self._partition)
                self._postings(entry, settlement)
            elif entry.verb in CLEARING_VERBS and entry.outcome == "applied":
                body = Cleared.unpack(entry.body)
                touched = [other for other in body.further_accounts if other >> ACCOUNT_BITS == self._partition]
                if is_leg(entry.client, entry.client_key):
                    if touched[:1] != [entry.account_id]:
                        self._bad(entry.position, "the leg of an upload is another account's")
                    touched = touched[1:]
                expected_further = [(other, self._fold.changed.get(other, 0)) for other in touched]
                self._legs.see_cleared(entry, body)
                self._fold.apply(entry, body)
                self.liability_fen += liability_delta(body, self._partition)
            else:
                if entry.outcome == "refused" and entry.body:
                    unpack_facts(entry.body)
                self._fold.apply(entry)
            if unpack_further(entry.further) != expected_further:
                self._bad(entry.position, "`further` is not what the entry touches")
            if entry.liability_fen != self.liability_fen:
                self._bad(entry.position, f"liability is {entry.liability_fen}, the fold gives {self.liability_fen}")
            if entry.ref:
                self._ref(entry)
        except (KeyError, AssertionError, ValueError, CardcoreError, msgspec.MsgspecError) as error:
            self._bad(entry.position, f"does not fold: {type(error).__name__}: {error}")

    def _postings(self, entry: Entry, settlement: Settlement) -> None:
        """Learn which lots are money, and hold the liability change to the postings (M10)."""
        delta = 0
        for posting in settlement.postings():
            if posting.unit != "fen":
                continue
            sides = (
                (posting.target, posting.target_account, posting.target_lot, 1),
                (posting.source, posting.source_account, posting.source_lot, -1),
            )
            for kind, account_id, lot, sign in sides:
                if account_id and kind in CUSTOMER_MONEY:
                    delta += sign * posting.amount
                    if lot:
                        self.money[account_id, lot] = None
        if delta != settlement.liability_delta_fen:
            self._bad(entry.position, f"the postings change customers' money by {delta}, the entry says {settlement.liability_delta_fen}")

    def _ref(self, entry: Entry) -> None:
        named = self._store.entry(self._partition, entry.ref) if entry.ref < entry.position else None
        if named is None:
            self._bad(entry.position, f"names entry {entry.ref}, which is not before it")
            return
        if entry.verb not in MONEY_VERBS or entry.outcome == "refused":
            return
        if not entry.body:
            if named.verb != "tombstone":
                self._bad(entry.position, "an empty void must name a tombstone")
            return
        if not is_settlement(named) or named.account_id != entry.account_id:
            self._bad(entry.position, f"names entry {entry.ref}, which is no settlement of this account")
            return
        if entry.verb in ("refund", "void"):
            self._given_back(entry, named)

    def _given_back(self, entry: Entry, named: Entry) -> None:
        ticket = self._tickets.get(named.position)
        if ticket is None:
            ticket = self._tickets[named.position] = _Ticket(_sums(Settlement.unpack(named.body), 1), {})
        for what, amount in _sums(Settlement.unpack(entry.body), -1).items():
            ticket.given[what] = ticket.given.get(what, 0) + amount
            if ticket.given[what] > ticket.taken.get(what, 0):
                kind, lot = what
                self._bad(entry.position, f"gives back more than entry {named.position} took ({kind}{f', lot {lot}' if lot else ''})")

    def _liability(self, position: int) -> None:
        """Customers' money in the accounts is the liability (M10)."""
        held = 0
        for account_id, account in self._fold.accounts.items():
            if account_id >> 40 == self._partition:
                held += sum(lot.amount for lot in account.lots() if (account_id, lot.lot_id) in self.money)
                held += sum(hold.amount_fen for hold in account.holds())
                held += account.on_card_fen + sum(flight.amount_fen for flight in account.flights() if flight.kind == "load")
        if held != self.liability_fen:
            self._bad(position, f"accounts hold {held} fen, the journal owes {self.liability_fen}")


def _sums(settlement: Settlement, direction: int) -> dict[tuple[str, int], int]:
    """What a settlement took from (direction 1) or gave back to (-1) the customer: in all, per tender and per lot."""
    sums: dict[tuple[str, int], int] = {}
    totals = ("net_fen", "principal_fen", "bonus_fen", "points_fen", "further_fen", "outside_fen")
    for name in totals:
        sums[name, 0] = getattr(settlement, name)
    for posting in settlement.postings():
        lot, account = (posting.source_lot, posting.source_account) if direction > 0 else (posting.target_lot, posting.target_account)
        other = posting.target_account if direction > 0 else posting.source_account
        if lot and account and account != other:
            key = (f"account {account}", lot)
            sums[key] = sums.get(key, 0) + posting.amount
    return sums


def _compare(store: Store, fold: Fold) -> None:
    """Every projection row equals its fold, and the other way round."""
    cards = dict(fold.cards)
    for row in store.cards():
        _same("card", row.number, cards.pop(row.number, None), row)
    accounts = set(fold.accounts)
    for account in store.accounts():
        known = account.account_id in accounts
        accounts.discard(account.account_id)
        _same("account", str(account.account_id), fold.account_row(account.account_id) if known else None, account)
    media = dict(fold.media)
    for medium in store.media():
        _same("medium", medium.medium, media.pop(medium.medium, None), medium)
    documents = {name: body for name, body in fold.documents.items() if body}
    for kind, name, body in store.documents():
        _same("document", f"{kind}/{name}", documents.pop((kind, name), None), body)
    cleared = dict(fold.cleared)
    for purchase in store.cleared():
        _same("clearing_record", purchase.key.hex(), cleared.pop(purchase.key, None), purchase)
    for missing in cleared:
        raise _Found(Bad("clearing_record", 0, 0, missing.hex(), "the journal has it, the table does not"))
    _compare_records(store, fold)
    for table, left in (("card", cards), ("account", accounts), ("medium", media), ("document", documents)):
        for key in left:
            raise _Found(Bad(table, 0, 0, "/".join(key) if isinstance(key, tuple) else str(key), "the journal has it, the table does not"))


def _compare_records(store: Store, fold: Fold) -> None:
    """Records the journal makes equal their fold; sealed ones have the digest the journal names; the rest is a queue."""
    made = {name: row for name, row in fold.records.items() if row.body}
    sealed = {name: seal for name, seal in fold.seals.items() if seal}
    for row in store.all_records():
        name = (row.kind, row.id)
        key = "/".join(name)
        if row.kind in SEALED_KINDS:
            if digest(row) != sealed.pop(name, b"") or row.changed_at:
                raise _Found(Bad("record", 0, 0, key, "is not what the journal has the digest of"))
        elif row.kind in JOURNALED_KINDS:
            _same("record", key, made.pop(name, None), row)
        elif row.changed_at:
            raise _Found(Bad("record", 0, 0, key, "no entry in the journal makes this row"))
    for name in [*made, *sealed]:
        raise _Found(Bad("record", 0, 0, "/".join(name), "the journal has it, the table does not"))


_Row = CardRow | AccountRow | MediumRow | Record | Row | bytes


def _same(table: str, key: str, folded: _Row | None, row: _Row) -> None:
    if folded is None:
        raise _Found(Bad(table, 0, 0, key, "no entry in the journal makes this row"))
    if folded == row:
        return
    reason = "differs from the fold of the journal"
    if not isinstance(row, bytes) and not isinstance(folded, bytes):
        fields: Any = row._fields if isinstance(row, Row) else row.__struct_fields__
        reason = f"{', '.join(name for name in fields if getattr(row, name) != getattr(folded, name))} differs from the fold of the journal"
    raise _Found(Bad(table, 0, 0, key, reason))


def verify_tail(store: Store, chain_key: ChainKey, entries: int) -> Bad | None:
    """Check the chain over the last entries of every partition, as done at start (U)."""
    genesis = store.partitions()
    for head in store.heads():
        number = head.partition
        key = chain_key(number)
        after = max(0, head.position - entries)
        if after:
            start = store.entry(number, after)
            if start is None:
                return Bad("entry", number, after, "", "missing")
            previous = start.mac
        else:
            previous = genesis_mac(key, number, genesis[number])
        position = after
        for entry in store.journal(number, after):
            position += 1
            if entry.position != position:
                return Bad("entry", number, position, "", f"missing; the next entry is {entry.position}")
            if not holds(key, previous, entry):
                return Bad("entry", number, position, "", "the mac does not fit: this entry, or the one before it, was changed")
            previous = entry.mac
    return None


def rebuild(store: Store, chain_key: ChainKey, *, checkpoints: Iterable[Checkpoint] = (), progress: Progress | None = None) -> Report:
    """Recreate every projection from the journal, after proving the journal. Changes nothing when the journal is bad."""
    fold = Fold()
    report = verify(store, chain_key, checkpoints=checkpoints, progress=progress, rebuilt=fold)
    bad = report.first_bad
    if bad is None or bad.table == "database":
        rows = (fold.account_row(account_id) for account_id in sorted(fold.accounts))
        documents = ((kind, name, body) for (kind, name), body in sorted(fold.documents.items()) if body)
        media = (fold.media[name] for name in sorted(fold.media))
        records = (fold.records[name] for name in sorted(fold.records) if fold.records[name].body)
        store.rebuild((fold.cards[number] for number in sorted(fold.cards)), rows, documents, media, records, fold.cleared.values())
        report = verify(store, chain_key)
    return report
