"""Goal: no order of sales, uses and returns leaves anybody more than there was before the first sale (P2, P3).
Method: random packs, two cards that pay for each other, sales, holds, captures, partial refunds and voids in any order; then whatever still
stands is given back in a random order. The oracle expects each result meanwhile. Golden tests say who owes what in between."""

from __future__ import annotations

from random import Random

import pytest

from cardcore import settlement as core
from cardcore.errors import Declined
from cardcore.settlement import Line, pack, receipt
from tests.oracle.drive import START_US
from tests.oracle.packs import random_pack
from tests.oracle.pair import Entry, Pair
from tests.oracle.workload import facts, order
from tests.settlement.cards import Card
from tests.settlement.test_counters import counter
from tests.settlement.test_grants import C03, plan, rule
from tests.support import sized

STAMPS = rule("stamp", 'grant = "wash", amount = 8', "amount_min_fen = 400_00")


def spendable(pair: Pair) -> dict[tuple[int, str], int]:
    """What each card has of each unit and could use now."""
    out: dict[tuple[int, str], int] = {}
    for account, programme in zip(pair.core, pair.programmes, strict=True):
        for lot in account.lots():
            assert lot.amount > 0
            if 0 < lot.expires_at <= pair.now:
                continue
            key = (account.account_id, programme.purse_units[lot.purse])
            out[key] = out.get(key, 0) + lot.amount
    return out


def undo_something(choose: Random, pair: Pair, entry: Entry) -> None:
    assert entry.ticket is not None
    left = entry.ticket.net - entry.ticket.returned
    if entry.ticket.kind == "hold":
        (pair.void if choose.random() < 0.5 else lambda hold: pair.capture(hold, choose.choice((-1, left // 2))))(entry)
    elif choose.random() < 0.3:
        pair.void(entry)
    elif choose.random() < 0.4:
        pair.refund(entry, lines=(choose.randrange(len(entry.ticket.lines)),))
    else:
        pair.refund(entry, choose.choice((-1, max(1, left // 2), 1)))


def stands(pair: Pair) -> list[Entry]:
    return [entry for entry in pair.entries.values() if entry.ticket is not None and not entry.ticket.closed]


def a_pack(choose: Random, *, days: bool) -> str:
    """A random pack; where days go by, without steps of a counter: a pack says for how long returns take those back (`returns`)."""
    text = random_pack(choose)
    while days and "each = " in text:
        text = random_pack(choose)
    return text


def go_on(choose: Random, pair: Pair, *, days: bool) -> None:
    """One more sale, use or return; now and then a few days go by."""
    if days and choose.random() < 0.2:
        pair.at_us += choose.choice((1, 8, 31, 200)) * 86_400_000_000
        pair.expire(choose.randrange(2))
    pair.facts = facts(choose, pair.at_us)
    card = choose.randrange(2)
    open_ = stands(pair)
    if open_ and choose.random() < 0.35:
        undo_something(choose, pair, choose.choice(open_))
    else:
        pair.sell(card, order(choose, pair, card), [1 - card] if choose.random() < 0.3 else [])


def give_all_back(choose: Random, pair: Pair) -> None:
    while open_ := stands(pair):
        entry = choose.choice(open_)
        (pair.void if entry.ticket is not None and entry.ticket.kind == "hold" else pair.refund)(entry)


@pytest.mark.parametrize("days", [False, True])
@pytest.mark.parametrize("chunk", range(2))
def test_when_all_is_given_back_nobody_has_more_than_before(chunk: int, days: bool) -> None:
    met: set[str] = set()
    for seed in range(chunk * sized(80, 1600), (chunk + 1) * sized(80, 1600)):
        choose = Random(seed)
        pair = Pair([pack.normalise(a_pack(choose, days=days)) for _ in range(2)], 2, START_US + choose.randrange(10**15))
        try:
            for card in range(2):
                pair.top_up(card, 5000_00)
                pair.top_up(card, 1000_00, "massage-10")
                pair.adjust(card, "points", 2000)
            before = spendable(pair)
            for _ in range(30):
                go_on(choose, pair, days=days)
            give_all_back(choose, pair)
            after = spendable(pair)
            assert all(units <= before.get(key, 0) for key, units in after.items()), f"gained: {before} -> {after}"
            if not days:  # nothing has lapsed: all of it is there, and nobody owes anything
                assert after == before, f"lost: {before} -> {after}"
                assert not any(account.owed_units or account.owed_fen or account.owed_points for account in pair.core)
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken
        met |= {name for name in pair.outcomes if "owed" in name}
    units = ("fen",) if days else ("fen", "visits")  # days that go by leave few visits to owe: the others meet them
    wanted = {f"{unit} {how}" for unit in units for how in ("owed", "from customer paid to what is owed")}
    assert wanted <= met, met


def test_visits_that_were_used_are_owed_and_taken_when_they_come_back() -> None:
    card = Card(plan(STAMPS)).on("2026-03-25 10:00")
    card.buy(400_00)
    used = card.buy(Line(10_00, 3, "wash", flags=core.COVER))
    first = card.do(core.Refund(explain=True), entry=0)
    assert (card.purse("wash"), card.account.owed_units) == (0, {card.programme.purses.index("wash"): 3})
    assert "Owed: 3 visits, 0 visits -> 3 visits" in receipt.explain(first, card.programme, "en")
    assert card.account.pack()[0] == 0x44
    assert core.Account.unpack(card.account.pack()) == card.account == card.account.copy()
    card.do(core.Refund(), entry=card.entries.index(used))
    assert (card.purse("wash"), card.account.owed_units, card.account.lots()) == (0, {}, [])
    assert core.Account.unpack(card.account.pack()) == card.account


def test_what_is_granted_next_pays_the_visits_that_are_owed_and_owes_them_again_when_it_goes_back() -> None:
    card = Card(plan(STAMPS)).on("2026-03-25 10:00")
    wash = card.programme.purses.index("wash")
    card.buy(400_00)
    card.buy(Line(10_00, 3, "wash", flags=core.COVER))
    card.refund(0)
    again = card.buy(400_00)
    assert (again.granted("visits"), card.purse("wash"), card.account.owed_units) == (8, 5, {})
    card.refund(card.entries.index(again))
    assert (card.purse("wash"), card.account.owed_units) == (0, {wash: 3})
    card.refund(1)
    assert (card.purse("wash"), card.account.owed_units) == (0, {})


def test_bought_visits_are_never_taken_for_granted_ones() -> None:
    product = '[[product]]\nname = "wash-10"\nprice_fen = 100_00\ngrants = [{ purse = "wash", amount = 10 }]\n'
    card = Card(plan(STAMPS, product)).on("2026-03-25 10:00")
    card.buy(400_00)
    card.buy(Line(10_00, 8, "wash", flags=core.COVER))
    card.top_up(100_00, "wash-10")
    bought = card.buy(Line(10_00, 4, "wash", flags=core.COVER))
    card.refund(0)
    card.refund(card.entries.index(bought))
    assert (card.purse("wash"), card.account.owed_units) == (10, {card.programme.purses.index("wash"): 8})


def test_bonus_that_a_top_up_paid_for_is_never_taken_for_what_was_given() -> None:
    """200 of 1200 were paid for as all of it was (5/6): the law's refund of the card counts them, a return does not cut them (W5)."""
    bonus = rule("200 for 1000", 'grant = "rebates", amount = 200_00, per_fen = 1000_00')
    gift = rule("50 for 1000", 'grant = "rebates", amount = 50_00, per_fen = 1000_00, expires_after = "P7D"', 'verb = "settle"')
    card = Card(plan(bonus, gift))
    card.do(core.TopUp(1000_00))
    paid_for = card.account.lots()
    bought = card.do(core.Sale("settle", [Line(1000_00)], shortfall_tender="cash", stored_max_fen=0))
    card.do(core.Sale("settle", [Line(50_00)]))  # the gift, which ends first
    card.refund(card.entries.index(bought))
    assert card.account.lots() == paid_for
    assert [(lot.amount, lot.paid_fen, lot.of_units) for lot in paid_for] == [(1000_00, 5, 6), (200_00, 5, 6)]
    assert card.account.owed_fen == 50_00


def test_value_moved_away_before_its_ticket_is_given_back_is_gained_once_and_owed() -> None:
    """Buy, move what it gave to another card, give it back: as often as it is tried, what was gained is what one ticket gave, and is owed.

    It is what spending the gift on goods leaves, too: the money of a return is never cut for a gift, and the debt stays with its card.
    """
    programme = plan("[limits]\ntransfer = true\n", C03)
    card, other = Card(programme), Card(programme, account_id=2)
    for _ in range(5):
        card.buy(1000_00)
        bought = len(card.entries) - 1
        moved = sum(lot.amount for lot in card.account.lots())
        if moved:
            card.do(core.Transfer(moved), other)
        card.refund(bought)
        assert (card.account.lots(), card.account.owed_fen) == ([], 50_00)
        assert sum(lot.amount for lot in other.account.lots()) == 50_00


def test_value_and_points_that_come_back_pay_what_is_owed_of_them() -> None:
    accrue = rule("points", 'accrue = "points", amount = 1, per_fen = 1_00, base = ["outside"]')
    pays = rule("pay", 'deduct = "points", units = 1, worth_fen = 1')
    card = Card(plan(C03, accrue, pays))
    card.buy(1000_00)
    card.buy(60_00, points=1000)  # 10.00 by points, 50.00 by the rebate
    card.refund(0)
    assert (card.account.owed_fen, card.account.owed_points) == (50_00, 1000)
    card.refund(1)
    assert (card.account.owed_fen, card.account.owed_points, card.account.lots()) == (0, 0, [])


def test_a_released_hold_pays_too_and_so_does_a_further_card() -> None:
    programme = plan(C03)
    card, other = Card(programme), Card(programme, account_id=2)
    card.buy(1000_00)
    card.do(core.Sale("hold", [Line(50_00)], hold_seconds=600))
    card.refund(0)
    assert card.account.owed_fen == 50_00
    card.do(core.Void(), entry=1)
    assert (card.account.owed_fen, card.account.lots()) == (0, [])
    card.buy(1000_00)
    entry = len(card.entries) - 1
    paid = other.do(core.Sale("settle", [Line(50_00)]), card)
    card.refund(entry)
    assert card.account.owed_fen == 50_00
    back = core.decide(
        core.Snapshot(programme, other.account, others=[core.Snapshot(programme, card.account)], ticket=paid, ticket_position=1),
        core.Refund(), card.at * 1_000_000,
    )  # fmt: skip
    card.account.apply(back, 90)
    assert (card.account.owed_fen, card.account.lots(), back.liability_delta_fen) == (0, [], 0)


def test_a_fold_that_fails_leaves_what_is_owed_as_it_was() -> None:
    card = Card(plan(STAMPS)).on("2026-03-25 10:00")
    card.buy(400_00)
    card.buy(Line(10_00, 3, "wash", flags=core.COVER))
    back = card.refund(0)
    before = card.account.pack()
    with pytest.raises(AssertionError):
        card.account.apply(back, 99)  # its visits are gone
    assert card.account.pack() == before
    with pytest.raises(Declined):
        card.refund(0)


@pytest.mark.parametrize(("more", "kept"), [("", 12), (", returns = 2", 2)])
def test_steps_go_back_for_as_many_periods_as_the_pack_says(more: str, kept: int) -> None:
    steps = rule("steps", f'grant = "points", amount = 100, each = 1000_00, counter = "spent"{more}')
    for months, left in ((kept, 0), (kept + 1, 100)):
        card = Card(plan(counter("spent", "paid", "month"), steps)).on("2026-01-31 10:00")
        card.buy(1000_00)
        card.on(f"{2026 + months // 12}-{months % 12 + 1:02}-01 10:00").buy(1_00)  # what is too old is dropped with the next move
        card.refund(0)
        assert (card.purse("points"), card.account.owed_points) == (left, 0)


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_nothing_is_owed_that_the_record_of_an_account_cannot_hold(over: int) -> None:
    card = Card(plan(STAMPS)).on("2026-03-25 10:00")
    for _ in range(2):
        card.buy(400_00)
        card.buy(Line(10_00, 8, "wash", flags=core.COVER))
    card.refund(0)
    data = card.account.pack()
    assert data[-1] == 2 * 8  # the last of the record: the eight visits that are owed
    room = 8 - over
    rest, tail = 2 * ((1 << 60) - room), b""
    while rest >= 0x80:
        tail += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    card.account = core.Account.unpack(data[:-1] + tail + bytes([rest]))
    before = card.account.pack()
    if over > 0:
        with pytest.raises(Declined) as refused:
            card.refund(2)
        assert refused.value.declined_code == "limit_exceeded"
        assert card.account.pack() == before
        return
    card.refund(2)
    assert card.account.owed_units == {card.programme.purses.index("wash"): (1 << 60) + over}
    assert core.Account.unpack(card.account.pack()) == card.account
