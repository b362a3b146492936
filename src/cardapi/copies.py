"""Backups, taken beside a running service, and put back only after they were verified and compared (U).

A backup has one form for every store: an embedded database, and the checkpoints. Of a shop on a server it is made from the
journal, which is verified on the way, and it goes back into an empty database of a server in the same way as a shop moves there.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from cardapi import stores
from cardapi.app import Lock, Settings, ShopError, checkpoint_path, key_file, open_shop, read_settings
from cardapi.custody import Custody
from cardapi.desk import Request
from cardapi.move import Progress, copy_journal, put_on_server
from cardapi.store import backup, sqlite, verify
from cardapi.store.checkpoint import Checkpoint, CheckpointError, CheckpointFile
from cardapi.store.port import Head
from cardapi.stores import DATABASE


def backup_shop(directory: Path | str, target: Path | str, progress: Progress | None = None) -> dict[str, object]:
    """Copy a shop's database and checkpoints to the new directory `target`, beside a running service.

    The root secret is not copied (A6). Returns {"directory", "position", "liability_fen"} of the copy: entries and customers'
    money of all partitions. Raises ShopError absent, exists, and for a shop on a server bad_chain; StoreError, NoStore.
    """
    directory, target = Path(directory), Path(target)
    settings = read_settings(directory)
    embedded = stores.is_embedded(settings.store)
    if not (directory / (DATABASE if embedded else "secrets")).exists():
        raise ShopError("absent", f"{directory} holds no shop")
    if target.exists() and any(target.iterdir()):
        raise ShopError("exists", f"{target} is not empty")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Checkpoints first: the copy of the database is then never behind its own checkpoint.
    checkpoints = checkpoint_path(directory, settings)
    if checkpoints.exists():
        backup.copy_file(checkpoints, target / backup.CHECKPOINTS)
    if embedded:
        backup.copy_database(directory / DATABASE, target / backup.DATABASE, progress)
    else:
        _copy_server(directory, settings, target / backup.DATABASE, progress)
    heads = _heads(target / backup.DATABASE).values()
    liability_fen = sum(head.liability_fen for head in heads)
    return {"directory": str(target), "position": sum(head.position for head in heads), "liability_fen": liability_fen}


def _copy_server(directory: Path, settings: Settings, target: Path, progress: Progress | None) -> None:
    """The journal of a shop on a server, of one moment, as an embedded database."""
    custody = Custody.load(directory / "secrets")
    lock = Lock(directory, shared=True)
    partial = target.with_name(target.name + ".copying")
    source = stores.open_store(directory, settings.store, settings.standby, read_only=True)
    try:
        with source.snapshot():
            sqlite.create(partial, source.partitions())
            copy = sqlite.SqliteStore(partial)
            try:
                copy_journal(source, copy, progress)
                _sound(verify.rebuild(copy, custody.chain_key), "the journal on the server")
            finally:
                copy.close()
    finally:
        source.close()
        if lock.alone():
            stores.stop_server(directory, settings.store)
        lock.release()
    backup.copy_database(partial, target)
    for suffix in ("", "-wal", "-shm"):
        partial.with_name(partial.name + suffix).unlink(missing_ok=True)


def _heads(database: Path) -> dict[int, Head]:
    store = sqlite.SqliteStore(database, read_only=True)
    try:
        return {head.partition: head for head in store.heads()}
    finally:
        store.close()


def restore_shop(
    source: Path | str,
    directory: Path | str,
    *,
    owner: str = "",
    reconcile: bool = False,
    without_card_keys: bool = False,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Put a backup back into `directory`, which must hold the root secret (`secrets/root.key`) it was made with.

    Where the settings name a server it goes there, into an empty database whose tables `owner` makes (ShopError exists if it
    holds another shop, or more of this one). A shop that has card keys must find their file too (`secrets/cards.keys`,
    ShopError key_file_missing), unless they are given up with `without_card_keys`.

    The copy is verified in full and compared with the newest checkpoints known here or in the backup. A copy that ends
    before one is refused (ShopError behind_checkpoint) unless `reconcile`: then the lost ranges are recorded, signed in the
    checkpoint file and as journal entries. A database that is there already is set aside. Can be repeated after a crash (F6).
    Returns {"position", "lost", "lost_after", "lost_upto", "set_aside"}: entries there are, what is lost by partition, and of
    the first such partition once more, 0 when nothing is lost.
    """
    source, directory = Path(source), Path(directory)
    if not (source / backup.DATABASE).is_file():
        raise ShopError("absent", f"{source} holds no backup")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = Lock(directory)
    try:
        settings = read_settings(directory)
        custody = Custody.load(directory / "secrets")
        path = checkpoint_path(directory, settings)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = CheckpointFile(path, custody.checkpoint_signer())
        staged = directory / (DATABASE + ".restoring")
        backup.copy_database(source / backup.DATABASE, staged, progress)
        heads = _heads(staged)
        newest = _newest(file, CheckpointFile(source / backup.CHECKPOINTS, custody.checkpoint_signer()))
        lost = {number: mark for number, mark in newest.items() if mark.position > heads[number].position}
        if lost and not reconcile:
            _refuse(heads, lost)
        _verified(staged, custody, [mark for number, mark in newest.items() if number not in lost], progress)
        if not without_card_keys and not key_file(directory).exists() and _has_card_keys(staged):
            raise ShopError("key_file_missing", f"this shop has card keys, and {key_file(directory)} is not there: put it back first")
        aside = None
        if not stores.is_embedded(settings.store):
            put_on_server(directory, settings.store, owner, staged, custody, progress)
        for number, mark in lost.items():
            file.reconcile(heads[number], mark.position)
        if not path.exists():
            file.append(list(heads.values()))
        if stores.is_embedded(settings.store):
            aside = backup.set_aside(directory / DATABASE)
            staged.rename(directory / DATABASE)
        else:
            staged.unlink()
        backup.sync_directory(directory)
    except CheckpointError as error:
        raise ShopError(error.code, error.detail, **error.facts) from error
    finally:
        lock.release()
    told = _record_losses(directory)
    first = told[0] if told else {"after": 0, "upto": 0}
    position = sum(head.position for head in heads.values())
    return {"position": position, "lost": told, "lost_after": first["after"], "lost_upto": first["upto"], "set_aside": str(aside or "")}


def _refuse(heads: dict[int, Head], lost: dict[int, Checkpoint]) -> None:
    number, mark = next(iter(lost.items()))
    where = f" of partition {number}" if len(heads) > 1 else ""
    raise ShopError(
        "behind_checkpoint",
        f"the backup ends at entry {heads[number].position}{where}, a signed checkpoint names entry {mark.position}; "
        "restore a newer one, or reconcile and so record the loss of what lies between",
        partition=number,
        position=heads[number].position,
        lost_upto=mark.position,
    )


def _has_card_keys(database: Path) -> bool:
    store = sqlite.SqliteStore(database, read_only=True)
    try:
        return any(kind == "key" for kind, _, _ in store.documents())
    finally:
        store.close()


def _newest(*files: CheckpointFile) -> dict[int, Checkpoint]:
    """The newest checkpoints of the first of these files that is there: ours before the one in the backup."""
    for file in files:
        if file.path.exists():
            return file.newest()
    return {}


def _verified(database: Path, custody: Custody, marks: list[Checkpoint], progress: Progress | None) -> None:
    store = sqlite.SqliteStore(database)  # an older backup is migrated here, before it is judged
    try:
        _sound(verify.verify(store, custody.chain_key, checkpoints=marks, progress=progress), "the backup")
    finally:
        store.close()


def _sound(report: verify.Report, what: str) -> None:
    if report.first_bad is not None:
        raise ShopError("bad_chain", f"{what} is damaged: {report.first_bad.text()}", first_bad=msgspec.to_builtins(report.first_bad))


def _record_losses(directory: Path) -> list[dict[str, int]]:
    """Write a journal entry for each partition of the newest reconciliation, once. Returns what was lost."""
    with open_shop(directory) as shop:
        newest = shop.checkpoints.newest()
        last = {line.partition: line for line in shop.checkpoints.read() if line.lost_upto}
        told = []
        for number, line in sorted(last.items()):
            if newest[number].position > line.position + (len(last) if number == 0 else 0):
                continue  # an earlier restore's: the shop has gone on since
            after, upto = line.position, line.lost_upto
            name = f"{after}-{upto}" if number == 0 else f"{number}:{after}-{upto}"
            document = {"id": name, "after": after, "upto": upto, "partition": number}
            payload = {"kind": "reconciliation", "id": name, "document": document}
            shop.desk.call(Request("change", "system", f"reconciliation:{name}", bytes(16), reason="restore", payload=payload))
            told.append({"partition": number, "after": after, "upto": upto})
        return told
