"""Of several workers one does the work of the day, so that no message is sent twice, and none leaves the address for other
commands: two at once would write over each other. The processes are left out: each worker's work is called in turn, on a shop
that a real server keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cardapi.cli import serve, workers
from cardapi.cli.service import service_file
from cardapi.http import server
from tests.postgres.till import ServerTill


def test_the_first_worker_does_the_work_of_the_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    till = ServerTill(tmp_path / "shop", 2)
    try:
        served: list[bool] = []

        def serve_shop(*_: Any, jobs: bool = True, **__: Any) -> int:
            served.append(jobs)
            return 0

        class InTurn(workers.Workers):
            def run(self, ready: Callable[[], None]) -> int:
                del ready
                code = max(self._work(number, lambda: None) for number in range(self._count))
                assert not service_file(till.directory).exists(), "workers that start at once would write it over each other"
                return code

        monkeypatch.setattr(server, "serve", serve_shop)
        monkeypatch.setattr(workers, "Workers", InTurn)
        assert serve.run_many(till.directory, "127.0.0.1", 0, 3) == 0
        assert served == [True, False, False]
    finally:
        till.end()
