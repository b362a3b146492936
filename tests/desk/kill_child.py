"""A shop under load in a process of its own, to be killed: says which keys were acknowledged, one line each, over a pipe."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path
from typing import Any

from cardapi.app import open_shop
from cardapi.desk import Request, writer
from cardcore.settlement import Sale

THREADS = 8


def run(directory: Path, card: str, first: int, retry: list[str], end: Any) -> None:
    """Send what was not acknowledged before the last kill again, then sales with keys from `first` on, until killed."""
    writer.PART = 2  # of eight callers' sales: the store writes while others are decided
    pipe = end.detach()
    shop = open_shop(directory)
    numbers = itertools.count(first)
    again = iter(retry)
    lock = threading.Lock()

    def till() -> None:
        while True:
            with lock:
                key = next(again, "") or str(next(numbers))
            # A line shorter than PIPE_BUF is written whole; "?" says that the key was sent, "!" that it was acknowledged.
            os.write(pipe, f"?{key}\n".encode())
            entry = shop.desk.call(Request("settle", "terminal:t1", key, bytes(16), card=card, command=Sale("settle", [(1, 1)])))
            os.write(pipe, f"!{key} {entry.position}\n".encode())

    threads = [threading.Thread(target=till) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
