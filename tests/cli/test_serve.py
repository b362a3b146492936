"""Goal: the service comes up as promised, works with commands beside it, and ends cleanly. Method: real processes."""

from __future__ import annotations

import json
import shlex
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shop import COMMAND, ENVIRONMENT, call, served
from tests.support import needs

needs("curl", "curl")  # the printed lines are pasted as they stand


def test_a_purchase_by_the_printed_lines(data: Path, made: dict[str, Any]):
    """What `make run` prints is pasted into a shell as it stands."""
    with served(data) as service:
        last = service.lines[-1].split()
        assert last[0] == "listening"
        assert int(last[-1]) == service.port > 0
        text = "\n".join(service.lines)
        for secret in (made["password"], made["cashier_password"], made["terminal_key"]):
            assert secret in text
        block = text[text.index("  TOKEN=") : text.index("what is on the card now")]
        done = subprocess.run(["bash", "-c", block], capture_output=True, text=True, timeout=60, check=True)
        assert "55.90" in done.stdout
        assert "49.19" in done.stdout  # 88 % of 55.90, half up
        token = text[text.index("TOKEN=") + 6 :].split()[0]
        look = text[text.rindex("  curl") :].replace("listening", "#").splitlines()[0]
        shown = subprocess.run(["bash", "-c", f"TOKEN={token}; {look}"], capture_output=True, text=True, timeout=60, check=True)
        assert json.loads(shown.stdout)["balance_fen"] == 1200_00 - 49_19
        assert service.stop() == 0
    assert not (data / "service.json").exists()
    assert json.loads(call("verify", "--data", data, "--json").stdout)["ok"]


@pytest.mark.embedded("one process serves a file, several a server")
def test_commands_beside_a_running_service(data: Path, made: dict[str, Any]):
    card = made["cards"]["mall-vip"]
    with served(data) as service:
        # Reading opens the database beside the service.
        assert json.loads(call("card", "show", card, "--data", data, "--json").stdout)["balance_fen"] == 1200_00
        assert json.loads(call("verify", "--data", data, "--json").stdout)["ok"]
        assert call("export", "--data", data).stdout
        # Changing goes to the service, by the address it left and the demo's login.
        ticket = json.loads(call("card", "pay", card, "100", "--data", data, "--json").stdout)
        assert ticket["net_fen"] == 88_00
        login = {"CARDCORE_PASSWORD": made["password"]}
        token = call("user", "login", "admin", "--url", service.url, **login).stdout.strip()
        shown = call("card", "show", card, "--url", service.url, "--token", token, "--json")
        assert json.loads(shown.stdout)["balance_fen"] == 1112_00
        assert json.loads(call("trial", "--url", service.url, "--token", token, "--json").stdout)["ok"]
        assert json.loads(call("verify", "--url", service.url, "--token", token, "--json").stdout)["ok"]
        first = json.loads(call("close", "--data", data, "--json").stdout)
        assert json.loads(call("close", "--data", data, "--json").stdout) == first
        assert made["cashier_password"] in call("demo", "--data", data).stdout
        # What needs the directory for itself says so.
        for words in (("serve", "--port", "0"), ("rebuild",), ("user", "password", "cashier")):
            done = call(*words, "--data", data, check=False, CARDCORE_NEW_PASSWORD="quite long enough")
            assert done.returncode == 1
            assert "[locked]" in done.stderr
        assert "listening" not in done.stdout
        backup = json.loads(call("backup", data.parent / "backup", "--data", data, "--json").stdout)
        assert backup["position"] > 0
    done = call("card", "pay", card, "1", "--url", service.url, "--token", token, check=False)
    assert "[unreachable]" in done.stderr
    assert done.returncode == 1


def test_a_taken_port_is_said(data: Path, tmp_path: Path):
    with served(data) as service:
        call("init", "--data", tmp_path / "other")
        done = call("serve", "--data", tmp_path / "other", "--port", str(service.port), check=False)
    assert done.returncode == 1
    assert "[cannot_listen]" in done.stderr
    assert not (tmp_path / "other" / "service.json").exists()


def test_sign_makes_a_request_the_service_takes(data: Path, made: dict[str, Any]):
    body = json.dumps({"card": made["cards"]["gift-card"], "lines": [{"amount_fen": 10_00}], "explain": True})
    with served(data) as service:
        header = call("sign", "POST", "/v1/settle", "--key", "a1", "--body", body, "--data", data).stdout.strip()
        words = ["curl", "-s", "-H", header, "-H", "Idempotency-Key: a1", "-H", "Content-Type: application/json", "-d", body]
        answer = json.loads(subprocess.run([*words, f"{service.url}/v1/settle"], capture_output=True, check=True, timeout=60).stdout)
        again = json.loads(subprocess.run([*words, f"{service.url}/v1/settle"], capture_output=True, check=True, timeout=60).stdout)
    assert answer["net_fen"] == 10_00
    assert again["code"] == "nonce_reused"
    refused = call("sign", "POST", "/v1/settle", "--terminal", "till-7", "--data", data, check=False)
    assert "[no_terminal_key]" in refused.stderr


def test_kill_9_leaves_a_directory_that_opens(data: Path, made: dict[str, Any]):
    with served(data) as service:
        call("card", "pay", made["cards"]["spa"], "7", "--data", data)
        service.kill()
    assert (data / "service.json").exists()  # nobody could remove it
    shown = call("card", "show", made["cards"]["spa"], "--data", data, "--json")
    assert json.loads(shown.stdout)["balance_fen"] == 1193_00
    assert json.loads(call("card", "pay", made["cards"]["spa"], "1", "--data", data, "--json").stdout)["balance_fen"] == 1192_00


@pytest.mark.embedded("its tables are changed by hand")
def test_a_changed_database_does_not_serve(data: Path):
    database = sqlite3.connect(data / "cardcore.db")
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {name}")
    database.execute("UPDATE entry SET reason = 'mine' WHERE id = (SELECT max(id) FROM entry)")
    database.commit()
    database.close()
    done = call("serve", "--data", data, "--port", "0", check=False)
    assert done.returncode == 1
    assert "[bad_chain]" in done.stderr or "[off_checkpoint]" in done.stderr
    assert "listening" not in done.stdout


def test_the_throw_away_demo_leaves_nothing(tmp_path: Path):
    environment = {**ENVIRONMENT, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([*COMMAND, "demo"], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert any(line.startswith("listening") for line in process.stdout)
            assert list(tmp_path.iterdir())
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
    deadline = time.monotonic() + 5
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


def test_the_ways_in_are_quoted(data: Path):
    """A directory with a blank in its name is printed as a shell takes it."""
    place = data.parent / "my shop"
    done = call("init", "--data", place, "--demo")
    line = next(line for line in done.stdout.splitlines() if line.startswith("now: "))
    assert shlex.split(line.removeprefix("now: "))[-1] == str(place)
