"""`cardcore jobs`: time-driven work - what there is, how the last run went, run it now."""

from __future__ import annotations

from typing import Annotated

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Operator, Token, Url
from cardapi.cli.service import reach
from cardapi.cli.show import details, listing

app = group("Time-driven work. A running service does it by itself; a job that runs twice changes nothing the second time.")


@app.command("list")
def list_jobs(data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False) -> None:
    """List the jobs with their last runs."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        rows = service.do("listJobs")["jobs"]
    shown = rows if as_json else [{**row, "did": ", ".join(f"{name} {count}" for name, count in row["counts"].items())} for row in rows]
    columns = {"job": "job", "title_zh": "名称", "title_en": "title", "day": "last day", "state": "state", "did": "did", "error": "error"}
    listing("Jobs", shown, columns, as_json=as_json)


@app.command()
def run(
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job's name (cardcore jobs list).", show_default=False)],
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Run a job for today.

    Example: cardcore jobs run expiry
    """
    with reach(data, url=url, token=token, operator=operator) as service:
        done = service.do("runJob", path={"job": job})
    details(f"Job {job}", done if as_json else {**done, **done["counts"]}, as_json=as_json)
