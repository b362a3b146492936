"""Goal: a replay can be stopped anywhere - it or the service - and goes on without a duplicate or a gap, to proven totals.

Method: real service and replay processes on generated baskets; kill -9 and Ctrl-C in the middle; the books are read from the
database afterwards.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from cardapi.cli.replay.generated import Generated
from tests.cli.shop import COMMAND, ENVIRONMENT, call, served

SET = ("--data-set", "generated", "--seed", "7")
LIMIT = "600"


def replay(data: Path, *words: str, check: bool = True) -> dict[str, Any]:
    done = call("replay", "--demo", data, *SET, "--limit", LIMIT, "--json", *words, check=False)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def start(data: Path, *words: str) -> subprocess.Popen[str]:
    command = [*COMMAND, "replay", "--demo", str(data), *SET, "--limit", LIMIT, "--json", "--terminals-concurrency", "2", *words]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def tickets(data: Path) -> int:
    database = sqlite3.connect(f"file:{data / 'cardcore.db'}?mode=ro", uri=True)
    try:
        return int(database.execute("SELECT count(*) FROM entry WHERE verb = 'settle' AND client LIKE 'terminal:gen7-%'").fetchone()[0])
    finally:
        database.close()


def wait_for(data: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Until so many tickets are in the journal; the fault must hit the replay on its way."""
    deadline = time.monotonic() + 60
    while tickets(data) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def assert_proven(data: Path, result: dict[str, Any]) -> None:
    totals = Generated(7, most=int(LIMIT)).totals()
    assert result["proven"]
    books = result["books"]
    assert (books["tickets"], books["gross_fen"], books["net_fen"]) == (totals.tickets, totals.gross_fen, totals.net_fen)
    assert (books["discount_fen"], books["coupon_fen"]) == (totals.discount_fen, totals.coupon_fen)
    assert tickets(data) == totals.tickets
    lines = [json.loads(line) for line in call("export", "--data", data).stdout.splitlines()]
    for unit in ("fen", "points"):
        assert sum(line["amount"] for line in lines if line["unit"] == unit) == 0


@pytest.mark.embedded("its file is read beside the service")
def test_a_whole_replay_twice(data: Path):
    with served(data):
        first = replay(data)
        assert_proven(data, first)
        assert first["run"]["tickets"] == int(LIMIT)
        assert first["run"]["topups"] > 0
        assert first["run"]["cash_tickets"] > 0
        # Without --resume everything is sent again and answered from the journal: same figures, nothing new.
        again = replay(data)
        assert {name: again["run"][name] for name in ("tickets", "net_fen", "topups", "topup_fen", "cash_fen")} == {
            name: first["run"][name] for name in ("tickets", "net_fen", "topups", "topup_fen", "cash_fen")
        }
        assert again["books"] == first["books"]
        # With --resume nothing is left to do.
        rest = replay(data, "--resume")
        assert (rest["run"]["tickets"], rest["run"]["skipped"], rest["proven"]) == (0, int(LIMIT), True)
        # Other stores under the same keys are another meaning: refused, nothing changed.
        words = ("--data-set", "generated", "--limit", LIMIT, "--json", "--no-prove", "--parent", "store-1")
        other = call("replay", "--demo", data, *words, "--seed", "7", check=False)
        assert other.returncode == 1
        assert "[replay_failed]" in other.stderr
        assert tickets(data) == int(LIMIT)


@pytest.mark.embedded("its file is read beside the service")
def test_kill_the_service_in_the_middle(data: Path):
    """The replay waits for the service to come back, and neither loses nor doubles what was in flight."""
    with served(data) as first:
        process = start(data)
        wait_for(data, 100, process)
        first.kill()
        done_before = tickets(data)
    assert 100 <= done_before < int(LIMIT)
    with served(data, first.port):
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        result = json.loads(output)
        assert result["run"]["retries"] > 0
        assert_proven(data, result)
        assert json.loads(call("verify", "--data", data, "--json").stdout)["ok"]


@pytest.mark.embedded("its file is read beside the service")
def test_stop_the_replay_and_resume(data: Path):
    with served(data):
        process = start(data)
        wait_for(data, 80, process)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "--resume" in errors
        stopped = json.loads(output)
        assert not stopped["finished"]
        process = start(data, "--resume")
        wait_for(data, stopped["run"]["tickets"] + 80, process)
        process.kill()  # and once without any chance to finish what is in flight
        process.communicate(timeout=60)
        done = tickets(data)
        result = replay(data, "--resume")
        assert result["run"]["skipped"] == done < int(LIMIT)
        assert_proven(data, result)


def test_a_replay_without_a_service_or_rights(data: Path, tmp_path: Path):
    for words, code in (
        (("--demo", str(data)), "[locked]"),
        (("--url", "http://127.0.0.1:1"), "[no_token]"),
        ((), "[no_address]"),
        (("--url", "http://127.0.0.1:1", "--token", "x", "--patience", "1"), "[unreachable]"),
    ):
        done = call("replay", *SET, *words, check=False)
        assert done.returncode == 1
        assert code in done.stderr, done.stderr
    done = call("replay", "--data-set", "nothing", "--demo", data, check=False)
    assert "[no_data_set]" in done.stderr
