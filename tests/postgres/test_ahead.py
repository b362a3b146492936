"""Cards that are read before the batch that wants them: never older than what was written since, and nothing depends on them.

Method: what was read is handed to the desk after somebody wrote, which a slow server would do; and a read that is kept on its way by a
lock on the table of cards.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from cardapi.app import create_shop, write_store
from cardapi.desk import Pipeline, Request
from cardapi.desk.sides import Side
from cardapi.store.port import Entry, Found, Record, StoreError
from cardapi.store.postgres import PostgresStore
from cardapi.store.postgres_local import DATABASE, OWNER, ROLE
from cardcore.errors import CardcoreError
from tests import leftovers
from tests.desk.till import Till
from tests.postgres import pair as paired
from tests.postgres.pair import Pair
from tests.postgres.server import needs_postgres, server
from tests.postgres.test_pipeline import PARTITIONS, Waves, cards, codes, sale, until
from tests.postgres.till import ServerTill


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop", PARTITIONS)
    yield till
    till.end()


def sides(till: Till) -> list[Side]:
    return list(till.shop.desk._sides._sides.values())


def forget(till: Till) -> None:
    """As if these cards had not been used for long. The desk has nothing to do meanwhile."""
    with till.shop.desk._writing:
        for side in sides(till):
            side.forget()
        till.shop.desk._sides.missed = True


def read(till: Till, card: str) -> dict[str, Found]:
    """What is read ahead for a sale of this card, as long as it is on its way."""
    wanted = till.shop.desk._sides.unread([sale(till, card, "next")])
    assert wanted == [card]
    return till.shop.store.read(wanted)


def known(till: ServerTill, card: str) -> bool:
    return any(card in side.rows.cards for side in sides(till))


# ---------------------------------------------------------------- never stale
def test_what_was_read_is_used(till: ServerTill) -> None:
    (card,) = cards(till, 1)
    forget(till)
    till.shop.desk._sides.admit(read(till, card))
    assert known(till, card)
    assert till.sale(card, 9_00).outcome == "applied"
    assert till.balance(card) == 0
    till.sound()


def test_what_was_read_before_a_sale_is_not_used_after_it(till: ServerTill) -> None:
    (card,) = cards(till, 1)  # 9.00 left
    forget(till)
    came = read(till, card)
    assert till.sale(card, 6_00).outcome == "applied"
    till.shop.desk._sides.admit(came)
    assert till.sale(card, 6_00).code == "insufficient_funds"
    till.sound()


@pytest.mark.parametrize("way", ["trimmed", "forgotten"])
def test_what_was_read_before_a_sale_is_not_used_once_that_is_forgotten(till: ServerTill, way: str) -> None:
    """The row that the sale left was committed and made room for others while an older one was on its way."""
    (card,) = cards(till, 1)
    forget(till)
    came = read(till, card)
    assert till.sale(card, 6_00).outcome == "applied"
    for side in sides(till):
        side.rows.accounts_max = 0
        side.trim() if way == "trimmed" else side.forget()
    assert not known(till, card)
    till.shop.desk._sides.admit(came)
    assert not known(till, card)
    assert till.sale(card, 6_00).code == "insufficient_funds"
    assert till.balance(card) == 3_00
    till.sound()


@pytest.mark.parametrize("found_out", [False, True])
def test_what_was_read_before_another_process_wrote_decides_nothing(till: ServerTill, found_out: bool) -> None:
    """`found_out`: the desk has noticed before what it had asked for came."""
    (card,) = cards(till, 1)
    forget(till)
    came = read(till, card)
    till.beside().desk.call(sale(till, card, "other", 6_00))
    if found_out:
        assert till.sale(card, 1_00).outcome == "applied"
    till.shop.desk._sides.admit(came)
    answers = asyncio.run(together(till, [sale(till, card, "again", 6_00)]))
    assert codes(answers) == ["insufficient_funds"]
    till.sound()


# ---------------------------------------------------------------- on its way
@contextmanager
def unreadable(till: ServerTill) -> Iterator[None]:
    """Nobody reads a card before the end."""
    with psycopg.connect(till.database.superuser) as connection:
        connection.execute("LOCK TABLE card IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


async def together(till: Till, requests: list[Request]) -> list[Entry | CardcoreError]:
    tasks = [asyncio.create_task(till.shop.desk.execute(request)) for request in requests]
    return await asyncio.gather(*tasks, return_exceptions=True)  # type: ignore[return-value]


def desk_of(till: Till) -> Pipeline:
    assert isinstance(till.shop.desk, Pipeline)
    return till.shop.desk


def store_of(till: Till) -> PostgresStore:
    assert isinstance(till.shop.store, PostgresStore)
    return till.shop.store


def test_requests_keep_their_order_while_cards_are_read(till: ServerTill) -> None:
    strange, familiar = cards(till, 2)
    forget(till)
    till.sale(familiar, 1_00)
    desk = desk_of(till)

    async def run() -> list[Entry | CardcoreError]:
        with unreadable(till):
            first = asyncio.create_task(together(till, [sale(till, strange, "a", 6_00), sale(till, strange, "b", 5_00)]))
            await until(lambda: bool(desk._seeking))
            more = [sale(till, strange, "c", 2_00), sale(till, familiar, "d"), sale(till, strange, "e", 3_00)]
            second = asyncio.create_task(together(till, more))
            await until(lambda: len(desk._items) == 3)
        return [*await first, *await second]

    assert codes(asyncio.run(run())) == ["", "insufficient_funds", "", "", "insufficient_funds"]
    assert (till.balance(strange), till.balance(familiar)) == (1_00, 7_00)
    till.sound()


def test_a_connection_that_is_lost_while_cards_are_read_loses_no_request(till: ServerTill) -> None:
    numbers = cards(till, 6)
    forget(till)
    desk, store = desk_of(till), store_of(till)

    async def run() -> list[Entry | CardcoreError]:
        with unreadable(till):
            tasks = asyncio.create_task(together(till, [sale(till, card, f"k-{card}") for card in numbers]))
            await until(lambda: bool(desk._seeking))
            assert desk.stalled_s() > 0
            connection = store._ahead._connection
            assert connection is not None
            server().sql(f"SELECT pg_terminate_backend({connection.info.backend_pid}, 60000)")
        return await tasks

    assert codes(asyncio.run(run())) == [""] * 6
    assert desk.failed is None
    asyncio.run(until(lambda: desk.stalled_s() == 0.0))  # it looks whether there is more to do, after it has answered
    forget(till)
    assert codes(asyncio.run(together(till, [sale(till, card, f"l-{card}") for card in numbers]))) == [""] * 6
    assert store._ahead._connection is not None, "no other was made"
    assert [till.balance(card) for card in numbers] == [7_00] * 6
    till.sound()


def test_where_nothing_can_be_read_ahead_it_is_read_when_it_is_wanted(till: ServerTill) -> None:
    numbers = cards(till, 4)
    forget(till)
    store = store_of(till)
    address, store._url = store._url, store._url + "&port=1"
    assert codes(asyncio.run(together(till, [sale(till, card, f"k-{card}") for card in numbers]))) == [""] * 4
    assert store._ahead._connection is None
    store._url = address
    till.sound()


def test_what_cannot_be_read_beside_a_batch_waits_for_it(till: ServerTill) -> None:
    """Nothing is read ahead either: the cards are read when all that was on its way has landed."""
    numbers = cards(till, 8)
    store = store_of(till)
    address, store._url = store._url, store._url + "&port=1"
    for side in sides(till):
        side.forget()
    answers = Waves(till).run([sale(till, card, f"a-{card}") for card in numbers], [sale(till, card, f"b-{card}") for card in numbers])
    assert codes(answers) == [""] * 16
    assert (store._aside, store._ahead._connection) == (None, None)
    store._url = address
    assert [till.balance(card) for card in numbers] == [7_00] * 8
    till.sound()


@pytest.fixture
def pair() -> Iterator[Pair]:
    needs_postgres()
    pair = Pair(leftovers.room("ahead"), 1, "")
    yield pair
    pair.end()


def test_cards_are_read_from_the_server_that_is_written(tmp_path: Path, pair: Pair) -> None:
    """An address that leads to a standby, or a primary of old, at the second connection: there a sale is not known yet."""
    (standby,) = pair.standbys
    directory = tmp_path / "shop"
    directory.mkdir()
    (directory / "settings.toml").write_text('standby = "reports"\n')
    write_store(directory, pair.address())
    create_shop(directory, password="correct horse", owner=pair.address(OWNER), partitions=PARTITIONS)
    till = Till(directory)
    numbers = [till.card(10_00) for _ in range(8)]
    standing = "SELECT count(*) FROM account WHERE changed_at > 0"
    paired.until("the standby has the cards", lambda: standby.sql(standing, DATABASE) == pair.primary.sql(standing, DATABASE))
    standby.sql("SELECT pg_wal_replay_pause()")
    assert set(codes(till.shop.desk.call_many([sale(till, card, f"first-{card}", 6_00) for card in numbers]))) == {""}
    store = store_of(till)
    store._url = standby.url(ROLE)
    for side in sides(till):
        side.forget()
    desk_of(till)._sides.missed = True
    requests = [sale(till, card, f"{turn}-{card}", 6_00) for turn in range(3) for card in numbers]
    assert set(codes(asyncio.run(together(till, requests)))) == {"insufficient_funds"}
    with pytest.raises(StoreError, match="another server"), store._beside():
        pass
    store._url = pair.address()
    assert {till.balance(card) for card in numbers} == {4_00}
    till.sound()
    till.shop.close()


def test_a_damaged_row_fails_the_batch_that_wants_it(till: ServerTill) -> None:
    """As it does where it is read for the batch: nobody waits for ever."""
    (card,) = cards(till, 1)
    forget(till)
    server().sql(r"UPDATE account SET state = '\x00'", till.database.name)
    answers = asyncio.run(together(till, [sale(till, card, "k")]))
    assert codes(answers) == ["unexpected"]
    assert desk_of(till).failed is not None


def test_a_card_that_nobody_can_ask_for_is_refused_alone(till: ServerTill) -> None:
    (card,) = cards(till, 1)
    forget(till)
    assert codes(asyncio.run(together(till, [sale(till, "8801999999999999", "a"), sale(till, card, "b")]))) == ["unknown_card", ""]
    till.sound()


def test_a_desk_that_stops_while_cards_are_read_answers_first(till: ServerTill) -> None:
    numbers = cards(till, 3)
    forget(till)
    desk = desk_of(till)
    stopping = threading.Thread(target=desk.stop)

    async def run() -> list[Entry | CardcoreError]:
        with unreadable(till):
            tasks = asyncio.create_task(together(till, [sale(till, card, f"k-{card}") for card in numbers]))
            await until(lambda: bool(desk._seeking))
            stopping.start()
            await until(lambda: not desk._running)
        return await tasks

    assert codes(asyncio.run(run())) == [""] * 3
    stopping.join()
    assert (desk.waiting, desk._seeking) == (0, [])
    till.reopen()
    assert [till.balance(card) for card in numbers] == [8_00] * 3
    till.sound()


def test_who_keeps_something_comes_after_one_read_at_most(till: ServerTill) -> None:
    """What came meanwhile is looked at after him."""
    numbers = cards(till, 4)
    forget(till)
    desk = desk_of(till)
    keeping = threading.Thread(target=desk.keep, args=([Record("job", "kept", b"here")],))

    async def run() -> list[Entry | CardcoreError]:
        with unreadable(till):
            first = asyncio.create_task(together(till, [sale(till, numbers[0], "a")]))
            await until(lambda: bool(desk._seeking))
            keeping.start()
            await until(desk._turn.locked)
            rest = asyncio.create_task(together(till, [sale(till, card, f"b-{card}") for card in numbers]))
            await until(lambda: len(desk._items) == 4)
        return [*await first, *await rest]

    assert codes(asyncio.run(run())) == [""] * 5
    keeping.join()
    assert till.shop.store.records("job", ["kept"])["kept"].body == b"here"
    assert [till.balance(card) for card in numbers] == [7_00, 8_00, 8_00, 8_00]
    till.sound()
