"""Checkpoints (A3, A4) and the data directory's lock (F3): a database that was cut, rolled back or forked does not serve.

An insider with the database but without the root secret is played out on copies of a whole data directory.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from cardapi.app import ShopError, create_shop, open_shop
from cardapi.custody import Custody, CustodyError
from cardapi.store.checkpoint import Checkpoint, Checkpointer, CheckpointError, CheckpointFile
from cardapi.store.port import Head
from cardapi.store.verify import verify
from tests.desk.till import Till


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    till = Till(tmp_path / "shop")
    till.card(5_00)
    till.shop.close()
    return tmp_path / "shop"


def refused(directory: Path) -> str:
    with pytest.raises(ShopError) as raised:
        open_shop(directory)
    return raised.value.code


def spend(directory: Path, fen: int) -> None:
    till = Till(directory)
    till.topup(till.card(), fen)
    till.shop.close()


def test_an_older_copy_put_back_is_refused(shop: Path) -> None:
    old = shop.parent / "old.db"
    shutil.copyfile(shop / "cardcore.db", old)
    spend(shop, 1_00)
    shutil.copyfile(old, shop / "cardcore.db")
    assert refused(shop) == "behind_checkpoint"


def test_a_fork_is_refused(shop: Path) -> None:
    """Same keys, same length, other history: the entry at the checkpoint has another mac."""
    fork = shop.parent / "fork"
    shutil.copytree(shop, fork)
    spend(shop, 1_00)
    spend(fork, 2_00)
    spend(fork, 3_00)
    shutil.copyfile(fork / "cardcore.db", shop / "cardcore.db")
    assert refused(shop) == "off_checkpoint"


def test_what_a_crash_left_is_signed_at_start(shop: Path) -> None:
    """A kill leaves entries after the newest checkpoint; the next start signs them before anything is sold."""
    file = shop / "checkpoints" / "checkpoints.jsonl"
    kept = file.read_bytes()
    spend(shop, 1_00)
    head = json.loads(file.read_bytes().splitlines()[-1])["position"]
    file.write_bytes(kept)  # as if the process had been killed before it could write
    open_shop(shop).close()
    assert json.loads(file.read_bytes().splitlines()[-1])["position"] == head


def test_a_lost_or_foreign_checkpoint_file_is_refused(shop: Path) -> None:
    file = shop / "checkpoints" / "checkpoints.jsonl"
    kept = file.read_bytes()
    file.unlink()
    assert refused(shop) == "no_checkpoint"
    file.write_bytes(b"")
    assert refused(shop) == "no_checkpoint"
    forged = json.loads(kept.splitlines()[-1]) | {"position": 1}
    file.write_bytes(kept + json.dumps(forged).encode() + b"\n")
    assert refused(shop) == "bad_checkpoint"
    file.write_bytes(kept + b"nonsense\n")
    assert refused(shop) == "bad_checkpoint"
    create_shop(shop.parent / "other", password="correct horse")
    file.write_bytes((shop.parent / "other" / "checkpoints" / "checkpoints.jsonl").read_bytes())
    assert refused(shop) == "bad_checkpoint"
    file.write_bytes(kept)
    open_shop(shop).close()


def test_a_line_torn_by_a_crash_is_dropped(shop: Path) -> None:
    file = shop / "checkpoints" / "checkpoints.jsonl"
    kept = file.read_bytes()
    file.write_bytes(kept + kept.splitlines()[-1] * 5)
    spend(shop, 1_00)
    assert file.read_bytes().startswith(kept)
    custody = Custody.load(shop / "secrets")
    assert len(list(CheckpointFile(file, custody.checkpoint_signer()).read())) == len(file.read_bytes().splitlines())


def test_sectors_that_a_power_cut_kept_from_the_disk_are_passed_over(shop: Path) -> None:
    """Of an append of many lines any sectors may be missing: each line that is whole counts, and those after it are still written."""
    file = shop / "checkpoints" / "checkpoints.jsonl"
    signed = CheckpointFile(file, Custody.load(shop / "secrets").checkpoint_signer())
    signed.append([Head(partition, 1, bytes(32), 0, 0) for partition in range(1, 8)])
    before = file.stat().st_size
    signed.append([Head(partition, 2, bytes(32), 0, 0) for partition in range(1, 8)])
    kept = file.read_bytes()
    sectors = range(before // 512, -(-len(kept) // 512))
    assert len(sectors) > 3
    for lost in range(1, 1 << len(sectors)):
        left = bytearray(kept)
        for bit, sector in enumerate(sectors):
            if lost >> bit & 1:
                start, end = max(before, 512 * sector), min(len(kept), 512 * (sector + 1))
                left[start:end] = bytes(end - start)
        file.write_bytes(left)
        whole = {msgspec.json.decode(line)["partition"] for line in left[before:].split(b"\n")[:-1] if line and b"\0" not in line}
        newest = {number: one.position for number, one in signed.newest().items() if number}
        assert newest == {partition: 2 if partition in whole else 1 for partition in range(1, 8)}
        signed.append([Head(9, 3, bytes(32), 0, 0)])
        assert signed.newest()[9].position == 3
        assert [one.partition for one in signed.read()][-1] == 9


def test_a_damaged_tail_is_refused(shop: Path) -> None:
    import sqlite3

    with sqlite3.connect(shop / "cardcore.db") as connection:
        connection.execute("DROP TRIGGER entry_no_update")
        connection.execute("UPDATE entry SET operator = 'someone else' WHERE id = (SELECT max(id) - 1 FROM entry)")
    connection.close()
    assert refused(shop) == "bad_chain"


def test_verify_holds_the_journal_to_every_checkpoint(shop: Path) -> None:
    with open_shop(shop) as opened:
        head = opened.desk.head
        lines = list(opened.checkpoints.read())
        assert verify(opened.store.reader(), opened.custody.chain_key, checkpoints=lines).ok
        for line in (
            Checkpoint(0, head.position, "00" * 32, head.liability_fen, 1),
            Checkpoint(0, head.position, head.mac.hex(), head.liability_fen + 1, 1),
            Checkpoint(0, head.position + 1, "00" * 32, 0, 1),
            Checkpoint(5, 1, "00" * 32, 0, 1),
        ):
            assert not verify(opened.store.reader(), opened.custody.chain_key, checkpoints=[line]).ok


def test_checkpoints_by_count_by_time_and_at_stop(tmp_path: Path) -> None:
    custody = Custody.create(tmp_path / "secrets")
    file = CheckpointFile(tmp_path / "checkpoints.jsonl", custody.checkpoint_signer())

    def errors(error: OSError) -> None:
        raise AssertionError(error)

    def positions() -> list[int]:
        return [line.position for line in file.read()] if file.path.exists() else []

    def wait(expected: list[int]) -> None:
        until = time.monotonic() + 10
        while positions() != expected and time.monotonic() < until:
            time.sleep(0.005)
        assert positions() == expected

    checkpointer = Checkpointer(file, errors, interval_s=3600, entries_max=1_000)
    checkpointer.start()
    checkpointer.committed([Head(0, 999, bytes(32), 0, 1)], 999)
    time.sleep(0.05)
    assert positions() == []
    checkpointer.committed([Head(0, 1_000, bytes(32), 0, 1)], 1)
    wait([1_000])
    checkpointer.committed([Head(0, 1_001, bytes(32), 0, 1)], 1)
    checkpointer.stop()
    assert positions() == [1_000, 1_001]
    timed = Checkpointer(file, errors, interval_s=0.02, entries_max=1_000)
    timed.start()
    timed.committed([Head(0, 1_002, bytes(32), 0, 1)], 1)
    wait([1_000, 1_001, 1_002])
    time.sleep(0.06)
    assert positions() == [1_000, 1_001, 1_002], "nothing new, nothing written"
    timed.stop()


def test_the_newest_is_found_in_a_long_file(tmp_path: Path) -> None:
    custody = Custody.create(tmp_path / "secrets")
    file = CheckpointFile(tmp_path / "checkpoints.jsonl", custody.checkpoint_signer())
    file.append([Head(0, n, bytes(32), n, 1) for n in range(1, 900)])
    assert file.newest()[0].position == 899
    assert file.path.stat().st_size > 1 << 17
    with pytest.raises(CheckpointError):
        list(CheckpointFile(file.path, Custody.create(tmp_path / "other").checkpoint_signer()).read())


def test_a_signature_covers_every_field(tmp_path: Path) -> None:
    custody = Custody.create(tmp_path / "secrets")
    file = CheckpointFile(tmp_path / "checkpoints.jsonl", custody.checkpoint_signer())
    file.append([Head(0, 5, bytes(32), 7, 1)])
    line = next(file.read())
    for name in line.__struct_fields__:
        value = getattr(line, name)
        changed = value + 1 if isinstance(value, int) else ("2" if value[0] == "1" else "1") + value[1:]
        file.path.write_bytes(msgspec.json.encode(msgspec.structs.replace(line, **{name: changed})) + b"\n")
        with pytest.raises(CheckpointError):
            file.newest()


def test_a_second_process_is_refused(shop: Path) -> None:
    with open_shop(shop):
        code = f"from cardapi.app import open_shop; open_shop({str(shop)!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode != 0
        assert "in use by process" in done.stderr
        with open_shop(shop, read_only=True) as beside:
            assert beside.store.counts()["entries"] > 0
    open_shop(shop).close()


def test_doorways_of_a_data_directory(tmp_path: Path, shop: Path) -> None:
    assert refused(tmp_path / "nowhere") == "absent"
    with pytest.raises(ShopError) as raised:
        create_shop(shop)
    assert raised.value.code == "exists"
    (shop / "settings.toml").write_text("queue_max = 'many'")
    assert refused(shop) == "settings"
    (shop / "settings.toml").write_text(f"checkpoints = '{shop.parent / 'elsewhere.jsonl'}'")
    assert refused(shop) == "no_checkpoint"
    (shop / "settings.toml").unlink()
    key = shop / "secrets" / "root.key"
    key.chmod(0o644)
    with pytest.raises(CustodyError, match="chmod 600"):
        open_shop(shop)
    key.chmod(0o600)
    assert key.stat().st_mode & 0o077 == 0
    key.write_bytes(bytes(32))
    assert refused(shop) == "bad_checkpoint"
    key.write_bytes(bytes(31))
    with pytest.raises(CustodyError, match="size"):
        open_shop(shop)
