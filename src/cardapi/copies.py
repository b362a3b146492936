"""Backups of an embedded shop, taken beside a running service, and put back only after they were verified and compared (U)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from cardapi import stores
from cardapi.app import Lock, ShopError, checkpoint_path, key_file, open_shop, read_settings
from cardapi.custody import Custody
from cardapi.desk import Request
from cardapi.store import backup, sqlite, verify
from cardapi.store.checkpoint import Checkpoint, CheckpointError, CheckpointFile
from cardapi.store.port import Head
from cardapi.stores import DATABASE


def _need_embedded(directory: Path) -> None:
    if not stores.is_embedded(read_settings(directory).store):
        raise ShopError("not_embedded", "this shop is on a PostgreSQL server: copy it with the server's own means (docs/operations.md)")


def backup_shop(directory: Path | str, target: Path | str, progress: Callable[[int, int], None] | None = None) -> dict[str, object]:
    """Copy a shop's database and checkpoints to the new directory `target`, beside a running service.

    The root secret is not copied (A6). Returns {"directory", "position", "liability_fen"} of the copy. Raises ShopError
    absent, exists; StoreError.
    """
    directory, target = Path(directory), Path(target)
    _need_embedded(directory)
    if not (directory / DATABASE).is_file():
        raise ShopError("absent", f"{directory} holds no shop")
    if target.exists() and any(target.iterdir()):
        raise ShopError("exists", f"{target} is not empty")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Checkpoints first: the copy of the database is then never behind its own checkpoint.
    checkpoints = checkpoint_path(directory, read_settings(directory))
    if checkpoints.exists():
        backup.copy_file(checkpoints, target / backup.CHECKPOINTS)
    backup.copy_database(directory / DATABASE, target / backup.DATABASE, progress)
    head = _head(target / backup.DATABASE)
    return {"directory": str(target), "position": head.position, "liability_fen": head.liability_fen}


def _head(database: Path) -> Head:
    store = sqlite.SqliteStore(database, read_only=True)
    try:
        return store.heads()[0]
    finally:
        store.close()


def restore_shop(
    source: Path | str,
    directory: Path | str,
    *,
    reconcile: bool = False,
    without_card_keys: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, object]:
    """Put a backup back into `directory`, which must hold the root secret (`secrets/root.key`) it was made with.

    A shop that has card keys must find their file too (`secrets/cards.keys`, ShopError key_file_missing), unless they are given up
    with `without_card_keys`.

    The copy is verified in full and compared with the newest checkpoint known here or in the backup. A copy that ends
    before it is refused (ShopError behind_checkpoint) unless `reconcile`: then the lost range is recorded, signed in the
    checkpoint file and as a journal entry. A database that is there already is set aside. Can be repeated after a crash (F6).
    Returns {"position", "lost_after", "lost_upto", "set_aside"}; lost_* are 0 when nothing is lost.
    """
    source, directory = Path(source), Path(directory)
    if not (source / backup.DATABASE).is_file():
        raise ShopError("absent", f"{source} holds no backup")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _need_embedded(directory)
    lock = Lock(directory)
    try:
        custody = Custody.load(directory / "secrets")
        path = checkpoint_path(directory, read_settings(directory))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = CheckpointFile(path, custody.checkpoint_signer())
        staged = directory / (DATABASE + ".restoring")
        backup.copy_database(source / backup.DATABASE, staged, progress)
        head = _head(staged)
        newest = _newest(file, CheckpointFile(source / backup.CHECKPOINTS, custody.checkpoint_signer()))
        lost_upto = newest.position if newest is not None and newest.position > head.position else 0
        if lost_upto and not reconcile:
            raise ShopError(
                "behind_checkpoint",
                f"the backup ends at entry {head.position}, a signed checkpoint names entry {lost_upto}; "
                "restore a newer one, or reconcile and so record the loss of what lies between",
                position=head.position,
                lost_upto=lost_upto,
            )
        _verified(staged, custody, None if lost_upto else newest, progress)
        if not without_card_keys and not key_file(directory).exists() and _has_card_keys(staged):
            raise ShopError("key_file_missing", f"this shop has card keys, and {key_file(directory)} is not there: put it back first")
        if lost_upto:
            file.reconcile(head, lost_upto)
        elif not path.exists():
            file.append([head])
        aside = backup.set_aside(directory / DATABASE)
        staged.rename(directory / DATABASE)
        backup.sync_directory(directory)
    except CheckpointError as error:
        raise ShopError(error.code, error.detail, **error.facts) from error
    finally:
        lock.release()
    lost_after, lost_upto = _record_loss(directory)
    return {"position": head.position, "lost_after": lost_after, "lost_upto": lost_upto, "set_aside": str(aside or "")}


def _has_card_keys(database: Path) -> bool:
    store = sqlite.SqliteStore(database, read_only=True)
    try:
        return any(kind == "key" for kind, _, _ in store.documents())
    finally:
        store.close()


def _newest(*files: CheckpointFile) -> Checkpoint | None:
    """The newest checkpoint of the first of these files that is there: ours before the one in the backup."""
    for file in files:
        if file.path.exists():
            return file.newest()[0]
    return None


def _verified(database: Path, custody: Custody, newest: Checkpoint | None, progress: Callable[[int, int], None] | None) -> None:
    store = sqlite.SqliteStore(database)  # an older backup is migrated here, before it is judged
    try:
        report = verify.verify(store, custody.chain_key, checkpoints=() if newest is None else (newest,), progress=progress)
    finally:
        store.close()
    if report.first_bad is not None:
        raise ShopError("bad_chain", f"the backup is damaged: {report.first_bad.text()}", first_bad=msgspec.to_builtins(report.first_bad))


def _record_loss(directory: Path) -> tuple[int, int]:
    """Write the journal entry of the newest reconciliation, once. Returns its range."""
    with open_shop(directory) as shop:
        newest = shop.checkpoints.newest()[0]
        lost = [line for line in shop.checkpoints.read() if line.lost_upto]
        if not lost or newest.position > lost[-1].position + 1:
            return 0, 0
        after, upto = lost[-1].position, lost[-1].lost_upto
        name = f"{after}-{upto}"
        document = {"id": name, "after": after, "upto": upto, "partition": lost[-1].partition}
        payload = {"kind": "reconciliation", "id": name, "document": document}
        shop.desk.call(Request("change", "system", f"reconciliation:{name}", bytes(16), reason="restore", payload=payload))
        return after, upto
