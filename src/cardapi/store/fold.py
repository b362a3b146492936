"""What an entry does to the projections: the one fold that the desk, `verify` and `rebuild` share (M3).

Bodies: money verbs carry `Settlement.pack()`; life cycle and PIN verbs a `Step` (rows of the cards before and after);
`clear_batch` and `close_case` a `Cleared`; `change` a `Change` (document before and after); verbs of members a `Records` (rows
before and after, and digests of what is kept beside the journal); refused entries the facts of the refusal; a tombstone and
the void that laid it nothing.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from cardapi.ids import ACCOUNT_BITS, is_leg
from cardapi.store import media
from cardapi.store.port import AccountRow, CardRow, Entry, MediumRow, Record
from cardcore.clearing.body import BatchCount, Case, Cleared, Row, case_order
from cardcore.clearing.reasons import ACCEPTED
from cardcore.settlement import CUSTOMER_MONEY, VERBS, Account, Settlement

MONEY_VERBS = frozenset(VERBS)
CARD_VERBS = frozenset({
    "stock", "issue", "activate", "lost", "freeze", "unfreeze", "swap", "reissue", "cancel", "expire_card", "take_back", "destroy",
    "exclude", "suspend", "resume", "set_pin", "verify_pin", "unlock_pin", "pin_cleared", "register_medium", "retire_medium",
    "block_medium", "unblock_medium",
})  # fmt: skip

RECORD_VERBS = frozenset({
    "enrol", "profile", "consent", "link", "unlink", "member_state", "merge", "split", "disqualify", "disclose", "erase",
    "make_codes", "count_stock", "owe_coupons", "allow_coupons",
})  # fmt: skip
CLEARING_VERBS = frozenset({"clear_batch", "close_case", "open_case"})
# Of records: projections of the journal.
JOURNALED_KINDS = frozenset({"member", "holding", "case", "clearing-batch", "coupon-code", "stock", "coupon-due"})
SEALED_KINDS = frozenset({"person"})  # of records: kept beside the journal, which has their digest


class Step(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Body of a life cycle or PIN entry. Rows carry changed_at 0; the entry's position takes its place."""

    before: list[CardRow]
    after: list[CardRow]
    facts: dict[str, Any] = {}
    media_before: list[MediumRow] = []
    media_after: list[MediumRow] = []


class Change(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Body of a `change` entry: one registry document, JSON bytes with sorted keys, b"" before it existed."""

    kind: str
    id: str
    before: bytes
    after: bytes


class Records(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Body of an entry that changes records. Rows carry changed_at 0; the entry's position takes its place.

    `seals` name records kept beside the journal, with their `digest`, b"" for one that was taken away (M9 holds for what
    happened, not for a person's data).
    """

    before: list[Record]
    after: list[Record]
    seals: list[tuple[str, str, bytes]] = []
    facts: dict[str, Any] = {}


def digest(record: Record) -> bytes:
    """SHA-256 over a sealed record: its body is encrypted under a fresh nonce, so that the digest tells nothing about it."""
    return hashlib.sha256(pack_body((record.kind, record.id, record.body, record.keys))).digest()


pack_body = msgspec.msgpack.Encoder().encode
unpack_step = msgspec.msgpack.Decoder(Step).decode
unpack_records = msgspec.msgpack.Decoder(Records).decode
unpack_change = msgspec.msgpack.Decoder(Change).decode
unpack_facts = msgspec.msgpack.Decoder(dict[str, Any]).decode


def case_record(case: Case, position: int) -> Record:
    """The row of a case."""
    return Record("case", case.id, pack_body(case), (("state", case_order(case)),), position)


def batch_record(count: BatchCount, position: int) -> Record:
    """The row of what has come of a batch."""
    return Record("clearing-batch", count.id, pack_body(count), (), position)


def is_settlement(entry: Entry) -> bool:
    """Whether the body of this entry is a settlement."""
    return entry.outcome == "applied" and entry.body != b"" and entry.verb in MONEY_VERBS


def accounts_in(settlement: Settlement, partition: int) -> list[int]:
    """The accounts of this partition that a settlement touches, its own first if it is one of them."""
    if not settlement.further_accounts:
        return [settlement.account_id]
    return [account for account in (settlement.account_id, *settlement.further_accounts) if account >> ACCOUNT_BITS == partition]


def accounts_of(partition: int) -> range:
    """The account ids that a partition may have."""
    return range(partition << ACCOUNT_BITS, partition + 1 << ACCOUNT_BITS)


def liability_delta(settlement: Settlement | Cleared, partition: int) -> int:
    """What a settlement adds to the customers' money of one partition: all it adds, unless it touches accounts of others (M10)."""
    if isinstance(settlement, Cleared):
        return settlement.liability_delta_of(accounts_of(partition))
    if not settlement.further_accounts or len(accounts_in(settlement, partition)) == 1 + len(settlement.further_accounts):
        return settlement.liability_delta_fen
    delta = 0
    for posting in settlement.postings():
        if posting.unit == "fen":
            # A hold is an item of the account it was asked of, whichever account's lots it keeps.
            source = settlement.account_id if posting.source == "held" else posting.source_account
            target = settlement.account_id if posting.target == "held" else posting.target_account
            arrives = posting.target in CUSTOMER_MONEY and _is_in(target, partition)
            leaves = posting.source in CUSTOMER_MONEY and _is_in(source, partition)
            delta += posting.amount * (arrives - leaves)
    return delta


def _is_in(account_id: int, partition: int) -> bool:
    return account_id != 0 and account_id >> ACCOUNT_BITS == partition


def _still(now: CardRow | MediumRow | Record | None, before: CardRow | MediumRow | Record, what: str) -> None:
    """A row is as an entry says that it was before it."""
    assert now is not None, f"the {what} before is not there"
    assert msgspec.structs.replace(now, changed_at=0) == before, f"the {what} before is another one"


class Fold:
    """Cards, accounts, media and documents as their entries made them: all of them in `verify`, those of one batch in the desk."""

    def __init__(self) -> None:
        self.cards: dict[str, CardRow] = {}
        self.accounts: dict[int, Account] = {}
        self.changed: dict[int, int] = {}  # account -> position of its last entry
        self.documents: dict[tuple[str, str], bytes] = {}
        self.media: dict[str, MediumRow] = {}
        self.records: dict[tuple[str, str], Record] = {}
        self.seals: dict[tuple[str, str], bytes] = {}
        self.cards_touched: set[str] = set()
        self.media_touched: set[str] = set()
        self.cleared: dict[bytes, Row] = {}
        self.cleared_touched: dict[bytes, None] = {}
        self.uncleared: dict[bytes, None] = {}

    def apply(self, entry: Entry, settlement: Settlement | Cleared | None = None) -> Settlement | Cleared | None:
        """Take in one entry; `settlement` saves decoding its body again. Returns the settlement or cleared batch if it is one.

        Raises KeyError for a card or account that is not there, AssertionError for a broken invariant, InvalidRecord or
        msgspec.DecodeError for a body that is not what the codec writes.
        """
        verb = entry.verb
        if entry.outcome == "refused":
            if entry.code == "pin_wrong":
                card = self.cards[entry.card]
                card.pin_tries += 1
                self._touch(card, entry.position)
            settlement = None
        elif verb in CLEARING_VERBS:
            settlement = settlement if isinstance(settlement, Cleared) else Cleared.unpack(entry.body)
            self._clear(entry, settlement)
        elif verb in MONEY_VERBS:
            if entry.body:
                if not isinstance(settlement, Settlement):
                    settlement = Settlement.unpack(entry.body)
                if settlement.further_accounts:
                    for account_id in accounts_in(settlement, entry.partition):
                        self.accounts[account_id].apply(settlement, entry.position)
                        self.changed[account_id] = entry.position
                else:
                    self.accounts[settlement.account_id].apply(settlement, entry.position)
                    self.changed[settlement.account_id] = entry.position
                if verb in media.VERBS and entry.account_id == settlement.account_id:
                    self._show(entry, settlement)
        elif verb == "change":
            self._change(unpack_change(entry.body))
        elif verb in RECORD_VERBS:
            self._records(entry)
        else:
            self._step(entry)
        if entry.account_id:
            self.changed[entry.account_id] = entry.position
        return settlement

    def _step(self, entry: Entry) -> None:
        assert entry.verb in CARD_VERBS, f"unknown verb {entry.verb!r}"
        step = unpack_step(entry.body)
        for row in step.before:
            _still(self.cards.get(row.number), row, "card")
        known = {row.number for row in step.before}
        for row in step.after:
            assert row.number in known or row.number not in self.cards, "the card is there already"
            if row.account_id not in self.accounts:
                assert row.account_id == entry.account_id, "the card's account is not there"
                self.accounts[row.account_id] = Account(row.account_id)
            self._touch(row, entry.position)
        for medium in step.media_before:
            _still(self.media.get(medium.medium), medium, "medium")
        known = {medium.medium for medium in step.media_before}
        for medium in step.media_after:
            assert medium.medium in known or medium.medium not in self.media, "the medium is there already"
            assert medium.account_id in self.accounts, "the medium's account is not there"
            self._touch_medium(msgspec.structs.replace(medium, changed_at=entry.position))

    def _change(self, change: Change) -> None:
        assert self.documents.get((change.kind, change.id), b"") == change.before, "the document before is another one"
        self.documents[change.kind, change.id] = change.after

    def _clear(self, entry: Entry, body: Cleared) -> None:
        """Value that left cards by purchases they proved, and what became of every other record of the upload (K2, C1).

        Each entry of an upload takes from the cards of its own partition; the records are kept by the first one.
        """
        own = accounts_of(entry.partition)
        for account_id, amount_fen in body.paid():
            if account_id in own:
                self.accounts[account_id].spend_on_card(amount_fen)
                self.changed[account_id] = entry.position
        for seen in body.seen_of(own):
            shown = media.Shown(seen.medium, offline_counter=seen.counter, balance_fen=seen.balance_fen)
            self._touch_medium(media.after(self.media[seen.medium], "clear", entry.position, shown))
        if is_leg(entry.client, entry.client_key):
            return
        for key in body.dropped:
            assert self.cleared.pop(key).outcome != ACCEPTED, "a record that was accepted is dropped"
            self.cleared_touched.pop(key, None)
            self.uncleared[key] = None
        for row in body.rows(entry.partition, entry.position):
            before = self.cleared.get(row.key)
            assert before is None or before.outcome != ACCEPTED, "a record is cleared a second time"
            self.cleared[row.key] = row
            self.cleared_touched[row.key] = None
        for case in body.cases:
            assert case.state == "open" or case.closed_at == entry.position, "a case was closed by another entry"
            self.records["case", case.id] = case_record(case, entry.position)
        for change in body.changes:
            self._change(Change(*change))
        if body.batch is not None:
            self.records["clearing-batch", body.batch.id] = batch_record(body.batch, entry.position)

    def _show(self, entry: Entry, settlement: Settlement) -> None:
        """What an entry's memo says of a medium."""
        shown = media.unpack_shown(settlement.memo)
        if shown is None:
            return
        row = self.media[shown.medium]
        assert row.account_id == settlement.account_id, "the medium belongs to another account"
        if entry.verb in media.INTENTS:
            assert row.in_flight == 0, "the medium has something in flight"
        elif entry.verb != "clear":
            assert row.in_flight == entry.ref, "the medium has something else in flight"
        self._touch_medium(media.after(row, entry.verb, entry.position, shown))

    def _touch_medium(self, row: MediumRow) -> None:
        self.media[row.medium] = row
        self.media_touched.add(row.medium)

    def _records(self, entry: Entry) -> None:
        body = unpack_records(entry.body)
        known = set()
        for row in body.before:
            _still(self.records.get((row.kind, row.id)), row, "record")
            known.add((row.kind, row.id))
        for row in body.after:
            name = (row.kind, row.id)
            assert row.kind in JOURNALED_KINDS, f"records of kind {row.kind!r} are not made by the journal"
            assert name in known or not (name in self.records and self.records[name].body), "the record is there already"
            row.changed_at = entry.position
            self.records[name] = row
        for kind, whose, seal in body.seals:
            assert kind in SEALED_KINDS, f"records of kind {kind!r} are not sealed"
            self.seals[kind, whose] = seal

    def _touch(self, row: CardRow, position: int) -> None:
        row.changed_at = position
        self.cards[row.number] = row
        self.cards_touched.add(row.number)

    def account_row(self, account_id: int) -> AccountRow:
        """The projection of one account. Raises KeyError."""
        return AccountRow(account_id, self.accounts[account_id].pack(), self.changed[account_id])
