"""Handlers of time-driven work: what there is, how the last run went, and run it now."""

from __future__ import annotations

from cardapi.http import job_schemas as ask
from cardapi.http.call import Call, Service, ok
from cardapi.http.problems import Answer
from cardapi.jobs.model import Job, JobState


def _view(job: Job, state: JobState) -> ask.JobView:
    return ask.JobView(
        job=job.name, title_zh=job.title[0], title_en=job.title[1], day=state.day, state=state.state, started_at=state.started_at,
        ended_at=state.ended_at, counts=state.counts, error=state.error,
    )  # fmt: skip


async def list_jobs(service: Service, call: Call) -> Answer:
    """Every job with its last run."""
    del call
    states = await service.chores.run(service.shop.background.jobs.states)
    return ok(ask.Jobs(jobs=[_view(job, state) for job, state in states]))


async def run_job(service: Service, call: Call) -> Answer:
    """Run one job for today and answer when it is done. Raises JobRefused."""
    runner = service.shop.background.jobs
    name = call.path["job"]
    state = await service.chores.run(lambda: runner.run(name))
    return ok(_view(runner.jobs[name], state))
