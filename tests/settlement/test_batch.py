"""Goal: the batch over NumPy records decides exactly as `decide` does, one sale after another.

Method: random programmes' worth of cards and sales from a seed, decided both ways; figures, outcomes and the value left on
every card are compared. Records that no doorway has admitted are refused and change nothing.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from cardcore.errors import CardcoreError, Declined, InvalidCommand
from cardcore.money import AMOUNT_MAX
from cardcore.settlement import (
    BATCH_CODES,
    LINE_DTYPE,
    RESULT_DTYPE,
    SALE_DTYPE,
    Account,
    Adjust,
    Line,
    LotView,
    Programme,
    Sale,
    Settlement,
    Snapshot,
    TopUp,
    card_dtype,
    decide,
    decide_batch,
)

AT_US = 1_790_000_000_000_000
SLOTS = 8


def programme() -> Programme:
    """Two tiers, two discounts, points that are earned, deducted and redeemed, visits that cover, bonus on top-up."""
    every: dict[str, Any] = {"amount_min_fen": 0, "amount_max_fen": AMOUNT_MAX}
    return Programme({
        "name": "batch", "version": 1, "currency": "CNY", "digest": "", "utc_offset_s": 28_800, "stacking": "multiply",
        "rounding": "half_up", "step_fen": 1, "spend_order": "expiry",
        "card": {"member": True},
        "limits": {"balance_max_fen": AMOUNT_MAX, "topup_min_fen": 1, "topup_max_fen": AMOUNT_MAX, "topup_step_fen": 1, "transfer": True},
        "purses": [
            {"name": "bonus", "unit": "fen", "role": "bonus", "months": 12},
            {"name": "principal", "unit": "fen", "role": "principal"},
            {"name": "points", "unit": "points", "role": "points", "months": 36},
            {"name": "visits", "unit": "visits", "role": "entitlement", "covers": [0], "months": 6, "per_day": 3},
        ],
        "tiers": [{"name": "gold"}, {"name": "diamond", "points_min": 300, "spend_min_fen": 2_000_00}],
        "categories": ["massage", "food"],
        "rules": [
            {"name": "gold", "effect": "discount", "tiers": [0], "pay": 88, "of": 100, **every},
            {"name": "diamond", "effect": "discount", "tiers": [1], "pay": 8, "of": 10, **every},
            {"name": "food", "effect": "discount", "categories": [1], "pay": 19, "of": 20, **every},
            {"name": "top-up", "effect": "bonus", "purse": 0, "amount": 200_00, "per_fen": 1000_00, **every},
            {"name": "points", "effect": "accrue", "purse": 2, "amount": 1, "per_fen": 10_00, **every},
            {"name": "plus ten", "effect": "milestone", "purse": 2, "amount": 10, "earned_min": 20, **every},
            {"name": "pay", "effect": "deduct", "purse": 2, "units": 100, "worth_fen": 1_00, "max_share": (1, 2), **every},
            {"name": "gifts", "effect": "redeem", "purse": 2, "ladder": [(300, 100_00)], "every": (100, 50_00), **every},
        ],
        "products": [{"name": "ten", "price_fen": 880_00, "grants": [{"purse": 3, "amount": 10, "months": 6, "days": 0}]}],
    })  # fmt: skip


def funded(rng: random.Random, rules: Programme, number: int) -> Account:
    """An account after a few top-ups and adjustments."""
    account = Account(number)
    commands: list[Any] = [TopUp(rng.randrange(1, 1500_00))]
    if rng.random() < 0.5:
        commands.append(Adjust("points", rng.randrange(1, 2_000)))
    if rng.random() < 0.5:
        commands.append(TopUp(880_00, product="ten"))
    for position, command in enumerate(commands, 1):
        account.apply(decide(Snapshot(rules, account), command, AT_US), position)
    return account


def record(account: Account, cards: np.ndarray[Any, Any], index: int) -> None:
    """Write an account into its card record."""
    card = cards[index]
    card["account_id"], card["tier"], card["base_tier"] = account.account_id, account.tier, account.base_tier
    card["orders"], card["spend_fen"], card["points_earned"] = account.orders, account.spend_fen, account.points_earned
    card["n_lots"] = len(account.lots())
    card["next_lot"] = max((lot.lot_id for lot in account.lots()), default=0) + 1
    for slot, lot in enumerate(account.lots()):
        for name in ("lot_id", "amount", "expires_at", "paid_fen", "of_units", "purse", "used_on", "used_times"):
            card["lots"][slot][name] = getattr(lot, name)


def lots_of(card: Any) -> list[LotView]:
    """The lots of a card record, as `Account.lots` gives them."""
    return [LotView(*(int(card["lots"][slot][name]) for name in LotView._fields)) for slot in range(card["n_lots"])]


def random_line(rng: random.Random) -> Line:
    """Mostly ordinary lines, some special, covered or redeemed, some with the terminal's own discount and coupon."""
    kind = rng.random()
    amount_fen = rng.randrange(0, 300_00)
    if kind < 0.1:
        return Line(amount_fen, rng.randrange(1, 3), "massage", "", 16)
    if kind < 0.2:
        return Line(amount_fen, 1, "food", "", 2)
    return Line(
        amount_fen, rng.randrange(1, 4), rng.choice(["food", "massage", "", "other"]), "", rng.choice([0, 0, 1, 8]),
        counter_pay=rng.choice([8, 10, 10, 7]), counter_of=10, discount_fen=rng.choice([0, 0, 5]), coupon_fen=rng.choice([0, 0, 3]),
    )  # fmt: skip


def fill(rng: random.Random, rules: Programme, n_cards: int, n_sales: int) -> tuple[Any, Any, Any, list[tuple[int, Sale]]]:
    """Arrays of sales and lines, and the same sales as commands."""
    sales = np.zeros(n_sales, SALE_DTYPE)
    lines: list[tuple[int, ...]] = []
    commands: list[tuple[int, Sale]] = []
    for index in range(n_sales):
        ticket = [random_line(rng) for _ in range(rng.randrange(1, 5))]
        points, stored = rng.choice([0, 0, 100, -1, 50]), rng.choice([-1, -1, 20_00])
        shortfall, shortfall_max = rng.random() < 0.8, rng.choice([-1, -1, 10_00])
        card = rng.randrange(n_cards)
        sales[index] = (card, points, stored, shortfall_max, len(lines), len(ticket), shortfall, 0)
        lines.extend(
            (line.amount_fen, line.discount_fen, line.coupon_fen, line.quantity, rules.categories.get(line.category, -1), line.flags,
             line.counter_pay, line.counter_of, 0) for line in ticket
        )  # fmt: skip
        command = Sale("settle", ticket, points=points, stored_max_fen=stored, shortfall_tender="cash" if shortfall else "",
                       shortfall_max_fen=shortfall_max)  # fmt: skip
        commands.append((card, command))
    return sales, np.array(lines, LINE_DTYPE), np.zeros(n_sales, RESULT_DTYPE), commands


def outcome(rules: Programme, account: Account, command: Sale) -> tuple[Settlement | None, str]:
    """What the scalar doorway says: a settlement and "applied", or nothing and the name of the refusal."""
    try:
        return decide(Snapshot(rules, account), command, AT_US), "applied"
    except Declined as declined:
        return None, declined.declined_code
    except InvalidCommand as invalid:
        return None, invalid.detail


@pytest.mark.parametrize("seed", range(4))
def test_batch_decides_as_the_scalar_doorway(seed: int) -> None:
    rng = random.Random(seed)
    rules = programme()
    accounts = [funded(rng, rules, number + 1) for number in range(20)]
    cards = np.zeros(len(accounts), card_dtype(SLOTS))
    for index, account in enumerate(accounts):
        record(account, cards, index)
    sales, lines, results, commands = fill(rng, rules, len(accounts), 600)
    applied = decide_batch(rules, cards, sales, lines, results, AT_US)
    outcomes = {"applied": 0, "refused": 0}
    for index, (card, command) in enumerate(commands):
        account = accounts[card]
        result = results[index]
        code = BATCH_CODES[int(result["code"])]
        settlement, expected = outcome(rules, account, command)
        assert code == expected, f"seed {seed} sale {index}"
        if settlement is None:
            outcomes["refused"] += 1
            continue
        outcomes["applied"] += 1
        account.apply(settlement, index + 1)
        for name in ("gross_fen", "discount_fen", "coupon_fen", "covered_fen", "net_fen", "principal_fen", "bonus_fen", "points_fen",
                     "outside_fen", "points_used", "points_earned", "after_money_fen", "after_points"):  # fmt: skip
            assert result[name] == getattr(settlement, name), f"seed {seed} sale {index}: {name}"
        assert result["tier"] == account.tier
    assert applied == outcomes["applied"] > 100
    assert outcomes["refused"] > 50
    for index, account in enumerate(accounts):
        assert lots_of(cards[index]) == account.lots(), f"seed {seed} card {index}"
        for name in ("orders", "spend_fen", "points_earned", "tier"):
            assert cards[index][name] == getattr(account, name), f"seed {seed} card {index}: {name}"


@pytest.mark.parametrize(
    ("array", "field", "value"),
    [
        ("sales", "card", -1), ("sales", "card", 1), ("sales", "first_line", -1), ("sales", "first_line", 1), ("sales", "n_lines", 0),
        ("sales", "n_lines", 2), ("sales", "n_lines", 501), ("sales", "points", -2), ("lines", "amount_fen", -1),
        ("lines", "amount_fen", AMOUNT_MAX + 1), ("lines", "discount_fen", -1), ("lines", "coupon_fen", -1), ("lines", "quantity", 0),
        ("lines", "counter_of", 0), ("lines", "counter_pay", 11), ("lines", "flags", 32), ("cards", "n_lots", SLOTS + 1),
        ("cards", "tier", 2), ("cards", "owed_points", -1), ("cards", "next_lot", 1),
    ],
)  # fmt: skip
def test_a_record_outside_its_bounds_is_refused_and_changes_nothing(array: str, field: str, value: int) -> None:
    rules = programme()
    cards = np.zeros(1, card_dtype(SLOTS))
    record(funded(random.Random(1), rules, 1), cards, 0)
    sales = np.array([(0, 0, -1, -1, 0, 1, 1, 0)], SALE_DTYPE)
    lines = np.array([(1000, 0, 0, 1, -1, 0, 10, 10, 0)], LINE_DTYPE)
    results = np.zeros(1, RESULT_DTYPE)
    {"sales": sales, "lines": lines, "cards": cards}[array][field][0] = value
    before = cards.copy()
    assert decide_batch(rules, cards, sales, lines, results, AT_US) == 0
    assert BATCH_CODES[int(results["code"][0])] == "bad_record"
    assert cards.tobytes() == before.tobytes()


@pytest.mark.parametrize(("field", "value"), [("purse", 4), ("amount", -1), ("amount", AMOUNT_MAX + 1), ("lot_id", 0), ("lot_id", 2)])
def test_a_lot_outside_its_bounds_is_refused_and_changes_nothing(field: str, value: int) -> None:
    rules = programme()
    cards = np.zeros(1, card_dtype(SLOTS))
    account = Account(1)
    commands: list[Any] = [TopUp(1_000_00), Adjust("points", 500)]
    for position, command in enumerate(commands, 1):
        account.apply(decide(Snapshot(rules, account), command, AT_US), position)
    record(account, cards, 0)
    assert cards["lots"]["lot_id"][0, :2].tolist() == [1, 2]
    sales = np.array([(0, 0, -1, -1, 0, 1, 1, 0)], SALE_DTYPE)
    lines = np.array([(1000, 0, 0, 1, -1, 0, 10, 10, 0)], LINE_DTYPE)
    results = np.zeros(1, RESULT_DTYPE)
    good = cards.copy()
    assert decide_batch(rules, cards, sales, lines, results, AT_US) == 1
    cards[:] = good
    cards["lots"][field][0, 0] = value
    before = cards.copy()
    assert decide_batch(rules, cards, sales, lines, results, AT_US) == 0
    assert BATCH_CODES[int(results["code"][0])] == "bad_record"
    assert cards.tobytes() == before.tobytes()


def test_a_card_record_without_room_for_a_new_lot_is_refused_and_unchanged() -> None:
    rules = programme()
    cards = np.zeros(1, card_dtype(1))
    account = Account(1)
    account.apply(decide(Snapshot(rules, account), TopUp(500_00), AT_US), 1)
    record(account, cards, 0)
    sales = np.array([(0, 0, -1, -1, 0, 1, 0, 0)], SALE_DTYPE)
    lines = np.array([(100_00, 0, 0, 1, -1, 0, 10, 10, 0)], LINE_DTYPE)
    results = np.zeros(1, RESULT_DTYPE)
    before = cards.copy()
    assert decide_batch(rules, cards, sales, lines, results, AT_US) == 0
    assert BATCH_CODES[int(results["code"][0])] == "lots_full"
    assert cards.tobytes() == before.tobytes()


def test_arrays_of_another_shape_or_dtype_are_refused() -> None:
    rules = programme()
    good = (np.zeros(2, card_dtype(2)), np.zeros(2, SALE_DTYPE), np.zeros(2, LINE_DTYPE), np.zeros(2, RESULT_DTYPE))
    bad: list[tuple[int, Any]] = [
        (0, np.zeros(2)), (1, np.zeros(2, LINE_DTYPE)), (1, np.zeros((2, 2), SALE_DTYPE)), (2, np.zeros(4, LINE_DTYPE)[::2]),
        (3, np.zeros(1, RESULT_DTYPE)), (3, [0, 0]),
    ]  # fmt: skip
    for place, array in bad:
        arrays = [*good]
        arrays[place] = array
        with pytest.raises(CardcoreError):
            decide_batch(rules, arrays[0], arrays[1], arrays[2], arrays[3], AT_US)
