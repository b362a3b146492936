"""Members who buy nothing: membership is suspended, then ends, and a purchase wakes it again (L10). Balances stay."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from cardapi.days import plus_months, starts_at
from cardapi.jobs.model import Context, Step, chunks
from cardapi.members import model
from cardapi.members.model import Member
from cardapi.store.port import Found, Record

MEMBERS_A_STEP = 200
PURCHASES = frozenset({"settle", "capture", "clear", "pay"})
STATEMENT_PAGE = 50


class Inactivity:
    """Compares each member's last purchase with `suspend_months` and `leave_months` of the cards' programmes."""

    name = "inactivity"
    title = ("长期未消费", "Suspend and end inactive memberships")

    def steps(self, context: Context, day: datetime.date, cursor: str) -> Iterator[Step]:
        """See `Job.steps`."""
        if not any(v.membership.suspend_months or v.membership.leave_months for name in context.registry.programme_names()
                   for v in context.registry.versions(name)):  # fmt: skip
            return
        for part in chunks(context.store.all_records("member", cursor), MEMBERS_A_STEP):
            requests = [wanted for row in part if (wanted := self._wanted(context, row, day)) is not None]
            yield Step(part[-1].id, {"members": len(part), "changed": self._apply(context, requests, day)})

    def _apply(self, context: Context, wanted: list[tuple[str, str]], day: datetime.date) -> int:
        requests = [
            context.request(
                "member_state", f"job:inactivity:{name}:{state}:{day}", reason="inactive" if state != "active" else "active again",
                payload={"member": name, "state": state, "asleep": state != "active"},
            )
            for name, state in wanted
        ]  # fmt: skip
        return len(context.do(requests)) if requests else 0

    def _wanted(self, context: Context, row: Record, day: datetime.date) -> tuple[str, str] | None:
        member = model.from_record(row)
        if member.state not in ("active", "suspended") or (member.state == "suspended" and not member.asleep):
            return None
        held = context.store.find_records("holding", "member", row.id, limit=200)
        found = list(context.store.read_accounts([int(holding.id, 16) for holding in held]).values())
        state = self._judge(context, member, found, day)
        return (row.id, state) if state != member.state else None

    def _judge(self, context: Context, member: Member, found: list[Found], day: datetime.date) -> str:
        """The state a member should have: the mildest that any of its cards' programmes asks for."""
        asked = []
        for one in found:
            version = context.registry.version(one.card.programme, context.now())
            if version is None:
                continue
            rules = version.membership
            ends, sleeps = (starts_at(plus_months(day, -months)) if months else 0 for months in (rules.leave_months, rules.suspend_months))
            last = max(member.enrolled_at, self._last_purchase(context, one, min(filter(None, (ends, sleeps)), default=0)))
            asked.append("left" if last < ends else "suspended" if last < sleeps else "active")
        order = ("active", "suspended", "left")
        return min(asked, key=order.index, default=member.state)

    @staticmethod
    def _last_purchase(context: Context, found: Found, since: int) -> int:
        """Epoch second of the newest purchase of an account, looking back no further than `since`; 0 if there is none."""
        before: int | None = None
        while entries := context.store.statement(found.account.account_id, before, STATEMENT_PAGE):
            for entry in entries:
                at_s = entry.at_us // 1_000_000
                if at_s < since:
                    return 0
                if entry.outcome == "applied" and entry.verb in PURCHASES:
                    return at_s
            before = entries[-1].position
        return 0
