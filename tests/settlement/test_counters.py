"""Goal: what a member has done in a day, month, year or life counts as the plans say (E06, L05, T02, T05, K01, E13), and comes off again.
Method: the plans' numbers written from their text, each period at its last and first second; random buying and returning."""

from __future__ import annotations

from random import Random

import pytest

from cardcore import settlement as core
from cardcore.errors import InvalidCommand
from cardcore.settlement import Line, pack
from tests.settlement.cards import Card
from tests.settlement.test_conditions import HEAD

BASE = HEAD.split("[[tier]]")[0]
EARN = '[[benefit]]\nname = "base"\nthen = { accrue = "points", amount = 10, per_fen = 1_00, base = ["outside"] }\n'


def counter(name: str, counts: str, per: str, more: str = "") -> str:
    return f'[[counter]]\nname = "{name}"\ncounts = "{counts}"\nper = "{per}"\n{more}\n'


def plan(*parts: str) -> core.Programme:
    return pack.load(BASE + "".join(parts))


E06 = plan(
    counter("spent", "paid", "life"),
    EARN,
    '[[benefit]]\nname = "each 1000"\nthen = { grant = "points", amount = 100, each = 1000_00, counter = "spent" }\n',
    '[[benefit]]\nname = "each 5000"\nthen = { grant = "points", amount = 500, each = 5000_00, counter = "spent" }\n',
)


def test_e06_each_cumulative_1000_and_each_cumulative_5000() -> None:
    card = Card(E06)
    for fen, earned in ((999_00, 9_990), (99, 0), (1, 0), (0, 0), (3000_00, 30_000 + 300), (1000_00, 10_000 + 100 + 500)):
        # 999, 999.99, 1000.00: the fen that completes the thousand brings the hundred, and none of the ten a yuan
        expected = earned + (100 if fen == 1 else 0)
        assert card.buy(fen).points_earned == expected, fen
    assert card.purse("points") == 9_990 + 100 + 30_300 + 10_600


def test_e06_a_return_takes_the_steps_back_whichever_ticket_is_returned() -> None:
    card = Card(E06)
    card.buy(999_00)
    card.buy(1_00)
    assert card.purse("points") == 9_990 + 10 + 100
    back = card.refund(0)  # the large one, while the small one brought the step
    assert back.points_earned == 9_990 + 100
    assert card.purse("points") == 10
    card.buy(999_00)
    assert card.purse("points") == 10_000 + 100


@pytest.mark.parametrize("seed", range(30))
def test_no_gain_by_buying_and_returning(seed: int) -> None:
    """However tickets are split, returned in part or whole: the points are those of what was kept, never more."""
    choose = Random(seed)
    card = Card(E06)
    kept: dict[int, int] = {}
    for _ in range(40):
        if kept and choose.random() < 0.45:
            entry = choose.choice(sorted(kept))
            part = choose.choice((kept[entry], choose.randint(1, kept[entry])))
            card.refund(entry, amount_fen=part)
            kept[entry] -= part
            if not kept[entry]:
                del kept[entry]
        else:
            fen = choose.choice((1, 99_99, 1000_00, 4999_99, choose.randint(1, 3000_00)))
            card.buy(fen)
            kept[len(card.entries) - 1] = fen
        total = sum(kept.values())
        steps = total // 1000_00 * 100 + total // 5000_00 * 500
        assert card.account.points_earned - steps <= total // 10, "more than ten points a yuan for what was kept"
        assert card.account.points_earned == card.purse("points") - card.account.owed_points
    for entry in sorted(kept):
        card.refund(entry)
    assert card.purse("points") - card.account.owed_points == 0
    assert card.account.counters() == []


def test_l05_300_in_one_day_is_gold_and_3000_is_diamond_at_once() -> None:
    programme = plan(
        counter("today", "paid", "day"),
        '[[tier]]\nname = "ordinary"\n',
        '[[tier]]\nname = "gold"\ncounter = "today"\ncounter_min = 300_00\n',
        '[[tier]]\nname = "diamond"\ncounter = "today"\ncounter_min = 3000_00\n',
    )
    card = Card(programme).on("2026-03-02 10:00")
    card.buy(299_99)
    assert card.account.tier == 0
    card.on("2026-03-03 00:00").buy(1)  # another day
    assert card.account.tier == 0
    card.on("2026-03-03 23:59:59").buy(299_99)
    assert card.account.tier == 1
    card.on("2026-03-04 09:00").buy(1)
    assert card.account.tier == 1  # gold stays
    assert Card(programme).buy(3000_00).tier_after == 2
    assert Card(programme).buy(2999_99).tier_after == 1
    regretted = Card(programme)
    regretted.buy(300_00)
    regretted.refund(0, amount_fen=1)
    assert regretted.account.tier == 0  # T07


def test_t02_a_years_points_make_the_tier_and_the_next_year_begins_at_nothing() -> None:
    programme = plan(
        counter("year", "points", "year"),
        '[[tier]]\nname = "ordinary"\n',
        '[[tier]]\nname = "silver"\ncounter = "year"\ncounter_min = 5000\n',
        '[[tier]]\nname = "gold"\ncounter = "year"\ncounter_min = 10000\n',
        EARN,
    )
    card = Card(programme).on("2026-12-31 23:59:59")
    card.buy(499_00)
    assert card.account.tier == 0
    card.buy(1_00)
    assert card.account.tier == 1
    card.on("2027-01-01 00:00:00").buy(999_00)
    assert card.account.tier == 1
    card.buy(1_00)
    assert card.account.tier == 2
    card.refund(0)  # a ticket of the year before: takes nothing from this year
    assert card.account.tier == 2


def test_k01_monthly_quotas_by_tier() -> None:
    free = (
        '[[benefit]]\nname = "free shipping {tier}"\nquota = [{{ times = {times}, per = "month" }}]\nwhen = {{ tier = ["{tier}"], '
        'category = ["shipping"] }}\nthen = {{ discount = "0/1" }}\n'
    )
    programme = plan(
        '[[tier]]\nname = "gold"\n[[tier]]\nname = "platinum"\norders_min = 900\n[[tier]]\nname = "diamond"\norders_min = 1000\n',
        free.format(tier="platinum", times=1),
        free.format(tier="diamond", times=3),
    )
    for tier, times in (("gold", 0), ("platinum", 1), ("diamond", 3)):
        card = Card(programme, tier=tier).on("2026-05-31 12:00")
        fees = [card.buy(Line(50_00), Line(8_00, category="shipping")).net_fen - 50_00 for _ in range(5)]
        assert fees == [0] * times + [8_00] * (5 - times), tier
        assert card.on("2026-06-01 00:00").buy(Line(8_00, category="shipping")).net_fen == (0 if times else 8_00)
    card = Card(programme, tier="platinum")
    card.buy(Line(8_00, category="shipping"))
    card.refund(0)
    assert card.buy(Line(8_00, category="shipping")).net_fen == 0  # given back whole, the perk may be had again
    assert card.buy(Line(8_00, category="shipping")).net_fen == 8_00


def test_e13_the_seventh_day_in_a_row_and_every_fifth_ticket() -> None:
    programme = plan(
        counter("run", "tickets", "day", "streak = true"),
        counter("all", "tickets", "life"),
        '[[benefit]]\nname = "week"\nwhen = { nth = { counter = "run", every = 7 } }\nthen = { grant = "points", amount = 50 }\n',
        '[[benefit]]\nname = "fifth"\nwhen = { nth = { counter = "all", every = 5 } }\nthen = { grant = "points", amount = 5 }\n',
        '[[benefit]]\nname = "first"\nwhen = { nth = { counter = "all", at = 1 } }\nthen = { grant = "points", amount = 1000 }\n',
    )
    card = Card(programme)
    days = (1, 2, 3, 4, 5, 6, 7, 7, 8, 10, 11)  # twice on the 7th, none on the 9th
    earned = [card.on(f"2026-03-{day:02} 12:00").buy(10_00).points_earned for day in days]
    assert earned == [1000, 0, 0, 0, 5, 0, 50, 0, 0, 5, 0]
    run = next(view.value for view in card.account.counters() if view.value != 11)
    assert run == 2  # the 10th and the 11th


def test_a_rule_gives_at_most_its_quota_of_units() -> None:
    programme = plan(
        '[[benefit]]\nname = "base"\nquota = [{ units = 500, per = "month" }]\n'
        'then = { accrue = "points", amount = 1, per_fen = 1_00, base = ["outside"] }\n'
    )
    card = Card(programme).on("2026-01-31 10:00")
    assert [card.buy(fen).points_earned for fen in (300_00, 150_00, 100_00, 100_00)] == [300, 150, 50, 0]
    assert card.on("2026-02-01 00:00").buy(100_00).points_earned == 100


def test_a_rolling_counter_looks_at_its_last_periods_and_keeps_no_more() -> None:
    programme = plan(
        counter("quarter", "paid", "month", "last = 3"),
        '[[benefit]]\nname = "regular"\nwhen = { before = [{ counter = "quarter", min = 100_00 }] }\nthen = { discount = "9/10" }\n',
    )
    card = Card(programme).on("2026-01-15 12:00")
    card.buy(100_00)
    assert card.on("2026-03-31 23:59:59").buy(10_00).net_fen == 9_00
    assert card.on("2026-04-01 00:00").buy(10_00).net_fen == 10_00
    assert len(card.account.counters()) == 2  # January has gone


def test_accounts_and_entries_that_count_nothing_keep_their_first_form() -> None:
    plain = Card(plan(EARN))
    sold = plain.buy(100_00)
    assert (sold.pack()[0], plain.account.pack()[0]) == (0x53, 0x41)
    counting = Card(E06)
    sold = counting.buy(100_00)
    assert (sold.pack()[0], counting.account.pack()[0]) == (0x54, 0x42)
    assert core.Account.unpack(counting.account.pack()) == counting.account
    assert core.Settlement.unpack(sold.pack()) == sold


def test_card_records_have_no_room_for_counters() -> None:
    import numpy as np

    cards, sales, lines, results = (np.zeros(1, d) for d in (core.CARD_DTYPE, core.SALE_DTYPE, core.LINE_DTYPE, core.RESULT_DTYPE))
    with pytest.raises(InvalidCommand, match="counters"):
        core.decide_batch(E06, cards, sales, lines, results, 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (counter("a", "money", "day"), "`counts` must be one of"),
        (counter("a", "paid", "hour"), "`per` must be one of"),
        (counter("a", "paid", "life", "last = 2"), "a life has no periods before it"),
        (counter("a", "points", "day", 'category = ["tea"]'), "are counted by category"),
        (counter("a", "paid", "day", "streak = true"), "a streak counts tickets"),
        (counter("a", "paid", "day") * 2, "another counter is already named `a`"),
        ('[[benefit]]\nname = "x"\nwhen = { before = [{ counter = "no" }] }\nthen = { discount = "1/2" }\n', "there is no counter `no`"),
        (
            counter("a", "paid", "day")
            + '[[benefit]]\nname = "x"\nwhen = { reached = [{ counter = "a" }] }\nthen = { discount = "1/2" }\n',
            "known after it is paid",
        ),
        (
            counter("a", "paid", "day")
            + '[[benefit]]\nname = "x"\nwhen = { nth = { counter = "a", at = 1 } }\nthen = { discount = "1/2" }\n',
            "asks for a counter of tickets",
        ),
        (
            '[[benefit]]\nname = "x"\nquota = [{ units = 1, per = "day" }]\nthen = { discount = "1/2" }\n',
            "this effect is bounded by `times`",
        ),
        ('[[benefit]]\nname = "x"\nquota = [{ per = "day" }]\nthen = { discount = "1/2" }\n', "either `times` or `units`"),
        ('[[tier]]\nname = "a"\n[[tier]]\nname = "b"\ncounter_min = 1\n', "belong together"),
        (
            counter("a", "points", "day") + '[[benefit]]\nname = "x"\nthen = { grant = "points", amount = 1, each = 1, counter = "a" }\n',
            "steps are of a counter of",
        ),
    ],
)
def test_a_bad_counter_is_refused_with_its_reason(text: str, reason: str) -> None:
    problems = pack.check(BASE + text)
    assert any(reason in problem.reason for problem in problems), problems
