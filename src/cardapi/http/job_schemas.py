"""Answers about time-driven work."""

from __future__ import annotations

from cardapi.http.fields import Told


class JobView(Told):
    """A job and its last run. `state` is empty (never ran), running, done or failed; times are epoch seconds, 0 for none."""

    job: str
    title_zh: str
    title_en: str
    day: str
    state: str
    started_at: int
    ended_at: int
    counts: dict[str, int]
    error: str


class Jobs(Told):
    """All jobs, in the order in which they run."""

    jobs: list[JobView]
