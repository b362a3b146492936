"""Goal: a person makes a new card kind from docs/tutorial.md without touching Python. Method: its file is put together from its blocks and
its commands are run as they stand, in order; what it says they print is what they print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.shop import call

TUTORIAL = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def section(title: str) -> str:
    """The text of one numbered section."""
    return TUTORIAL.split(title, 1)[1].split("\n## ", 1)[0]


def commands(text: str) -> list[list[str]]:
    """The words of every indented `cardcore` line."""
    return [shlex.split(line)[1:] for line in re.findall(r"(?m)^    (cardcore .*)$", text)]


def block(text: str) -> list[str]:
    """The first unnamed block of a section, times masked."""
    return [TIME.sub("TIME", line.rstrip()) for line in text.split("```\n", 1)[1].split("```", 1)[0].splitlines()]


@pytest.fixture
def tea(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pack as it is after the last block, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CARDCORE_DATA", raising=False)
    parts = re.findall(r"```toml\n(.*?)```", TUTORIAL, re.DOTALL)
    assert len(parts) == 5
    file = tmp_path / "tea.toml"
    file.write_text(parts[0], encoding="utf-8")
    [first] = commands(section("## 1. "))
    assert call(*first).stdout == "tea.toml is a valid pack\n"
    file.write_text("\n".join(parts), encoding="utf-8")
    return file


def test_the_contract_is_what_the_tutorial_quotes(tea: Path) -> None:
    text = section("## 6. ")
    show, check = commands(text)
    shown = call(*show).stdout
    for line in block(text):
        assert line in shown, line
    checked = call(*check).stdout
    assert 'cost: "10 分抵 1 元": 10 points cost ¥1, 1.00 % of the sales that earn them' in checked.replace("warning: ", "cost: ")


def test_the_commands_make_a_card_that_works_and_print_what_is_told(tea: Path) -> None:
    text = section("## 7. ")
    *before, pay = commands(text)
    assert [words[0] for words in before] == ["init", "scheme", "card", "card"]
    for words in before:
        call(*words)
    printed = [TIME.sub("TIME", line.rstrip()) for line in call(*pay).stdout.splitlines()]
    assert printed == block(text)
    sold = re.search(r"`cardcore (card topup [^`]*)`", text)
    assert sold is not None
    call(*shlex.split(sold[1]))
    told = section("## 8. ")
    tea.write_text(
        tea.read_text(encoding="utf-8").replace("version = 1\n", "version = 2\n").replace('"95/100"', '"90/100"'), encoding="utf-8"
    )
    call("scheme", "publish", "tea.toml", "--data", "shop")
    [what_if] = commands(told)
    shown = call(*what_if).stdout
    assert "tea-house 2: 0 holders gain, 0 lose, 1 are as before" in shown  # a guest's ticket costs the same under both
