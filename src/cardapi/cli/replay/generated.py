"""Baskets from a seed, for where the data set is not installed: same table, same odd rows, nobody's purchases."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator

from cardapi.cli.replay.source import Source

BASKETS = 20_000
FIRST_AT = 1_483_228_800  # 2017-01-01 00:00:00 UTC
YEAR_S = 365 * 86_400


class Generated(Source):
    """`count` baskets of about one household in 60; the same seed gives the same baskets for ever."""

    key = "gen"
    title = "generated retail transactions"
    caveats = ("made from a seed: shaped like a grocer's year, they are nobody's purchases",)

    def __init__(self, seed: int = 1, count: int = BASKETS, most: int | None = None) -> None:
        """`most`: fill only the first so many in time order, which are the same whatever `most` is."""
        # The seed is in the ids, so that replays of two seeds never meet on one key.
        self.key = f"gen{seed}"
        database = sqlite3.connect(":memory:")
        database.execute(
            "CREATE TABLE line (basket_id INTEGER, household_id INTEGER, store_id INTEGER, at_s INTEGER, product_id INTEGER,"
            " quantity INTEGER, sales_fen INTEGER, retail_fen INTEGER, match_fen INTEGER, coupon_fen INTEGER)"
        )
        names = sorted(_names(random.Random(seed), count))[:most]  # noqa: S311 (baskets, not secrets)
        database.executemany("INSERT INTO line VALUES (?,?,?,?,?,?,?,?,?,?)", (row for name in names for row in _rows(seed, *name)))
        database.execute("CREATE INDEX line_basket ON line (basket_id)")
        database.commit()
        super().__init__(database)


def _names(chance: random.Random, count: int) -> Iterator[tuple[int, int, int, int]]:
    """(at, basket, household, store) of every basket."""
    households = max(3, count // 60)
    stores = max(2, households // 5)
    for basket in range(count):
        # A few households buy often, as everywhere; each keeps to a store or two.
        household = 1 + int(households * chance.random() ** 2)
        store = 1 + (household * 7 + chance.randrange(2)) % stores
        yield FIRST_AT + chance.randrange(YEAR_S), 1_000 + basket, household, store


def _rows(seed: int, at: int, basket: int, household: int, store: int) -> Iterator[tuple[int, ...]]:
    chance = random.Random(f"{seed}/{basket}")  # noqa: S311
    for product in sorted(chance.sample(range(1, 5_000), _line_count(chance))):
        yield (basket, household, store, at, product, *_values(chance))


def _line_count(chance: random.Random) -> int:
    return min(160, 1 + int(chance.expovariate(1 / 8)))


def _values(chance: random.Random) -> tuple[int, int, int, int, int]:
    """quantity, sales, retail discount, coupon match, coupon: mostly plain, with the odd rows of real tills."""
    kind = chance.random()
    if kind < 0.004:
        return 0, 0, 0, 0, 0  # scanned and taken off again
    if kind < 0.008:
        return 0, 0, 0, 0, chance.choice((50, 100, 200, 500))  # a coupon as a line of its own
    sales = chance.randrange(29, 1_200)
    retail = chance.randrange(5, sales) if chance.random() < 0.4 else 0
    if kind < 0.010:
        return 1, 0, retail or 99, 0, 0  # free with the loyalty card
    if kind < 0.025:
        coupon = chance.choice((25, 50, 75, 100, 400))
        return 1, sales, retail, chance.choice((0, coupon)), coupon
    return chance.choice((1, 1, 1, 1, 2, 3, 12_000)) if kind < 0.03 else 1, sales, retail, 0, 0
