"""A migration that is to be killed, in a process of its own: up to its n-th step, and gone without another one.

A step is what comes before a statement, after it, and after a commit. Also: setting a database back to what the first release made.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

from alembic import command  # noqa: F401  (here, so that a process is there at once)
from sqlalchemy import Engine, event

from cardapi.app import migrate_shop

SET_BACK = (
    "DROP TABLE clearing_record", "DROP TABLE medium", "DROP TABLE record_key", "DROP TABLE record", "DROP INDEX card_account",
    "DROP INDEX card_out_of_use", "UPDATE alembic_version SET version_num = '0001'",
)  # fmt: skip


def run(directory: Path, owner: str, step: int, count: Path) -> None:
    """Migrate a shop, killed at a step (0: never); then the number of steps is left in `count`."""
    steps = 0

    def take(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(Engine, name, take)
    migrate_shop(directory, owner)
    count.write_text(str(steps))


def migrated(directory: Path, owner: str, step: int) -> int:
    """The steps of a whole migration, 0 when it was killed at `step`."""
    count = directory.with_name("steps")
    count.unlink(missing_ok=True)
    lives = multiprocessing.get_context("forkserver")
    lives.set_forkserver_preload([__name__])
    process = lives.Process(target=run, args=(directory, owner, step, count))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), "the migration failed by itself"
    return int(count.read_text()) if process.exitcode == 0 else 0
