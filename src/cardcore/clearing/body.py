"""What one upload did, as its journal entry keeps it: every record that was new, its outcome, whom it paid, and the cases it opened.

An entry touches many accounts of one partition, so its body is columns: the blocks as they came, and beside them one item a record.
The desk writes it, and `verify` and `rebuild` read it back and fold it the same way; `Cleared.problem` says what must hold of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cardcore.clearing.layout import BLOCK, DESFIRE, DESFIRE_BLOCK, PURSE_BLOCK
from cardcore.clearing.reasons import ACCEPTED, OUTCOMES
from cardcore.crypto import pboc
from cardcore.errors import InvalidRecord

KEY_OCTETS = 28
DIGEST_OCTETS = 16
NOBODY = 0xFFFF
"""No payee."""
UNPROVEN, PROVEN, VARIANT = 0, 1, 2
"""First octet of a key. An unproven record is known by its digest; a proven one by what may come once, for ever (K2); a replay of a
proven one with other fields that the MAC does not cover by both."""
_FILL = bytes(KEY_OCTETS - DIGEST_OCTETS - 1)
_PURSES = {pboc.PURCHASE_ED: 1, pboc.PURCHASE_EP: 2, pboc.COMPOUND_PURCHASE: 2}


def unproven_key(digest: bytes) -> bytes:
    """The key of a record that no card proved."""
    return b"\0" + digest + _FILL


def proven_key(signed: bytes, card: bytes) -> bytes:
    """Terminal, terminal transaction number, type and what the card's key is made from (16 octets): accepted once, for ever (K2)."""
    return b"\1" + signed[5:15] + signed[4:5] + card


def variant_key(proven: bytes) -> bytes:
    """The key column of a replay; the row's own key goes on with the digest."""
    return b"\2" + proven[1:]


def sequence_of(key: bytes) -> bytes:
    """Card and purse whose counter a proven record carries: 16 octets of the card, 1 of the purse (1 ED, 2 EP, 0 of a chip)."""
    return key[12:] + bytes((_PURSES.get(key[11], 0),))


class Case(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Something a person must look at. Positions are those of the entries that opened and closed it, 0 for this one."""

    id: str
    reason: str
    state: str  # "open" | "closed"
    account_id: int
    terminal: str  # id in the registry, "" if unknown
    unit: str  # payee's unit, "" if unknown
    amount_fen: int
    opened_at: int
    closed_at: int
    note: str  # how it was closed: "accepted", or the reason a person gave
    facts: dict[str, Any]


class BatchCount(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What has come of one batch so far. `id` is "<terminal hex>-<batch number>"."""

    id: str
    blacklist: int
    received: int  # records that came under this batch first
    accepted: int
    accepted_fen: int
    cases: int
    sealed: int  # records by the seal, -1 while it has not come
    sealed_fen: int


class Seen(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The highest counter that a medium proved in this upload, and what it held after that debit (K1)."""

    medium: str
    counter: int
    balance_fen: int


class Row(NamedTuple):
    """A record as the store keeps it. `key` is what may come once, for ever (K2); `card` is its `sequence_of`, b"" if unproven."""

    key: bytes
    card: bytes
    digest: bytes
    outcome: int
    account_id: int
    amount_fen: int
    balance_fen: int  # before the purchase, as the record says
    counter: int  # of the card, as the record says
    at: int  # epoch second by the terminal's clock
    entry: int  # partition << 48 | position
    place: int  # in the entry


class Cleared(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Body of an entry of verb `clear_batch`. Columns hold one item for each record that was new or came out otherwise than before.

    Where it pays accounts of several partitions, its first entry has all of it, and a leg in each further partition the `part` there.
    """

    header: bytes
    seal: bytes  # b"" without
    received: int  # records of the upload, repeated ones included
    repeated: int  # of these, what was known already and came out the same
    blocks: bytes  # 72 octets each
    keys: bytes  # 28 octets each
    digests: bytes  # 16 octets each
    outcomes: bytes  # 1 octet each
    accounts: bytes  # 8 octets each, 0 if unknown
    times: bytes  # 8 octets each
    payees: bytes  # 2 octets each: index into `tills`, NOBODY
    tills: list[tuple[str, str]]  # unit and terminal, as the registry had them when the card paid (C4)
    dropped: list[bytes]  # keys of rows that a row of another key replaces
    cases: list[Case]  # as they are now
    seen: list[Seen]
    changes: list[tuple[str, str, bytes, bytes]]  # documents: kind, id, before, after
    batch: BatchCount | None

    def pack(self) -> bytes:
        """Canonical bytes."""
        return b"C" + _encode(self)

    @staticmethod
    def unpack(data: bytes) -> Cleared:
        """Raises InvalidRecord for anything that `pack` does not write."""
        try:
            body = _decode(data[1:])
        except msgspec.MsgspecError as error:
            raise InvalidRecord(f"a cleared batch does not decode: {error}") from error
        if data[:1] != b"C" or body.pack() != data:
            raise InvalidRecord("a cleared batch is not in canonical form")
        complaint = body.problem()
        if complaint:
            raise InvalidRecord(complaint)
        return body

    def __len__(self) -> int:
        return len(self.outcomes)

    def problem(self) -> str:
        """What is wrong with the columns; "" when nothing is."""
        count = len(self.outcomes)
        sizes = (len(self.blocks), len(self.keys), len(self.digests), len(self.accounts), len(self.times), len(self.payees))
        if sizes != (count * BLOCK, count * KEY_OCTETS, count * DIGEST_OCTETS, count * 8, count * 8, count * 2):
            return "the columns of a cleared batch have different lengths"
        if self.repeated < 0 or self.received != count + self.repeated:
            return "a cleared batch does not account for each record once"
        if count and max(self.outcomes) >= len(OUTCOMES):
            return "a record has an unknown outcome"
        payees = self.payee_index()
        if ((payees >= len(self.tills)) & (payees != NOBODY)).any():
            return "a record pays a till that is not listed"
        paid = self.accepted()
        if (payees[paid] == NOBODY).any() or (self.account_ids()[paid] <= 0).any():
            return "an accepted record has no account or no payee"
        return "one record stands in a cleared batch twice" if len(set(self.row_keys())) != count else ""

    # ------------------------------------------------------------ columns
    def records(self) -> NDArray[np.void]:
        """The blocks, seen as purse records; the signed fields are those of either kind."""
        return np.frombuffer(self.blocks, PURSE_BLOCK)

    def row_keys(self) -> list[bytes]:
        """The key of each record's row."""
        keys = [self.keys[at : at + KEY_OCTETS] for at in range(0, len(self.keys), KEY_OCTETS)]
        for place, key in enumerate(keys):
            if key[0] == VARIANT:
                keys[place] = key + self.digests[place * DIGEST_OCTETS : (place + 1) * DIGEST_OCTETS]
        return keys

    def accepted(self) -> NDArray[np.bool_]:
        chosen: NDArray[np.bool_] = np.frombuffer(self.outcomes, np.uint8) == ACCEPTED
        return chosen

    def account_ids(self) -> NDArray[np.int64]:
        return np.frombuffer(self.accounts, ">i8").astype(np.int64)

    def payee_index(self) -> NDArray[np.uint16]:
        return np.frombuffer(self.payees, ">u2").astype(np.uint16)

    def amounts(self) -> NDArray[np.int64]:
        return self.records()["signed"]["amount"].astype(np.int64)

    # ------------------------------------------------------------ what it moved
    def paid(self) -> list[tuple[int, int]]:
        """(account, fen) that the accepted records took from the value on each card, by account."""
        chosen = self.accepted()
        accounts, place = np.unique(self.account_ids()[chosen], return_inverse=True)
        sums = np.zeros(len(accounts), np.int64)
        np.add.at(sums, place, self.amounts()[chosen])
        return list(zip(accounts.tolist(), sums.tolist(), strict=True))

    def paid_by(self, account_id: int) -> tuple[int, list[tuple[str, str]]]:
        """What one account's card paid in fen, and to which tills."""
        chosen = self.accepted() & (self.account_ids() == account_id)
        payees = sorted(set(self.payee_index()[chosen].tolist()))
        return int(self.amounts()[chosen].sum()), [self.tills[payee] for payee in payees]

    @property
    def further_accounts(self) -> tuple[int, ...]:
        """Accounts whose value it changed, ascending."""
        return tuple(account for account, _ in self.paid())

    @property
    def liability_delta_fen(self) -> int:
        """What customers own less afterwards (M10)."""
        return -int(self.amounts()[self.accepted()].sum())

    def liability_delta_of(self, accounts: range) -> int:
        """What customers with these accounts own less afterwards."""
        return -int(self.amounts()[self._paid_from(accounts)].sum())

    def seen_of(self, accounts: range) -> list[Seen]:
        """What chips of these accounts proved."""
        if not self.seen:
            return []
        chips, ids = self.records().view(DESFIRE_BLOCK), self.account_ids()
        places = np.flatnonzero(self._paid_from(accounts) & (chips["kind"] == DESFIRE)).tolist()
        names = {f"desfire:{chips['uid'][place].tobytes().hex()}" for place in places if ids[place] in accounts}
        return [seen for seen in self.seen if seen.medium in names]

    def part(self, accounts: range) -> Cleared:
        """What it did to these accounts, and nothing else: the body of a leg."""
        chosen = self._paid_from(accounts)

        def column(octets: bytes, size: int) -> bytes:
            return np.frombuffer(octets, f"V{size}")[chosen].tobytes()

        count = int(chosen.sum())
        return Cleared(
            b"", b"", count, 0, column(self.blocks, BLOCK), column(self.keys, KEY_OCTETS), column(self.digests, DIGEST_OCTETS),
            bytes([ACCEPTED]) * count, column(self.accounts, 8), column(self.times, 8), column(self.payees, 2), self.tills, [], [],
            self.seen_of(accounts), [], None,
        )  # fmt: skip

    def _paid_from(self, accounts: range) -> NDArray[np.bool_]:
        ids = self.account_ids()
        chosen: NDArray[np.bool_] = self.accepted() & (ids >= accounts.start) & (ids < accounts.stop)
        return chosen

    def rows(self, partition: int, position: int) -> list[Row]:
        """The rows of the store that it writes."""
        count = len(self.outcomes)
        records = self.records()
        value = records.view(DESFIRE_BLOCK)
        chip = records["kind"] == DESFIRE
        balances = np.where(chip, value["value"].astype(np.int64), records["balance"].astype(np.int64))
        counters = np.where(chip, value["counter"].astype(np.int64), records["counter"].astype(np.int64))
        keys = self.row_keys()
        cards = [sequence_of(key) if key[0] == PROVEN else b"" for key in keys]
        digests = [self.digests[at : at + DIGEST_OCTETS] for at in range(0, count * DIGEST_OCTETS, DIGEST_OCTETS)]
        entry = partition << 48 | position
        return list(map(Row._make, zip(
            keys, cards, digests, self.outcomes, self.account_ids().tolist(), self.amounts().tolist(), balances.tolist(), counters.tolist(),
            np.frombuffer(self.times, ">i8").tolist(), [entry] * count, range(count), strict=True,
        )))  # fmt: skip


unpack_case = msgspec.msgpack.Decoder(Case).decode
unpack_batch = msgspec.msgpack.Decoder(BatchCount).decode


def case_order(case: Case) -> str:
    """By what open and closed cases are listed: state, then when they were opened."""
    return f"{case.state}/{case.opened_at:012x}"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Cleared).decode


def empty(cases: list[Case]) -> Cleared:
    """A body that only changes cases."""
    return Cleared(b"", b"", 0, 0, b"", b"", b"", b"", b"", b"", b"", [], [], cases, [], [], None)
