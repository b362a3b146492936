"""Backup beside a running service and restore through reconciliation (U, F6): nothing older comes back unnoticed."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from cardapi.app import ShopError, create_shop, open_shop
from cardapi.copies import backup_shop, restore_shop
from cardapi.desk import Desk
from cardapi.store.backup import set_aside
from tests.desk.till import Till


@pytest.fixture
def till(tmp_path: Path) -> Till:
    till = Till(tmp_path / "shop")
    till.card(50_00)
    return till


def refused(source: Path, directory: Path, **options: Any) -> str:
    with pytest.raises(ShopError) as raised:
        restore_shop(source, directory, **options)
    return raised.value.code


def test_a_backup_taken_under_load_is_whole(till: Till, tmp_path: Path) -> None:
    card = till.card(100_00)
    ended = threading.Event()

    def load() -> None:
        while not ended.is_set():
            till.sale(card, 1)

    seller = threading.Thread(target=load)
    seller.start()
    told: list[tuple[int, int]] = []
    made = [backup_shop(till.directory, tmp_path / f"backup-{n}", lambda done, total: told.append((done, total))) for n in range(3)]
    ended.set()
    seller.join()
    head = till.shop.desk.head
    till.shop.close()
    assert told
    positions: list[Any] = [done["position"] for done in made]
    assert positions[0] <= positions[1] <= positions[2] <= head.position
    other = tmp_path / "other"
    shutil.copytree(till.directory / "secrets", other / "secrets")
    restored = restore_shop(tmp_path / "backup-1", other)
    assert (restored["position"], restored["lost_upto"]) == (made[1]["position"], 0)
    again = Till(other)
    again.sound()
    again.shop.close()


def test_the_root_secret_is_not_in_a_backup(till: Till, tmp_path: Path) -> None:
    backup_shop(till.directory, tmp_path / "backup")
    secret = (till.directory / "secrets" / "root.key").read_bytes()
    files = [path for path in (tmp_path / "backup").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"cardcore.db", "checkpoints.jsonl"}
    assert all(secret not in path.read_bytes() for path in files)
    till.shop.close()


def test_an_older_backup_is_refused_unless_reconciled(till: Till, tmp_path: Path) -> None:
    position = backup_shop(till.directory, tmp_path / "backup")["position"]
    lost = till.card(7_00)
    head = till.shop.desk.head.position
    till.shop.close()
    assert refused(tmp_path / "backup", till.directory) == "behind_checkpoint"
    Till(till.directory).shop.close()  # a refusal changes nothing
    done = restore_shop(tmp_path / "backup", till.directory, reconcile=True)
    assert (done["position"], done["lost_after"], done["lost_upto"]) == (position, position, head)
    assert Path(str(done["set_aside"])).exists()
    again = Till(till.directory)
    again.sound()
    assert again.shop.registry.document("reconciliation", f"{position}-{head}") is not None
    assert again.problem("settle", card=lost) == "unknown_card"
    again.card(1_00)
    again.reopen()
    again.sound()
    again.shop.close()


def test_a_restore_can_be_repeated(till: Till, tmp_path: Path) -> None:
    backup_shop(till.directory, tmp_path / "backup")
    till.card(7_00)
    till.shop.close()
    first = restore_shop(tmp_path / "backup", till.directory, reconcile=True)
    second = restore_shop(tmp_path / "backup", till.directory, reconcile=True)
    assert second["position"] == first["position"]
    assert first["set_aside"] != second["set_aside"], "evidence was written over"
    again = Till(till.directory)
    again.sound()
    again.shop.close()


@pytest.mark.parametrize("left", ["cardcore.db", "cardcore.db.restoring"])
def test_a_log_left_by_a_killed_restore_is_not_read_into_the_copy(till: Till, tmp_path: Path, left: str) -> None:
    """The log of a shop that went on is left where the restored database will lie, as a kill between two steps leaves it."""
    backup_shop(till.directory, tmp_path / "backup")
    position = till.shop.desk.head.position
    other = tmp_path / "other"
    shutil.copytree(till.directory / "secrets", other / "secrets")
    till.card(70_00)
    log = (till.directory / "cardcore.db-wal").read_bytes()
    assert log
    (other / f"{left}-wal").write_bytes(log)
    assert restore_shop(tmp_path / "backup", other)["position"] == position
    again = Till(other)
    assert again.start == position
    again.sound()
    again.shop.close()


def test_a_database_is_set_aside_before_its_log(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after any of its steps, no database is left that lacks its log."""
    till.shop.close()
    database = till.directory / "cardcore.db"
    database.with_name("cardcore.db-wal").write_bytes(b"log")
    steps: list[tuple[bool, bool]] = []
    rename = Path.rename

    def watched(path: Path, target: Path) -> Path:
        done = rename(path, target)
        steps.append((database.exists(), database.with_name("cardcore.db-wal").exists()))
        return done

    monkeypatch.setattr(Path, "rename", watched)
    aside = set_aside(database)
    assert aside is not None
    assert steps == [(False, True), (False, False)]
    assert set_aside(database) is None


def test_a_damaged_or_foreign_backup_is_refused(till: Till, tmp_path: Path) -> None:
    import sqlite3

    backup_shop(till.directory, tmp_path / "backup")
    till.shop.close()
    with sqlite3.connect(tmp_path / "backup" / "cardcore.db") as connection:
        connection.execute("DROP TRIGGER entry_no_update")
        connection.execute("UPDATE entry SET reason = 'changed' WHERE id = 3")
    connection.close()
    assert refused(tmp_path / "backup", till.directory) == "bad_chain"
    create_shop(tmp_path / "stranger", password="correct horse")
    stranger = Till(tmp_path / "stranger")
    for _ in range(20):
        stranger.card()
    backup_shop(stranger.directory, tmp_path / "foreign")
    stranger.shop.close()
    assert refused(tmp_path / "foreign", till.directory) == "bad_chain"
    assert refused(tmp_path / "nothing", till.directory) == "absent"
    open_again = Till(till.directory)
    open_again.sound()
    open_again.shop.close()


def test_doorways(till: Till, tmp_path: Path) -> None:
    backup_shop(till.directory, tmp_path / "backup")
    with pytest.raises(ShopError) as raised:
        backup_shop(till.directory, tmp_path / "backup")
    assert raised.value.code == "exists"
    assert refused(tmp_path / "backup", till.directory) == "locked"
    till.shop.close()


@pytest.mark.parametrize("step", ["Custody.create", "stores.make", "CheckpointFile.append", "Desk.call", "Path.unlink"])
def test_making_a_shop_can_be_killed_and_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Each step runs, then the process is gone; nothing half made opens, and the second try makes a whole shop."""
    from cardapi import app

    owner_name, name = step.split(".")
    owner = {"Path": Path, "Desk": Desk}.get(owner_name) or getattr(app, owner_name)
    run = getattr(owner, name)

    def killed(*given: Any, **named: Any) -> Any:
        if step != "Path.unlink":  # of the mark itself: the last step, killed before it
            run(*given, **named)
        raise KeyboardInterrupt

    directory = tmp_path / "new"
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with pytest.raises(KeyboardInterrupt):
            create_shop(directory)
    with pytest.raises(ShopError) as raised:
        open_shop(directory)
    assert raised.value.code == "absent"
    made = create_shop(directory, password="the second one")
    assert made["password"] == "the second one"
    with open_shop(directory) as shop:
        assert shop.registry.operator("admin") is not None
        assert shop.desk.head.position == 2
    with pytest.raises(ShopError) as raised:
        create_shop(directory)
    assert raised.value.code == "exists"
