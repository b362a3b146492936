"""What begins and ends with a week, month, quarter or year: events of that name (C03, K01, K03), reviews of tiers (T05), rankings (E14).

Periods are those of each pack's own calendar. A mark beside the journal says which period a programme has been through; client keys
name the period and the card, so that what is done again changes nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from heapq import nlargest

from cardapi.desk import Request
from cardapi.desk.events import PERIODS
from cardapi.jobs.model import Context, JobState, Step, chunks, load, to_record
from cardapi.people.registry import ProgrammeVersion
from cardapi.store.port import Found
from cardcore.errors import Declined
from cardcore.settlement import Account, Event, Review, Snapshot, day_of, decide, ended_value
from cardcore.settlement.lifecycle import admit

ACCOUNTS_A_STEP = 500
REVIEW = "review"
_EPOCH = datetime.date(1970, 1, 1)


def period_start(per: str, day: datetime.date) -> datetime.date:
    """The first day of the week (from Monday), month, quarter or year that a day lies in."""
    if per == "week":
        return day - datetime.timedelta(days=day.weekday())
    month = {"month": day.month, "quarter": (day.month - 1) // 3 * 3 + 1, "year": 1}[per]
    return datetime.date(day.year, month, 1)


def _due(context: Context, work: dict[str, str], version: ProgrammeVersion) -> dict[str, str]:
    """Of some work of a programme, name -> period, what its present period has not seen yet: name -> first day of the period."""
    day = _EPOCH + datetime.timedelta(days=day_of(version.programme, context.now()))
    starts = {name: period_start(per, day).isoformat() for name, per in work.items()}
    return {name: start for name, start in starts.items() if load(context.store, _mark(version, name)).day != start}


def _mark(version: ProgrammeVersion, name: str) -> str:
    return f"periods:{version.programme.name}:{name}"


def _versions(context: Context) -> list[ProgrammeVersion]:
    found = (context.registry.version(name, context.now()) for name in context.registry.programme_names())
    return [version for version in found if version is not None]


def _done(context: Context, version: ProgrammeVersion, due: dict[str, str]) -> None:
    context.desk.keep([to_record(_mark(version, name), JobState(start, "done")) for name, start in due.items()])


class Periods:
    """Tells every card in use that a period has begun, and reviews its tier."""

    name = "periods"
    title = ("周期权益与等级评定", "Perks of a period and reviews of tiers")

    def steps(self, context: Context, day: datetime.date, cursor: str) -> Iterator[Step]:
        """See `Job.steps`."""
        del day
        due: dict[str, dict[str, str]] = {}
        for version in _versions(context):
            work: dict[str, str] = {name: name for name in PERIODS if name in version.programme.events}
            if version.programme.review["per"]:
                work[REVIEW] = version.programme.review["per"]
            if found := _due(context, work, version):
                due[version.programme.name] = found
        if not due:
            return
        rows = (row for row in context.store.accounts() if row.account_id > int(cursor or 0))
        for part in chunks(rows, ACCOUNTS_A_STEP):
            requests = [
                request
                for found in context.store.read_accounts([row.account_id for row in part]).values()
                for name, start in due.get(found.card.programme, {}).items()
                if (request := self._request(context, found, name, start)) is not None
            ]
            done = context.do(requests) if requests else []
            yield Step(str(part[-1].account_id), {"accounts": len(part), "done": len(done)})
        for version in _versions(context):
            _done(context, version, due.get(version.programme.name, {}))

    def _request(self, context: Context, found: Found, name: str, start: str) -> Request | None:
        """A request that changes something, as far as can be told without asking for the member."""
        card, now = found.card, context.now()
        version = context.registry.version(card.programme, now)
        account = Account.unpack(found.account.state)
        if version is None or (name == REVIEW and account.tier == account.base_tier):
            return None
        command, programme = (Review(), version.programme) if name == REVIEW else (Event(name), version.deciding(card.flags))
        try:
            admit("event", card.state, card.state_from, card.valid_until, card.flags, now)
            if not version.asks:
                decide(Snapshot(programme, account), command, now * 1_000_000)
        except Declined:
            return None
        verb = "review" if name == REVIEW else "event"
        return context.request(verb, f"job:{name}:{start}:{account.account_id}", card=card.number, command=command)


class Rankings:
    """Finds who was first, second, third by a counter in the period that ended, and tells their cards."""

    name = "rankings"
    title = ("排行奖励", "Rankings")

    def steps(self, context: Context, day: datetime.date, cursor: str) -> Iterator[Step]:
        """See `Job.steps`; a ranking that is begun again is made anew."""
        del day, cursor
        for version in _versions(context):
            programme = version.programme
            periods = {f"ranking-{one['name']}": programme.counters[one["counter"]]["per"] for one in programme.rankings}
            due = _due(context, periods, version)
            for ranking in programme.rankings:
                start = due.get(f"ranking-{ranking['name']}")
                if start is not None:
                    yield Step("", {"places": self._rank(context, version, ranking, start)})
            if due:
                _done(context, version, due)

    def _rank(self, context: Context, version: ProgrammeVersion, ranking: dict[str, object], start: str) -> int:
        """Tell the best. Who they are is kept before anybody is told: a return between a kill and the next start moves no place."""
        name = f"ranked:{version.programme.name}:{ranking['name']}"
        kept = load(context.store, name)
        if kept.day != start:
            kept = JobState(start, "ranked", " ".join(self._best(context, version, ranking)))
            context.desk.keep([to_record(name, kept)])
        requests = [
            context.request("event", f"job:ranking:{version.programme.name}:{ranking['name']}:{start}:{place}", card=number,
                            command=Event(f"{ranking['name']}-{place}"))
            for place, number in enumerate(kept.cursor.split(), 1)
        ]  # fmt: skip
        return len(context.do(requests)) if requests else 0

    @staticmethod
    def _best(context: Context, version: ProgrammeVersion, ranking: dict[str, object]) -> list[str]:
        """Numbers of the cards that had most in the period that ended, the first first; of equals the older account.

        Accounts of different partitions have no common age: of them it is the one of the lower partition.
        """
        counter, top = int(str(ranking["counter"])), int(str(ranking["top"]))
        best: list[tuple[int, int, str]] = []
        for part in chunks(context.store.accounts(), ACCOUNTS_A_STEP):
            values = {row.account_id: ended_value(version.programme, Account.unpack(row.state), counter, context.now()) for row in part}
            # Accounts come in that order, and of equals the first one stays: only who has more than the last of the best is looked up.
            least = best[-1][0] if len(best) == top else 0
            counted = [account_id for account_id, value in values.items() if value > least]
            cards = context.store.read_accounts(counted).values() if counted else ()
            own = [found.card for found in cards if found.card.programme == version.programme.name and found.card.state == "active"]
            best = nlargest(top, [*best, *((values[card.account_id], -card.account_id, card.number) for card in own)])
        return [number for _, _, number in best]
