"""Goal: rows become tickets without losing a cent, in time order. Method: SQL sums against the tickets, and odd rows by hand."""

from __future__ import annotations

import sqlite3

import pytest

from cardapi.cli.replay.generated import Generated
from cardapi.cli.replay.journey import Journey, find
from cardapi.cli.replay.rule import Rule, basket_key, topup_key
from cardapi.cli.replay.source import QUANTITY_MAX, BasketName, Source, Totals


def table(*rows: tuple[int, ...]) -> Source:
    """A source of (basket, household, store, at, product, quantity, sales, retail, match, coupon) rows."""
    database = sqlite3.connect(":memory:")
    database.execute(
        "CREATE TABLE line (basket_id, household_id, store_id, at_s, product_id, quantity, sales_fen, retail_fen, match_fen, coupon_fen)"
    )
    database.executemany("INSERT INTO line VALUES (?,?,?,?,?,?,?,?,?,?)", rows)
    return Source(database)


def sent(source: Source, limit: int | None = None) -> Totals:
    """The control totals of what would be sent."""
    baskets = list(source.baskets(limit))
    lines = [line for basket in baskets for line in basket.lines]
    assert all(line.amount_fen - line.discount_fen - line.coupon_fen >= 0 for line in lines)
    assert all(1 <= line.quantity <= QUANTITY_MAX for line in lines)
    for basket in baskets:
        assert basket.net_fen == sum(line.amount_fen - line.discount_fen - line.coupon_fen for line in basket.lines)
    return Totals(
        len(baskets), len(lines), sum(line.amount_fen for line in lines), sum(line.discount_fen for line in lines),
        sum(line.coupon_fen for line in lines), sum(basket.net_fen for basket in baskets), sum(basket.lapsed_fen for basket in baskets),
    )  # fmt: skip


def test_a_plain_row():
    source = table((1, 7, 3, 100, 11, 2, 355, 178, 45, 55))
    (basket,) = source.baskets()
    (line,) = basket.lines
    assert (line.amount_fen, line.discount_fen, line.coupon_fen) == (355 + 178 + 45, 178 + 45, 55)
    assert (line.quantity, line.sku, basket.net_fen) == (2, "11", 300)
    assert basket.name == BasketName(100, 1, 7, 3)


def test_a_coupon_line_is_spread_over_the_basket():
    source = table((1, 7, 3, 100, 11, 1, 150, 0, 0, 0), (1, 7, 3, 100, 12, 0, 0, 0, 0, 200), (1, 7, 3, 100, 13, 1, 300, 0, 0, 20))
    (basket,) = source.baskets()
    assert [line.coupon_fen for line in basket.lines] == [150, 0, 70]
    assert (basket.net_fen, basket.lapsed_fen) == (230, 0)
    assert basket.lines[1].quantity == 1


def test_coupons_beyond_the_basket_lapse():
    source = table((1, 7, 3, 100, 11, 1, 150, 0, 0, 0), (1, 7, 3, 100, 12, 0, 0, 0, 0, 200))
    (basket,) = source.baskets()
    assert (basket.net_fen, basket.lapsed_fen) == (0, 50)
    assert source.totals() == sent(source)
    assert source.totals().lapsed_fen == 50


def test_a_basket_without_value_is_a_ticket():
    source = table((1, 7, 3, 100, 11, 0, 0, 0, 0, 0))
    assert source.totals() == Totals(1, 1, 0, 0, 0, 0, 0) == sent(source)


def test_order_and_limit():
    rows = [(basket, 7, 3, at, 11, 1, 100, 0, 0, 0) for basket, at in ((5, 300), (6, 100), (4, 300), (9, 200))]
    source = table(*rows)
    assert [basket.name.basket for basket in source.baskets()] == [6, 9, 4, 5]
    assert [name.basket for name in source.index(2)] == [6, 9]
    assert source.totals(2).tickets == 2
    assert [basket.name for basket in source.baskets(3)] == source.index(3)


@pytest.mark.parametrize("limit", [None, 1, 137])
def test_generated_sums(limit: int | None):
    source = Generated(5, 400)
    assert source.totals(limit) == sent(source, limit)
    assert [basket.name for basket in source.baskets(limit)] == source.index(limit)


def test_a_generated_part_is_the_first_of_the_whole():
    whole, part = Generated(5, 400), Generated(5, 400, most=60)
    assert list(part.baskets()) == list(whole.baskets(60))
    assert part.totals() == whole.totals(60)


def test_generated_baskets_are_odd_enough_and_the_same_again():
    source = Generated(5, 1_500)
    totals = source.totals()
    assert totals.tickets == 1_500
    assert totals.coupon_fen > 0
    assert totals.discount_fen > 0
    assert list(source.baskets(50)) == list(Generated(5, 1_500).baskets(50))
    assert list(source.baskets(50)) != list(Generated(6, 1_500).baskets(50))
    lines = [line for basket in source.baskets() for line in basket.lines]
    assert any(line.amount_fen == 0 for line in lines)
    assert any(line.amount_fen == line.discount_fen > 0 for line in lines)
    assert max(line.quantity for line in lines) > 1_000


@pytest.mark.skipif(find() is None, reason="needs the data set: pip install 'cardcore[bench]'")
def test_the_published_set_sums():
    source = Journey()
    totals = source.totals()
    # Figures of the data set itself: 1,469,307 rows, sales_value 4,596,039.58, coupon_disc 26,359.90
    assert (totals.tickets, totals.lines) == (155_848, 1_469_307)
    assert totals.gross_fen - totals.discount_fen == 4_596_039_58
    assert totals.coupon_fen + totals.lapsed_fen == 26_359_90
    assert totals.net_fen == totals.gross_fen - totals.discount_fen - totals.coupon_fen
    assert source.totals(3_000) == sent(source, 3_000)


def test_keys_grow_with_time():
    keys = [basket_key("cj", BasketName(at, 5, 1, 1)) for at in (9, 1_483_271_606, 1_514_779_280)]
    assert keys == sorted(keys)
    assert topup_key(keys[0]).startswith(keys[0])


def test_the_topup_rule():
    rule = Rule(seed=1)
    assert [rule.topup_fen(short) for short in (1, 100_00, 100_01, 501_23)] == [100_00, 100_00, 150_00, 550_00]
    keys = [f"cj-{number}" for number in range(5_000)]
    share = sum(rule.pays_cash(key) for key in keys)
    assert 900 < share < 1_100
    assert share == sum(Rule(seed=1).pays_cash(key) for key in keys)
    assert [rule.pays_cash(key) for key in keys] != [Rule(seed=2).pays_cash(key) for key in keys]
