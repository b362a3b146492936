"""The what-if report: what a pack would have cost, owed, and done for each holder, beside what happened or beside another pack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from cardapi.whatif.tally import CardTally, Tally, plain, point_worth
from cardcore.settlement import Account, Programme

BANDS_FEN = (-100_00, -10_00, 0, 10_00, 100_00)
TOP = 10


class Side(NamedTuple):
    """A shop at the end of the window, as it was or as it would have been."""

    name: str
    programme: Programme  # by which points are valued and tiers named
    tally: Tally
    accounts: dict[int, Account]


def side(shop: Side, cards: Iterable[int], at: int) -> dict[str, Any]:
    """Totals, cost, liability and tiers of one side; `cards` are the accounts of the report, `at` the end of the window."""
    worth, how = point_worth(shop.programme)
    totals = plain(shop.tally)
    points_fen = totals["points_given"] * worth.numerator // worth.denominator
    cost = totals["pack_discount_fen"] + totals["value_given_fen"] + points_fen
    held = [account for account in cards if account in shop.accounts]
    outstanding = sum(_points(shop, account, at) for account in held)
    tiers = Counter(shop.programme.tiers[shop.accounts[account].tier] for account in held)
    misses = shop.tally.not_replayed
    return {
        "name": shop.name,
        "cost": {
            "discount_fen": totals["pack_discount_fen"], "value_fen": totals["value_given_fen"], "points_fen": points_fen,
            "total_fen": cost, "share_of_sales": share(cost, totals["net_fen"]), "given": totals["given"],
        },
        "points": {"given": totals["points_given"], "used": totals["points_used"], "worth": f"{worth}", "worth_by": how},
        "liability": {
            "money_fen": sum(_money(shop, account, at) for account in held), "points": outstanding,
            "points_fen": outstanding * worth.numerator // worth.denominator,
        },
        "tiers": {name: tiers[name] for name in shop.programme.tiers},
        "moves": [{"from": before, "to": after, "times": times} for (before, after), times in sorted(shop.tally.tiers.items())],
        "not_replayed": [
            {"what": why, "times": times, "amount_fen": shop.tally.not_replayed_fen[why]} for why, times in sorted(misses.items())
        ],
        "totals": totals,
    }  # fmt: skip


def compare(base: Side, other: Side, number_of: Callable[[int], str]) -> dict[str, Any]:
    """Who gains and who loses by `other` in place of `base`: what each pack was worth to each card. `number_of` names a card."""
    one, two = point_worth(base.programme)[0], point_worth(other.programme)[0]
    differences = []
    for account in sorted(base.tally.cards.keys() | other.tally.cards.keys()):
        before, after = base.tally.cards.get(account, CardTally()), other.tally.cards.get(account, CardTally())
        differences.append((after.benefit_fen(two) - before.benefit_fen(one), account, after.tickets))
    gains = sorted((row for row in differences if row[0] > 0), reverse=True, key=lambda row: (row[0], -row[1]))
    losses = sorted(row for row in differences if row[0] < 0)
    return {
        "gain": len(gains), "lose": len(losses), "same": len(differences) - len(gains) - len(losses),
        "sum_fen": sum(row[0] for row in differences),
        "bands": bands([row[0] for row in differences]),
        "top_gains": [_row(row, number_of) for row in gains[:TOP]],
        "top_losses": [_row(row, number_of) for row in losses[:TOP]],
    }  # fmt: skip


def bands(differences: list[int]) -> list[dict[str, Any]]:
    """How many holders lie in each band of difference; those with none have their own."""
    names = [f"loses ¥{-low // 100} or more" for low in BANDS_FEN[:1]]
    counts = [sum(1 for fen in differences if fen <= BANDS_FEN[0])]
    edges = [(BANDS_FEN[0], BANDS_FEN[1]), (BANDS_FEN[1], 0)]
    for low, high in edges:
        names.append(f"loses ¥{-high // 100} to ¥{-low // 100}")
        counts.append(sum(1 for fen in differences if low < fen <= high and fen < 0))
    names.append("the same")
    counts.append(sum(1 for fen in differences if fen == 0))
    for low, high in ((0, BANDS_FEN[3]), (BANDS_FEN[3], BANDS_FEN[4])):
        names.append(f"gains ¥{low // 100} to ¥{high // 100}")
        counts.append(sum(1 for fen in differences if low <= fen < high and fen > 0))
    names.append(f"gains ¥{BANDS_FEN[4] // 100} or more")
    counts.append(sum(1 for fen in differences if fen >= BANDS_FEN[4]))
    return [{"band": name, "cards": count} for name, count in zip(names, counts, strict=True)]


def share(part: int, whole: int) -> str:
    """A share in percent with two decimals, rounded down towards nothing; "-" of nothing."""
    if whole <= 0:
        return "-"
    hundredths = abs(part) * 10_000 // whole
    return f"{'-' if part < 0 else ''}{hundredths // 100}.{hundredths % 100:02d} %"


def _row(row: tuple[int, int, int], number_of: Callable[[int], str]) -> dict[str, Any]:
    return {"card": number_of(row[1]), "difference_fen": row[0], "tickets": row[2]}


def _money(shop: Side, account_id: int, at: int) -> int:
    """What the shop owes one holder in money: spendable, held, on the card and under way."""
    account = shop.accounts[account_id]
    held = sum(hold.amount_fen for hold in account.holds()) + sum(flight.amount_fen for flight in account.flights())
    return account.money_fen(shop.programme, at) + held + account.on_card_fen


def _points(shop: Side, account_id: int, at: int) -> int:
    roles = shop.programme.purse_roles
    return shop.accounts[account_id].balance(roles.index("points"), at) if "points" in roles else 0
