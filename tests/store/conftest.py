"""The 300-entry ledger, made once, and copies of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardapi.custody import Custody
from cardapi.store.checkpoint import CheckpointFile
from cardapi.store.sqlite import SqliteStore
from cardapi.store.verify import Report, verify
from tests.store import ledger


class Copy:
    """A copy of the ledger with its store open, and what it takes to verify it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.custody = Custody.load(directory / "secrets")
        self.checkpoints = CheckpointFile(directory / "checkpoints" / "checkpoints.jsonl", self.custody.checkpoint_signer())
        self.store = SqliteStore(directory / "cardcore.db")

    def verify(self, *, checkpoints: bool = True) -> Report:
        return verify(self.store, self.custody.chain_key, checkpoints=self.checkpoints.read() if checkpoints else ())


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ledger") / "shop"
    ledger.build(directory)
    return directory


@pytest.fixture
def copy(master: Path, tmp_path: Path) -> Iterator[Copy]:
    shutil.copytree(master, tmp_path / "shop")
    copy = Copy(tmp_path / "shop")
    yield copy
    copy.store.close()
