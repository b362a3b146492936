"""Goal: `scheme show` tells all that a pack says, and nothing can be added to the vocabulary without a sentence for it. Method: every
number of the packs' own TOML must stand in the contract in both languages, written here by another hand; the tables of sentences are
held against the words that the pack reader knows."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cardapi.plans.conditions import PREDICATES
from cardapi.plans.contract import contract
from cardapi.plans.effects import EFFECTS
from cardapi.shipped import packs
from cardcore.settlement import pack

TEXTS = {name: path.read_text(encoding="utf-8") for name, path in packs().items()}
CORE = Path(pack.__file__).parent
SILENT = {"schema", "utc_offset"}  # the format's version; told in other words
_DURATION = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?")


def numbers(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(path, what the contract must contain) of every number in a TOML document."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from numbers(inner, f"{key}.{name}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from numbers(inner, f"{key}[{place}]")
    elif isinstance(value, bool) or key.rpartition(".")[2] in SILENT:
        return
    elif isinstance(value, int):
        yield key, str(value)
    elif isinstance(value, str) and (found := re.fullmatch(r"(\d+)/(\d+)", value)):
        yield key, "" if found[1] == "0" or value == "1/1" else f"{percent(int(found[1]), int(found[2]))}|{value}"
    elif isinstance(value, str) and re.fullmatch(r"P[\dYMD]+", value):
        years, months, days = (int(part or 0) for part in _DURATION.fullmatch(value).groups())  # type: ignore[union-attr]
        yield from ((key, str(part)) for part in (years + months // 12, months % 12, days) if part)


def percent(pay: int, of: int) -> str:
    if pay % of == 0:
        return "" if pay == of else str(pay // of)
    return f"{pay * 100 / of:.2f}".rstrip("0").rstrip(".")


def money(fen: str) -> str:
    yuan = f"{int(fen) // 100:,}"
    return yuan if int(fen) % 100 == 0 else f"{yuan}.{int(fen) % 100:02d}"


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", TEXTS)
def test_every_number_of_a_pack_is_in_its_contract(name: str, language: str) -> None:
    said = contract(TEXTS[name], language)
    text = " ".join(sentence for section in said.sections for sentence in section.sentences)
    for quoted in re.findall(r'["“][^"”]*["”]:', text):  # names of rules repeat numbers: only what the sentences say counts
        text = text.replace(quoted, "")
    told = set(re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?(?:/\d+)?", text))
    document = tomllib.loads(TEXTS[name])
    for part in ("title", "about"):
        del document[part]
    found = list(numbers(document))
    assert found
    for path, number in found:
        forms = {number, money(number)} if number.isdigit() else set(number.split("|"))
        if number:
            assert forms & told, f"{name}: {path} = {number} is not in the contract"


def test_a_number_that_is_left_out_is_missed() -> None:
    """The test above would notice: a contract of another number does not hold this one's."""
    changed = TEXTS["brand-carnival"].replace("units = 100,", "units = 17,")
    one, other = (" ".join(sentence for section in contract(text, "en").sections for sentence in section.sentences) for text in (
        TEXTS["brand-carnival"], changed,
    ))  # fmt: skip
    assert "17" not in one
    assert "17 points pay ¥1" in other


def test_every_word_has_a_sentence() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in CORE.glob("pack_*.py"))
    assert set(re.findall(r'"effect": "([a-z_]+)"', source)) <= set(EFFECTS)
    table = re.search(r"_PREDICATES = (.*?)\n_", (CORE / "rules.pyx").read_text(encoding="utf-8"), re.DOTALL)
    assert table is not None
    assert set(re.findall(r'"([a-z_]+)"', table[1])) <= set(PREDICATES)


@pytest.mark.parametrize(("name", "may"), [("alliance", "may move"), ("mall-vip", "may not move")])
def test_whether_points_move_is_told(name: str, may: str) -> None:
    [told] = [text for section in contract(TEXTS[name], "en").sections for text in section.sentences if text.startswith("Points may ")]
    assert told.startswith(f"Points {may} to")


def test_the_mall_card_reads_like_a_contract() -> None:
    sections = {section.title: section.sentences for section in contract(TEXTS["mall-vip"], "en").sections}
    assert '"diamond": reached by 8000 points earned in all.' in sections["Tiers"]
    assert sections["Benefits"][0].endswith("If the card is in tier gold: the customer pays 88 % of the price of the goods.")
    chinese = {section.title: section.sentences for section in contract(TEXTS["mall-vip"], "zh").sections}
    assert chinese["优惠"][0].endswith("若卡的等级是gold:商品按 8.8折(88 %) 付款。")
