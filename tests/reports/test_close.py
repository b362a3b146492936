"""Goal: closes tile the journal, and a close made once stays what it was (C3). Method: days of a journal in memory."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, timedelta, timezone
from typing import Any

import msgspec
import pytest

from cardapi.reports.close import CloseDiffers, CloseRefused, close_day, plan_close
from cardcore.errors import CardcoreError
from cardcore.settlement import Line, Sale, TopUp
from tests.reports.books import DAY_US, START_US, Books, a_day

DAY = date(2026, 11, 22)


class Taken(CardcoreError):
    code = "key_reused"


class Registry:
    """Keeps close documents under client keys as the desk does: one effect per key."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.keys: dict[str, dict[str, Any]] = {}

    def closes(self) -> list[dict[str, Any]]:
        return list(self.keys.values())

    async def ask(self, question: Any) -> Any:
        return question(self.books)

    async def submit(self, key: str, document: dict[str, Any]) -> None:
        known = self.keys.get(key)
        if known is not None and known != document:
            raise Taken
        if known is None:
            self.keys[key] = msgspec.json.decode(msgspec.json.encode(document))
            self.books.write("change", 0, b"", terminal="")

    def close(self, day: date, *, zone: timezone = UTC, now_us: int | None = None) -> dict[str, Any]:
        now = self.books.clock_us if now_us is None else now_us
        return asyncio.run(close_day(self.ask, self.closes, self.submit, day, zone=zone, now_us=now))


def shop() -> Registry:
    books = Books()
    a_day(books)
    return Registry(books)


def test_closing_twice_is_the_same_report():
    registry = shop()
    first = registry.close(DAY)
    registry.books.do(TopUp(100_00))
    again = registry.close(DAY)
    assert again == first
    assert first["number"] == 1
    assert first["ok"]
    assert first["total"]["tickets"] == 4
    assert [row["unit"] for row in first["stores"]] == ["issuer", "s1", "s2"]
    assert sum(row["net_fen"] for row in first["stores"]) == first["total"]["net_fen"]


def test_closes_tile_the_journal():
    registry = shop()
    reports = [registry.close(DAY)]
    for day in range(1, 4):
        registry.books.clock_us = START_US + day * DAY_US
        a_day(registry.books)
        reports.append(registry.close(DAY + timedelta(days=day)))
    ends = [0] + [report["ranges"][0]["upto"] for report in reports]
    assert [report["ranges"][0]["after"] for report in reports] == ends[:-1]
    assert sum(report["entries"] for report in reports) == ends[-1]
    assert sum(report["total"]["net_fen"] for report in reports) == 4 * 415_00
    before = [report["liability_before_fen"] for report in reports[1:]]
    assert before == [report["liability_after_fen"] for report in reports[:-1]]


def test_what_follows_a_close_belongs_to_the_next():
    registry = shop()
    first = registry.close(DAY)
    late = registry.books.do(Sale("settle", [Line(1_00)]), terminal="s1-a")
    registry.books.clock_us = START_US + DAY_US
    second = registry.close(DAY + timedelta(days=1))
    assert first["ranges"][0]["upto"] < late <= second["ranges"][0]["upto"]
    assert second["total"]["tickets"] == 1


def test_a_past_day_ends_where_the_next_began():
    registry = shop()
    ended = len(registry.books.entries)
    registry.books.clock_us = START_US + DAY_US
    a_day(registry.books)
    report = registry.close(DAY)
    assert report["ranges"][0]["upto"] == ended


def test_the_offset_moves_the_end_of_the_day():
    registry = shop()
    # a_day starts at 00:00 UTC, which is 08:00 of the same day at +08:00, and 22:00 of the day before at -02:00
    assert registry.close(DAY - timedelta(days=1), zone=timezone(timedelta(hours=-2)), now_us=START_US + DAY_US)["total"]["tickets"] == 4


def test_a_close_too_early_or_too_late_is_refused():
    registry = shop()
    with pytest.raises(CloseRefused, match="not begun"):
        registry.close(DAY + timedelta(days=1))
    registry.close(DAY)
    with pytest.raises(CloseRefused, match="too late"):
        registry.close(DAY - timedelta(days=1))
    assert len(registry.keys) == 1


def test_a_changed_journal_is_seen():
    registry = shop()
    registry.close(DAY)
    registry.books.entries[1] = msgspec.structs.replace(registry.books.entries[1], terminal="s2-a")
    with pytest.raises(CloseDiffers):
        registry.close(DAY)


def test_two_at_once_make_one_close():
    registry = shop()

    async def both() -> list[dict[str, Any]]:
        async def one(now_us: int) -> dict[str, Any]:
            async def ask(question: Any) -> Any:
                found = question(registry.books)
                await asyncio.sleep(0)  # the other one plans now, on the same books
                return found

            return await close_day(ask, registry.closes, registry.submit, DAY, zone=UTC, now_us=now_us)

        return list(await asyncio.gather(one(registry.books.clock_us), one(registry.books.clock_us + 1)))

    one, two = asyncio.run(both())
    assert one == two
    assert list(registry.keys) == ["close-00000001"]


def test_an_empty_day_closes():
    report = Registry(Books()).close(DAY)
    assert (report["entries"], report["ok"], report["ranges"]) == (0, True, [{"partition": 0, "after": 0, "upto": 0}])


def test_plan_does_not_write():
    registry = shop()
    before = len(registry.books.entries)
    plan_close(registry.books, [], DAY, zone=UTC, now_us=registry.books.clock_us)
    assert (len(registry.books.entries), registry.keys) == (before, {})
