"""Rows of an import: read from CSV or Excel, checked one by one and against each other, summed. No float enters (M2)."""

from __future__ import annotations

import csv
import datetime
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from cardapi.ids import is_card_number
from cardapi.members.profile import InvalidProfile, Profile, clean
from cardcore.errors import CardcoreError

ROWS_MAX: Final = 1_000_000
AMOUNT_MAX: Final = 10**15
COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "card": ("card", "card number", "卡号"),
    "name": ("name", "姓名"),
    "phone": ("phone", "mobile", "手机", "手机号", "电话"),
    "birthday": ("birthday", "生日", "出生日期"),
    "principal": ("principal", "balance", "本金", "余额", "储值余额"),
    "bonus": ("bonus", "赠送", "赠送余额"),
    "points": ("points", "积分"),
    "valid_until": ("valid_until", "valid until", "有效期", "有效期至"),
}
_YUAN = re.compile(r"([0-9]{1,13})(?:\.([0-9]{1,2}))?")
_DAY = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})")


class ImportProblem(CardcoreError, ValueError):
    """A file that cannot be read at all: no such column, no header, too long."""

    code = "import_file"


class Row(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One card of the old system. Amounts in fen; points as they become here."""

    card: str
    name: str = ""
    phone: str = ""
    birthday: str = ""
    principal_fen: int = 0
    bonus_fen: int = 0
    points: int = 0
    valid_until: int = 0

    def __repr__(self) -> str:
        return f"Row({self.card})"


class Totals(msgspec.Struct):
    """Control totals: what must come out here of what the old system owed."""

    rows: int = 0
    members: int = 0
    principal_fen: int = 0
    bonus_fen: int = 0
    points: int = 0
    points_before: int = 0
    points_lost: int = 0  # old points that the rate's floor leaves over, summed


class Checked(msgspec.Struct):
    """A file that was read: its rows, sums, and what is wrong by (row number, column, reason)."""

    rows: list[Row]
    totals: Totals
    problems: list[tuple[int, str, str]]
    digest: str


def read(path: Path, *, rate: tuple[int, int] = (1, 1), columns: dict[str, str] | None = None, encoding: str = "utf-8-sig") -> Checked:
    """Read and check a file. `rate` is what one old point becomes, floored per card (R07: 10:1 is 1/10). Raises ImportProblem."""
    table = _excel(path) if path.suffix.lower() in (".xlsx", ".xlsm") else _csv(path, encoding)
    header = next(table, None)
    if header is None:
        raise ImportProblem("the file is empty")
    places = _places([str(cell).strip() for cell in header], columns or {})
    found = Checked([], Totals(), [], hashlib.sha256(path.read_bytes()).hexdigest())
    seen: dict[str, int] = {}
    today = datetime.datetime.now(datetime.UTC).date()
    for number, cells in enumerate(table, start=1):
        if number > ROWS_MAX:
            raise ImportProblem(f"at most {ROWS_MAX} rows")
        if not any(str(cell).strip() for cell in cells):
            continue
        row = _row(number, {name: _text(cells[place]) if place < len(cells) else "" for name, place in places.items()}, rate, found)
        _check(number, row, seen, today, found)
        found.rows.append(row)
        found.totals.rows += 1
        found.totals.members += bool(row.name or row.phone)
        found.totals.principal_fen += row.principal_fen
        found.totals.bonus_fen += row.bonus_fen
        found.totals.points += row.points
    return found


def _csv(path: Path, encoding: str) -> Iterator[Sequence[Any]]:
    try:
        with path.open(encoding=encoding, newline="") as file:
            yield from csv.reader(file)
    except (UnicodeError, LookupError, csv.Error) as error:
        raise ImportProblem(f"{path.name} is no CSV in {encoding}: {error}") from error


def _excel(path: Path) -> Iterator[Sequence[Any]]:
    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportProblem("reading Excel needs openpyxl: pip install 'cardcore[excel]'") from error
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        yield from book.worksheets[0].iter_rows(values_only=True)
    except Exception as error:  # a file of others: openpyxl raises whatever its zip and XML readers do
        raise ImportProblem(f"{path.name} is no Excel file that can be read: {type(error).__name__}") from error


def _text(cell: Any) -> str:
    """A cell as text; Excel's numbers by their shortest decimal form, its dates as days."""
    if cell is None:
        return ""
    if isinstance(cell, datetime.datetime | datetime.date):
        return cell.strftime("%Y-%m-%d")
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**53 else repr(cell)
    return str(cell).strip()


def _places(header: list[str], columns: dict[str, str]) -> dict[str, int]:
    unknown = set(columns) - set(COLUMNS)
    if unknown:
        raise ImportProblem(f"there is no field {', '.join(sorted(unknown))}; fields are: {', '.join(COLUMNS)}")
    places = {}
    lower = [cell.lower() for cell in header]
    for name, words in COLUMNS.items():
        wanted = (columns[name].lower(),) if name in columns else words
        found = [place for place, cell in enumerate(lower) if cell in wanted]
        if name in columns and not found:
            raise ImportProblem(f"there is no column {columns[name]!r}; columns are: {', '.join(header)}")
        if len(found) > 1:
            raise ImportProblem(f"two columns are {name}: {', '.join(header[place] for place in found)}")
        if found:
            places[name] = found[0]
    if "card" not in places:
        raise ImportProblem(f"no column is the card number; columns are: {', '.join(header)}; say --map card=COLUMN")
    return places


def _row(number: int, cells: dict[str, str], rate: tuple[int, int], found: Checked) -> Row:
    def wrong(field: str, reason: str) -> int:
        found.problems.append((number, field, reason))
        return 0

    def fen(field: str) -> int:
        text = cells.get(field, "").replace(",", "").removeprefix("¥") or "0"
        match = _YUAN.fullmatch(text)
        if match is None:
            return wrong(field, "not an amount in yuan with at most two decimals")
        return int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))

    text = cells.get("points", "").replace(",", "") or "0"
    before = int(text) if re.fullmatch(r"[0-9]{1,15}", text) else wrong("points", "not a whole number of points")
    points, rest = divmod(before * rate[0], rate[1])
    found.totals.points_before += before
    found.totals.points_lost += rest // rate[0]
    day = _day(cells.get("birthday", ""), lambda: wrong("birthday", "not a day such as 1990-03-15"))
    until = _day(cells.get("valid_until", ""), lambda: wrong("valid_until", "not a day such as 2028-12-31"))
    ends = int(datetime.datetime.fromisoformat(until + "T23:59:59+08:00").timestamp()) if until else 0
    return Row(cells.get("card", ""), cells.get("name", ""), cells.get("phone", ""), day, fen("principal"), fen("bonus"), points, ends)


def _day(text: str, wrong: Any) -> str:
    if not text:
        return ""
    match = _DAY.fullmatch(text)
    try:
        return datetime.date(*map(int, match.groups())).isoformat() if match else str(wrong() or "")
    except ValueError:
        wrong()
        return ""


def _check(number: int, row: Row, seen: dict[str, int], today: datetime.date, found: Checked) -> None:
    if not is_card_number(row.card):
        found.problems.append((number, "card", "8 to 32 digits ending in their Luhn digit"))
    elif row.card in seen:
        found.problems.append((number, "card", f"is in row {seen[row.card]} already"))
    seen.setdefault(row.card, number)
    try:
        clean(Profile(name=row.name, phone=row.phone, birthday=row.birthday), today)
    except InvalidProfile as error:
        found.problems.append((number, str(error.facts["field"]), error.detail))


def parts(rows: Sequence[Row], size: int) -> Iterable[tuple[int, list[Row]]]:
    """(number of the first row, rows) in parts of at most `size`."""
    return ((at + 1, list(rows[at : at + size])) for at in range(0, len(rows), size))
