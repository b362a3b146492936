"""Goal: what a ticket gives besides points comes as the plans say (C03, K02, T03, L05, L06, T06) and goes back with it.
Method: small packs with the plans' numbers at the fen on either side; each refund in parts and whole, after spending and before."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from cardcore import settlement as core
from cardcore.errors import Declined, InvalidCommand
from cardcore.money import AMOUNT_MAX
from cardcore.settlement import Line, pack, receipt
from tests.settlement.cards import Card
from tests.settlement.test_conditions import HEAD
from tests.settlement.test_counters import EARN, counter

VALUE = """[[purse]]
name = "balance"
unit = "fen"
role = "principal"
[[purse]]
name = "rebates"
unit = "fen"
role = "bonus"
expires_after = "P6M"
[[purse]]
name = "wash"
unit = "visits"
role = "entitlement"
covers = ["wash"]
[[purse]]
name = "gym"
unit = "pass"
role = "entitlement"
covers = ["gym"]
expires_after = "P1M"
"""
TIERS = """[[tier]]
name = "ordinary"
[[tier]]
name = "gold"
spend_min_fen = 900_000_00
[[tier]]
name = "diamond"
spend_min_fen = 990_000_00
"""
COUPON = '[[award]]\nname = "tea"\nid = "tea-5-off"\nexpires_after = "P30D"\n'
BASE = HEAD.split("[[tier]]")[0] + VALUE


def plan(*parts: str) -> core.Programme:
    return pack.load(BASE + "".join(parts))


def rule(name: str, then: str, when: str = "", more: str = "") -> str:
    return f'[[benefit]]\nname = "{name}"\n{more}\nwhen = {{ {when} }}\nthen = {{ {then} }}\n'


C03 = rule("5 % back", 'rebate = "rebates", share = "5/100", base = ["outside", "principal"]')


def balanced(*settlements: core.Settlement) -> None:
    """Every entry survives its bytes."""
    for one in settlements:
        assert core.Settlement.unpack(one.pack()) == one


def test_c03_part_of_what_was_paid_comes_back_as_value_floored_to_a_fen() -> None:
    card = Card(plan(C03)).on("2026-03-10 10:00")
    sold = card.buy(199_99)
    assert (sold.granted("fen"), card.purse("rebates")) == (9_99, 9_99)  # 9.9995 floored
    assert sold.liability_delta_fen == 9_99
    assert sold.after_money_fen == 9_99
    balanced(sold)
    assert Card(plan(C03)).buy(19).granted("fen") == 0
    lot = card.account.lots()[0]
    assert (lot.paid_fen, lot.of_units) == (0, 0)  # nothing was paid for it
    spent = card.on("2026-09-10 23:59:59").buy(9_99)
    assert (spent.bonus_fen, spent.granted("fen")) == (9_99, 0)  # what bonus paid is not in the base
    card.on("2026-03-10 10:00").buy(100_00)
    assert card.purse("rebates") == 5_00
    card.on("2026-09-11 00:00")
    assert card.purse("rebates") == 0  # six months, the last day whole


def test_c03_a_return_takes_the_rebate_back_in_proportion_and_the_last_fen_takes_the_rest() -> None:
    card = Card(plan(C03))
    card.buy(199_99)
    card.refund(0, amount_fen=100_00)
    assert card.purse("rebates") == 999 * 99_99 // 199_99
    card.refund(0, amount_fen=99_98)
    assert card.purse("rebates") == 0  # a fen kept is worth no rebate
    card.refund(0)
    assert card.purse("rebates") == 0
    assert card.account.owed_fen == 0
    assert card.account.lots() == []


def test_a_rebate_that_was_spent_is_owed_and_the_next_one_pays() -> None:
    card = Card(plan(C03))
    card.buy(1000_00)
    card.buy(50_00)  # the rebate pays
    back = card.refund(0)
    assert back.outside_fen == 1000_00
    assert (card.purse("rebates"), card.account.owed_fen) == (0, 50_00)
    assert core.Account.unpack(card.account.pack()) == card.account
    assert card.account.pack()[0] == 0x43
    again = card.buy(1200_00)
    assert again.granted("fen") == 60_00
    assert (card.purse("rebates"), card.account.owed_fen) == (10_00, 0)
    card.refund(len(card.entries) - 1)  # the ticket whose rebate paid the debt
    assert (card.purse("rebates"), card.account.owed_fen) == (0, 50_00)
    balanced(*card.entries)


def test_principal_is_never_taken_for_a_rebate() -> None:
    card = Card(plan(C03))
    card.top_up(500_00)
    card.buy(1000_00, stored_max_fen=0)
    card.buy(50_00)  # spends the rebate first: it ends sooner
    card.refund(1)
    assert card.purse("balance") == 500_00
    assert card.account.owed_fen == 50_00


@pytest.mark.parametrize("seed", range(20))
def test_no_gain_by_buying_spending_and_returning(seed: int) -> None:
    choose = Random(seed)
    card = Card(plan(C03, rule("cap", 'cap = "rebates", amount = 40_00, per = "month"')))
    open_tickets: dict[int, int] = {}
    for _ in range(40):
        if open_tickets and choose.random() < 0.5:
            entry = choose.choice(sorted(open_tickets))
            part = choose.choice((open_tickets[entry], choose.randint(1, open_tickets[entry])))
            card.refund(entry, amount_fen=part)
            open_tickets[entry] -= part
            if not open_tickets[entry]:
                del open_tickets[entry]
        else:
            fen = choose.choice((19, 20, 100_00, choose.randint(1, 1000_00)))
            card.buy(fen)
            open_tickets[len(card.entries) - 1] = fen
    for entry in sorted(open_tickets):
        card.refund(entry)
    assert card.purse("rebates") - card.account.owed_fen == 0  # what returned tickets had been paid with is back on the card
    assert card.account.counters() == []
    balanced(*card.entries)


@pytest.mark.parametrize(("per", "expected"), [("ticket", [40_00, 40_00, 40_00]), ("day", [40_00, 0, 40_00]), ("month", [40_00, 0, 0])])
def test_a_cap_bounds_rebates_of_all_rules_on_a_ticket_or_in_a_period(per: str, expected: list[int]) -> None:
    more = rule("member day", 'rebate = "rebates", share = "5/100", base = ["outside"]')
    card = Card(plan(C03, more, rule("cap", f'cap = "rebates", amount = 40_00, per = "{per}"'))).on("2026-03-30 10:00")
    given = [card.buy(1000_00, stored_max_fen=0).granted("fen") for _ in range(2)]
    card.on("2026-03-31 10:00")
    assert [*given, card.buy(1000_00, stored_max_fen=0).granted("fen")] == expected
    assert card.on("2026-04-01 00:00").buy(100_00, stored_max_fen=0).granted("fen") == 10_00


def test_a_cap_of_points_leaves_steps_alone_and_a_return_makes_room_again() -> None:
    card = Card(plan(
        counter("spent", "paid", "life"), EARN, rule("each 1000", 'grant = "points", amount = 100, each = 1000_00, counter = "spent"'),
        rule("cap", 'cap = "points", amount = 500, per = "day"'),
    ))  # fmt: skip
    assert card.buy(40_00).points_earned == 400
    sold = card.buy(1000_00, explain=True)
    assert sold.points_earned == 100 + 100
    told = receipt.explain(sold, card.programme, "en")
    assert any(line == "Cut by a cap (cap): 9900 points, 10000 points -> 100 points" for line in told), told
    assert card.buy(10_00).points_earned == 0
    card.refund(1)
    assert card.buy(10_00).points_earned == 100
    card.refund(0)
    assert card.buy(90_00).points_earned == 400


GIFTS = (
    rule("coupon", 'grant = "tea", amount = 2', "amount_min_fen = 100_00"),
    rule("stamp", 'grant = "wash", amount = 1, per_fen = 50_00', 'day = [25, 26], category = ["flash"]'),
    rule("week of gym", 'grant = "gym", amount = 1, expires_after = "P7D"', "amount_min_fen = 300_00",
         "quota = [{ times = 1, per = 'month' }]"),
    rule("value", 'grant = "rebates", amount = 3_00', "amount_min_fen = 100_00, day = [25]"),
)  # fmt: skip


def test_k02_stamps_on_the_25th_and_26th_coupons_days_and_value_for_a_ticket() -> None:
    programme = plan(COUPON, *GIFTS)
    card = Card(programme).on("2026-03-24 23:59:59")
    assert card.buy(Line(300_00, category="flash")).granted("visits") == 0
    card.on("2026-03-25 00:00")
    sold = card.buy(Line(249_99, category="flash"), Line(60_00), explain=True)
    assert (sold.granted("visits"), sold.granted("fen"), sold.granted("pass")) == (4, 3_00, 0)  # the month's week of gym was yesterday's
    (award,) = sold.awards()
    assert (programme.awards[award.award]["id"], award.quantity, award.back) == ("tea-5-off", 2, False)
    assert award.valid_until == core.expires_at(programme, card.at, 0, 30)
    told = receipt.explain(sold, programme, "en")
    assert "Granted (coupon): tea 2 pieces" in told
    assert "Granted (stamp): wash 4 visits" in told
    printed = receipt.lines(sold, programme, receipt.Heading(), "en")
    assert any(line.startswith("tea") and line.endswith("+2 pieces") for line in printed), printed
    card.on("2026-03-26 23:59:59").buy(Line(50_00, category="flash"))
    assert card.purse("wash") == 5
    assert card.on("2026-03-27 00:00").buy(Line(50_00, category="flash")).granted("visits") == 0
    balanced(*card.entries)


def test_days_are_a_pass_with_its_own_end() -> None:
    card = Card(plan(COUPON, *GIFTS)).on("2026-03-01 10:00")
    assert card.buy(300_00).granted("pass") == 1
    assert card.buy(300_00).granted("pass") == 0
    card.on("2026-03-08 23:59:59").visit("gym")
    with pytest.raises(Declined):
        card.on("2026-03-09 00:00").visit("gym")


def test_grants_go_back_with_the_last_of_the_ticket_and_used_visits_are_gone() -> None:
    card = Card(plan(COUPON, *GIFTS)).on("2026-03-25 10:00")
    card.buy(Line(400_00, category="flash"))
    assert (card.purse("wash"), card.purse("gym"), card.purse("rebates")) == (8, 1, 3_00)
    part = card.refund(0, amount_fen=399_99)
    assert part.awards() == []
    assert (card.purse("wash"), card.purse("gym"), card.purse("rebates")) == (8, 1, 3_00)
    card.buy(Line(10_00, 3, "wash", flags=core.COVER))
    rest = card.refund(0)
    (back,) = rest.awards()
    assert (back.award, back.quantity, back.back) == (0, 2, True)
    assert card.entries[0].awards()[0].posting == back.posting
    assert (card.purse("wash"), card.purse("gym"), card.purse("rebates")) == (0, 0, 0)
    assert card.buy(300_00).granted("pass") == 1  # the quota is free again
    balanced(*card.entries)


def test_l05_a_jump_of_gold_to_diamond_and_a_return_undoes_it() -> None:
    jump = rule("3000 at once", 'promote = "diamond"', 'tier = ["gold"], amount_min_fen = 3000_00')
    programme = plan(TIERS, jump)
    card = Card(programme, tier="gold")
    assert card.buy(2999_99).tier_after == 1
    sold = card.buy(3000_00, explain=True)
    assert (sold.tier_before, sold.tier_after) == (1, 2)
    assert "Promoted (3000 at once): diamond" in receipt.explain(sold, programme, "en")
    card.refund(1, amount_fen=1)
    assert card.account.tier == 2  # the ticket still stands
    card.refund(1)
    assert card.account.tier == 1
    assert Card(programme).buy(3000_00).tier_after == 0  # gold only
    balanced(*card.entries)


def test_a_second_jump_keeps_the_tier_when_the_first_is_returned() -> None:
    card = Card(plan(TIERS, rule("3000 at once", 'promote = "diamond"', "amount_min_fen = 3000_00")))
    card.buy(3000_00)
    card.buy(3000_00)
    card.refund(0)
    assert card.account.tier == 2
    card.refund(1)
    assert card.account.tier == 0


def test_a_top_up_may_promote_and_give_awards() -> None:
    programme = plan(TIERS, COUPON, rule("gold card", 'promote = "gold"', 'verb = "topup", amount_min_fen = 1000_00'),
                     rule("tea", 'grant = "tea", amount = 1, per_fen = 500_00', 'verb = "topup"'))  # fmt: skip
    card = Card(programme)
    card.top_up(999_99)
    assert (card.account.tier, card.entries[0].awards()[0].quantity) == (0, 1)
    card.top_up(1000_00)
    assert (card.account.tier, card.entries[1].awards()[0].quantity) == (1, 2)
    back = card.do(core.Reverse(), entry=1)
    assert (card.account.tier, back.awards()[0].back, back.awards()[0].quantity) == (0, True, 2)


def test_l06_a_fee_is_waived_from_a_single_purchase_of_288() -> None:
    waive = rule("free card", 'waive = ["membership"]', "amount_min_fen = 293_00")
    programme = plan(waive)
    fee = Line(5_00, category="membership", flags=core.NO_DISCOUNT)
    assert Card(programme).buy(Line(287_99), fee).net_fen == 292_99
    sold = Card(programme).buy(Line(288_00), fee, explain=True)
    assert (sold.net_fen, sold.discount_fen) == (288_00, 5_00)
    assert any(line.startswith("Line 2 Waived (free card): 5.00") for line in receipt.explain(sold, programme, "en"))


def test_a_waiver_is_used_up_like_any_quota() -> None:
    card = Card(plan(rule("ship", 'waive = ["shipping"]', "", "quota = [{ times = 1, per = 'month' }]")))
    assert [card.buy(Line(10_00), Line(8_00, category="shipping")).net_fen for _ in range(2)] == [10_00, 18_00]
    assert card.buy(Line(10_00)).net_fen == 10_00


def test_who_keeps_what_was_waived_has_used_the_waiver() -> None:
    card = Card(plan(rule("ship", 'waive = ["shipping"]', "", "quota = [{ times = 1, per = 'month' }]")))
    card.buy(Line(10_00), Line(8_00, category="shipping"))
    card.do(core.Refund(lines=(0,)), entry=0)
    assert card.buy(Line(8_00, category="shipping")).net_fen == 8_00
    card.do(core.Refund(), entry=0)
    assert card.buy(Line(8_00, category="shipping")).net_fen == 0


def test_two_gifts_that_would_overfill_a_lot_are_cut_together() -> None:
    """Each fits the card and its lot, both do not: found before the fold, which would stop the shop (M2, F2)."""
    whole = rule("all", 'rebate = "rebates", share = "1/1", base = ["outside"]')
    card = Card(plan(whole, whole.replace('"all"', '"again"')))
    sold = card.buy(AMOUNT_MAX // 2 + 1)
    assert sold.granted("fen") == sold.after_money_fen == AMOUNT_MAX
    stamps = rule("stamps", f'grant = "wash", amount = {AMOUNT_MAX // 2 + 1}')
    card = Card(plan(stamps, stamps.replace('"stamps"', '"more"')))
    with pytest.raises(Declined) as problem:
        card.buy(1_00)
    assert problem.value.declined_code == "limit_exceeded"


def test_one_waiver_is_enough_for_a_line_and_the_next_is_kept_for_another_ticket() -> None:
    once = "quota = [{ times = 1, per = 'month' }]"
    card = Card(plan(rule("a", 'waive = ["shipping"]', "", once), rule("b", 'waive = ["shipping"]', "", once), C03,
                     rule("half", 'discount = "1/2"', 'category = ["shipping"]', once)))  # fmt: skip
    bill = [card.buy(Line(8_00, category="shipping"), stored_max_fen=0).net_fen for _ in range(4)]
    assert bill == [0, 0, 4_00, 8_00]


def test_passes_of_one_day_and_one_end_are_one_lot() -> None:
    week = 'grant = "gym", amount = 1, expires_after = "P7D"'
    card = Card(plan(rule("week", week), rule("another", week, 'day = [25], verb = "topup"'), rule("third", week)))
    card.on("2026-03-25 10:00").buy(300_00)
    card.top_up(100_00)
    assert [lot.amount for lot in card.account.lots() if card.programme.purses[lot.purse] == "gym"] == [3]
    card.refund(0)
    assert card.purse("gym") == 1


def test_t06_a_score_of_amount_frequency_and_interaction_makes_the_tier() -> None:
    programme = plan(
        counter("score", "score", "year"),
        '[[tier]]\nname = "ordinary"\n[[tier]]\nname = "potential"\ncounter = "score"\ncounter_min = 50\n'
        '[[tier]]\nname = "core"\ncounter = "score"\ncounter_min = 100\n',
        rule("amount", 'score = "score", amount = 1, per_fen = 100_00'), rule("frequency", 'score = "score", amount = 10'),
        rule("interaction", 'score = "score", amount = 20', 'event = ["review"]', "quota = [{ times = 1, per = 'month' }]"),
    )  # fmt: skip
    card = Card(programme)
    assert [card.buy(1999_99).tier_after, card.buy(99_99).tier_after, card.event("review").tier_after] == [0, 0, 1]  # 19+10, 10, 20
    with pytest.raises(Declined, match="nothing"):
        card.event("review")
    assert card.buy(3100_00).tier_after == 2
    card.refund(4 - 1, amount_fen=1550_00)  # half of 41 points of score, floored on the running total
    assert [view.value for view in card.account.counters() if view.value > 1] == [59 + 41 - 20]
    assert card.account.tier == 1


def test_capture_gives_what_a_sale_would() -> None:
    programme = plan(COUPON, C03, *GIFTS)
    card = Card(programme).on("2026-03-25 10:00")
    card.top_up(400_00)
    card.do(core.Sale("hold", [Line(400_00, category="flash")], hold_seconds=600))
    sold = card.do(core.Capture(200_00), entry=1)
    assert (sold.granted("visits"), sold.granted("fen"), len(sold.awards())) == (4, 3_00 + 10_00, 1)
    cards, sales, lines, results = (np.zeros(1, d) for d in (core.CARD_DTYPE, core.SALE_DTYPE, core.LINE_DTYPE, core.RESULT_DTYPE))
    with pytest.raises(InvalidCommand, match="rebates"):
        core.decide_batch(plan(C03), cards, sales, lines, results, 0)


@pytest.mark.parametrize(("over", "given"), [(-1, 50_00), (0, 50_00), (1, 49_99), (50_00, 0)])
def test_a_gift_is_cut_to_what_the_card_may_hold_and_no_purchase_is_refused_for_it(over: int, given: int) -> None:
    """5 % of 1000.00 with room for one fen more, for all, for one fen less, for none (W1, M11)."""
    for effect in ('rebate = "rebates", share = "5/100", base = ["outside"]', 'grant = "rebates", amount = 50_00'):
        programme = plan("[limits]\nbalance_max_fen = 500_00\n", rule("gift", effect, 'verb = "settle"'))
        card = Card(programme)
        card.do(core.Adjust("balance", 400_00 + over))
        card.do(core.Sale("hold", [Line(50_00)], hold_seconds=600))  # what is held counts, and so does what is on the card itself
        card.do(core.Load(20_00))
        card.do(core.Arrive(), entry=2)
        card.do(core.Adjust("balance", 50_00))
        sold = card.buy(1000_00, stored_max_fen=0, explain=True)
        assert (sold.granted("fen"), sold.net_fen) == (given, 1000_00)
        told = receipt.explain(sold, programme, "en")
        assert any(line.startswith("Cut by a cap:") for line in told) == (given < 50_00), told


def test_what_a_gift_pays_of_a_debt_needs_no_room() -> None:
    card = Card(plan("[limits]\nbalance_max_fen = 500_00\n", C03))
    card.buy(1000_00)
    card.buy(50_00)
    card.refund(0)
    card.do(core.Adjust("balance", 500_00))
    assert card.account.owed_fen == 50_00
    assert card.buy(2000_00, stored_max_fen=0).granted("fen") == 50_00
    assert (card.account.owed_fen, card.purse("rebates")) == (0, 0)


def test_a_captured_hold_leaves_the_room_that_it_took() -> None:
    card = Card(plan("[limits]\nbalance_max_fen = 500_00\n", rule("gift", 'grant = "rebates", amount = 50_00', 'verb = "settle"')))
    card.do(core.Adjust("balance", 500_00))
    card.do(core.Sale("hold", [Line(100_00)], hold_seconds=600))
    assert card.do(core.Capture(30_00), entry=1).granted("fen") == 30_00


def test_joining_gives_once_in_the_life_of_a_card_unless_the_pack_is_stricter() -> None:
    welcome = 'grant = "points", amount = 100'
    for more in ("", "quota = [{ times = 1, per = 'life' }]", "quota = [{ units = 500, per = 'day' }]"):
        card = Card(plan(rule("welcome", welcome, 'event = ["registration"]', more)))
        card.event("registration")
        assert card.purse("points") == 100
        with pytest.raises(Declined, match="nothing"):
            card.event("registration")
    strict = ", ".join(f"{{ times = 1, per = '{per}' }}" for per in ("day", "week", "month"))
    problems = pack.check(BASE + rule("welcome", welcome, 'event = ["registration"]', f"quota = [{strict}]"))
    assert [problem.reason for problem in problems] == ["what happens once is given once: at most 2 quotas beside that"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (rule("x", 'rebate = "points", share = "1/2", base = ["outside"]'), "has the role points, this needs bonus"),
        (rule("x", 'rebate = "rebates", share = "3/2", base = ["outside"]'), "at most 1"),
        (rule("x", 'rebate = "rebates", share = "1/2"'), "missing key `base`"),
        (rule("x", 'rebate = "rebates", share = "1/2", counter = "no"'), "there is no counter `no`"),
        (counter("d", "paid", "day") + rule("x", 'rebate = "rebates", share = "1/2", counter = "d"'), "money paid in one week, month"),
        (rule("x", 'cap = "wash", amount = 1, per = "day"'), "no purse of points or bonus"),
        (rule("x", 'cap = "points", amount = 1, per = "hour"'), "`per` must be one of"),
        (rule("x", 'promote = "ordinary"'), "there is no tier `ordinary` above the first"),
        (rule("x", 'grant = "nothing", amount = 1'), "nothing to grant is named `nothing`"),
        (rule("x", 'grant = "gym", amount = 2'), "a pass is granted one at a time"),
        (rule("x", 'score = "no", amount = 1'), "there is no counter `no`"),
        (counter("p", "paid", "day") + rule("x", 'score = "p", amount = 1'), 'does not count = "score"'),
        (rule("x", 'waive = ["a"]', 'category = ["b"]'), "is named by `waive`"),
        (rule("x", 'grant = "tea", amount = 1', 'event = ["e"], verb = "settle"') + COUPON, "asks for events"),
        (rule("x", 'discount = "1/2"', 'event = ["e"]'), "this effect belongs to verb"),
        (rule("x", 'draw = "points", units = 1, prizes = [{ weight = 1 }]'), "this effect belongs to verb"),
        (rule("x", 'draw = "points", units = 1, prizes = [{ weight = 0 }]', 'event = ["e"]'), "`weight` must be between"),
        (rule("x", 'grant = "wash", amount = 1', "points_end = 8"), "asked for at events only"),
        ('[[award]]\nname = "wash"\n', "a purse is already named `wash`"),
        ('[[award]]\nname = "a"\nkind = "car"\n', "`kind` must be one of"),
        ('[[award]]\nname = "a"\n' * 2, "another award is already named"),
        ('[[ranking]]\nname = "a"\ncounter = "no"\n', "there is no counter `no`"),
        (counter("d", "paid", "life") + '[[ranking]]\nname = "a"\ncounter = "d"\n', "a ranking is by a counter of one week"),
        ('[review]\nper = "day"\n', "`per` must be one of"),
        ('[review]\nfall = "balance"\n', "`fall` needs `per`"),
        (counter("e", "events", "day"), "belong together"),
        (counter("e", "paid", "day", 'event = ["x"]'), "belong together"),
    ],
)
def test_a_bad_rule_is_refused_with_its_reason(text: str, reason: str) -> None:
    problems = pack.check(BASE + TIERS + text)
    assert any(reason in problem.reason for problem in problems), problems
    assert all(problem.line > 1 for problem in problems)


def test_a_rebate_joins_the_lot_that_its_hold_gives_back() -> None:
    card = Card(plan(rule("back", 'rebate = "rebates", share = "5/100", base = ["outside", "bonus"]'))).on("2026-03-25 10:00")
    card.buy(1000_00)
    (lot,) = card.account.lots()
    card.do(core.Sale("hold", [Line(50_00)], hold_seconds=600))
    assert card.account.lots() == []
    assert card.do(core.Capture(10_00), entry=1).granted("fen") == 50
    assert card.account.lots() == [lot._replace(amount=40_50)]
