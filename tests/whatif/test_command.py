"""Goal: `cardcore scheme what-if` tells a merchant what a pack would have done, from a shop's journal or from retail tickets. Method: a
demo shop that sold a little, control totals against `cardcore trial`, and the generated tickets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shop import call, demo_shop


@pytest.fixture(scope="module")
def sold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo shop whose gold card bought something on two days."""
    data = tmp_path_factory.mktemp("what-if") / "shop"
    made = demo_shop(data)
    card = made["cards"]["mall-vip"]
    call("card", "topup", card, "1000", "--data", data)
    for amount in ("55.90", "120", "8.88"):
        call("card", "pay", card, amount, "--data", data)
    return data


def told(*words: str | Path) -> Any:
    return json.loads(call("scheme", "what-if", *words, "--json").stdout)


def test_the_same_pack_again_is_the_trial_balance(sold: Path) -> None:
    report = told("mall-vip", "--data", sold)
    trial = json.loads(call("trial", "--data", sold, "--json").stdout)["total"]
    base, again = report["baseline"]["totals"], report["packs"][0]["totals"]
    assert base == again
    sales = ("tickets", "gross_fen", "net_fen", "discount_fen", "points_earned")
    assert [base[name] for name in sales] == [trial[name] for name in sales]  # nobody else bought anything
    assert base["topup_fen"] == 2 * 1000_00
    assert base["tickets"] == 3
    assert (report["packs"][0]["holders"]["gain"], report["packs"][0]["holders"]["lose"]) == (0, 0)
    assert not report["packs"][0]["not_replayed"]


def test_another_pack_and_a_picture(sold: Path, tmp_path: Path) -> None:
    picture = tmp_path / "what-if.svg"
    shown = call("scheme", "what-if", "cash-off", "--data", sold, "--cards", "mall-vip", "--picture", picture).stdout
    assert "compared with: what happened" in shown
    assert "holders gain" in shown
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    report = told("cash-off", "--against", "brand-carnival", "--data", sold, "--cards", "mall-vip")
    assert report["baseline"]["name"] == "brand-carnival 1"
    assert report["packs"][0]["points"] == {
        "given": 183,
        "used": 0,
        "worth": "10",
        "worth_by": "deduct",
    }  # 55 + 120 + 8: a point a yuan, and
    assert report["baseline"]["points"]["given"] == 10  # ten for each full hundred of one ticket
    assert report["what_happened"]["totals"]["tickets"] == 3


def test_days_outside_the_window_do_not_count(sold: Path) -> None:
    assert told("mall-vip", "--data", sold, "--to", "2020-01-01")["packs"][0]["totals"]["tickets"] == 0
    assert told("mall-vip", "--data", sold, "--from", "2020-01-01")["packs"][0]["totals"]["tickets"] == 3


def test_tickets_of_a_year_under_three_packs() -> None:
    words = ("four-tiers", "mall-plan-a", "multi-store", "--tickets", "generated", "--limit", "400", "--spend-points")
    first, second = told(*words), told(*words)
    assert first == second
    assert [pack["name"] for pack in first["packs"]] == ["four-tiers 1", "mall-plan-a 1", "multi-store 1"]
    assert {pack["totals"]["tickets"] for pack in first["packs"]} == {400}
    assert {pack["totals"]["gross_fen"] for pack in first["packs"]} == {first["baseline"]["totals"]["gross_fen"]}
    assert first["packs"][2]["points"]["used"] > 0
    [unheard] = [note for note in first["notes"] if note.startswith("events that nobody recorded")]
    assert "birthday" in unheard  # of mall-plan-a


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("no-such-pack",), "no_such_pack"),
        (("mall-vip", "--cards", "nobody"), "unknown_programme"),
        (("mall-vip", "--from", "yesterday"), "bad_day"),
        (("cash-off", "--tickets", "elsewhere"), "no_data_set"),
    ],
)
def test_what_is_wrong_is_said(sold: Path, words: tuple[str, ...], code: str) -> None:
    refused = call("scheme", "what-if", *words, "--data", sold, check=False)
    assert refused.returncode == 1
    assert f"[{code}]" in refused.stderr
