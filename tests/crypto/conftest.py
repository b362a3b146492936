"""CARDCORE_DES=avx2 CARDCORE_AES=cryptography pytest tests/crypto: the whole room on the backends named, where a test names none."""

from __future__ import annotations

import os

from cardcore.crypto import force


def pytest_configure() -> None:
    for family in ("des", "aes"):
        if forced := os.environ.get(f"CARDCORE_{family.upper()}"):
            force(family, forced)
