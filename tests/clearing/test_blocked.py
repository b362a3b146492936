"""The list of blocked cards: what it vouches for, what changed between two of them, and what becomes of a purchase by it.

Method: the board is asked at times of the test's own choosing, with lists made by hand and by Hypothesis; the rule of who bears a loss is
tried with a list that a shop really gave out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardapi.clearing.board import KEEP_S, LISTS_MAX, SETTLE_S, Board, Listing, page
from cardcore.clearing import blocked
from cardcore.clearing.blocked import GONE, Blocked
from tests.clearing.yard import NOW, Yard

AT = int(NOW.timestamp())
ONE, TWO, THREE = (Blocked(f"pboc:{n}", "lost", n) for n in (1, 2, 3))


def test_a_list_is_given_out_for_a_while_and_vouches_for_what_was_settled() -> None:
    board = Board()
    first = board.current(AT, lambda: [TWO, ONE])
    assert (first.version, first.rows) == (AT - SETTLE_S, (ONE, TWO))
    assert board.current(AT + KEEP_S - 1, lambda: [THREE]) is first
    later = board.current(AT + KEEP_S, lambda: [THREE])
    assert later.rows == (THREE,)
    assert board.kept(first.version) is first
    back = board.current(AT - 1_000, list)
    assert back.version > later.version, "a clock that was set back makes no older list"
    for n in range(LISTS_MAX):
        board.current(AT + 100 * (n + 1), list)
    assert board.kept(first.version) is None


rows = st.dictionaries(st.sampled_from([f"pboc:{n}" for n in range(6)]), st.sampled_from(["lost", "frozen"]), max_size=6).map(
    lambda found: [Blocked(medium, state, 0) for medium, state in found.items()]
)


@given(st.lists(rows, min_size=2, max_size=6), st.data())
def test_what_changed_makes_the_newer_list_of_any_older_one(lists: list[list[Blocked]], data: st.DataObject) -> None:
    board = Board()
    made: list[Listing] = [board.current(AT + 100 * n, lambda n=n: lists[n]) for n in range(len(lists))]  # type: ignore[misc]
    older = data.draw(st.sampled_from(made))
    newer = data.draw(st.sampled_from(made[made.index(older) :]))
    changes = board.changes(older.version, newer)
    assert changes is not None
    if newer is made[-1]:
        assert blocked.merge(older.rows, changes) == list(newer.rows)
    assert board.changes(made[0].version - 1, newer) is None, "before it watched nothing is known"
    assert board.changes(newer.version + 1, newer) is None


@given(st.lists(st.integers(0, 50), unique=True, max_size=30), st.integers(1, 7))
def test_pages_are_the_whole_list(numbers: list[int], most: int) -> None:
    whole = sorted(Blocked(f"pboc:{n:02d}", "lost", 0) for n in numbers)
    seen: list[Blocked] = []
    after = ""
    for _ in range(len(whole) // most + 1):
        chosen, after = page(whole, after, most)
        seen += chosen
        if not after:
            break
    assert seen == whole
    assert not after


def test_the_digest_and_the_mac_cover_everything() -> None:
    assert blocked.digest([TWO, ONE]) == blocked.digest([ONE, TWO])
    told = blocked.digest([ONE])
    assert len({told, *(blocked.digest([ONE._replace(**other)]) for other in ({"medium": "x"}, {"state": "x"}, {"since": 9}))}) == 4
    made = blocked.mac(b"k", "t", 5, 1, told)
    for other in ((b"l", "t", 5, 1, told), (b"k", "u", 5, 1, told), (b"k", "t", 6, 1, told), (b"k", "t", 5, 2, told)):
        assert blocked.mac(*other) != made
    assert blocked.mac(b"k", "t", 5, 1, bytes(32)) != made
    assert blocked.merge([ONE, TWO], [ONE._replace(state=GONE), THREE]) == [TWO, THREE]


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path / "shop")
    yield made
    made.till.sound()
    made.till.shop.close()


def test_who_bears_a_lost_card_is_told_by_the_list_the_till_could_have_had(yard: Yard) -> None:
    """Three lists of one board: made before the loss, long before it, and after it. The till could know by the last one only."""
    board, store = Board(), yard.till.shop.store
    card, other = yard.card(), yard.card()
    medium = yard.medium(card)
    yard.now = NOW - timedelta(days=2)
    old = board.current(int(yard.now.timestamp()), store.blocked)
    yard.now = NOW - timedelta(hours=3)
    before = board.current(int(yard.now.timestamp()), store.blocked)
    yard.now = NOW - timedelta(hours=2)
    yard.till.done("lost", card=card.number, payload={"effective_at": int(yard.now.timestamp())})
    at_once = board.current(int(yard.now.timestamp()), store.blocked)
    yard.now = NOW - timedelta(hours=1, minutes=50)
    after = board.current(int(yard.now.timestamp()), store.blocked)
    assert [len(each.rows) for each in (old, before, at_once, after)] == [0, 0, 1, 1]
    assert after.rows == (Blocked(medium, "lost", int((NOW - timedelta(hours=2)).timestamp())),)
    yard.now = NOW
    taken = {name: yard.pay(card, 1_00) for name in ("old", "before", "at_once", "after")}
    for name, listing in (("old", old), ("before", before), ("at_once", at_once), ("after", after)):
        yard.upload([taken[name], yard.pay(other, 1_00)], batch=listing.version, blacklist=listing.version)
    assert {name: yard.outcome(record) for name, record in taken.items()} == {
        "old": "stale_blacklist", "before": "accepted", "at_once": "accepted", "after": "card_blocked",
    }  # fmt: skip
