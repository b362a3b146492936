"""Pages of lists: a cursor names the last row of the page before, so rows that come or go between pages are no matter."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import TypeVar

from cardapi.http.call import Call
from cardapi.http.problems import HttpProblem

T = TypeVar("T")
LIMIT = 100
LIMIT_MAX = 1_000


def limit(call: Call, most: int = LIMIT_MAX) -> int:
    """The `limit` query parameter. Raises HttpProblem query_malformed."""
    text = call.query.get("limit", "")
    if not text:
        return min(LIMIT, most)
    if not text.isascii() or not text.isdigit() or len(text) > 6 or not 1 <= int(text) <= most:
        raise HttpProblem("query_malformed", f"limit is 1 to {most}", parameter="limit")
    return int(text)


def cursor_text(name: str) -> str:
    """An opaque cursor for a row's name."""
    return urlsafe_b64encode(name.encode()).decode().rstrip("=")


def cursor_name(call: Call) -> str:
    """The row named by the `cursor` query parameter, empty for the first page. Raises HttpProblem cursor_malformed."""
    return cursor_named(call.query.get("cursor", ""))


def cursor_named(text: str) -> str:
    """The row a cursor names, empty for the first page. Raises HttpProblem cursor_malformed."""
    if len(text) > 512:
        raise HttpProblem("cursor_malformed")
    try:
        name = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError as error:
        raise HttpProblem("cursor_malformed") from error
    if cursor_text(name) != text or "\0" in name:
        raise HttpProblem("cursor_malformed")
    return name


def cursor_number(call: Call) -> int:
    """A cursor that is a position; 0 for the first page. Raises HttpProblem cursor_malformed."""
    name = cursor_name(call)
    if not name:
        return 0
    if not name.isascii() or not name.isdigit() or len(name) > 15:
        raise HttpProblem("cursor_malformed")
    return int(name)


def page(call: Call, rows: Sequence[T], name: Callable[[T], str]) -> tuple[list[T], str]:
    """The rows of one page and the cursor of the next. A cursor whose row is gone starts over no list: it is refused."""
    after = cursor_name(call)
    first = 0
    if after:
        first = next((index + 1 for index, row in enumerate(rows) if name(row) == after), 0)
        if first == 0:
            raise HttpProblem("cursor_malformed")
    chosen = list(rows[first : first + limit(call)])
    more = first + len(chosen) < len(rows)
    return chosen, cursor_text(name(chosen[-1])) if more else ""
