"""Runs the jobs of the day: inside the service on a thread of its own, or step by step on demand.

Killed at any moment, the next start goes on from the last step that was kept; the step under way is done again, which
changes nothing (F6). One runner at a time.
"""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from cardapi.days import day_of
from cardapi.jobs.model import Context, Job, JobState, load, to_record
from cardcore.errors import CardcoreError

TICK_S = 60
RETRY_FIRST_S = 60
RETRY_MAX_S = 3_600

_log = logging.getLogger("cardcore.jobs")


class JobRefused(CardcoreError):
    """`code`: unknown_job, job_running."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Runner:
    """The jobs of one shop. `context` is made on the thread that runs them."""

    def __init__(self, jobs: Sequence[Job], context: Callable[[], Context]) -> None:
        self.jobs = {job.name: job for job in jobs}
        self._make = context
        self._context: Context | None = None
        self._running = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._wait: dict[str, tuple[int, int]] = {}  # job -> (not before, how long the next wait is)

    # ------------------------------------------------------------ by itself
    def start(self) -> None:
        """Run what is due, now and every minute, on a thread of its own."""
        self._thread = threading.Thread(target=self._loop, name="cardcore-jobs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the step under way. Safe to call twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._context is not None:
            self._context.store.close()
            self._context = None

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self.tick()
            except CardcoreError as error:
                _log.warning("jobs wait: %s", error.code)
            self._stop.wait(TICK_S)

    # ------------------------------------------------------------ on demand
    def tick(self) -> list[str]:
        """Run every job that has not finished its day; the names of those that ran. Raises JobRefused job_running."""
        with self._alone():
            context = self._open()
            day, ran = day_of(context.now()), []
            for job in self.jobs.values():
                state = load(context.store, job.name)
                if (state.day, state.state) == (day.isoformat(), "done") or self._wait.get(job.name, (0, 0))[0] > context.now():
                    continue
                if self._stop.is_set():
                    break
                self._run(context, job, day)
                ran.append(job.name)
            return ran

    def run(self, name: str, day: datetime.date | None = None) -> JobState:
        """Run one job now, its day done or not. Raises JobRefused."""
        job = self.jobs.get(name)
        if job is None:
            raise JobRefused("unknown_job", f"there is no job {name!r}; jobs are: {', '.join(self.jobs)}")
        with self._alone():
            context = self._open()
            return self._run(context, job, day or day_of(context.now()))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._running.acquire(blocking=False):
            raise JobRefused("job_running", "jobs are running now; look again in a moment")
        try:
            yield
        finally:
            self._running.release()

    def _open(self) -> Context:
        if self._context is None:
            self._context = self._make()
        return self._context

    def _run(self, context: Context, job: Job, day: datetime.date) -> JobState:
        before = load(context.store, job.name)
        resumed = before.day == day.isoformat() and before.state in ("running", "failed")
        cursor, counts = (before.cursor, dict(before.counts)) if resumed else ("", {})
        state = JobState(day.isoformat(), "running", cursor, context.now(), 0, counts)
        done = False
        try:
            for number, step in enumerate(job.steps(context, day, state.cursor)):
                state.cursor = step.cursor
                for name, count in step.counts.items():
                    state.counts[name] = state.counts.get(name, 0) + count
                if self._stop.is_set():
                    break
                if number:  # most days are one step: what is done again after a kill costs less than a write for each
                    self._keep(context, job, state)
            else:
                done = True
        except Exception as error:  # a job that breaks must not end the others; what it did is durable, what it does next is harmless
            wait = min(RETRY_MAX_S, max(RETRY_FIRST_S, self._wait.get(job.name, (0, 0))[1] * 2))
            self._wait[job.name] = (context.now() + wait, wait)
            code = error.code if isinstance(error, CardcoreError) else "unexpected"
            state.state, state.error, state.ended_at = "failed", code, context.now()
            _log.warning("job %s failed: %s", job.name, code, exc_info=code == "unexpected")
        if done:
            self._wait.pop(job.name, None)
            state.state, state.ended_at, state.cursor = "done", context.now(), ""
        self._keep(context, job, state)
        return state

    @staticmethod
    def _keep(context: Context, job: Job, state: JobState) -> None:
        context.desk.keep([to_record(job.name, state)])

    def states(self) -> list[tuple[Job, JobState]]:
        """Every job with its last run, read by the caller's thread."""
        store = self._make().store
        try:
            return [(job, load(store, job.name)) for job in self.jobs.values()]
        finally:
            store.close()
