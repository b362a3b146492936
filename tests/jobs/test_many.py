"""Goal: the jobs of a night take every member once and never hold all of them in memory. Method: a shop of many members whose points
lapse, tiers fall, birthdays come and ranks are given in one night. `python -m tests.jobs.test_many 1000000` measures it by hand."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cardapi.desk import Request
from cardapi.jobs.model import chunks
from cardapi.members.enrol import Claim
from cardcore.settlement import Account, Event
from tests.jobs.conftest import Timed
from tests.jobs.test_periods import at, plan
from tests.members.till import person
from tests.settlement.test_counters import counter
from tests.settlement.test_grants import rule
from tests.support import sized

MEMBERS = sized(300, 100_000)
BATCH = 1_000
TOP = 3
PACK = (
    plan("many", counter("score-year", "score", "year"), '[review]\nper = "year"\nfall = "balance"\n', '[[tier]]\nname = "one"\n'
         '[[tier]]\nname = "two"\ncounter = "score-year"\ncounter_min = 10\n', '[[ranking]]\nname = "best"\ncounter = "score-year"\n',
         rule("start", 'grant = "points", amount = 50', 'event = ["task"]'),
         rule("scored", 'score = "score-year", amount = 10', 'event = ["task"]'),
         rule("first", 'grant = "points", amount = 1_000', 'event = ["best-1"]'),
         rule("birthday", 'grant = "points", amount = 5', 'event = ["birthday"]'))
    .replace('role = "points"\n', 'role = "points"\nexpires_after = "P1Y"\n') + "[membership]\nsuspend_months = 6\nleave_months = 24\n"
)  # fmt: skip
JOBS = ("expiry", "periods", "rankings", "birthdays", "reminders", "inactivity")


class Night:
    """Members with 50 points, a score and the second tier, all of 2026; a birthday each on one of the first days of 2028."""

    def __init__(self, directory: Path, members: int) -> None:
        self.till = Timed(directory)
        self.members = members
        document = {"valid_from": 0, "pack": PACK}
        self.till.done("change", payload={"kind": "programme", "id": "many@1", "document": document})
        self.cards: list[str] = []
        for part in chunks(range(members), BATCH):
            facts = {"programme": "many", "prefix": "8801"}
            cards = [entry.card for entry in self.all(part, "issue", payload=facts)]
            self.all(part, "activate", cards=cards)
            self.all(part, "event", cards=cards, command=Event("task"))
            claims = [{"profile": person(birthday=f"1990-01-{1 + number % 28:02d}"), "claim": Claim(), "card": card, "consents": ("file",)}
                      for number, card in zip(part, cards, strict=True)]  # fmt: skip
            self.all(part, "enrol", payloads=claims)
            self.cards += cards

    def all(
        self, numbers: list[int], verb: str, *, cards: list[str] | None = None, payloads: list[Any] | None = None, **fields: Any
    ) -> list[Any]:
        """One request for each number, in one go."""
        requests: list[Request] = []
        for place, number in enumerate(numbers):
            request = self.till.request(verb, key=f"{verb}-{number}", meaning=[verb, number], **fields)
            request.card = cards[place] if cards else ""
            request.payload = payloads[place] if payloads else request.payload
            requests.append(request)
        answers = self.till.shop.desk.call_many(requests)
        assert all(getattr(answer, "outcome", "") == "applied" for answer in answers), answers[0]
        return answers

    def accounts(self) -> list[Account]:
        return [Account.unpack(row.state) for row in self.till.shop.store.reader().accounts()]

    def run(self, name: str) -> tuple[dict[str, int], float, int]:
        """Counts, seconds, and KiB that the process grew by at most, without what it maps of the database."""
        before, mapped, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, mapped_kib(), time.perf_counter()
        state = self.till.shop.background.jobs.run(name)
        assert state.state == "done", state
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before - (mapped_kib() - mapped)
        return state.counts, time.perf_counter() - started, grown


def mapped_kib() -> int:
    """Of the files that are in this process' memory. 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssFile:"))


def test_a_night_takes_every_member_once(tmp_path: Path) -> None:
    night = Night(tmp_path / "shop", MEMBERS)
    grown = {}
    at(night.till, "2027-01-01 00:30:00")
    for name in ("periods", "rankings"):
        counts, _, grown[name] = night.run(name)
    assert counts["places"] == 1, "the first of those that score alike is given what there is for it; no rule is for the others"
    at(night.till, "2028-01-01 00:30:00")
    found = {}
    for name in JOBS:
        found[name], _, grown[name] = night.run(name)
    born = len(range(0, MEMBERS, 28))
    assert found["birthdays"]["events"] == born
    accounts = night.accounts()
    assert len(accounts) == MEMBERS
    assert {account.tier for account in accounts} == {0}, "nobody scored in 2027: everybody fell"
    assert sum(lot.amount for account in accounts for lot in account.lots()) == 5 * born + 1_000 * (MEMBERS > 0)
    # Most of it is the database's page cache; all members at once would be several times as much.
    assert max(grown.values()) < 256 * 1024, f"KiB by job: {grown}"
    for name in JOBS:
        night.run(name)
    assert night.accounts() == accounts, "what is done again changes nothing"
    if MEMBERS <= 1_000:
        night.till.sound()
    night.till.shop.close()


def main(members: int) -> None:
    """Print what one night costs."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        night = Night(Path(folder) / "shop", members)
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{members:,} members made in {time.perf_counter() - started:.0f} s, {rss} MiB", flush=True)
        for day in ("2027-01-01 00:30:00", "2028-01-01 00:30:00"):
            at(night.till, day)
            for name in JOBS:
                counts, seconds, kib = night.run(name)
                each = f"{seconds / members * 1e6:6.1f} us a member"
                print(f"{day[:10]}  {name:<11} {seconds:8.1f} s  {each}  +{kib // 1024} MiB  {counts}", flush=True)
        night.till.shop.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
