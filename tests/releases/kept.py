"""What is kept of a release: a whole small shop as one file, for every later release to read.

Made once for each release, by the code of that release, and never again: `python -m tests.releases.kept NAME` writes
`tests/releases/NAME.json.gz`. It has the root secret of its shop, which is for these tests alone.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from cardapi.app import Shop, open_shop
from cardapi.http.tickets import FULL, MONEY_VERBS, Tickets, refused, step
from cardapi.ids import ticket_id
from cardapi.store import sqlite
from cardapi.store.fold import CARD_VERBS, JOURNALED_KINDS, SEALED_KINDS
from cardapi.store.port import AccountRow, Batch, CardRow, Entry, MediumRow, Record, Store
from cardcore.clearing.body import Row
from cardcore.settlement import Settlement

FOLDER = Path(__file__).parent
ROOT_KEY, CHECKPOINTS, DATABASE = "secrets/root.key", "checkpoints/checkpoints.jsonl", "cardcore.db"


class Projections(msgspec.Struct):
    """Every row that the journal makes."""

    cards: list[CardRow]
    accounts: list[AccountRow]
    documents: list[tuple[str, str, bytes]]
    media: list[MediumRow]
    records: list[Record]
    cleared: list[Row]

    @classmethod
    def of(cls, store: Store) -> Projections:
        return cls(
            list(store.cards()), list(store.accounts()), sorted(store.documents()), list(store.media()),
            [row for row in store.all_records() if row.kind in JOURNALED_KINDS], list(store.cleared()),
        )  # fmt: skip


class Kept(msgspec.Struct):
    """One shop of one release."""

    root: bytes
    checkpoints: bytes
    genesis: dict[int, bytes]
    entries: list[Entry]
    sealed: list[Record]  # beside the journal, which has their digest
    projections: Projections
    told: dict[str, dict[str, Any]]
    """What the service answers by ticket id: of money verbs the ticket with its receipt and explanation."""

    def unpack(self, directory: Path) -> None:
        """Lay the journal down as a shop of today has it; its projections are still to be made from it."""
        (directory / "secrets").mkdir(parents=True)
        secret = directory / ROOT_KEY
        secret.touch(0o600)
        secret.write_bytes(self.root)
        (directory / CHECKPOINTS).parent.mkdir()
        (directory / CHECKPOINTS).write_bytes(self.checkpoints)
        sqlite.create(directory / DATABASE, self.genesis)
        store = sqlite.SqliteStore(directory / DATABASE)
        store.begin(list(self.genesis), [], [])
        store.commit(Batch(self.entries, [], [], [], records=self.sealed))
        store.close()


def names() -> list[str]:
    """The releases of which something is kept."""
    return sorted(path.name.removesuffix(".json.gz") for path in FOLDER.glob("*.json.gz"))


def read(name: str) -> Kept:
    """What is kept of a release."""
    return msgspec.json.decode(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()), type=Kept)


def told(shop: Shop, entry: Entry) -> dict[str, Any]:
    """What today's service answers about an entry, {} where it shows none."""
    if entry.outcome == "refused":
        return msgspec.to_builtins(refused(entry))
    if entry.verb in CARD_VERBS:
        return msgspec.to_builtins(step(entry))
    if entry.verb not in MONEY_VERBS or not entry.body:
        return {}
    settlement = Settlement.unpack(entry.body)
    card = shop.store.reader().read([entry.card])[entry.card].card
    tickets = Tickets(shop.desk, shop.registry)
    programme = tickets.version(card.programme, settlement.programme_version)
    return msgspec.json.decode(tickets.told(settlement, programme, entry, FULL))


def keep(directory: Path) -> Kept:
    """What there is to keep of a shop that nobody has open."""
    with open_shop(directory) as shop:
        store = shop.store.reader()
        entries = [entry for partition in store.partitions() for entry in store.journal(partition)]
        return Kept(
            (directory / ROOT_KEY).read_bytes(), (directory / CHECKPOINTS).read_bytes(), store.partitions(), entries,
            [row for row in store.all_records() if row.kind in SEALED_KINDS], Projections.of(store),
            {ticket_id(entry.partition, entry.position): told(shop, entry) for entry in entries},
        )  # fmt: skip


def main(name: str) -> None:
    from tests.releases.life import live

    with tempfile.TemporaryDirectory() as folder:
        live(Path(folder) / "shop").till.shop.close()
        kept = keep(Path(folder) / "shop")
    # Without a name or a time in its head: equal content, equal file.
    path = FOLDER / f"{name}.json.gz"
    path.write_bytes(gzip.compress(msgspec.json.encode(kept), 9, mtime=0))
    print(f"{path}: {len(kept.entries)} entries, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
