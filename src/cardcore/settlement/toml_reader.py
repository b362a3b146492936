"""Typed reading of a TOML document that remembers lines and gathers every problem.

`tomllib` tells no positions, so `locate` walks the text a second time with a small lexer. It only ever sees text that
`tomllib` has accepted, and so need not judge it. What the keys mean is the business of `pack_tables`.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any, Final

Path = tuple[str | int, ...]

REQUIRED: Final = object()
"""Default of a key that must be there."""

_LEXEME = re.compile(
    r"(?P<blank>[ \t\r]+|\#[^\n]*)|(?P<newline>\n)"
    r'|(?P<text>"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\')'
    r"|(?P<mark>[\[\]{}=,.])|(?P<bare>[^\s\[\]{}=,.#\"']+)",
    re.DOTALL,
)
_FRACTION = re.compile(r"([0-9]{1,5})/([0-9]{1,5})")
_TERM_MAX: Final = 10_000  # of a fraction: what keeps five stacked rates exact in 64 bits
_DURATION = re.compile(r"P(?=[0-9])(?:([0-9]{1,4})Y)?(?:([0-9]{1,4})M)?(?:([0-9]{1,5})D)?")
_MONTHS_MAX: Final = 1200
_DAYS_MAX: Final = 36525


def locate(text: str) -> dict[Path, int]:
    """Line (from 1) of every table header, array element and key of a valid TOML document."""
    return _Locator(text).places


class _Locator:
    """One pass over the lexemes, recording where each path starts."""

    def __init__(self, text: str) -> None:
        self.lexemes = self._lex(text)
        self.at = 0
        self.places: dict[Path, int] = {(): 1}
        self.counts: dict[Path, int] = {}  # arrays of tables: how many elements so far
        base: Path = ()
        while self.at < len(self.lexemes):
            kind, lexeme, line = self.lexemes[self.at]
            if kind == "newline":
                self.at += 1
            elif lexeme == "[":
                base = self._header(line)
            else:
                self._pair(base)

    @staticmethod
    def _lex(text: str) -> list[tuple[str, str, int]]:
        lexemes = []
        line = 1
        for match in _LEXEME.finditer(text):
            kind = match.lastgroup or ""
            if kind != "blank":
                lexemes.append((kind, match[0], line))
            line += match[0].count("\n")
        return lexemes

    def _key(self) -> list[str]:
        parts = []
        while True:
            kind, lexeme, _ = self.lexemes[self.at]
            parts.append(next(iter(tomllib.loads(f"{lexeme}=0"))) if kind == "text" else lexeme)
            self.at += 1
            if self.at >= len(self.lexemes) or self.lexemes[self.at][1] != ".":
                return parts
            self.at += 1

    def _resolve(self, parts: Sequence[str]) -> Path:
        path: Path = ()
        for part in parts:
            path += (part,)
            if path in self.counts:  # a header below [[x]] speaks of the last x
                path += (self.counts[path] - 1,)
        return path

    def _header(self, line: int) -> Path:
        array = self.lexemes[self.at + 1][1] == "["
        self.at += 2 if array else 1
        parts = self._key()
        self.at += 2 if array else 1
        if array:
            whole = (*self._resolve(parts[:-1]), parts[-1])
            self.counts[whole] = self.counts.get(whole, 0) + 1
            self.places.setdefault(whole, line)
        path = self._resolve(parts)
        self.places[path] = line
        return path

    def _pair(self, base: Path) -> None:
        line = self.lexemes[self.at][2]
        path = base
        for part in self._key():
            path += (part,)
            self.places.setdefault(path, line)
        self.at += 1  # the equals sign
        self._value(path)

    def _value(self, path: Path) -> None:
        lexeme = self.lexemes[self.at][1]
        if lexeme == "{":
            self.at += 1
            while self._next_item("}"):
                self._pair(path)
        elif lexeme == "[":
            self.at += 1
            index = 0
            while self._next_item("]"):
                self.places[(*path, index)] = self.lexemes[self.at][2]
                self._value((*path, index))
                index += 1
        else:
            while self.at < len(self.lexemes) and self.lexemes[self.at][1] not in ("\n", ",", "]", "}"):
                self.at += 1

    def _next_item(self, end: str) -> bool:
        """Step over commas and line ends; False when the bracket closes."""
        while self.lexemes[self.at][1] in (",", "\n"):
            self.at += 1
        if self.lexemes[self.at][1] != end:
            return True
        self.at += 1
        return False


class Table:
    """One TOML table. Each getter checks type and bounds, notes a problem and answers a harmless value when wrong."""

    def __init__(self, value: dict[str, Any], path: Path, problems: list[tuple[Path, str]]) -> None:
        self.value = value
        self.path = path
        self.problems = problems
        self.known: set[str] = set()

    def wrong(self, key: str | None, reason: str) -> None:
        """Note a problem at this table (key None) or at one of its keys."""
        self.problems.append((self.path if key is None else (*self.path, key), reason))

    def has(self, key: str) -> bool:
        self.known.add(key)
        return key in self.value

    def _take(self, key: str, default: Any) -> tuple[bool, Any]:
        """(present, value or default); a missing required key is noted."""
        if self.has(key):
            return True, self.value[key]
        if default is REQUIRED:
            self.wrong(None, f"missing key `{key}`")
            return False, None
        return False, default

    def integer(self, key: str, low: int, high: int, default: Any = REQUIRED) -> int:
        present, value = self._take(key, default)
        if not present:
            return low if value is None else int(value)
        if type(value) is not int:
            self.wrong(key, f"`{key}` must be a whole number, not {_kind(value)}")
            return low
        if not low <= value <= high:
            self.wrong(key, f"`{key}` must be between {low} and {high}")
            return low
        return value

    def text(self, key: str, pattern: str, what: str, default: Any = REQUIRED) -> str:
        present, value = self._take(key, default)
        if not present:
            return value or ""
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            self.wrong(key, f"`{key}` must be {what}")
            return ""
        return value

    def choice(self, key: str, options: Sequence[str], default: Any = REQUIRED) -> str:
        present, value = self._take(key, default)
        if not present:
            return options[0] if value is None else str(value)
        if not isinstance(value, str) or value not in options:
            hint = _suggest(value, options) if isinstance(value, str) else ""
            self.wrong(key, f"`{key}` must be one of {', '.join(options)}{hint}")
            return options[0]
        return value

    def flag(self, key: str, default: Any = REQUIRED) -> bool:
        present, value = self._take(key, default)
        if present and not isinstance(value, bool):
            self.wrong(key, f"`{key}` must be true or false, not {_kind(value)}")
            return False
        return bool(value)

    def fraction(self, key: str, high: int, *, zero: bool = False, default: Any = REQUIRED) -> tuple[int, int]:
        """An exact fraction "n/d" of at most `high`; zero only where it means something."""
        present, value = self._take(key, default)
        if not present and value is None:
            return (1, 1)
        match = _FRACTION.fullmatch(value) if isinstance(value, str) else None
        if not match:
            self.wrong(key, f'`{key}` must be a fraction in quotes such as "88/100", not {_kind(value)}')
            return (1, 1)
        numerator, denominator = int(match[1]), int(match[2])
        if max(numerator, denominator) > _TERM_MAX:
            self.wrong(key, f"the numbers of `{key}` must be at most {_TERM_MAX}")
            return (1, 1)
        if denominator == 0 or (numerator == 0 and not zero) or numerator > high * denominator:
            self.wrong(key, f"`{key}` must be {'from 0' if zero else 'above 0'} and at most {high}, not {value}")
            return (1, 1)
        return numerator, denominator

    def duration(self, key: str, default: Any = "") -> tuple[int, int]:
        """ISO 8601 calendar duration as (months, days); (0, 0) when absent. Longest: 100 years."""
        present, value = self._take(key, default)
        if not present:
            return (0, 0)
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if not match:
            self.wrong(key, f'`{key}` must be a duration such as "P3Y", "P6M" or "P365D"')
            return (0, 0)
        months, days = int(match[1] or 0) * 12 + int(match[2] or 0), int(match[3] or 0)
        if months + days == 0 or months > _MONTHS_MAX or days > _DAYS_MAX:
            self.wrong(key, f"`{key}` must be longer than nothing and at most 100 years")
            return (0, 0)
        return months, days

    def names(self, key: str, pattern: str, what: str, high: int) -> list[str] | None:
        """A non-empty array of distinct texts; None when absent."""
        present, value = self._take(key, None)
        if not present:
            return None
        if not isinstance(value, list) or not value or len(value) > high:
            self.wrong(key, f"`{key}` must be an array of 1 to {high} texts")
            return []
        found: list[str] = []
        for index, item in enumerate(value):
            if not isinstance(item, str) or not re.fullmatch(pattern, item):
                self.problems.append(((*self.path, key, index), f"each of `{key}` must be {what}"))
            elif item in found:
                self.problems.append(((*self.path, key, index), f"`{item}` is there twice"))
            else:
                found.append(item)
        return found

    def numbers(self, key: str, low: int, high: int) -> list[int]:
        """A non-empty array of distinct whole numbers within bounds; empty when absent or wrong."""
        present, value = self._take(key, None)
        if not present:
            return []
        if not isinstance(value, list) or not value or any(type(item) is not int or not low <= item <= high for item in value):
            self.wrong(key, f"`{key}` must be an array of whole numbers from {low} to {high}")
            return []
        if len(set(value)) != len(value):
            self.wrong(key, f"a number of `{key}` is there twice")
        return value

    def table(self, key: str, default: Any = REQUIRED) -> Table:
        """A sub-table; an empty one when it is absent or wrong (after noting it)."""
        present, value = self._take(key, default)
        if present and not isinstance(value, dict):
            self.wrong(key, f"`{key}` must be a table, not {_kind(value)}")
            present = False
        if not present:
            return Table({}, (*self.path, key), self.problems if default is not REQUIRED else [])
        return Table(value, (*self.path, key), self.problems)

    def tables(self, key: str, high: int, low: int = 0) -> Iterator[Table]:
        present, value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.wrong(key, f"`{key}` must be an array of tables")
            return
        if not low <= len(value) <= high:
            self.wrong(key if present else None, f"there must be {low} to {high} of `{key}`, not {len(value)}")
            return
        for index, item in enumerate(value):
            yield Table(item, (*self.path, key, index), self.problems)

    def close(self) -> None:
        """Refuse the keys nobody asked for: a misspelt rule must not pass as no rule."""
        for key in self.value:
            if key not in self.known:
                self.wrong(key, f"unknown key `{key}`{_suggest(key, sorted(self.known))}")


def _kind(value: object) -> str:
    kinds: dict[type, str] = {
        bool: "true or false",
        int: "a whole number",
        float: "a number with a fraction",
        str: "text",
        list: "an array",
        dict: "a table",
    }
    return kinds.get(type(value), "a date or time")


def _suggest(word: str, options: Sequence[str]) -> str:
    near = difflib.get_close_matches(word[:64], options, 1)
    return f" (did you mean `{near[0]}`?)" if near else ""
