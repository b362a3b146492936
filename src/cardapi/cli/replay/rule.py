"""What the data set does not have and a stored value replay needs: keys, and who tops up when (all of it declared here).

Everything is a function of the basket and the seed, so a replay that is stopped and started again says the same things
under the same keys: what was done already is answered from the journal, and nothing is done twice.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from cardapi.cli.replay.source import BasketName


class Rule(NamedTuple):
    """When a card is short of the next basket: this share of customers pays the shortfall in cash, the others top up first."""

    seed: int = 1
    cash_percent: int = 20
    step_fen: int = 50_00
    least_fen: int = 100_00

    def pays_cash(self, key: str) -> bool:
        """Whether this basket's customer pays a shortfall in cash: a seeded choice by the basket's key."""
        digest = hashlib.blake2b(f"{self.seed}/{key}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big") % 100 < self.cash_percent

    def topup_fen(self, shortfall_fen: int) -> int:
        """The fewest steps that cover the shortfall, and at least the smallest top-up."""
        return max(self.least_fen, -(-shortfall_fen // self.step_fen) * self.step_fen)

    def words(self) -> str:
        """The rule as printed with every result."""
        return (
            f"a card short of the next basket: {self.cash_percent} % of customers pay the shortfall in cash, the others first top up "
            f"in steps of ¥{self.step_fen // 100}, at least ¥{self.least_fen // 100}"
        )


def basket_key(source: str, name: BasketName) -> str:
    """The client key of a basket's ticket: ordered by time, one for each basket for ever."""
    return f"{source}-{name.at:010d}-{name.basket}"


def topup_key(key: str) -> str:
    """The client key of the top-up before that basket."""
    return f"{key}-topup"
