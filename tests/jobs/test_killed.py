"""Goal: every job of a night that is killed at any of its durable writes, and started again, ends as the one that nobody killed (F6).
Method: two shops that lived the same; in one the process dies before and after each write, one write later each time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cardapi.desk import Desk, Request
from cardapi.jobs import expiry, inactivity, notices, periods, pruning
from cardapi.messages.model import Message, to_record
from cardapi.people.sessions import new_session
from cardapi.store.port import Record
from cardcore.settlement import Reverse
from tests.jobs.test_many import JOBS, Night
from tests.jobs.test_periods import at
from tests.shops import journal
from tests.support import sized

MEMBERS = 5
NIGHTLY = (*JOBS, "pruning")
OLD = 3  # sessions, sums of purchases and sent messages whose time is over, on each of the nights
RESTART_EACH = sized(6, 1)  # deaths for one whole start of the shop; the job begins anew after each


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (expiry, periods, notices):
        monkeypatch.setattr(module, "ACCOUNTS_A_STEP", 2)
    for module in (inactivity, notices):
        monkeypatch.setattr(module, "MEMBERS_A_STEP", 1)
    for size in ("SESSIONS_A_STEP", "MESSAGES_A_STEP"):
        monkeypatch.setattr(pruning, size, 1)


def dying(real: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    """A write that is the last thing its process does when `left` is used up: not done, or done and nobody knows."""

    def write(*args: Any) -> Any:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        answer = real(*args)
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return answer

    return write


def run_killed(night: Night, name: str) -> int:
    """Run a job until nothing kills it any more; how often it was killed."""
    for after in range(200):
        left = [after]
        with pytest.MonkeyPatch.context() as patch:
            for write in ("keep", "call_many"):
                patch.setattr(Desk, write, dying(getattr(Desk, write), left))
            try:
                night.till.shop.background.jobs.run(name)
            except Killed:
                pass
            else:
                return after
        if after % RESTART_EACH == 0:
            night.till.reopen()
    raise AssertionError("the job never came to its end")


def grow_old(night: Night, day: str) -> None:
    """What a year leaves behind, and one of each whose time is not over."""
    now = night.till.clock.at_s
    for number in range(OLD + 1):
        made_at = now - (100 * 86_400 if number < OLD else 0)
        name = f"{day[:10]}-{number}"
        session = new_session(name, "ann", "store-1", made_at)
        night.till.done("change", key=f"session {name}", payload={"kind": "session", "id": name, "document": session})
        told = to_record(name, Message("m-1", "file", "welcome", {}, made_at, state="sent"))
        night.till.shop.desk.keep([told, Record("purchase", name, b"0", (("day", f"{made_at:012d}"),))])


def outcome(night: Night) -> list[Any]:
    """All that jobs change, but for the places of entries and the words of sealed rows: accounts, members, messages, sums of purchases,
    sessions."""
    store = night.till.shop.store.reader()
    members = [record.body for record in store.all_records("member")]
    kept = [[record.id for record in store.all_records(kind)] for kind in ("message", "purchase")]
    sessions = sorted(name for name, _ in night.till.shop.registry.documents("session"))
    return [[account.pack() for account in night.accounts()], members, *kept, sessions]


def test_every_job_that_is_killed_ends_like_the_one_that_is_not(tmp_path: Path) -> None:
    whole, killed = Night(tmp_path / "whole", MEMBERS), Night(tmp_path / "killed", MEMBERS)
    deaths = dict.fromkeys(NIGHTLY, 0)
    for day in ("2026-12-05 00:30:00", "2028-01-01 00:30:00"):
        for night in (whole, killed):
            at(night.till, day)
            grow_old(night, day)
        for name in NIGHTLY:
            whole.run(name)
            deaths[name] += run_killed(killed, name)
            assert outcome(killed) == outcome(whole), (day, name)
    assert min(deaths.values()) >= 6, f"the deaths did not reach every job: {deaths}"
    assert len(outcome(whole)[2]) > 1, "nobody was told anything"
    assert outcome(whole)[3:] == [[f"2028-01-01-{OLD}"]] * 2, "of the last night's one sum of purchases and one session are young"
    for night in (whole, killed):
        night.till.sound()
        night.till.shop.close()


def test_a_ranking_stands_though_a_return_comes_between_a_kill_and_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first place was told, its holder's score went; nobody is told two places, and no place is told twice."""
    night = Night(tmp_path / "shop", MEMBERS)
    at(night.till, "2027-01-01 00:30:00")
    found = night.till.shop.store.reader().read(night.cards)
    ranked = sorted(night.cards, key=lambda card: found[card].card.account_id)
    first = ranked[0]
    scored = next(entry for entry in journal(night.till.shop) if entry.verb == "event" and entry.card == first)
    together = Desk.call_many

    def one_only(desk: Desk, requests: list[Request]) -> list[Any]:
        """In a shop of several partitions one commit does not hold all of a job's requests."""
        together(desk, requests[:1])
        raise Killed

    monkeypatch.setattr(Desk, "call_many", one_only)
    with pytest.raises(Killed):
        night.till.shop.background.jobs.run("rankings")
    monkeypatch.setattr(Desk, "call_many", together)
    night.till.done("reverse", card=first, of=scored, command=Reverse())
    assert run_killed(night, "rankings") >= 2
    told = {entry.client_key: entry.card for entry in journal(night.till.shop) if entry.client_key.startswith("job:ranking:")}
    assert [told[key] for key in sorted(told)] == ranked[:3], "of equals the older account, as it was when the period ended"
    night.till.sound()
    night.till.shop.close()
