"""Goal: periods bring their perks and reviews to every card once (C03, K03, T05, T07, E14, E11, L08, E10), killed and repeated included.
Method: a clock the test turns over the ends of months and years; the numbers of the plans; the journal is replayed at the end."""

from __future__ import annotations

import datetime

import pytest

from cardapi.desk import Desk
from cardapi.jobs import periods
from cardapi.jobs.periods import period_start
from cardapi.store.port import Entry
from cardcore.settlement import Account, Event, Reverse, Settlement
from tests.desk.till import PLAIN
from tests.jobs.conftest import START_S, Timed
from tests.members.till import enrol, person
from tests.settlement.test_counters import counter
from tests.settlement.test_grants import rule
from tests.shops import journal

POINTS = '[[purse]]\nname = "points"\nunit = "points"\nrole = "points"\n[[purse]]\nname = "rebates"\nunit = "fen"\nrole = "bonus"\n'
BEIJING = datetime.timezone(datetime.timedelta(hours=8))


def plan(name: str, *parts: str) -> str:
    return PLAIN.replace('"plain"', f'"{name}"') + POINTS + "".join(parts)


def publish(till: Timed, name: str, *parts: str) -> None:
    payload = {"kind": "programme", "id": f"{name}@1", "document": {"valid_from": 0, "pack": plan(name, *parts)}}
    done = till.ask("change", key=f"publish {name}", payload=payload)
    assert isinstance(done, Entry), done
    assert done.outcome == "applied", done.code


def at(till: Timed, text: str) -> None:
    till.clock.at_s = int(datetime.datetime.fromisoformat(text).replace(tzinfo=BEIJING).timestamp())


def account(till: Timed, card: str) -> Account:
    return Account.unpack(till.shop.store.reader().read([card])[card].account.state)


def spend(till: Timed, card: str, fen: int) -> None:
    assert till.sale(card, fen).outcome == "applied"


T05 = (
    counter("points-year", "paid", "year"),
    ('[review]\nper = "year"\nfall = "{fall}"\n[[tier]]\nname = "ordinary"\n[[tier]]\nname = "silver"\ncounter = "points-year"\n'
    'counter_min = 1000_00\n[[tier]]\nname = "gold"\ncounter = "points-year"\ncounter_min = 2000_00\n'
    '[[tier]]\nname = "diamond"\ncounter = "points-year"\ncounter_min = 3000_00\n'),
)


@pytest.mark.parametrize(("fall", "expected"), [("one", [3, 3, 2, 1, 0]), ("balance", [3, 3, 1, 1, 0])])
def test_t05_reach_it_again_within_the_year_or_fall(till: Timed, fall: str, expected: list[int]) -> None:
    publish(till, "keep", *(part.replace("{fall}", fall) for part in T05))
    card = till.card(20_000_00, "keep")
    tiers = []
    for year, fen in ((2026, 3000_00), (2027, 3000_00), (2028, 1000_00), (2029, 1000_00), (2030, 999_99), (2031, 0)):
        at(till, f"{year}-01-01 00:00:00")
        till.shop.background.jobs.run("periods")
        if year > 2026:
            tiers.append(account(till, card).tier)
            till.shop.background.jobs.run("periods")
            assert account(till, card).tier == tiers[-1], "a second review of a period changes nothing"
        if fen:
            at(till, f"{year}-06-30 12:00:00")
            spend(till, card, fen)
    assert tiers == expected
    reviews = [entry for entry in journal(till.shop) if entry.verb == "review" and entry.outcome == "applied"]
    assert len(reviews) >= 3
    till.sound()


def test_t05_the_first_purchase_of_a_year_before_the_review_loses_nothing(till: Timed) -> None:
    publish(till, "keep", *(part.replace("{fall}", "balance") for part in T05))
    card = till.card(9000_00, "keep")
    at(till, "2026-12-31 23:59:59")
    spend(till, card, 2000_00)
    at(till, "2027-01-01 00:00:00")
    spend(till, card, 1_00)
    till.shop.background.jobs.run("periods")
    assert account(till, card).tier == 2
    at(till, "2028-01-01 00:00:00")
    till.shop.background.jobs.run("periods")
    assert account(till, card).tier == 0
    till.sound()


def test_k03_each_quarter_and_c03_each_month_for_every_card_once_though_killed(till: Timed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periods, "ACCOUNTS_A_STEP", 2)
    publish(
        till, "perks", counter("spent", "paid", "month"),
        rule("2 %", 'rebate = "rebates", share = "2/100", counter = "spent"'),
        rule("gift", 'grant = "points", amount = 88', 'event = ["quarter"]'),
    )  # fmt: skip
    at(till, "2026-03-15 12:00:00")
    cards = [till.card(1000_00, "perks") for _ in range(5)]
    till.shop.background.jobs.run("periods")  # the quarter and month they were issued in
    for card in cards:
        spend(till, card, 500_00)
    at(till, "2026-04-01 00:00:00")

    class Killed(BaseException):
        pass

    for after in range(30):
        left = [after]

        def dying(name: str, left: list[int] = left):
            real = getattr(Desk, name)

            def doing(self, *args):
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                return real(self, *args)

            return doing

        with monkeypatch.context() as patch:
            for name in ("keep", "call_many"):
                patch.setattr(Desk, name, dying(name))
            try:
                till.shop.background.jobs.run("periods")
            except Killed:
                till.reopen()
                continue
        break
    assert after > 2, "the faults did not reach the job"
    for card in cards:
        assert till.points(card) == 88 * 2
        rebates = [lot.amount for lot in account(till, card).lots() if till.units(card)[lot.purse] == "fen" and not lot.of_units]
        assert rebates == [10_00], card
    assert till.shop.background.jobs.run("periods").counts == {}
    till.sound()


def test_e14_the_first_three_of_the_month(till: Timed) -> None:
    publish(
        till, "best", counter("spent", "paid", "month"), '[[ranking]]\nname = "best"\ncounter = "spent"\n',
        *(rule(f"place {place}", f'grant = "points", amount = {points}', f'event = ["best-{place}"]')
          for place, points in ((1, 2000), (2, 1000), (3, 500))),
    )  # fmt: skip
    cards = [till.card(1000_00, "best") for _ in range(5)]
    cards.sort(key=lambda card: till.shop.store.reader().read([card])[card].card.account_id)
    for card, fen in zip(cards, (100_00, 500_00, 300_00, 300_00, 0), strict=True):
        if fen:
            spend(till, card, fen)
    till.shop.background.jobs.run("rankings")  # December: nobody bought anything
    at(till, "2026-02-01 00:00:00")
    spend(till, cards[4], 900_00)
    for _ in range(2):
        till.shop.background.jobs.run("rankings")
    assert [till.points(card) for card in cards] == [0, 2000, 1000, 500, 0]
    till.sound()


def test_l08_e10_e11_registration_referral_and_birthday(till: Timed) -> None:
    publish(
        till, "club", rule("welcome", 'grant = "points", amount = 100', 'event = ["registration"]'),
        rule("friend", 'grant = "points", amount = 100', 'event = ["referral"]', "quota = [{ units = 500, per = 'year' }]"),
        rule("by a friend", 'grant = "points", amount = 50', 'event = ["referred"]'),
        rule("birthday", 'grant = "points", amount = 100', 'event = ["birthday"]'),
    )  # fmt: skip

    def enrolled(**more: str) -> tuple[str, str]:
        card = till.card(1_00, "club")
        return card, enrol(till, person(birthday="1990-05-17"), card=card, **more)

    first, member = enrolled()
    assert till.points(first) == 100
    friends = [enrolled(referrer=member)[0] for _ in range(7)]
    assert [till.points(card) for card in friends] == [150] * 7
    assert till.points(first) == 100 + 500
    at(till, "2026-05-17 08:00:00")
    for _ in range(2):
        till.shop.background.jobs.run("birthdays")
    assert [till.points(card) for card in (first, *friends)] == [700, *[250] * 7]
    till.sound()


def test_an_event_is_done_once_for_its_key_and_can_be_reversed(till: Timed) -> None:
    publish(till, "tasks", rule("task", 'grant = "points", amount = 20', 'event = ["task"]'))
    card = till.card(1_00, "tasks")
    answers = [till.ask("event", key="once", card=card, command=Event("task")) for _ in range(2)]
    assert all(isinstance(one, Entry) for one in answers)
    first = answers[0]
    assert isinstance(first, Entry)
    assert first == answers[1]
    assert till.points(card) == 20
    assert Settlement.unpack(first.body).event == "task"
    undone = till.ask("reverse", card=card, command=Reverse(), of=first)
    assert isinstance(undone, Entry)
    assert undone.outcome == "applied"
    assert till.points(card) == 0
    refused = till.ask("event", card=card, command=Event("unheard"))
    assert isinstance(refused, Entry)
    assert refused.code == "nothing_to_do"
    till.sound()


def test_periods_begin_on_their_first_day() -> None:
    day = datetime.date(2026, 11, 22)  # a Sunday
    assert [period_start(per, day).isoformat() for per in ("week", "month", "quarter", "year")] == [
        "2026-11-16", "2026-11-01", "2026-10-01", "2026-01-01",
    ]  # fmt: skip
    assert START_S % 86_400 == 16 * 3600


def test_a_registration_may_award_a_coupon_in_its_own_commit(till: Timed) -> None:
    publish(
        till, "gifted", '[[coupon]]\nname = "tea"\ntitle = { zh = "茶", en = "Tea" }\noff_fen = 5_00\nspend_min_fen = 20_00\n',
        '[[award]]\nname = "welcome-tea"\nid = "tea"\n',
        rule("welcome", 'grant = "welcome-tea", amount = 2', 'event = ["registration"]'),
    )  # fmt: skip
    card = till.card(1_00, "gifted")
    enrol(till, person(), card=card)
    coupons = [lot for lot in account(till, card).lots() if lot.purse >= 64]
    assert len(coupons) == 2
    till.sound()
