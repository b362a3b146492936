"""Goal: time-driven work does what is due, at the second and not before, once, and can be killed at any step (F6, X01, L10).

Method: a clock the test turns; the runner is cut off after every step and started again; the journal is replayed at the end.
"""

from __future__ import annotations

import datetime
import time

import pytest

from cardapi.app import ShopError
from cardapi.desk import Desk, Problem
from cardapi.jobs import expiry, inactivity
from cardapi.jobs.model import Step, load
from cardapi.jobs.runner import JobRefused, Runner
from cardcore.errors import CardcoreError
from tests.jobs.conftest import DAY_S, START_S, Timed
from tests.members.till import enrol
from tests.shops import journal, length
from tests.support import sized


def earner(till: Timed) -> str:
    """A mall card with 50 points from a sale of 500 yuan."""
    card = till.card(600_00, "mall-vip")
    assert till.sale(card, 500_00).outcome == "applied"
    return card


def test_points_lapse_three_years_after_their_accrual_and_no_second_before(till: Timed) -> None:
    card = earner(till)
    points, money = till.points(card), till.balance(card)
    assert points > 0
    # The last day is the third anniversary of the accrual on 2026-01-01.
    lapse = int(datetime.datetime(2029, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=8))).timestamp())
    till.clock.at_s = lapse - 1
    till.shop.background.jobs.run("expiry")
    assert till.points(card) == points
    till.clock.at_s = lapse
    till.shop.background.jobs.run("expiry")
    assert till.points(card) == 0
    assert till.balance(card) == money - points, "only the points went"
    till.sound()


def test_a_lapsed_hold_is_given_back_without_the_card(till: Timed) -> None:
    card = till.card(100_00)
    held = till.sale(card, 30_00, verb="hold")
    assert till.balance(card) == 70_00
    till.clock.at_s += 601
    till.shop.background.jobs.run("expiry")
    assert till.balance(card) == 100_00
    (released,) = till.shop.store.reader().followers(held.partition, held.position)
    assert (released.verb, released.client) == ("expire", "system")
    till.sound()


def test_years_of_days_in_seconds(till: Timed) -> None:
    cards = [earner(till) for _ in range(5)]
    till.clock.pass_days(sized(2 * 365, 0))
    started = time.process_time()  # not the clock of a machine that others use too
    for _ in range(sized(400, 3 * 365 + 2)):
        till.clock.pass_days(1)
        assert till.tick() == ["periods", "rankings", "expiry", "inactivity", "birthdays", "reminders", "pruning"]
        assert till.tick() == [], "a day is done once"
    assert time.process_time() - started < 60, "years run in seconds"
    assert [till.points(card) for card in cards] == [0] * 5
    till.sound()


def test_killed_after_every_step_it_ends_the_same(till: Timed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies after the k-th durable write: before it, or between the effect and the note of how far it came."""
    monkeypatch.setattr(expiry, "ACCOUNTS_A_STEP", 2)
    cards = [earner(till) for _ in range(7)]
    till.clock.pass_days(3 * 365 + 2)

    class Killed(BaseException):
        pass

    killed = 0
    for after in range(40):
        left = [after]

        def dying(name: str, left: list[int] = left):
            real = getattr(Desk, name)

            def doing(self, *args):
                if left[0] == 0:
                    raise Killed  # before the write
                left[0] -= 1
                answer = real(self, *args)
                if left[0] == 0:
                    raise Killed  # after it, before anybody knows
                left[0] -= 1
                return answer

            return doing

        with monkeypatch.context() as patch:
            for name in ("keep", "call_many"):
                patch.setattr(Desk, name, dying(name))
            try:
                till.shop.background.jobs.run("expiry")
            except Killed:
                killed += 1
            else:
                break
        till.reopen()
    assert killed >= 5, "the faults did not reach the job"
    assert [till.points(card) for card in cards] == [0] * 7
    expired = [entry for entry in journal(till.shop) if entry.verb == "expire"]
    assert len(expired) == 7, "each account lapsed once"
    till.sound()


def test_it_goes_on_where_it_stopped(till: Timed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "ACCOUNTS_A_STEP", 1)
    accounts = sorted(till.topup(till.card(), 1_00).account_id for _ in range(4))

    class Stopping(expiry.Expiry):
        def steps(self, context, day, cursor):
            seen.append(cursor)
            for count, step in enumerate(super().steps(context, day, cursor)):
                yield step
                if count == 1 and len(seen) == 1:
                    raise CardcoreError("the disk is full")

    seen: list[str] = []
    runner = Runner([Stopping()], till.shop.background.jobs._make)
    failed = runner.run("expiry")
    assert (failed.state, failed.error, failed.counts) == ("failed", "error", {"accounts": 2, "expired": 0})
    done = runner.run("expiry")
    assert seen == ["", str(accounts[1])]
    assert (done.state, done.counts) == ("done", {"accounts": 4, "expired": 0})
    runner.stop()


def test_a_failing_job_waits_longer_each_time_and_holds_up_nobody(till: Timed) -> None:
    class Broken:
        name, title = "broken", ("坏", "Broken")

        def steps(self, context, day, cursor):
            if day:
                raise CardcoreError("no")
            yield Step("")

    class Fine(Broken):
        name = "fine"

        def steps(self, context, day, cursor):
            yield Step("", {"done": 1})

    runner = Runner([Broken(), Fine()], till.shop.background.jobs._make)
    tries = []
    assert runner.tick() == ["broken", "fine"]
    for _ in range(sized(200, 400)):
        till.clock.at_s += 30
        if "broken" in runner.tick():
            tries.append(till.clock.at_s - START_S)
    gaps = [later - earlier for earlier, later in zip([0, *tries], tries, strict=False)]
    assert gaps[:4] == [60, 120, 240, 480]
    assert max(gaps) <= 3_600
    assert load(till.shop.store.reader(), "fine").state == "done"
    runner.stop()


def test_inactivity_suspends_then_ends_and_a_purchase_wakes(till: Timed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inactivity, "MEMBERS_A_STEP", 2)
    buyer, sleeper, cardless = (till.card(500_00, "sleepy"), till.card(1_00, "sleepy"), "")
    names = [enrol(till, card=card) for card in (buyer, sleeper, cardless)]
    manual = enrol(till, card=till.card(1_00, "sleepy"))
    till.done("member_state", payload={"member": manual, "state": "suspended"})

    def states() -> list[str]:
        till.shop.background.jobs.run("inactivity")
        store = till.shop.store.reader()
        from cardapi.members.model import from_record

        return [from_record(store.records("member", [name])[name]).state for name in [*names, manual]]

    till.clock.at_s = START_S + 181 * DAY_S  # 2026-07-01: the day six months after the enrolment on 2026-01-01 has begun
    assert states() == ["active", "active", "active", "suspended"]
    till.sale(buyer, 1_00)
    till.clock.pass_days(1)
    assert states() == ["active", "suspended", "active", "suspended"]
    till.sale(sleeper, 50)
    assert states() == ["active", "active", "active", "suspended"], "a purchase wakes who fell asleep, not who was suspended"
    till.clock.pass_days(200)
    assert states() == ["suspended", "suspended", "active", "suspended"]
    till.clock.pass_days(2 * 365 + 30)
    assert states() == ["left", "left", "active", "suspended"]
    assert till.balance(buyer) == 499_00, "balances stay"
    till.sound()


def test_sessions_are_pruned_a_week_after_their_end(till: Timed) -> None:
    def session(name: str, expires_at: int) -> None:
        document = {"id": name, "operator": "admin", "unit": "issuer", "state": "active", "since": 1, "expires_at": expires_at}
        till.done("change", payload={"kind": "session", "id": name, "document": document})

    session("old", START_S - 7 * DAY_S)
    session("young", START_S - 7 * DAY_S + 1)
    done = till.shop.background.jobs.run("pruning")
    assert done.counts == {"sessions": 1}
    assert [name for name, _ in till.shop.registry.documents("session")] == ["young"]
    till.sound()
    till.reopen()
    assert [name for name, _ in till.shop.registry.documents("session")] == ["young"]
    assert till.problem("change", payload={"kind": "unit", "id": "issuer", "remove": True}) == "invalid_payload"
    session("old", START_S)
    till.sound()


def test_one_runner_at_a_time_and_unknown_jobs(till: Timed) -> None:
    with pytest.raises(JobRefused) as refused:
        till.shop.background.jobs.run("nothing")
    assert refused.value.code == "unknown_job"
    with till.shop.background.jobs._alone(), pytest.raises(JobRefused) as refused:
        till.shop.background.jobs.run("expiry")
    assert refused.value.code == "job_running"


def test_what_is_kept_beside_the_journal_is_no_projection(till: Timed) -> None:
    till.tick()
    head = length(till.shop)
    till.sound()
    till.clock.pass_days(1)
    till.tick()
    assert length(till.shop) == head, "nothing was due, nothing is in the journal"
    till.shop.desk.stop()
    with pytest.raises(Problem):
        till.shop.desk.keep([])
    assert issubclass(ShopError, CardcoreError)
