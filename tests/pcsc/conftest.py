"""Fixtures of the PC/SC suites: the real pcscd with virtual readers, one suite of the machine at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cardapi.pcsc.offline import Till
from firmware_sim import build
from firmware_sim.card import Card
from firmware_sim.pcscd import Pcscd
from tests.pcsc import daemon
from tests.pcsc.daemon import Daemon
from tests.pcsc.near import NearModule, now
from tests.support import IN_CI


@pytest.fixture(scope="module")
def pcscd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """The service; skips loudly without, fails in CI."""
    daemon.needs_pcsc()
    with daemon.service(tmp_path_factory.mktemp("pcscd")) as running:
        yield running


@pytest.fixture
def own_pcscd(pcscd: Daemon) -> Pcscd:
    """A service that may be killed and given other readers."""
    reason = "a pcscd that is not ours runs: systemctl stop pcscd.socket pcscd, so that one can be killed"
    if pcscd.service is not None:
        return pcscd.service
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def sam() -> Card:
    """The purchase module of a till."""
    return build.purchase_sam()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the till writes its batch."""
    return tmp_path / "today.ccb"


@pytest.fixture
def till(sam: Card, path: Path) -> Iterator[Till]:
    """A till off line."""
    with Till(NearModule(sam), path, now()) as made:
        yield made
