"""Goal: each command does its work on a data directory nobody serves. Method: the real commands through typer's runner."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cardapi.shipped import pack_text
from tests.cli.shop import call
from tests.members.till import MARKET

Result = subprocess.CompletedProcess[str]


def cardcore(*words: str | Path, ok: bool = True, env: dict[str, str] | None = None) -> Result:
    result = call(*words, check=ok, **(env or {}))
    assert (result.returncode == 0) == ok, f"exit {result.returncode}: {result.stdout} {result.stderr}"
    return result


def told(*words: str | Path, env: dict[str, str] | None = None) -> Any:
    return json.loads(cardcore(*words, "--json", env=env).stdout)


def refused(*words: str | Path) -> str:
    """The one sentence of a refusal."""
    result = cardcore(*words, ok=False)
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 1
    assert lines[0].startswith("error: "), lines
    return lines[0]


def test_init_shows_what_it_made(tmp_path: Path):
    made = told("init", "--data", tmp_path / "shop", "--name", "Corner shop")
    assert made["operator"] == "admin"
    assert len(made["password"]) >= 12
    assert (tmp_path / "shop" / "secrets" / "root.key").stat().st_mode & 0o077 == 0
    assert "[exists]" in refused("init", "--data", tmp_path / "shop")
    assert told("unit", "list", "--data", tmp_path / "shop")[0]["name"] == "Corner shop"


def test_a_purchase_and_its_receipt(data: Path, made: dict[str, Any]):
    card = made["cards"]["mall-vip"]
    ticket = told("card", "pay", card, "100", "--data", data, "--key", "k1")
    assert (ticket["gross_fen"], ticket["net_fen"], ticket["balance_fen"]) == (100_00, 88_00, 1112_00)
    assert told("card", "pay", card, "100", "--data", data, "--key", "k1") == ticket
    shown = told("card", "show", card, "--data", data)
    assert shown["balance_fen"] == 1112_00
    text = cardcore("card", "pay", card, "12.5", "--data", data, "--explain").stdout
    assert "12.50" in text
    assert "¥1,101.00" in text
    rows = told("card", "statement", card, "--data", data, "--most", "2")
    assert [row["verb"] for row in rows] == ["settle", "settle"]
    assert "[key_reused]" in refused("card", "pay", card, "101", "--data", data, "--key", "k1")


def test_short_of_money(data: Path, made: dict[str, Any]):
    card = made["cards"]["gift-card"]
    assert "[insufficient_funds]" in refused("card", "pay", card, "500.01", "--data", data)
    ticket = told("card", "pay", card, "500.01", "--short", "cash", "--data", data)
    assert (ticket["outside_fen"], ticket["outside_tender"], ticket["balance_fen"]) == (1, "cash", 0)


def test_money_and_points_move_to_another_card(data: Path, made: dict[str, Any], tmp_path: Path):
    pack = tmp_path / "alliance.toml"
    pack.write_text(pack_text("alliance"), encoding="utf-8")
    told("scheme", "publish", pack, "--data", data)

    def issued(programme: str) -> str:
        return str(told("card", "issue", "--programme", programme, "--activate", "--data", data)[0]["card"])

    card, other = made["cards"]["mall-vip"], issued("mall-vip")
    moved = told("card", "transfer", card, other, "200", "--key", "k1", "--data", data)
    assert (moved["verb"], moved["balance_fen"]) == ("transfer", 1000_00)
    assert told("card", "transfer", card, other, "200", "--key", "k1", "--data", data) == moved
    assert told("card", "show", other, "--data", data)["balance_fen"] == 200_00
    assert "[transfer_not_allowed]" in refused("card", "transfer", card, other, "--points", "1", "--data", data)
    for words in ((), ("5", "--points", "1")):
        assert "exactly one" in refused("card", "transfer", card, other, *words, "--data", data)
    first, second = issued("alliance"), issued("alliance")
    told("card", "pay", first, "100", "--short", "cash", "--data", data)
    points = told("card", "show", first, "--data", data)["points"]
    assert points > 2
    assert cardcore("card", "transfer", first, second, "--points", "2", "--data", data).stdout.endswith(f"points {points - 2}\n")
    assert told("card", "show", second, "--data", data)["points"] == 2


@pytest.mark.parametrize("amount", ["1.005", "1e3", "0x10", "1,000", "ten", "1.", ".5", "", "１"])
def test_amounts_are_exact_yuan(data: Path, made: dict[str, Any], amount: str):
    result = cardcore("card", "pay", made["cards"]["spa"], amount, "--data", data, ok=False)
    assert result.returncode == 2


def test_the_life_of_a_card(data: Path):
    card = told("card", "issue", "--programme", "mall-vip", "--data", data)[0]["card"]
    assert "[card_not_active]" in refused("card", "topup", card, "50", "--data", data)
    cardcore("card", "activate", card, "--data", data)
    assert told("card", "topup", card, "50", "--data", data)["balance_fen"] == 50_00
    cardcore("card", "freeze", card, "--reason", "looks odd", "--data", data)
    assert "[card_not_active]" in refused("card", "pay", card, "1", "--data", data)
    cardcore("card", "unfreeze", card, "--data", data)
    cardcore("card", "pin", card, "--data", data, env={"CARDCORE_PIN": "271828"})
    assert told("card", "show", card, "--data", data)["pin_set"]
    cardcore("card", "lost", card, "--data", data)
    assert "[card_lost]" in refused("card", "pay", card, "1", "--data", data)
    fresh = told("card", "swap", card, "--lost", "--data", data)["new_card"]
    assert told("card", "show", fresh, "--data", data)["balance_fen"] == 50_00
    assert "[unknown_card]" in refused("card", "show", "6200000000009998", "--data", data)


def test_units_terminals_and_people(data: Path):
    cardcore("unit", "create", "store-2", "--name", "West Street", "--data", data)
    made = told("terminal", "create", "till-9", "--unit", "store-2", "--data", data)
    assert len(bytes.fromhex(made["key"])) == 32
    rotated = told("terminal", "rotate", "till-9", "--data", data)
    assert (rotated["key_version"], rotated["key"] != made["key"]) == (2, True)
    cardcore("terminal", "revoke", "till-9", "--reason", "stolen", "--data", data)
    states = {row["id"]: row["state"] for row in told("terminal", "list", "--data", data)}
    assert states == {"till-1": "active", "till-9": "revoked"}
    password = {"CARDCORE_NEW_PASSWORD": "correct horse battery"}
    cardcore("user", "create", "li", "--role", "cashier", "--unit", "store-2", "--data", data, env=password)
    cardcore("user", "grant", "li", "--role", "auditor", "--unit", "store-1", "--data", data)
    cardcore("user", "password", "li", "--data", data, env={"CARDCORE_NEW_PASSWORD": "another good one"})
    cardcore("user", "revoke", "li", "--data", data)
    li = next(row for row in told("user", "list", "--data", data) if row["id"] == "li")
    assert (li["state"], len(li["grants"])) == ("revoked", 2)
    assert "[unknown_operator]" in refused("card", "issue", "--programme", "spa", "--data", data, "--as", "li")
    assert "[unknown_operator]" in refused("user", "password", "nobody", "--data", data)


def test_what_an_operator_may_not_do(data: Path):
    assert "[not_allowed]" in refused("card", "issue", "--programme", "spa", "--data", data, "--as", "cashier")


def test_schemes(tmp_path: Path, data: Path):
    assert {row["name"] for row in told("scheme", "list")} >= {"gift-card", "mall-vip", "spa", "replay"}
    for name in ("gift-card", "mall-vip", "spa", "replay"):
        found = told("scheme", "check", name)
        assert (found["ok"], found["problems"]) == (True, [])
    bad = tmp_path / "bad.toml"
    bad.write_text(pack_text("replay").replace('order = "listed"', 'order = "random"'))
    found = json.loads(cardcore("scheme", "check", bad, "--json", ok=False).stdout)
    line = bad.read_text().splitlines().index('order = "random"          # the bonus first, then the principal') + 1
    assert found["problems"][0]["line"] == line
    plain = cardcore("scheme", "check", bad, ok=False)
    assert plain.returncode == 1
    assert f"{bad}:{line}:" in plain.stderr
    assert "[no_such_pack]" in refused("scheme", "check", "no-such-pack")
    assert "Gift card" in cardcore("scheme", "show", "gift-card").stdout
    fresh = tmp_path / "fresh.toml"
    fresh.write_text(pack_text("replay").replace('name = "replay"', 'name = "corner"', 1))
    assert told("scheme", "publish", fresh, "--data", data)["name"] == "corner"
    assert len(told("card", "issue", "--programme", "corner", "--count", "3", "--data", data)) == 3


def test_close_twice_is_the_same(data: Path, made: dict[str, Any]):
    first = told("close", "--data", data)
    told("card", "pay", made["cards"]["spa"], "3", "--data", data)
    assert told("close", "--data", data) == first
    assert first["ok"]
    assert first["total"]["topups"] == 3
    assert "Z report no. 1" in cardcore("close", "--data", data).stdout
    assert "[close_refused]" in refused("close", "--day", "2020-01-01", "--data", data)


def test_books(data: Path, made: dict[str, Any]):
    told("card", "pay", made["cards"]["mall-vip"], "10", "--data", data)
    trial = told("trial", "--data", data)
    assert trial["ok"]
    assert trial["sums"] == {"fen": 0, "points": 0} or trial["sums"] == {"fen": 0}
    assert "¥" in cardcore("trial", "--data", data).stdout
    lines = [json.loads(line) for line in cardcore("export", "--json", "--data", data).stdout.splitlines()]
    assert lines
    assert {"position", "time", "account", "unit", "amount", "reference"} <= set(lines[0])
    for unit in {line["unit"] for line in lines}:
        assert sum(line["amount"] for line in lines if line["unit"] == unit) == 0
    customers = sum(line["amount"] for line in lines if line["account"].startswith("customer:") and line["unit"] == "fen")
    assert customers == trial["liability_fen"]


def test_export_csv_to_a_file(data: Path, tmp_path: Path):
    cardcore("export", "--csv", "-o", tmp_path / "journal.csv", "--data", data)
    heading, *rows = (tmp_path / "journal.csv").read_text().splitlines()
    assert heading.startswith("position,time,account,unit,amount,reference")
    assert sum(int(row.split(",")[4]) for row in rows) == 0
    assert "[usage]" in refused("export", "--csv", "--json", "--data", data)


@pytest.mark.embedded("its tables are changed by hand")
def test_verify_and_rebuild(data: Path):
    assert told("verify", "--data", data)["ok"]
    rebuilt = told("rebuild", "--data", data)
    assert rebuilt["ok"]
    assert rebuilt["cards"] == 3
    tamper(data)
    found = json.loads(cardcore("verify", "--json", "--data", data, ok=False).stdout)
    assert found["ok"] is False
    assert found["first_bad"]
    said = cardcore("verify", "--data", data, ok=False)
    assert (said.returncode, said.stderr.startswith("first bad place: ")) == (1, True)


def tamper(data: Path) -> None:
    import sqlite3

    database = sqlite3.connect(data / "cardcore.db")
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {name}")  # the journal is append-only to honest hands
    database.execute("UPDATE entry SET unit = 'elsewhere' WHERE verb = 'topup' AND id = (SELECT min(id) FROM entry WHERE verb = 'topup')")
    database.commit()
    database.close()


@pytest.mark.embedded("a copy is put back into a file; tests/postgres/test_backup has the other")
def test_backup_and_restore(data: Path, tmp_path: Path, made: dict[str, Any]):
    card = made["cards"]["spa"]
    backup = told("backup", tmp_path / "backup", "--data", data)
    assert not list((tmp_path / "backup").rglob("*.key*"))
    fresh = tmp_path / "fresh"
    shutil.copytree(data / "secrets", fresh / "secrets")
    restored = told("restore", tmp_path / "backup", "--data", fresh)
    assert restored["position"] == backup["position"]
    assert told("card", "show", card, "--data", fresh) == told("card", "show", card, "--data", data)
    told("card", "pay", card, "1", "--data", data)
    assert "[behind_checkpoint]" in refused("restore", tmp_path / "backup", "--data", data)
    lost = told("restore", tmp_path / "backup", "--data", data, "--reconcile")
    assert lost["lost_upto"] > lost["lost_after"] == backup["position"]
    assert told("verify", "--data", data)["ok"]


def test_an_absent_directory_is_said(tmp_path: Path):
    for words in (("verify",), ("card", "show", "6200000000000013"), ("export",), ("close",), ("serve",), ("rebuild",)):
        assert "[absent]" in refused(*words, "--data", tmp_path / "nothing")


def test_a_system_error_is_a_sentence(data: Path):
    assert "[system]" in refused("export", "-o", "/proc/none/x", "--data", data)


def test_what_breaks_unexpectedly_hides_its_trace(monkeypatch: pytest.MonkeyPatch, data: Path):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("PIN 123456")

    monkeypatch.setattr("cardapi.app.open_shop", broken)
    monkeypatch.delenv("CARDCORE_TRACE", raising=False)
    result = cardcore("verify", "--data", data, ok=False)
    assert result.returncode == 70
    assert "[unexpected]" in result.stderr
    assert "123456" not in result.stdout + result.stderr


def test_version_and_openapi(tmp_path: Path):
    assert told("version")["python"]
    cardcore("openapi", "-o", tmp_path / "openapi.json")
    document = json.loads((tmp_path / "openapi.json").read_text())
    operations = {method["operationId"] for path in document["paths"].values() for method in path.values()}
    assert {"settle", "topUp", "closeDay", "verifyLedger"} <= operations
    assert json.loads(cardcore("openapi").stdout) == document


def test_a_failed_demo_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cardapi.cli.setup.PACKS", ("mall-vip", "no-such-pack"))
    cardcore("init", "--demo", "--data", tmp_path / "shop", ok=False)
    assert not (tmp_path / "shop").exists()


def test_fees_from_the_command_line(data: Path, tmp_path: Path):
    pack = tmp_path / "market.toml"
    pack.write_text(MARKET, encoding="utf-8")
    told("scheme", "publish", pack, "--data", data)
    (made,) = told("card", "issue", "--programme", "market", "--activate", "--data", data)
    join = ("member", "create", "--name", "张伟", "--phone", "13800138000", "--card", made["card"], "--route", "fee", "--data", data)
    assert "[fee_differs]" in refused(*join)
    assert told(*join, "--fee-fen", "500", "--fee-tender", "bank")["fee_ticket_id"]
    told("card", "lost", made["card"], "--data", data)
    assert "[fee_differs]" in refused("card", "swap", made["card"], "--lost", "--data", data)
    told("card", "swap", made["card"], "--lost", "--fee", "2", "--data", data)
    shown = cardcore("close", "--data", data).stdout
    assert "fees" in shown
    assert "¥7.00" in shown
