"""What is kept no longer: sessions that ended long ago (the journal keeps that they were: R5, A1), messages sent long ago,
sums of purchases."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from cardapi.jobs.model import Context, Step, chunks
from cardapi.messages import model as messages
from cardapi.store.port import Record

KEPT_S = 7 * 86_400
PURCHASE_KEPT_S = 2 * 86_400  # sums of what was sold at once
SESSIONS_A_STEP = 50
MESSAGES_A_STEP = 500


class Pruning:
    """Removes sessions a week after their end, and messages three months after they were made and sent."""

    name = "pruning"
    title = ("清理过期会话和消息", "Prune ended sessions and old messages")

    def steps(self, context: Context, day: datetime.date, cursor: str) -> Iterator[Step]:
        """See `Job.steps`."""
        del day, cursor
        old = [name for name, document in context.registry.documents("session") if document["expires_at"] + KEPT_S <= context.now()]
        for part in chunks(old, SESSIONS_A_STEP):
            done = context.do(
                context.request("change", f"job:pruning:{name}", payload={"kind": "session", "id": name, "remove": True}) for name in part
            )
            yield Step("", {"sessions": len(done)})
        yesterday = f"{context.now() - PURCHASE_KEPT_S:012d}"
        while rows := context.store.find_records("purchase", "day", "0", yesterday, limit=MESSAGES_A_STEP):
            context.desk.keep([Record(row.kind, row.id, b"") for row in rows])
            yield Step("", {"purchases": len(rows)})
        before = f"{context.now() - messages.KEPT_S:012d}"
        while rows := context.store.find_records(messages.KIND, "state:sent", "0", before, limit=MESSAGES_A_STEP):
            context.desk.keep([Record(row.kind, row.id, b"") for row in rows])
            yield Step("", {"messages": len(rows)})
