"""Moving a shop from the embedded store to a PostgreSQL server, with control totals, and stoppable at any point (F6, V).

The journal is copied entry by entry as it is: the same partitions, positions and macs, so the chain proves the copy. Projections
are made from it again. The shop changes its store in one rename of its settings, after everything was compared; until then it is
what it was, and a second call goes on where the first one ended. From the rename on the server's journal is the shop's: its next
entry says so and is signed in the checkpoint file, so the old file, or a copy of it, is behind a checkpoint and does not serve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from cardapi import stores
from cardapi.app import Lock, ShopError, checkpoint_path, open_shop, read_settings, write_store
from cardapi.custody import Custody
from cardapi.desk import Request
from cardapi.store import backup, sqlite, verify
from cardapi.store.checkpoint import Checkpoint, CheckpointFile
from cardapi.store.port import Batch, Head, Store
from cardapi.stores import DATABASE

T = TypeVar("T")
CHUNK = 2_000  # entries of one commit
Progress = Callable[[int, int], None]


def move_shop(directory: Path | str, store: str, owner: str = "", progress: Progress | None = None) -> dict[str, object]:
    """Move a stopped shop to `store`, whose tables are made by `owner`. Returns the control totals and where the old file is.

    Raises ShopError absent, locked, bad_chain, exists (the target holds another shop), settings; StoreError, SchemaError, NoStore.
    """
    directory = Path(directory)
    settings = read_settings(directory)
    there = (directory / DATABASE).is_file()
    if stores.is_embedded(store):
        raise ShopError("settings", "name the server to move to: --store postgresql://... or local-postgres")
    if not stores.is_embedded(settings.store) and not (there and settings.store == store):
        raise ShopError("settings", f"{directory} is on a server already")
    if not there:
        raise ShopError("absent", f"{directory} holds no shop")
    if stores.is_embedded(settings.store):
        lock = Lock(directory)
        try:
            custody = Custody.load(directory / "secrets")
            marks = list(CheckpointFile(checkpoint_path(directory, settings), custody.checkpoint_signer()).read())
            put_on_server(directory, store, owner, directory / DATABASE, custody, progress, marks)
            write_store(directory, store)
        finally:
            lock.release()
    moved = _totals_of(directory)
    _leave(directory, f"server-{moved['entries']}")
    aside = backup.set_aside(directory / DATABASE)
    return {"store": store.rsplit("@", maxsplit=1)[-1], **moved, "set_aside": str(aside or "")}


def _totals_of(directory: Path) -> dict[str, object]:
    """What the file holds that the shop has left."""
    source: Store = sqlite.SqliteStore(directory / DATABASE, read_only=True)
    try:
        return _totals(source)
    finally:
        source.close()


def _leave(directory: Path, name: str) -> None:
    """Say in the moved journal that it has left the file. Closing the shop signs that entry. Done again it changes nothing."""
    with open_shop(directory) as shop:
        payload = {"kind": "move", "id": name, "document": {"id": name}}
        shop.desk.call(Request("change", "system", f"move:{name}", bytes(16), reason="migrate-store", payload=payload))


def put_on_server(
    directory: Path, store: str, owner: str, database: Path, custody: Custody, progress: Progress | None, marks: Sequence[Checkpoint] = ()
) -> dict[str, object]:
    """Copy a shop from an embedded database nobody uses into an empty database of a server, or go on with that.

    Returns the control totals, which are the same here and there. Raises ShopError bad_chain, exists; StoreError, SchemaError.
    """
    source: Store = sqlite.SqliteStore(database)
    try:
        before = _proved(source, custody, marks, "the shop's own database")
        target = _target(directory, store, owner, source)
        try:
            copy_journal(source, target, progress)
            report = verify.rebuild(target, custody.chain_key, checkpoints=marks)
            if report.first_bad is not None:
                raise ShopError("bad_chain", f"the copy is not the journal: {report.first_bad.text()}")
            after = _totals(target)
        finally:
            target.close()
    finally:
        source.close()
    if before != after:
        raise ShopError("bad_chain", f"the copy differs: {before} here, {after} there")
    return after


def _totals(store: Store) -> dict[str, object]:
    """What both sides must have in common; `verify` has proved that the heads carry the sum of customers' money."""
    heads = store.heads()
    ends = [f"{head.partition}:{head.position}:{head.mac.hex()[:16]}" for head in heads]
    return {**store.counts(), "liability_fen": sum(head.liability_fen for head in heads), "heads": ends}


def _proved(store: Store, custody: Custody, marks: Sequence[Checkpoint], what: str) -> dict[str, object]:
    report = verify.verify(store, custody.chain_key, checkpoints=marks)
    if report.first_bad is not None:
        raise ShopError("bad_chain", f"{what} is damaged: {report.first_bad.text()}")
    return _totals(store)


def _target(directory: Path, store: str, owner: str, source: Store) -> Store:
    """The server's store: made now, or by a try before this one."""
    genesis = source.partitions()
    if not stores.has_shop(directory, store, owner):
        stores.make(directory, store, owner, genesis)
    target = stores.open_store(directory, store, read_settings(directory).standby)
    if target.partitions() != genesis or not all(_holds(source, head) for head in target.heads()):
        target.close()
        raise ShopError("exists", "the server holds another shop, or more of this one: give an empty database")
    return target


def _holds(source: Store, end: Head) -> bool:
    """Whether the source has this entry too, so that what follows it there may be written after it."""
    entry = source.entry(end.partition, end.position)
    return end.position == 0 or (entry is not None and entry.mac == end.mac)


def copy_journal(source: Store, target: Store, progress: Progress | None) -> None:
    """Write the entries that `target` does not have yet, and the records beside the journal. The rest is made from it again."""
    total = sum(head.position for head in source.heads())
    reached = {head.partition: head.position for head in target.heads()}
    done = sum(reached.values())
    for partition, position in reached.items():
        for entries in _parts(source.journal(partition, position)):
            target.commit(Batch(entries, [], [], []))
            done += len(entries)
            if progress is not None:
                progress(done, total)
    beside = (record for record in source.all_records() if not record.changed_at)
    for records in _parts(beside):
        target.commit(Batch([], [], [], [], [], records))


def _parts(rows: Iterator[T]) -> Iterator[list[T]]:
    part: list[T] = []
    for row in rows:
        part.append(row)
        if len(part) == CHUNK:
            yield part
            part = []
    if part:
        yield part
