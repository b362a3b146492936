"""Sessions that ended long ago are taken out of the registry; the journal keeps that they were (R5, A1)."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from cardapi.jobs.model import Context, Step, chunks

KEPT_S = 7 * 86_400
SESSIONS_A_STEP = 50


class Pruning:
    """Removes sessions a week after their end."""

    name = "pruning"
    title = ("清理登录会话", "Prune ended sessions")

    def steps(self, context: Context, day: datetime.date, cursor: str) -> Iterator[Step]:
        """See `Job.steps`."""
        del day, cursor
        old = [name for name, document in context.registry.documents("session") if document["expires_at"] + KEPT_S <= context.now()]
        for part in chunks(old, SESSIONS_A_STEP):
            done = context.do(
                context.request("change", f"job:pruning:{name}", payload={"kind": "session", "id": name, "remove": True}) for name in part
            )
            yield Step("", {"sessions": len(done)})
