"""A process of a shop on the server store under load, to be killed: says which keys were acknowledged, one line each, over a pipe."""

from __future__ import annotations

import itertools
import os
import random
import threading
from pathlib import Path
from typing import Any

from cardapi.app import open_shop
from cardapi.desk import Problem, Request
from cardcore.settlement import Sale, Transfer

THREADS = 6


def run(directory: Path, cards: list[str], name: str, retry: list[str], end: Any) -> None:
    """Send what was not acknowledged before again, then sales of 1 fen and transfers with fresh keys, until killed.

    A key says what it does: `<name>:<n>:<card>` a sale, `<name>:<n>:<card>:<to>` a transfer.
    """
    pipe = end.detach()
    shop = open_shop(directory)
    numbers = itertools.count(1)
    again = iter(retry)
    lock = threading.Lock()
    rng = random.Random(name)

    def fresh() -> str:
        one, two = rng.sample(cards, 2)
        return f"{name}:{next(numbers)}:{one}" + (f":{two}" if rng.random() < 0.3 else "")

    def till() -> None:
        while True:
            with lock:
                key = next(again, "") or fresh()
            os.write(pipe, f"?{key}\n".encode())
            _, _, card, *to = key.split(":")
            command = Transfer(7) if to else Sale("settle", [(1, 1)])
            request = Request("transfer" if to else "settle", "terminal:t1", key, bytes(16), card=card, further=tuple(to), command=command)
            try:
                entry = shop.desk.call(request)
            except Problem:
                os._exit(3)  # the store failed under us: nothing is acknowledged any more
            os.write(pipe, f"!{key} {entry.partition}:{entry.position}:{entry.outcome}\n".encode())

    threads = [threading.Thread(target=till) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
