"""Goal: a file of another system is read exactly, or every problem is named by row and column; no float, no silent loss (N7, R07).

Method: hand-made files in CSV and Excel, with totals worked out by hand; rubbish by a seed.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from cardapi.ids import card_number
from cardapi.imports.rows import ImportProblem, read
from tests.support import sized

HEADER = "卡号,姓名,手机,生日,余额,赠送余额,积分,有效期至\n"


def file(tmp_path: Path, text: str, name: str = "old.csv", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def card(n: int) -> str:
    return card_number("62", n)


def test_totals_by_hand(tmp_path: Path) -> None:
    lines = [
        f'{card(1)},张伟,13800138000,1990-3-15,"1,234.50",200,559,2028/12/31', f"{card(2)},,,,0.05,,9,",
        f"{card(3)},李娜,13900139000,,,,1000,",
    ]  # fmt: skip
    text = HEADER + "\n".join(lines) + "\n"
    found = read(file(tmp_path, text), rate=(1, 10))
    assert found.problems == []
    totals = found.totals
    assert (totals.rows, totals.members, totals.principal_fen, totals.bonus_fen) == (3, 2, 123_455, 20_000)
    assert (totals.points_before, totals.points, totals.points_lost) == (1_568, 155, 18), "R07: 10:1, floored per card: 55 + 0 + 100"
    assert totals.points * 10 + totals.points_lost == totals.points_before
    first = found.rows[0]
    assert (first.birthday, first.valid_until) == ("1990-03-15", 1_861_891_199)
    assert len(found.digest) == 64


def test_every_problem_is_named(tmp_path: Path) -> None:
    rows = [
        f"{card(1)},a,13800138000,1990-01-01,1,1,1,", f"{card(1)},,,,1,,,", "6200000000000013x,,,,1,,,", f"{card(2)},,12,,1,,,",
        f"{card(3)},,,1990-13-01,1,,,", f"{card(4)},,,,1.005,,,", f"{card(5)},,,,-1,,,", f"{card(6)},,,,1e3,,,", f"{card(7)},,,,1,,1.5,",
        f"{card(8)},,,2990-01-01,1,,,", f"{card(9)},,,,1,x,,soon",
    ]  # fmt: skip
    found = read(file(tmp_path, HEADER + "\n".join(rows)))
    assert [(number, field) for number, field, _ in found.problems] == [
        (2, "card"), (3, "card"), (4, "phone"), (5, "birthday"), (6, "principal"), (7, "principal"), (8, "principal"), (9, "points"),
        (10, "birthday"), (11, "valid_until"), (11, "bonus"),
    ]  # fmt: skip


def test_columns_by_other_names_and_encodings(tmp_path: Path) -> None:
    path = file(tmp_path, f"会员号,储值\n{card(1)},12.30\n", encoding="gb18030")
    found = read(path, columns={"card": "会员号", "principal": "储值"}, encoding="gb18030")
    assert found.totals.principal_fen == 1_230
    for columns, words in (({"card": "nothing"}, "no column"), ({"colour": "x"}, "no field"), ({}, "card number")):
        with pytest.raises(ImportProblem, match=words):
            read(path, columns=columns, encoding="gb18030")
    with pytest.raises(ImportProblem, match="no CSV"):
        read(path)
    with pytest.raises(ImportProblem, match="two columns"):
        read(file(tmp_path, "card,卡号\n"))
    with pytest.raises(ImportProblem, match="empty"):
        read(file(tmp_path, ""))


def test_excel_is_the_same_to_the_fen(tmp_path: Path) -> None:
    """A number is its shortest decimal form; anything finer than a fen is a problem, not rounded."""
    openpyxl = pytest.importorskip("openpyxl")
    import datetime

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["card", "name", "principal", "points", "birthday"])
    sheet.append([card(1), "Li", 1234.5, 100.0, datetime.date(1990, 3, 15)])
    sheet.append([card(2), None, 0.29, 7, None])
    sheet.append([card(3), None, 0.305, 7, None])
    book.save(tmp_path / "old.xlsx")
    found = read(tmp_path / "old.xlsx")
    assert [row.principal_fen for row in found.rows] == [123_450, 29, 0]
    assert [(number, field) for number, field, _ in found.problems] == [(3, "principal")]
    assert found.rows[0].birthday == "1990-03-15"
    with pytest.raises(ImportProblem, match="no Excel"):
        read(file(tmp_path, "not a zip", "bad.xlsx"))


def test_rubbish_is_named_and_never_breaks(tmp_path: Path) -> None:
    rng = random.Random(5)
    good = HEADER + "".join(f"{card(n)},n,1380013{n:04d},1990-01-01,{n}.{n % 100:02d},1,2,\n" for n in range(1, 6))
    for _ in range(sized(200, 4_000)):
        at = rng.randrange(len(good))
        text = good[:at] + rng.choice(["", ",", '"', "\n", "\x00", "￥", "9" * 20, "-", ";"]) + good[at + rng.randrange(4) :]
        try:
            found = read(file(tmp_path, text))
        except ImportProblem:
            continue
        assert all(row.principal_fen >= 0 and row.points >= 0 for row in found.rows)
        assert found.totals.principal_fen == sum(row.principal_fen for row in found.rows)
