"""Fixtures of the PC/SC suites: the real pcscd with virtual readers, one suite of the machine at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from firmware_sim.pcscd import Pcscd
from tests.pcsc import daemon
from tests.pcsc.daemon import Daemon
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
