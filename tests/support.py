"""What suites share: the size of a run, and naming what a suite needs from the system."""

from __future__ import annotations

import os
import shutil

import pytest

LONG = os.environ.get("CARDCORE_LONG") == "1"
ON_SERVER = os.environ.get("CARDCORE_TEST_STORE", "embedded") == "postgres"  # where the shops of the suites are (tests.shops)
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}


def sized(quick: int, long: int) -> int:
    """How many times a random or crash suite runs: `quick` in `make test`, `long` in `make test-long`."""
    return long if LONG else quick


def needs(program: str, package: str) -> None:
    """Skip the calling suite when a system program is missing, saying how to install it. In CI it must be there: the suite fails."""
    if shutil.which(program):
        return
    reason = f"needs {program}: apt-get install {package}"
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)
