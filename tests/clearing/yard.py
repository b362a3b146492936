"""A shop with stores, terminals and cards that hold value, and an oracle that signs purchases with the simulator's cryptography.

Nothing that signs here is ours: TACs come from `firmware_sim.pboc.suite`, transaction MACs from `firmware_sim.ciphers`, both with the
simulator's test keys, which the demo key store has too.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cardapi.clearing.prepare import Prepare
from cardapi.clearing.sequences import findings
from cardapi.keys.known import demo_keys
from cardapi.store import media
from cardapi.store.port import Entry, Store
from cardcore.clearing import Header, PurseRecord, Record, Seal, ValueRecord, parse
from cardcore.clearing.body import Case, Cleared, unpack_case
from cardcore.clearing.layout import encode_all
from cardcore.clearing.reasons import NAMES
from cardcore.clearing.sequences import BY_CARD, BY_TERMINAL
from cardcore.clearing.upload import ClearingRules
from cardcore.settlement import Account, Arrive, Load
from firmware_sim import ciphers
from firmware_sim.desfire.pending import session_keys
from firmware_sim.diversify import diversify
from firmware_sim.pboc.suite import Suite
from firmware_sim.testkeys import known_key
from tests.desk.till import Till

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
OPENED = bytes.fromhex("20261122080000")
SUITE = Suite("3des", "folded")
SUFFIX = bytes.fromhex("F05201") + b"TEST"
KEYS = demo_keys()


def bcd(at: datetime) -> bytes:
    """A UTC time as a terminal in UTC+8 writes it."""
    return bytes.fromhex((at + timedelta(hours=8)).strftime("%Y%m%d%H%M%S"))


def tac(record: PurseRecord, *, tamper: int = 0) -> bytes:
    """The TAC of a record's signed fields under the card's key."""
    key = SUITE.chain(known_key("tac"), [record.serial[-8:]])
    signed = record.encode()[2:24]
    return bytes(octet ^ tamper for octet in SUITE.tac(key, signed))


def tmv(record: ValueRecord) -> bytes:
    """The transaction MAC of a DESFire record, by the simulator's ciphers."""
    key = diversify("aes128", known_key("desfire-transaction-mac"), record.uid + SUFFIX)
    mac_key, _ = session_keys(key, record.counter, record.uid)
    return ciphers.odd_bytes(ciphers.cmac("aes", mac_key, record.inputs()))


@dataclass
class Card:
    """A card of the yard: its number, its chip, and what its own memory says."""

    number: str
    serial: bytes
    uid: bytes
    account_id: int
    balance: int
    counter: int = 0


class Yard:
    """One shop. Terminal numbers 000000000001 and ..02 belong to tills a and b in stores s1 and s2."""

    def __init__(self, directory: Path, *, rules: ClearingRules | None = None, made: bool = False, till: Till | None = None) -> None:
        """`made`: the directory holds a yard already. `till`: of a shop with another store."""
        self.till = till or Till(directory)
        self.now = NOW
        self.till.shop.desk._clock = self.clock
        self.terminals = [bytes(5) + bytes([n]) for n in (1, 2)]
        if not made:
            self._stores()
        self.prepare = Prepare(self.till.shop.registry, KEYS, b"TEST", rules or ClearingRules())
        self.keys = itertools.count()
        self.serials = itertools.count(1_000 if made else 1)
        self.numbers = {terminal: itertools.count(50_000 if made else 1) for terminal in self.terminals}

    def _stores(self) -> None:
        for store, terminal in (("s1", "a"), ("s2", "b")):
            self.change("unit", store, {"name": store, "kind": "store", "parent": "issuer"})
            self.change("terminal", terminal, {"unit": store, "name": terminal, "state": "active", "key_version": 1})
        for number, terminal, unit in zip(self.terminals, "ab", ("s1", "s2"), strict=True):
            self.change("sam", number.hex(), {"id": number.hex(), "utc_offset": "+08:00", "periods": [[0, terminal, unit]]})

    @property
    def store(self) -> Store:
        """To read from, beside the desk."""
        return self.till.shop.desk.look(lambda store: store)

    def clock(self) -> int:
        return int(self.now.timestamp()) * 1_000_000

    def change(self, kind: str, name: str, document: dict[str, Any]) -> None:
        self.till.done("change", key=f"{kind}/{name}/{next(self.till.numbers)}", payload={"kind": kind, "id": name, "document": document})

    # ------------------------------------------------------------ cards
    def card(self, fen: int = 100_00, *, chip: bool = False, keys: tuple[tuple[int, int, int], ...] = ((1, 0, 0),)) -> Card:
        """An active card with a registered medium that holds `fen`."""
        n = next(self.serials)
        card = Card(self.till.card(fen), n.to_bytes(10), b"\x04" + n.to_bytes(6), 0, 0)
        self.till.done(
            "register_medium", card=card.number,
            payload={
                "medium": self.medium(card, chip=chip), "profile": "desfire-ev2" if chip else "pboc2-3des",
                "keys": [list(period) for period in keys], "purse": 0 if chip else 2,
            },
        )  # fmt: skip
        self.load(card, fen, chip=chip)
        card.account_id = self.store.read([card.number])[card.number].account.account_id
        return card

    @staticmethod
    def medium(card: Card, *, chip: bool = False) -> str:
        return f"desfire:{card.uid.hex()}" if chip else f"pboc:{'00' * 8}{card.serial.hex()}"

    def load(self, card: Card, fen: int, *, chip: bool = False) -> None:
        """Put money on the card's own memory, with proof."""
        if fen:
            memo = media.pack_shown(media.Shown(self.medium(card, chip=chip)))
            sent = self.till.done("load", card=card.number, command=Load(fen, memo=memo), meaning=[card.number, fen, next(self.keys)])
            self.till.done("arrive", of=sent, command=Arrive(memo=memo))
            card.balance += fen

    # ------------------------------------------------------------ purchases
    def pay(self, card: Card, fen: int, *, terminal: int = 0, minutes: int = 60, **other: Any) -> PurseRecord:
        """A genuine purchase, some minutes ago."""
        number = self.terminals[terminal]
        record = PurseRecord(
            fen, 6, number, next(self.numbers[number]), bcd(self.now - timedelta(minutes=minutes)), bytes(4), bytes(8), card.serial,
            card.counter, card.balance,
        )  # fmt: skip
        record = replace(record, **other)
        card.counter += 1
        card.balance -= fen
        return replace(record, tac=tac(record))

    def debit(self, card: Card, fen: int, *, terminal: int = 0, minutes: int = 60, **other: Any) -> ValueRecord:
        """A genuine debit of a DESFire value file, with the reader committed."""
        number = self.terminals[terminal]
        card.counter += 1
        record = ValueRecord(
            fen, number, next(self.numbers[number]), bcd(self.now - timedelta(minutes=minutes)), bytes(8), card.uid, card.counter,
            card.balance, previous=bytes(range(16)),
        )  # fmt: skip
        record = replace(record, **other)
        card.balance -= fen
        return replace(record, tmv=tmv(record))

    # ------------------------------------------------------------ uploads
    def header(self, batch: int = 1, *, blacklist: int = 0, terminal: int = 0) -> Header:
        return Header(self.terminals[terminal], batch, blacklist, OPENED)

    def upload(
        self, records: Sequence[Record], *, batch: int = 1, blacklist: int = 0, key: str = "", seal: Seal | None = None, by: str = ""
    ) -> Cleared:
        """Upload as the service does, and give what the entry says."""
        entry = self.upload_entry(records, batch=batch, blacklist=blacklist, key=key, seal=seal, by=by)
        assert entry.outcome == "applied"
        return Cleared.unpack(entry.body)

    def upload_entry(
        self, records: Sequence[Record], *, batch: int = 1, blacklist: int = 0, key: str = "", seal: Seal | None = None, by: str = ""
    ) -> Entry:
        data = encode_all(self.header(batch, blacklist=blacklist), records) + (seal.encode() if seal else b"")
        command = self.prepare.upload(self.store, parse(data))
        request = self.till.request("clear_batch", key=key or f"upload-{next(self.keys)}", command=command, meaning=[data.hex()])
        request.terminal, request.further = by, command.numbers
        return self.till.shop.desk.call(request)

    # ------------------------------------------------------------ what came of it
    def outcome(self, record: Record) -> str:
        """The outcome the store keeps for a record, "" if it is unknown."""
        from hashlib import blake2b

        digest = blake2b(record.encode(), digest_size=16).digest()
        rows = [row for row in self.store.cleared() if row.digest == digest]
        assert len(rows) <= 1, "a record is accounted for once"
        return NAMES[rows[0].outcome] if rows else ""

    def state(self) -> dict[str, Any]:
        """What must not depend on the order of uploads: records and their outcomes, open cases, value on cards, media, sales."""
        store = self.store
        rows = sorted(
            (row.key.hex() if row.key[0] != 2 else row.key[:28].hex(), NAMES[row.outcome], row.amount_fen) for row in store.cleared()
        )
        cases = sorted((case.id, case.reason, case.state, case.unit, case.amount_fen, repr(case.facts)) for case in self.all_cases())
        accounts = {row.account_id: Account.unpack(row.state).on_card_fen for row in store.accounts()}
        chips = {row.medium: (row.offline_counter, row.balance_fen) for row in store.media()}
        seen = sorted(found.id for about in (BY_TERMINAL, BY_CARD) for found in findings(store, about))
        suspended = [name for name in ("a", "b") if self.till.shop.registry.suspended(name)]
        return {"rows": rows, "cases": cases, "on_card": accounts, "media": chips, "sequences": seen, "suspended": suspended}

    def state_of(self, card: Card) -> str:
        """The state of the card's number."""
        return self.store.read([card.number])[card.number].card.state

    def on_card(self, card: Card) -> int:
        """What the journal says is on the card."""
        return Account.unpack(self.store.read([card.number])[card.number].account.state).on_card_fen

    def all_cases(self) -> list[Case]:
        return [unpack_case(row.body) for row in self.store.all_records("case")]

    def cases(self, state: str = "open") -> list[str]:
        return sorted(case.reason for case in self.all_cases() if case.state == state)
