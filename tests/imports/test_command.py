"""Goal: the command line moves in: a dry run, a second person, a run that can be repeated, the totals, the way back (N7).

Method: a demo shop and a CSV file; the commands as a person types them.
"""

from __future__ import annotations

import json
from pathlib import Path

from cardapi.ids import card_number
from tests.cli.conftest import data
from tests.cli.shop import call

__all__ = ["data"]


def test_check_ask_run_show_undo(data: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.csv"
    lines = [f"{card_number('99', n)},人{n},1360000{n:04d},{n}.50,{n * 10}" for n in range(1, 8)]
    old.write_text("卡号,姓名,手机,余额,积分\n" + "\n".join(lines) + "\n")
    checked = json.loads(call("import", "check", old, "--points-rate", "1/10", "--json").stdout)
    assert checked["ok"]
    assert (checked["totals"]["principal_fen"], checked["totals"]["points"]) == (sum(n * 100 + 50 for n in range(1, 8)), 28)
    where = ["--data", str(data)]
    call("import", "ask", "old", old, "--programme", "mall-vip", "--points-rate", "1/10", *where)
    refused = call("import", "run", "old", old, "--points-rate", "1/10", *where, check=False)
    assert (refused.returncode, "[import_not_approved]" in refused.stderr) == (1, True)
    assert "[not_found]" in call("import", "run", "new", old, "--points-rate", "1/10", *where, check=False).stderr
    approve(data, "old")
    ran = json.loads(call("import", "run", "old", old, "--points-rate", "1/10", *where, "--json").stdout)
    assert ran["import"]["state"] == "closed"
    assert ran["import"]["found"] == ran["import"]["expected"]
    assert "is closed" in call("import", "show", "old", *where).stdout
    taking = json.loads(call("import", "undo", "old", *where, "--json").stdout)
    assert taking["approval_id"]
    alone = call("import", "approve", "old", *where, check=False)
    assert "[maker_is_checker]" in alone.stderr
    approve(data, "old")
    assert "[nothing_to_approve]" in call("import", "approve", "old", "--as", "second", *where, check=False).stderr
    undone = json.loads(call("import", "undo", "old", *where, "--json").stdout)
    assert undone["import"]["state"] == "undone"
    assert json.loads(call("verify", *where, "--json").stdout)["ok"]


def approve(data: Path, name: str) -> None:
    """By another admin of the demo shop, made for it."""
    from cardapi.app import open_shop
    from cardapi.cli.service import inside

    shop = open_shop(data)
    with inside(shop) as service:
        if shop.registry.operator("second") is None:
            body = {"id": "second", "name": "Second", "password": "a long enough password", "role": "admin", "unit": "issuer"}
            service.do("createOperator", body)
    call("import", "approve", name, "--as", "second", "--data", str(data))


def test_a_bad_file_ends_with_its_problems(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("card,balance\n123,1.005\n")
    done = call("import", "check", bad, check=False)
    assert done.returncode == 1
    assert "row 1: principal" in done.stderr
    wrong = call("import", "check", bad, "--points-rate", "ten", check=False)
    assert "bad_option" in wrong.stderr
