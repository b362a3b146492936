"""`cardcore backup`, `cardcore restore` and `cardcore migrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cardapi.cli.books import steps
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json
from cardapi.cli.show import emit_json, progress, say, yuan


def backup(
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.", show_default=False)],
    data: DataDir = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Copy a shop, running or not, into a folder: of one moment, whole, and without the root secret and the card keys.

    Keep DIR/secrets (root.key, and cards.keys where cards carry money) elsewhere: without the root secret a backup can be read but not
    served, without the card keys no card that carries money works again.

    Example: cardcore backup /backups/2026-11-22
    """
    from cardapi.copies import backup_shop

    with progress("copying") as advance:
        made = backup_shop(data, target, steps(advance))
    if as_json:
        emit_json(made)
    else:
        liability = made["liability_fen"]
        assert isinstance(liability, int)
        say(f"backed up to {made['directory']}: up to journal position {made['position']}, customers' money {yuan(liability)}")


def restore(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder made by `cardcore backup`.", show_default=False)],
    data: DataDir = DEFAULT_DATA,
    owner: Annotated[str, typer.Option("--owner", help="For a shop on a given server: the address of the role that owns the tables.")] = "",
    reconcile: Annotated[
        bool, typer.Option("--reconcile", help="Accept that entries after the backup are lost; the loss is signed and journaled.")
    ] = False,
    without_card_keys: Annotated[
        bool,
        typer.Option("--without-card-keys", help="Accept that the card keys (secrets/cards.keys) are lost."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Put a backup into a data directory that holds its secrets folder: verified, and compared with the newest checkpoint.

    It needs secrets/root.key, and secrets/cards.keys in a shop that has card keys.

    A shop whose settings.toml names a server goes into an empty database there; --owner makes its tables.

    If a signed checkpoint is ahead of the backup, entries are missing: it says which and stops, unless --reconcile is given. A
    database that is there already is set aside, not deleted.

    Example: mkdir -p var/new && cp -r /safe/secrets var/new/ && cardcore restore /backups/2026-11-22 --data var/new
    """
    from cardapi.copies import restore_shop

    with progress("restoring") as advance:
        done = restore_shop(source, data, owner=owner, reconcile=reconcile, without_card_keys=without_card_keys, progress=steps(advance))
    if as_json:
        emit_json(done)
        return
    say(f"restored {data} up to journal position {done['position']}; every entry verified")
    lost = done["lost"]
    assert isinstance(lost, list)
    for part in lost:
        where = f" of partition {part['partition']}" if part["partition"] else ""
        say(f"lost: positions after {part['after']} up to {part['upto']}{where}; the journal and the checkpoints say so too")
    if done["set_aside"]:
        say(f"the database that was there is kept as {done['set_aside']}")


def migrate(
    data: DataDir = DEFAULT_DATA,
    owner: Annotated[str, typer.Option("--owner", help="For a given server: the address of the role that owns the tables.")] = "",
    as_json: Json = False,
) -> None:
    """Bring the database to the schema of this release. Can be stopped at any point and run again.

    An embedded database is migrated when it is opened; on a server the role that serves may not change tables, so its owner does.

    Example: cardcore migrate --data /srv/shop --owner postgresql://cardcore_owner@db/cardcore
    """
    from cardapi.app import migrate_shop

    found = migrate_shop(data, owner)
    if as_json:
        emit_json({"schema": found})
    else:
        say(f"the database is at schema {found}")


def migrate_store(
    store: Annotated[str, typer.Option("--store", help="Where to: postgresql://USER@HOST/DATABASE, or local-postgres.")],
    data: DataDir = DEFAULT_DATA,
    owner: Annotated[str, typer.Option("--owner", help="For a given server: the address of the role that owns the tables.")] = "",
    as_json: Json = False,
) -> None:
    """Move a stopped shop from its file to a PostgreSQL server. Can be stopped at any point and run again.

    The journal is copied as it is and proved there; everything else is made from it again; the totals of both sides are compared.
    Only then the shop uses the server. The file is set aside, not deleted.

    Example: cardcore migrate-store --data /srv/shop --store postgresql://cardcore@db/cardcore --owner postgresql://cardcore_owner@db/cardcore
    """
    from cardapi.move import move_shop

    with progress("copying the journal") as advance:
        done = move_shop(data, store, owner, steps(advance))
    if as_json:
        emit_json(done)
        return
    liability = done["liability_fen"]
    assert isinstance(liability, int)
    say(f"moved {data}: {done['entries']} entries, {done['cards']} cards, customers' money {yuan(liability)}; both sides agree")
    say(f"the file that was used until now is kept as {done['set_aside']}")
