"""A desk with nothing to do remembers the cards that nobody has asked for yet: never older than what was written, in nobody's way.

Method: a desk that need not wait before it reads on, one card at a time, on a server whose answers may be held up.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from cardapi.desk import sides as places
from cardapi.ids import home
from cardapi.store.port import Found, Record
from cardapi.store.postgres import PostgresStore
from tests.postgres.server import server
from tests.postgres.test_ahead import desk_of, forget, known, sides, store_of, together
from tests.postgres.test_pipeline import PARTITIONS, cards, codes, sale, until
from tests.postgres.till import ServerTill


@pytest.fixture
def till(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerTill]:
    monkeypatch.setattr(places, "CALM_S", 1_000.0)  # until `idle`
    monkeypatch.setattr(places, "READ_ON", 1)
    till = ServerTill(tmp_path / "shop", PARTITIONS)
    yield till
    till.end()


def idle(till: ServerTill) -> None:
    """From now on the desk reads on after each request; it has forgotten what it knew."""
    forget(till)
    places.CALM_S = 0.0


def sell(till: ServerTill, numbers: Sequence[str], key: str = "wake", fen: int = 1_00) -> list[str]:
    """Sales that wake the desk, which has nothing to do afterwards; their codes."""
    return codes(asyncio.run(together(till, [sale(till, card, f"{key}-{card}", fen) for card in numbers])))


def all_read(till: ServerTill) -> bool:
    """In the partitions that this desk has written."""
    trusts = store_of(till).trusts
    return all(side.read_upto is None or not trusts((place,)) for place, side in till.shop.desk._sides._sides.items())


def wait(happened: Callable[[], bool]) -> None:
    asyncio.run(until(happened))


class Held:
    """Each question of a desk that reads on waits until it may be answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.may = 0, threading.Semaphore(0)
        reading = PostgresStore.read_on

        def held(store: PostgresStore, partition: int, after: int, limit: int) -> list[Found]:
            self.asked += 1
            assert self.may.acquire(timeout=60)
            return reading(store, partition, after, limit)

        monkeypatch.setattr(PostgresStore, "read_on", held)

    def release(self) -> None:
        """From now on nobody waits."""
        for _ in range(1_000):
            self.may.release()


def test_every_card_is_remembered_and_not_read_again(till: ServerTill, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = cards(till, 20)
    idle(till)
    assert sell(till, numbers[:1]) == [""]
    wait(lambda: all_read(till))
    assert till.shop.desk.kept == 20
    assert all(known(till, card) for card in numbers)
    asked: list[object] = []
    columns = PostgresStore._card_columns

    def noted(store: PostgresStore, wanted: Sequence[str]) -> tuple[object, ...]:
        asked.append(wanted)
        return columns(store, wanted)

    with monkeypatch.context() as patch:
        patch.setattr(PostgresStore, "_card_columns", noted)
        assert sell(till, numbers, "next", 2_00) == [""] * 20
    assert (asked, till.shop.desk._sides.missed) == ([], False), "a card was read that is remembered"
    assert [till.balance(card) for card in numbers] == [6_00, *[7_00] * 19]
    till.sound()


def test_no_more_cards_than_it_may_remember(till: ServerTill) -> None:
    numbers = cards(till, 20)
    for side in sides(till):
        side.rows_max = 3
    idle(till)
    assert sell(till, numbers[:1]) == [""]
    wait(lambda: all_read(till))
    there = Counter(home(card, PARTITIONS) for card in numbers)
    assert [len(side.rows.accounts) for side in sides(till)] == [min(3, there[place]) for place in range(PARTITIONS)]
    assert sell(till, numbers, "next") == [""] * 20
    till.sound()


def test_room_that_is_made_for_cards_that_are_wanted_is_not_filled_with_others(till: ServerTill) -> None:
    cards(till, 8)
    for side in sides(till):
        side.rows.accounts_max, side.read_upto = 0, 5
        before = len(side.rows.accounts)
        side.trim()
        assert (len(side.rows.accounts), side.read_upto) == (0, None if before else 5)


def test_the_shop_says_how_many_cards_it_remembers(till: ServerTill) -> None:
    assert {side.rows_max for side in sides(till)} == {(1 << 20) // PARTITIONS}
    with (till.directory / "settings.toml").open("a") as settings:
        settings.write("\nremembered_cards = 4000\n")
    till.reopen()
    assert {side.rows_max for side in sides(till)} == {1_000}


def test_what_was_sold_since_stands(till: ServerTill, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that is remembered already is not overwritten by what was read, which may be older."""
    numbers = cards(till, 12)  # 9.00 on each
    before = {place: store_of(till).read_on(place, 0, 100) for place in range(PARTITIONS)}
    assert sell(till, numbers, "next", 6_00) == [""] * 12

    def late(_: PostgresStore, partition: int, after: int, limit: int) -> list[Found]:
        return [found for found in before[partition] if found.account.account_id > after][:limit]

    monkeypatch.setattr(PostgresStore, "read_on", late)
    places.CALM_S = 0.0
    assert sell(till, numbers[:1]) == [""]
    wait(lambda: all_read(till))
    assert sell(till, numbers, "last", 6_00) == ["insufficient_funds"] * 12
    till.sound()


def test_what_another_process_sold_counts(till: ServerTill) -> None:
    numbers = cards(till, 8)  # 9.00 on each
    idle(till)
    assert sell(till, numbers[:1]) == [""]
    wait(lambda: all_read(till))
    other = till.beside()
    assert set(codes(other.desk.call_many([sale(till, card, f"other-{card}", 6_00) for card in numbers]))) == {""}
    assert sell(till, numbers, "next", 6_00) == ["insufficient_funds"] * 8
    till.sound()


def test_where_another_process_writes_nothing_is_read_on(till: ServerTill) -> None:
    """It would soon be forgotten; once this partition was left alone for a while it is read again."""
    numbers = cards(till, 20)
    for side in sides(till):
        side.forgotten_at = -math.inf  # calm for ever, as far as it knows
    other = till.beside()
    other.desk.call_many([sale(till, card, f"other-{card}") for card in numbers])
    for turn in range(3):
        assert sell(till, numbers, f"turn-{turn}") == [""] * 20
    assert [side.read_upto for side in sides(till)] == [0] * PARTITIONS
    places.CALM_S = 0.0
    assert sell(till, numbers, "last") == [""] * 20
    wait(lambda: all_read(till))


def test_who_comes_meanwhile_waits_for_one_answer(till: ServerTill, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = cards(till, 20)
    idle(till)
    held, desk = Held(monkeypatch), desk_of(till)
    assert sell(till, numbers[:1]) == [""]
    wait(lambda: held.asked == 1)
    assert desk.stalled_s() > 0, "a server that does not answer is not seen"

    async def run() -> list[str]:
        sold = asyncio.create_task(together(till, [sale(till, numbers[0], "next")]))
        await until(lambda: bool(desk._items))
        held.may.release()
        return codes(await sold)

    assert asyncio.run(run()) == [""]
    wait(lambda: held.asked == 2)
    keeping = threading.Thread(target=desk.keep, args=([Record("job", "kept", b"here")],))
    keeping.start()
    wait(desk._turn.locked)
    held.may.release()
    keeping.join(60)
    assert till.shop.store.reader().records("job", ["kept"])["kept"].body == b"here"
    assert not all_read(till)
    held.release()
    wait(lambda: all_read(till))
    wait(lambda: desk.stalled_s() == 0.0)
    till.sound()


def test_a_server_that_goes_away_meanwhile_stops_nobody(till: ServerTill, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = cards(till, 12)
    idle(till)
    held, store = Held(monkeypatch), store_of(till)
    assert sell(till, numbers[:1]) == [""]
    wait(lambda: held.asked == 1)
    server().sql(f"SELECT pg_terminate_backend({store._connection.info.backend_pid}, 60000)")
    held.release()
    assert sell(till, numbers, "next") == [""] * 12
    assert desk_of(till).failed is None
    wait(lambda: all_read(till))
    assert till.shop.desk.kept == 12
    till.sound()


def test_a_damaged_row_is_met_by_who_wants_it_only(till: ServerTill) -> None:
    damaged, *numbers = cards(till, 12)
    idle(till)
    mine = f"account_id = (SELECT account_id FROM card WHERE number = '{damaged}')"
    server().sql(rf"UPDATE account SET state = '\x00' WHERE {mine}", till.database.name)
    assert sell(till, numbers[:1]) == [""]
    wait(lambda: all_read(till))
    assert (desk_of(till).failed, till.shop.desk.kept, known(till, damaged)) == (None, 11, False)
    assert sell(till, [damaged]) == ["unexpected"]
    assert desk_of(till).failed is not None


def test_an_account_with_two_cards(till: ServerTill) -> None:
    """The second one is read when it is wanted, if it was not read with the first, and finds the account as it is."""
    card, other = cards(till, 2)
    account_id = till.done("swap", card=card, payload={"prefix": "8802"}).account_id
    new = till.shop.store.reader().read_accounts([account_id])[account_id].card.number
    idle(till)
    assert sell(till, [other]) == [""]
    wait(lambda: all_read(till))
    assert sell(till, [new, card], "next", 6_00) == ["", "card_not_active"]
    assert sell(till, [new], "last", 6_00) == ["insufficient_funds"]
    till.sound()


def test_a_desk_that_stops_does_not_read_to_the_end(till: ServerTill, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = cards(till, 12)
    idle(till)
    held, desk = Held(monkeypatch), desk_of(till)
    assert sell(till, numbers[:1]) == [""]
    wait(lambda: held.asked == 1)
    stopping = threading.Thread(target=desk.stop)
    stopping.start()
    wait(lambda: not desk._running)
    held.release()
    stopping.join(60)
    assert (stopping.is_alive(), held.asked) == (False, 1)
    till.sound()
