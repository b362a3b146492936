"""Backup and restore of a shop on a server (U): taken beside the running shop, verified, refused while a checkpoint is ahead.

Method: a shop with four partitions is copied while it sells, and goes back into an empty database; an old copy is refused until
the loss is accepted, and then each partition's loss is in the journal; a changed copy, and a database in use, are refused.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from cardapi.app import ShopError
from cardapi.copies import backup_shop, restore_shop
from cardcore.settlement import Transfer
from tests.desk.till import Till
from tests.postgres.server import Database, empty
from tests.postgres.till import ServerTill


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop", 4)
    yield till
    till.end()


@pytest.fixture
def other(tmp_path: Path, till: ServerTill) -> Iterator[Database]:
    """An empty database, and a data directory beside that names it and has the shop's secrets."""
    database = empty(f"restored_{tmp_path.name[-20:].replace('-', '_')}", 4)
    place(tmp_path / "other", till, database)
    yield database
    database.drop()


def place(directory: Path, till: ServerTill, database: Database) -> None:
    directory.mkdir()
    shutil.copytree(till.directory / "secrets", directory / "secrets")
    (directory / "settings.toml").write_text(f'store = "{database.url}"\n')


def refused(source: Path, directory: Path, **options: object) -> str:
    with pytest.raises(ShopError) as raised:
        restore_shop(source, directory, **options)  # type: ignore[arg-type]
    return raised.value.code


def test_a_copy_goes_into_an_empty_database(tmp_path: Path, till: ServerTill, other: Database) -> None:
    cards = [till.card(10_00) for _ in range(12)]
    for one, two in pairwise(cards):
        till.done("transfer", card=one, further=(two,), command=Transfer(7))
    held = [till.balance(card) for card in cards]
    journal = [list(till.shop.store.journal(partition)) for partition in range(4)]
    made = backup_shop(till.directory, tmp_path / "backup")
    assert (made["position"], made["liability_fen"]) == (sum(map(len, journal)), 120_00)
    assert refused(tmp_path / "backup", till.directory, owner=till.database.owner) == "locked"
    till.sale(cards[0], 1_00)  # the shop goes on meanwhile
    done = restore_shop(tmp_path / "backup", tmp_path / "other", owner=other.owner)
    assert (done["position"], done["lost"]) == (made["position"], [])
    restored = Till(tmp_path / "other")
    assert [restored.balance(card) for card in cards] == held
    assert [list(restored.shop.store.journal(partition)) for partition in range(1, 4)] == journal[1:]
    assert restored.sale(cards[1], 1_00).outcome == "applied"
    restored.sound()
    restored.shop.close()
    assert refused(tmp_path / "backup", tmp_path / "other", owner=other.owner) == "behind_checkpoint", "it has gone on since"
    assert refused(tmp_path / "backup", tmp_path / "other", owner=other.owner, reconcile=True) == "exists"


def test_an_old_copy_is_refused_until_its_loss_is_accepted(tmp_path: Path, till: ServerTill, other: Database) -> None:
    cards = [till.card(10_00) for _ in range(12)]
    backup_shop(till.directory, tmp_path / "backup")
    ends = [head.position for head in till.shop.store.reader().heads()]
    for card in cards:
        till.sale(card, 1_00)
    till.shop.close()  # which writes a checkpoint
    shutil.copytree(till.directory / "checkpoints", tmp_path / "other" / "checkpoints")
    assert refused(tmp_path / "backup", tmp_path / "other", owner=other.owner) == "behind_checkpoint"
    done = restore_shop(tmp_path / "backup", tmp_path / "other", owner=other.owner, reconcile=True)
    lost = done["lost"]
    assert isinstance(lost, list)
    assert [(part["partition"], part["after"]) for part in lost] == list(enumerate(ends))
    assert sum(part["upto"] - part["after"] for part in lost) == len(cards)
    restored = Till(tmp_path / "other")
    noted = [name for kind, name, _ in restored.shop.store.documents() if kind == "reconciliation"]
    assert len(noted) == 4
    assert [restored.balance(card) for card in cards] == [10_00] * 12
    assert restored.sale(cards[0], 2_00).outcome == "applied"
    restored.sound()
    restored.shop.close()


def test_a_changed_copy_and_another_shops_database_are_refused(tmp_path: Path, till: ServerTill, other: Database) -> None:
    card = till.card(10_00)
    till.sale(card, 1_00)
    backup_shop(till.directory, tmp_path / "backup")
    with pytest.raises(ShopError) as raised:
        backup_shop(till.directory, tmp_path / "backup")
    assert raised.value.code == "exists"
    stranger = ServerTill(tmp_path / "stranger", 4)  # its journal begins in the same way, and then is another
    stranger.shop.close()
    place(tmp_path / "wrong", till, stranger.database)
    assert refused(tmp_path / "backup", tmp_path / "wrong", owner=stranger.database.owner) == "exists"
    Till(tmp_path / "stranger").sound()
    with sqlite3.connect(tmp_path / "backup" / "cardcore.db") as connection:
        connection.execute("DROP TRIGGER entry_no_update")
        connection.execute("UPDATE entry SET liability_fen = liability_fen + 1 WHERE id = (SELECT max(id) FROM entry)")
    connection.close()
    assert refused(tmp_path / "backup", tmp_path / "other", owner=other.owner) == "bad_chain"
    stranger.end()
