"""Goal: a batch that a store writes in parts while the desk decides is one commit as ever, with the same entries (O1-O4, M5, F2).

Method: parts of two requests; the same requests at two copies of one shop, in parts and at once; and at each part a fault that
SQLite itself raises: a key that is there already, a transaction that it ended, a request that spoils the batch it is in.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cardapi.desk import Problem, Request, coupons, writer
from cardapi.store import direct
from cardapi.store.port import Entry
from cardapi.store.rows import Direct
from cardcore.settlement import Refund, Sale, TopUp, Transfer
from tests.desk.till import Till
from tests.shops import journal

pytestmark = pytest.mark.embedded("SQLite writes a batch in parts, in a thread of its own")

START_US = 1_800_000_000_000_000


def ticking() -> Callable[[], int]:
    numbers = itertools.count(START_US, 1_000)
    return lambda: next(numbers)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Parts of two; the sizes of those that went to the store's thread."""
    fed: list[int] = []
    feed = Direct.feed

    def counted(self: Direct, steps: Any) -> bool:
        fed.append(len(steps[0][1]))
        return feed(self, steps)

    monkeypatch.setattr(Direct, "feed", counted)
    monkeypatch.setattr(writer, "PART", 2)
    return fed


def sales(till: Till, card: str, count: int, name: str = "sale") -> list[Request]:
    return [till.request("settle", card=card, key=f"{name}-{n}", command=Sale("settle", [(1_00 + n, 1)])) for n in range(count)]


def test_the_entries_are_those_of_a_batch_written_at_once(tmp_path: Path, parts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of request that reads while a part is being written: new cards, named tickets, retries, refusals, problems."""
    first = Till(tmp_path / "parts", ticking())
    card, other = first.card(500_00), first.card(100_00)
    first.shop.close()
    shutil.copytree(tmp_path / "parts", tmp_path / "whole")
    told, kept = [], []
    for place, size in (("parts", 2), ("whole", 1_000)):
        monkeypatch.setattr(writer, "PART", size)
        till = Till(tmp_path / place, ticking())
        ticket = till.sale(card, 30_00, key="earlier")
        fresh = till.issued()
        batch = [
            *sales(till, card, 5), *sales(till, card, 3),  # three of them once more
            till.request("activate", card=fresh, key="activate"), till.request("topup", card=fresh, key="top", command=TopUp(7_00)),
            till.request("refund", card=card, key="back", command=Refund(amount_fen=10_00), of=ticket),
            till.request("transfer", card=card, key="over", command=Transfer(5_00), further=(other,)),
            till.request("settle", card="8801999999999999", key="nobody", command=Sale("settle", [(1_00, 1)])),
            till.request("settle", card=other, key="poor", command=Sale("settle", [(9_999_00, 1)])),
            till.request("issue", key="new", payload={"programme": "plain", "prefix": "8801"}),
            till.request("void", card=card, key="unseen", ref_key=("terminal:t1", "never-came")),
            *sales(till, other, 2, "last"),
        ]  # fmt: skip
        answers = till.shop.desk.call_many(batch)
        told.append([answer if isinstance(answer, Entry) else getattr(answer, "code", "") for answer in answers])
        kept.append(journal(till.shop))
        till.sound()
        till.shop.close()
    assert kept[0] == kept[1]
    assert told[0] == told[1]
    assert sum(parts) > 10, "nothing was written in parts"
    assert {"unknown_card"} == {answer for answer in told[0] if isinstance(answer, str)}
    assert {"applied", "refused"} == {answer.outcome for answer in told[0] if isinstance(answer, Entry)}
    assert told[0][:3] == told[0][5:8], "a retry in a later part is answered from the first"


def broken_in_part(till: Till, at: int, how: str) -> Any:
    """Fails the `at`-th part of the next batch inside SQLite."""
    rows = till.shop.store._rows  # type: ignore[attr-defined]
    feed, seen = rows._connection.feed, itertools.count(1)

    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def feed(self, steps: list[Any]) -> None:
            if next(seen) != at:
                feed(steps)
            elif how == "a key that is there":
                ((text, entries), accounts) = steps
                feed([(text, [*entries, entries[0]]), accounts])
            else:
                feed(steps)
                real.read("ROLLBACK", [()])  # as SQLite does after some errors: what is run next would stand alone

    real = rows._connection
    rows._connection = Broken()
    return real


@pytest.mark.parametrize("how", ["a key that is there", "a transaction that ended"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_part_that_fails_takes_the_batch_with_it(till: Till, parts: list[int], at: int, how: str) -> None:
    card = till.card(500_00)
    before, entries = till.balance(card), len(journal(till.shop))
    rows = till.shop.store._rows  # type: ignore[attr-defined]
    real = broken_in_part(till, at, how)
    answers = till.shop.desk.call_many(sales(till, card, 7))
    assert {getattr(answer, "code", "") for answer in answers} == {"unexpected"}
    assert till.problem("settle", card=card) == "not_ready"
    rows._connection = real
    assert (till.balance(card), len(journal(till.shop))) == (before, entries), "a part outlived its batch"
    till.reopen()
    assert all(isinstance(answer, Entry) and answer.outcome == "applied" for answer in till.shop.desk.call_many(sales(till, card, 7)))
    assert till.balance(card) == before - sum(1_00 + n for n in range(7))
    till.sound()


def test_a_request_that_spoils_its_batch_leaves_the_parts_before_it_unwritten(
    till: Till, parts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = till.card(500_00)
    ticket = till.sale(card, 20_00)
    award = coupons.award

    def poison(work: Any, request: Request, *rest: Any) -> None:
        if request.verb == "refund":
            raise RuntimeError("after its own entry")
        award(work, request, *rest)

    monkeypatch.setattr(coupons, "award", poison)
    spoilt = till.request("refund", card=card, key="spoilt", command=Refund(amount_fen=10_00), of=ticket)
    *before, refused, last = till.shop.desk.call_many([*sales(till, card, 5), spoilt, *sales(till, card, 1, "last")])
    assert isinstance(refused, Problem)
    assert refused.code == "unexpected"
    done = [answer for answer in (*before, last) if isinstance(answer, Entry)]
    assert [entry.position for entry in done] == list(range(ticket.position + 1, ticket.position + 7))
    assert [entry for entry in journal(till.shop) if entry.position > ticket.position] == done
    assert len(parts) == 5, "two parts before it failed, three when the rest was decided again"
    till.sound()


def test_where_there_is_no_direct_way_a_batch_comes_at_once(till: Till, parts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    card = till.card(500_00)
    till.shop.close()
    monkeypatch.setattr(direct, "available", False)
    till.reopen()
    answers = till.shop.desk.call_many(sales(till, card, 7))
    assert all(isinstance(answer, Entry) and answer.outcome == "applied" for answer in answers)
    assert parts == []
    till.sound()
