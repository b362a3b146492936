"""Episodes: a few cards under random or shipped programmes live through a run of commands from one seed."""

from __future__ import annotations

from pathlib import Path
from random import Random

from cardcore import settlement as core
from cardcore.settlement import pack
from tests.oracle.model import COUPON
from tests.oracle.packs import random_pack
from tests.oracle.pair import Pair
from tests.oracle.workload import step

START_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
KNOWN = {
    "discount", "accrue", "milestone", "step", "bonus", "deduct", "redeem", "rebate", "gift", "cap", "promote", "score",
    "period", "draw",
}  # fmt: skip
"""Effects that the oracle decides, too, and takes back with what gave them."""


def unknown(text: str) -> set[str]:
    """The words of a pack that the oracle does not know."""
    return {rule["effect"] for rule in pack.normalise(text)["rules"]} - KNOWN


SCHEMES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parents[2] / "schemes").glob("*.toml"))}


def episode(seed: int, steps: int = 60, cards: int = 3, *, given: bool = False) -> Pair:
    """Run one episode, `given` with coupons and gifts all over; any difference raises AssertionError naming the seed and the step."""
    choose = Random(seed)
    if given or choose.random() < 0.8:
        texts = [random_pack(choose, given=given), random_pack(choose, given=given)]
    else:
        texts = choose.sample(sorted(SCHEMES.values()), 2)
    pair = Pair([pack.normalise(text) for text in texts], cards, START_US + choose.randrange(10**15))
    for number in range(steps):
        try:
            step(choose, pair)
        except AssertionError as difference:
            raise AssertionError(f"seed {seed}, step {number}: {difference}") from difference
    return pair


def invariants(pair: Pair) -> None:
    """What must hold of the whole run, whatever the oracle thinks: M1, M3, M7, M10, P1."""
    folded = {account.account_id: core.Account(account.account_id) for account in pair.core}
    for position, settlement in pair.journal:
        assert all(posting.amount >= 0 for posting in settlement.postings())
        for account in folded.values():
            account.apply(settlement, position)
    for account in pair.core:
        assert folded[account.account_id].pack() == account.pack(), "a balance is not the fold of the journal (M3)"
        assert all(lot.amount > 0 for lot in account.lots()), "an empty or negative lot (M4, M7)"
    ledger: dict[tuple[str, str], int] = {}
    for _, settlement in pair.journal:
        for posting in settlement.postings():
            for side, sign in ((posting.source, -1), (posting.target, 1)):
                ledger[posting.unit, side] = ledger.get((posting.unit, side), 0) + sign * posting.amount
    for unit in ("fen", "points", "visits", "coupon", "gift"):
        assert sum(amount for (kind, _), amount in ledger.items() if kind == unit) == 0, "the ledger does not sum to zero (M1)"
    units = {index: programme["purses"] for index, programme in enumerate(pair.rules)}
    for unit in ("fen", "points", "visits", "coupon"):
        lots = sum(
            lot.amount
            for index, account in enumerate(pair.core)
            for lot in account.lots()
            if ("coupon" if lot.purse >= COUPON else units[index][lot.purse]["unit"]) == unit
        )
        assert ledger.get((unit, "customer"), 0) == lots, f"{unit}: the customers' account is not the sum of lots (M7, P1)"
    deferred = 0  # what was paid for visits and passes that nobody has used yet
    for mine in pair.mine.values():
        rules = pair.rules[mine.account_id - 1]["purses"]
        left = [(lot, lot.amount) for lot in mine.lots.values()]
        left += [(part.lot, part.units) for hold in mine.holds.values() for part in hold.parts if part.kind == "cover" and part.lot]
        deferred += sum(
            lot.paid_fen // lot.of_units * units for lot, units in left if rules[lot.purse]["role"] == "entitlement" and lot.of_units
        )
    assert ledger.get(("fen", "deferred"), 0) == deferred, "deferred income is not the value of what is left to use (M12)"
    money = sum(ledger.get(("fen", place), 0) for place in ("customer", "held", "on_card", "in_flight"))
    assert money == pair.liability, "the liability is not the customers' money (M10)"
