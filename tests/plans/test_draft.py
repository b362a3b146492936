"""Goal: `scheme new` gives anybody a pack that works. Method: one draft for each card kind, checked, compiled and published in a shop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cardapi.plans.draft import KINDS, draft
from cardapi.plans.kinds import kinds
from cardapi.shipped import pack_text
from cardcore.errors import InvalidPack
from cardcore.settlement import pack
from tests.cli.shop import call, demo_shop

TOLD = {"C01", "C02", "C03", "C04", "C05", "C06", "C07", "C09", "C10", "C11", "C12", "C15"}
"""Kinds that a pack's rules show; the others are about who holds it and how it is issued."""


def test_there_is_a_pack_for_every_card_kind() -> None:
    assert list(KINDS) == [f"C{number:02d}" for number in range(1, 20)]


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_draft_of_each_kind_is_a_valid_pack_of_that_kind(kind: str) -> None:
    text = draft(pack_text(KINDS[kind][0]), kind, "corner", "街角", 'The "Corner"')
    assert pack.check(text) == []
    assert pack.describe(text)["title"] == {"zh": "街角", "en": 'The "Corner"'}
    assert pack.load(text).name == "corner"
    assert text.count("#") >= 5
    if kind in TOLD:
        assert kind in kinds(pack.normalise(text))


def test_a_draft_is_published_as_it_is(tmp_path: Path) -> None:
    demo_shop(tmp_path / "shop")
    target = tmp_path / "corner.toml"
    made = json.loads(call("scheme", "new", "corner", "--kind", "C05", "--title-zh", "街角", "--out", target, "--json").stdout)
    assert made == {"file": str(target), "kind": "C05", "from": "count-card"}
    assert pack.describe(target.read_text(encoding="utf-8"))["title"] == {"zh": "街角", "en": "Count"}
    call("scheme", "publish", tmp_path / "corner.toml", "--data", tmp_path / "shop")
    issued = json.loads(call("card", "issue", "--programme", "corner", "--activate", "--data", tmp_path / "shop", "--json").stdout)
    assert issued


def test_what_is_wrong_is_said_and_nothing_is_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "kept.toml"
    target.write_text("mine")
    assert "[file_exists]" in call("scheme", "new", "kept", "--kind", "C01", "--out", target, check=False).stderr
    assert target.read_text() == "mine"
    assert "[no_such_kind]" in call("scheme", "new", "kept", "--kind", "C20", check=False).stderr
    refused = call("scheme", "new", "Not A Slug", "--kind", "C01", "--out", tmp_path / "other.toml", check=False)
    assert "[invalid_pack]" in refused.stderr
    assert not (tmp_path / "other.toml").exists()
    with pytest.raises(InvalidPack):
        draft(pack_text("cash-off"), "C01", "corner", "街" * 61, "Corner")
