"""Goal: a batch file is cleared from the command line, again and again with one effect, and its cases are looked at and closed.

Method: the real commands on a demo shop with the simulator's keys; TACs are the simulator's.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cardapi.clearing import BatchWriter, scan
from cardapi.pcsc.intents import Begun, Intents
from cardcore.card.purse import Application
from cardcore.card.purse_debit import DebitIntent
from cardcore.clearing import Header
from tests.clearing.demo import ISSUER, SAM, SERIAL, purchase, shop_with_purse, told
from tests.clearing.yard import bcd
from tests.cli.shop import call


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return shop_with_purse(tmp_path / "shop")


def test_a_batch_is_cleared_once_and_its_cases_are_closed(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "till.ccb"
    good = [purchase(1, 12_50, 0, 100_00), purchase(2, 12_50, 1, 87_50), purchase(5, 5_00, 3, 70_00)]
    with BatchWriter(file, Header(SAM, 1, 0, bcd(datetime.now(UTC)))) as writer:
        for record in [*good, replace(good[0], amount=99_00), replace(good[1], counter=7)]:
            writer.append(record)
        writer.seal()
    checked = told("clear", file, "--check", "--data", shop)
    assert (checked["records"], checked["sealed"], checked["torn"]) == (5, True, 0)
    first = told("clear", file, "--data", shop)
    assert first["outcomes"] == {"accepted": 3, "bad_mac": 1, "replayed": 1}
    assert first["accepted_fen"] == 30_00
    assert (first["state"]["received"], first["state"]["sealed"], first["state"]["cases"]) == (5, 5, 2)
    assert first["posted_now_fen"] == 30_00
    assert told("clear", file, "--data", shop) == {**first, "posted_now_fen": 0}, "the same piece has the same key"
    assert "posted now ¥0.00, and ¥30.00 was posted already; of this batch in all 3 records" in call("clear", file, "--data", shop).stdout
    with file.open("r+b") as handle:
        handle.truncate(72 * 6)
    again = told("clear", file, "--data", shop)
    assert (again["outcomes"], again["repeated"], again["accepted_fen"]) == ({}, 5, 0)
    assert "known already" in call("clear", file, "--data", shop).stdout
    cases = told("case", "list", "--data", shop)
    assert sorted(row["reason"] for row in cases) == ["bad_mac", "counter_gap", "replayed", "terminal_gap"]
    wrong = next(row["case"] for row in cases if row["reason"] == "bad_mac")
    shown = told("case", "show", wrong, "--data", shop)
    assert shown["record amount"] == 99_00
    for row in cases:
        told("case", "close", row["case"], "--reason", "looked at", "--data", shop)
    assert told("case", "list", "--data", shop) == []
    assert [row["note"] for row in told("case", "list", "--closed", "--data", shop)] == ["looked at"] * 4
    assert "[case_closed]" in call("case", "close", cases[0]["case"], "--reason", "x", "--data", shop, check=False).stderr
    assert "[unknown_case]" in call("case", "close", "r-none", "--reason", "x", "--data", shop, check=False).stderr


def test_reports_count_a_purchase_with_the_till_it_pays(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "till.ccb"
    with BatchWriter(file, Header(SAM, 1, 0, bcd(datetime.now(UTC)))) as writer:
        writer.append(purchase(1, 12_50, 0, 100_00))
    before = told("trial", "--data", shop)
    told("clear", file, "--data", shop)
    after = told("trial", "--data", shop)
    assert after["ok"]
    assert after["liability_fen"] == before["liability_fen"] - 12_50
    sales = {(row["account"], row["unit"]): row["balance"] for row in after["accounts"]}
    was = {(row["account"], row["unit"]): row["balance"] for row in before["accounts"]}
    assert sales["sales", "fen"] - was.get(("sales", "fen"), 0) == 12_50
    till = told("terminal", "list", "--data", shop)[0]
    paid = {(row["unit"], row["terminal"]): row.get("card_payments_fen", 0) for row in after["terminals"]}
    assert paid[till["unit"], till["id"]] == 12_50
    report = told("close", "--data", shop)
    assert report["ok"]
    assert report["total"]["card_payments"] == 1
    lines = [json.loads(line) for line in call("export", "--data", shop).stdout.splitlines()]
    posted = [(line["account"].partition(":")[0], line["amount"], line["terminal"]) for line in lines if line["verb"] == "clear_batch"]
    assert posted == [("on_card", -12_50, till["id"]), ("sales", 12_50, till["id"])]
    card = json.loads((shop / "demo.json").read_bytes())["cards"]["mall-vip"]
    row = told("card", "statement", card, "--data", shop, "--most", "1")[0]
    assert (row["verb"], row["net_fen"], row["terminal"]) == ("clear_batch", 12_50, till["id"])
    assert told("verify", "--data", shop)["ok"]


def test_a_file_that_is_none_is_refused_in_one_sentence(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "none"
    file.write_bytes(b"no batch at all")
    assert "[invalid_batch]" in call("clear", file, "--data", shop, check=False).stderr


def test_a_batch_is_closed_by_a_person_unless_a_purchase_of_it_is_in_flight(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "till.ccb"
    with BatchWriter(file, Header(SAM, 1, 0, bcd(datetime.now(UTC)))) as writer:
        writer.append(purchase(1, 12_50, 0, 100_00))
    begun = file.with_name("till.ccb.begun")
    intent = DebitIntent(Application(ISSUER, 2, 1, SERIAL, bytes(4), bytes(4)), 2, 6, 1_00, 87_50, 1, SAM, 2, bcd(datetime.now(UTC)))
    with Intents(begun) as intents:
        intents.begin(Begun(intent, 1, 0))
    assert "[purchases_open]" in call("clear", file, "--seal", "--data", shop, check=False).stderr
    assert scan(file).seal is None
    with Intents(begun) as intents:
        intents.end(2, "undone")
        assert "[batch_in_use]" in call("clear", file, "--seal", "--data", shop, check=False).stderr
    done = told("clear", file, "--seal", "--data", shop)
    assert (done["sealed"], done["outcomes"], done["state"]["sealed"]) == (True, {"accepted": 1}, 1)
    assert told("clear", file, "--seal", "--data", shop)["repeated"] == 0, "the same upload: its answer again"
