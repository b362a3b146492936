"""What members are told without an entry that says so: their birthday, and points that end within a month (X01, K04)."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from itertools import groupby

from cardapi.days import day_of, plus_months, starts_at
from cardapi.jobs.model import Context, Step, chunks
from cardapi.members import model
from cardapi.messages.courier import Courier
from cardapi.store.port import Record
from cardcore.settlement import Account, Event
from cardcore.settlement.views import LotView

ACCOUNTS_A_STEP = 500
MEMBERS_A_STEP = 200
HELD_MAX = 200  # cards of one member


class Birthdays:
    """Good wishes on the day; on 28 February also for who was born on the 29th, when there is none."""

    name = "birthdays"
    title = ("生日祝福", "Birthday messages")

    def __init__(self, courier: Courier) -> None:
        self._courier = courier

    def steps(self, context: Context, day: datetime.date, cursor: str) -> Iterator[Step]:
        """See `Job.steps`."""
        del cursor
        days = [f"{day:%m-%d}"]
        if days == ["02-28"] and (day + datetime.timedelta(days=1)).month == 3:
            days.append("02-29")
        for text in days:
            blind, after = context.custody.blind("birthday", text), ""
            while rows := context.store.find_records("person", "birthday", blind, after=(blind, after), limit=MEMBERS_A_STEP):
                made: list[Record] = []
                for row in rows:
                    made += self._courier.put(f"birthday:{day.year}:{row.id}", row.id, "birthday", {}, context.top(), context.store)
                if made:
                    context.desk.keep(made)
                given = self._give(context, [row.id for row in rows], day)
                after = rows[-1].id
                yield Step("", {"members": len(rows), "messages": len(made), "events": given})

    @staticmethod
    def _give(context: Context, names: list[str], day: datetime.date) -> int:
        """The event `birthday` on each card whose pack asks for it (E11)."""
        held = [int(one.id, 16) for name in names for one in context.store.find_records("holding", "member", name, limit=HELD_MAX)]
        requests = []
        for found in context.store.read_accounts(held).values() if held else ():
            version = context.registry.version(found.card.programme, context.now())
            if version is not None and "birthday" in version.programme.events and found.card.state == "active":
                key = f"job:birthday:{day.year}:{found.account.account_id}"
                requests.append(context.request("event", key, card=found.card.number, command=Event("birthday")))
        return len(context.do(requests)) if requests else 0


class Reminders:
    """One message for all points of a card that end on the same day, once, from a month before."""

    name = "reminders"
    title = ("积分到期提醒", "Remind of points about to end")

    def __init__(self, courier: Courier) -> None:
        self._courier = courier

    def steps(self, context: Context, day: datetime.date, cursor: str) -> Iterator[Step]:
        """See `Job.steps`."""
        now, until = context.now(), starts_at(plus_months(day, 1) + datetime.timedelta(days=1))
        for part in chunks((row for row in context.store.accounts() if row.account_id > int(cursor or 0)), ACCOUNTS_A_STEP):
            ending = {}
            for row in part:
                lots = [lot for lot in Account.unpack(row.state).lots() if now < lot.expires_at <= until]
                if lots:
                    ending[row.account_id] = sorted(lots, key=lambda lot: lot.expires_at)
            made = self._made(context, ending) if ending else []
            if made:
                context.desk.keep(made)
            yield Step(str(part[-1].account_id), {"accounts": len(part), "messages": len(made)})

    def _made(self, context: Context, ending: dict[int, list[LotView]]) -> list[Record]:
        names = {model.account_name(account_id): account_id for account_id in ending}
        held = context.store.records("holding", list(names))
        made: list[Record] = []
        found = context.store.read_accounts([names[name] for name in held])
        for name, row in held.items():
            card = found[names[name]].card
            programme = context.registry.programme(card.programme, context.now())
            points = [lot for lot in ending[names[name]] if programme.unit_of(lot.purse) == "points"]
            for end, lots in groupby(points, key=lambda lot: lot.expires_at):
                facts: dict[str, str | int] = {
                    "card": card.number[-4:], "count": sum(lot.amount for lot in lots), "day": day_of(end - 1).isoformat(),
                }  # fmt: skip
                about = f"end:{name}:{end}"
                made += self._courier.put(about, row.body.decode(), "points_end", facts, context.top(), context.store)
        return made
