"""Line `clearing`: a batch of off-line purchases from its octets to the journal, in process, against one-by-one verification and the disk.

Each slice clears purchases nobody has seen, in uploads of 4,096 records through the product's own path: parse, key store, rules, one
entry and one fsync an upload. The floor writes and syncs as many octets as the uploads have, and does nothing else. Cards stand in
the store with value in their memory that no entry loaded, so the shop is thrown away.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from cardapi.app import Shop
from cardapi.clearing.prepare import Prepare
from cardapi.desk import Request
from cardapi.keys.known import demo_key, demo_keys
from cardapi.store.media import KeyPeriod, pack_keys
from cardapi.store.port import AccountRow, Batch, MediumRow, Store
from cardcore.clearing import BLOCK, Header, parse
from cardcore.clearing.body import Cleared
from cardcore.clearing.layout import PURSE, PURSE_BLOCK
from cardcore.clearing.parse import RECORDS_MAX
from cardcore.crypto import Key, batch
from cardcore.settlement import Arrive, Load, Snapshot, decide

from . import dataset, scenarios
from .harness import LIMIT, Line, LineFailed, Options, Sample, Subject, Target
from .line_crypto import Purchases

RECORDS = 100_000
ON_CARD_FEN = 500_00
PAID_FEN_MAX = 100
MUST_PER_SECOND = 30_000
TERMINAL = bytes(5) + b"\1"
HEADER = Header(TERMINAL, 1, 0, bytes.fromhex("20261122080000"))


class Yard:
    """A shop whose cards hold value in their own memory, and endless purchases with them."""

    def __init__(self, shop: Shop, cards: int, seed: int) -> None:
        self.shop, self.cards = shop, cards
        self.draw = np.random.default_rng(seed)
        self.number = self.keys = 0
        periods = [[0, dataset.TERMINAL, dataset.UNIT]]
        document = {"id": TERMINAL.hex(), "utc_offset": "+08:00", "periods": periods}
        self._ask("change", payload={"kind": "sam", "id": TERMINAL.hex(), "document": document})
        self._give_media()
        self.prepare = Prepare(shop.registry, demo_keys(), b"", shop.settings.clearing)
        self.reader: Store = shop.store.reader()
        self.today = time.strftime("%Y%m%d", time.gmtime())

    def _ask(self, verb: str, **facts: object) -> Cleared | None:
        self.keys += 1
        request = Request(verb, "system", f"clearing-{self.keys}", bytes(16), unit=dataset.UNIT, **facts)  # type: ignore[arg-type]
        entry = self.shop.desk.call(request)
        if entry.outcome != "applied":
            raise LineFailed(f"{verb} was refused: {entry.code}")
        return Cleared.unpack(entry.body) if verb == "clear_batch" else None

    def _give_media(self) -> None:
        rules, keys = dataset.programme(), pack_keys([KeyPeriod(1)])
        accounts, media = [], []
        for n in range(1, self.cards + 1):
            account = dataset.account(rules, n + 1, scenarios.RICH_FEN, scenarios.RICH_POINTS)
            sent = decide(Snapshot(rules, account), Load(ON_CARD_FEN, tender="cash"), scenarios.AT * 1_000_000)
            account.apply(sent, 3)
            came = decide(Snapshot(rules, account, ticket=sent, ticket_position=3), Arrive(), scenarios.AT * 1_000_000)
            account.apply(came, 4)
            accounts.append(AccountRow(n + 1, account.pack(), 1))
            name, card = f"pboc:{'00' * 8}{n.to_bytes(10).hex()}", scenarios.card_number(n)
            media.append(MediumRow(name, n + 1, card, "pboc2-3des", "active", keys, 2, 0, 0, ON_CARD_FEN, 0, 1))
        self.shop.store.commit(Batch(entries=[], cards=[], accounts=accounts, documents=[], media=media))

    def uploads(self, records: int) -> list[bytes]:
        """Purchases never made before, with right TACs, as the octets of uploads."""
        rows: NDArray[np.void] = np.zeros(records, PURSE_BLOCK)
        rows["kind"], rows["key_version"], rows["key_index"] = PURSE, 1, 1
        signed = rows["signed"]
        signed["amount"] = self.draw.integers(1, PAID_FEN_MAX, records)
        signed["kind"], signed["terminal"][:, 5] = 6, 1
        signed["terminal_number"] = np.arange(records) + self.number + 1
        signed["date"] = np.frombuffer(bytes.fromhex(self.today), np.uint8)
        self.number += records
        rows["signed"] = signed
        serials = self.draw.integers(1, self.cards + 1, records).astype(">u8").view(np.uint8).reshape(records, 8)
        rows["serial"][:, 2:] = serials
        own = batch.diversify_pboc_batch(Key("tdes", bytes(demo_key("pboc-tac"))), np.ascontiguousarray(serials))
        messages = np.ascontiguousarray(rows["signed"]).view(np.uint8).reshape(records, 22)
        rows["tac"] = batch.mac_batch(np.ascontiguousarray(own[:, :8] ^ own[:, 8:]), messages, cipher="des")[:, :4]
        raw = bytearray(rows.tobytes())
        for at in range(0, len(raw), BLOCK):
            raw[at + BLOCK - 4 : at + BLOCK] = zlib.crc32(raw[at : at + BLOCK - 4]).to_bytes(4)
        head, step = HEADER.encode(), RECORDS_MAX * BLOCK
        return [head + bytes(raw[at : at + step]) for at in range(0, len(raw), step)]

    def clear(self, records: int) -> Sample:
        """From octets to the journal."""
        uploads = self.uploads(records)
        accepted = 0
        start, busy = time.perf_counter(), time.thread_time()
        for octets in uploads:
            done = self._ask("clear_batch", command=self.prepare.upload(self.reader, parse(octets)))
            assert done is not None, "an upload has a body"
            accepted += int(done.accepted().sum())
        seconds, busy = time.perf_counter() - start, time.thread_time() - busy
        if accepted != records:
            raise LineFailed(f"{accepted} of {records} purchases were accepted")
        return Sample(records / seconds, {"per_cpu_second": records / busy})

    def verify(self, records: int) -> Sample:
        """Only parse, look up and verify, which runs beside the desk; in processor time, as the one-by-one side is."""
        uploads = self.uploads(records)
        self.number -= records
        start = time.thread_time()
        for octets in uploads:
            self.prepare.upload(self.reader, parse(octets))
        return Sample(records / (time.thread_time() - start))

    def floor(self, records: int, options: Options) -> Sample:
        """Append and sync the octets of as many uploads."""
        uploads = [bytes(BLOCK * (1 + RECORDS_MAX))] * -(-records // RECORDS_MAX)
        path = options.work / "floor"
        start = time.perf_counter()
        with path.open("wb", buffering=0) as file:
            for octets in uploads:
                file.write(octets)
                os.fdatasync(file.fileno())
        seconds = time.perf_counter() - start
        path.unlink()
        return Sample(records / seconds)


@contextmanager
def clearing(options: Options) -> Iterator[Line]:
    """Clear 100,000 purchases of 10,000 cards."""
    records, cards = (20_000, 2_000) if options.quick else (RECORDS, 10_000)
    data = dataset.build(options.work / "clearing", cards)
    singly = Purchases(2_000, options.seed)
    with dataset.opened(data) as shop:
        yard = Yard(shop, cards, options.seed)
        yard.clear(RECORDS_MAX)
        subjects = [
            Subject("clear: octets to journal", "/s", lambda: yard.clear(records)),
            Subject("parse, look up, verify", "/s", lambda: yard.verify(records)),
            Subject("cryptography, one by one", "/s", lambda: Sample(1e9 / singly.singly(2_000).value)),
            Subject("append + fdatasync of the octets", "/s", lambda: yard.floor(records, options)),
        ]
        whole, verify, base, floor = (subject.name for subject in subjects)
        targets = [
            Target("clear a batch, records a second", whole, LIMIT, 1.0, limit=MUST_PER_SECOND),
            Target("clear a batch, of processor time", whole, LIMIT, 1.0, limit=MUST_PER_SECOND, metric="per_cpu_second", metric_unit="/s"),
            Target("parse, look up and verify vs cryptography", verify, base, 1.0),
            Target("clear a batch vs its octets on the disk", whole, floor, 0.01),
        ]
        notes = [f"{records:,} purchases of {cards:,} cards a slice, {RECORDS_MAX:,} an upload; SQLite, WAL, synchronous=FULL"]
        yield Line("clearing", "off-line purchases, octets to journal", subjects, targets, notes)
        yard.reader.close()
