"""Runs with the recorder preloaded: sales one by one and in batches, each told to the recorder once it is acknowledged; then ends
without closing anything, as at a power cut."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from cardapi.store import log, sqlite
from cardcore.settlement import Sale
from tests.desk.till import Till

SALES = 60
BATCHES, BATCH = 6, 40


def main(directory: Path, record: Path, synchronous: str, card: str) -> None:
    # A short log, so that it is lengthened, copied back and begun anew several times within the record.
    log.STEP_BYTES, log.LOG_BYTES, log.COMMITS_COPIED, log.LENGTHEN_AFTER = 1 << 16, 1 << 18, 2, 10
    sqlite.SETTINGS = tuple(setting.replace("= FULL", f"= {synchronous}") for setting in sqlite.SETTINGS)
    disk = ctypes.CDLL(None)
    disk.record_start(str(record).encode())
    till = Till(directory)

    def told(key: str, position: int) -> None:
        disk.record_mark(f"{key} {position}".encode())

    def request(key: str) -> object:
        return till.request("settle", card=card, key=key, meaning=key, command=Sale("settle", [(1, 1)]))

    for number in range(SALES):
        key = f"one-{number}"
        told(key, till.shop.desk.call(request(key)).position)  # type: ignore[arg-type]
        if number % 10 == 9:
            till.shop.checkpoints.append(till.shop.desk.heads)
    for batch in range(BATCHES):
        keys = [f"many-{batch}-{number}" for number in range(BATCH)]
        for key, entry in zip(keys, till.shop.desk.call_many([request(key) for key in keys]), strict=True):  # type: ignore[misc]
            told(key, entry.position)  # type: ignore[union-attr]
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4])
