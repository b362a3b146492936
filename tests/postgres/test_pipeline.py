"""A desk that decides behind what is on its way: answered when it has landed, in order, and decided again where it did not land.

Method: a desk whose server is kept from writing by a lock that somebody else holds, so that what comes meanwhile has to be decided behind
what is on its way.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from cardapi.custody import Pin
from cardapi.desk import Pipeline, Problem, Request, pipeline, writer
from cardapi.desk.work import Rows
from cardapi.store.port import Batch, Entry, Record
from cardapi.store.postgres import PostgresStore
from cardcore.errors import CardcoreError
from cardcore.settlement import Account, Refund, Sale, TopUp
from tests.desk.till import Till
from tests.postgres.server import held, server
from tests.postgres.till import ServerTill


# ---------------------------------------------------------------- what is kept of rows
def test_rows_that_are_on_their_way_are_not_forgotten() -> None:
    """The store would say what they were before."""
    rows = Rows(accounts_max=4)
    for number in range(1, 21):
        rows.accounts[number], rows.changed[number] = Account(number), number
    rows.trim(15)
    assert {16, 17, 18, 19, 20} <= rows.accounts.keys()
    assert len(rows.accounts) < 20
    rows.trim(20)
    assert len(rows.accounts) <= 4
    assert rows.accounts.keys() == rows.changed.keys()


# ---------------------------------------------------------------- the desk
PARTITIONS = 4
EVERYWHERE = "0, 1, 2, 3"


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop", PARTITIONS)
    assert isinstance(till.shop.desk, Pipeline)
    yield till
    till.end()


def sale(till: Till, card: str, key: str, fen: int = 1_00) -> Request:
    return till.request("settle", card=card, key=key, meaning=[key, card, fen], command=Sale("settle", [(fen, 1)]))


def cards(till: ServerTill, count: int, fen: int = 10_00) -> list[str]:
    """Cards in every partition, which the desk knows by now."""
    made = [till.card(fen) for _ in range(count)]
    till.shop.desk.call_many([sale(till, card, f"warm-{card}") for card in made])
    return made


def flown(till: ServerTill, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many batches were on their way, at each launch."""
    counts: list[int] = []
    launching = PostgresStore.launch

    def counted(self: PostgresStore, batch: Batch) -> None:
        launching(self, batch)
        counts.append(len(self._launched))

    monkeypatch.setattr(PostgresStore, "launch", counted)
    return counts


async def until(happened: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if happened():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it never happened")


class Waves:
    """Requests handed in while the server is kept from writing: the next wave when the last one is on its way, or has to wait."""

    def __init__(self, till: ServerTill) -> None:
        self._till = till

    def run(self, *waves: list[Request]) -> list[Entry | CardcoreError]:
        return asyncio.run(self._run(waves))

    async def _run(self, waves: tuple[list[Request], ...]) -> list[Entry | CardcoreError]:
        tasks: list[asyncio.Task[Entry]] = []
        with held(self._till.database.superuser, EVERYWHERE):
            for wave in waves:
                tasks += [asyncio.create_task(self._till.shop.desk.execute(request)) for request in wave]
                await asyncio.sleep(0.05)  # whatever was not launched by then is decided later: only what is tested for needs it
            assert not any(task.done() for task in tasks), "answered before it was written"
        return await asyncio.gather(*tasks, return_exceptions=True)  # type: ignore[return-value]


def codes(answers: list[Entry | CardcoreError]) -> list[str]:
    return [getattr(answer, "code", "") for answer in answers]


def test_plain_settles_are_decided_behind_what_is_on_its_way(till: ServerTill, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = cards(till, 6)
    counts = flown(till, monkeypatch)
    answers = Waves(till).run(
        [sale(till, card, f"a-{card}") for card in numbers], [sale(till, card, f"b-{card}", 2_00) for card in numbers]
    )
    assert codes(answers) == [""] * 12
    assert 2 in counts, "none was launched behind another"
    assert max(counts) <= till.shop.store.flights  # type: ignore[attr-defined]
    assert [till.balance(card) for card in numbers] == [10_00 - 1_00 - 1_00 - 2_00] * 6
    till.sound()


def test_a_card_is_not_charged_beyond_what_a_batch_on_its_way_leaves(till: ServerTill) -> None:
    (card,) = cards(till, 1)  # 9.00 left
    answers = Waves(till).run([sale(till, card, "a", 5_00)], [sale(till, card, "b", 5_00)], [sale(till, card, "c", 4_00)])
    assert codes(answers) == ["", "insufficient_funds", ""]
    assert till.balance(card) == 0
    till.sound()


def test_a_key_that_is_on_its_way_has_one_effect(till: ServerTill) -> None:
    numbers = cards(till, 5)
    first = [sale(till, card, f"k-{card}") for card in numbers]
    answers = Waves(till).run(first, [*first[:2], sale(till, numbers[2], f"n-{numbers[2]}"), *first[2:]])
    assert codes(answers) == [""] * 11
    assert answers[5:7] == answers[:2]
    assert answers[8:] == answers[2:5]
    assert [till.balance(card) for card in numbers] == [8_00, 8_00, 7_00, 8_00, 8_00]
    till.sound()


def test_what_asks_the_store_waits_until_all_have_landed(till: ServerTill) -> None:
    """Two refunds of a ticket, each of more than half: the second has to see the first."""
    numbers = cards(till, 4)
    sold = till.sale(numbers[0], 6_00)

    def refund(key: str) -> Request:
        return till.request(
            "refund", card=numbers[0], ref=sold.position, partition=sold.partition, key=key, meaning=[key], command=Refund(amount_fen=4_00)
        )

    answers = Waves(till).run(
        [refund("r1"), *(sale(till, card, f"a-{card}") for card in numbers[1:])],
        [refund("r2"), *(sale(till, card, f"b-{card}") for card in numbers[1:])],
        [till.request("topup", card=numbers[1], key="t", meaning="t", command=TopUp(5_00)), refund("r3")],
    )
    assert codes(answers)[0] == ""
    assert all(codes(answers)[place] for place in (4, 9)), "more was given back than was paid"
    assert codes(answers)[1:4] + codes(answers)[5:9] == [""] * 7
    assert [till.balance(card) for card in numbers] == [9_00 - 6_00 + 4_00, 12_00, 7_00, 7_00]
    till.sound()


def test_what_is_not_plain_within_a_batch_is_decided_when_its_beginning_has_landed(till: ServerTill) -> None:
    """Plain as a request, not as a decision: there is not enough on the card. Nothing that queues goes before it."""
    numbers = cards(till, 3)
    answers = Waves(till).run(
        [sale(till, card, f"a-{card}") for card in numbers],
        [
            sale(till, numbers[0], "b"), sale(till, numbers[1], "much", 99_00), sale(till, numbers[2], "c"),
            sale(till, "8801999999999999", "d"),
        ],
        [sale(till, card, f"e-{card}") for card in numbers * 2],
    )
    assert codes(answers)[:7] == ["", "", "", "", "insufficient_funds", "", "unknown_card"]
    assert answers[7:10] == answers[10:]
    assert codes(answers)[7:] == [""] * 6
    assert [till.balance(card) for card in numbers] == [6_00, 7_00, 6_00]
    till.sound()


def test_where_nothing_can_go_behind_batches_are_not_cut_in_halves(till: ServerTill, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under a law, or where each sale wants a PIN: what queues while one is on its way becomes one batch."""
    numbers = cards(till, 6)
    for module in (pipeline, writer):
        monkeypatch.setattr(module, "settles", lambda *_: 0)
    sizes: list[int] = []
    launching = PostgresStore.launch

    def noted(self: PostgresStore, batch: Batch) -> None:
        sizes.append(len(batch.entries))
        launching(self, batch)

    monkeypatch.setattr(PostgresStore, "launch", noted)
    answers = Waves(till).run([sale(till, card, f"a-{card}") for card in numbers], [sale(till, card, f"b-{card}") for card in numbers])
    assert codes(answers) == [""] * 12
    assert sizes[0] < 6
    assert max(sizes) > 6, "halves of what queued"
    till.sound()


def test_cards_that_have_to_be_read_are_read_beside_what_is_on_its_way(till: ServerTill, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = cards(till, 8)
    for side in till.shop.desk._sides._sides.values():
        side.forget()
    counts = flown(till, monkeypatch)
    Waves(till).run([sale(till, card, f"a-{card}") for card in numbers], [sale(till, card, f"b-{card}") for card in numbers])
    assert 2 in counts
    assert [till.balance(card) for card in numbers] == [7_00] * 8
    till.sound()


def test_all_that_is_on_its_way_is_decided_again_when_somebody_else_wrote(till: ServerTill) -> None:
    numbers = cards(till, 6)
    other = till.beside()
    other.desk.call_many([sale(till, card, f"o-{card}") for card in numbers[:3]])
    answers = Waves(till).run(
        [sale(till, card, f"a-{card}", 5_00) for card in numbers], [sale(till, card, f"b-{card}", 4_00) for card in numbers]
    )
    assert codes(answers) == [""] * 6 + ["insufficient_funds"] * 3 + [""] * 3
    assert till.shop.desk.commits.tried_again
    assert [till.balance(card) for card in numbers] == [3_00] * 3 + [0] * 3
    till.sound()


def test_a_lost_connection_leaves_all_of_it_unknown(till: ServerTill) -> None:
    numbers = cards(till, 6)
    store = till.shop.store
    assert isinstance(store, PostgresStore)

    async def cut() -> list[Entry | BaseException]:
        with held(till.database.superuser, EVERYWHERE):
            tasks = [asyncio.create_task(till.shop.desk.execute(sale(till, card, f"k-{card}"))) for card in numbers]
            await until(lambda: bool(store._launched))
            server().sql(f"SELECT pg_terminate_backend({store._connection.info.backend_pid}, 60000)")
            return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(cut())
    assert {type(answer) for answer in answers} == {Problem}
    assert {answer.code for answer in answers if isinstance(answer, Problem)} <= {"unexpected", "not_ready"}
    assert "unexpected" in {answer.code for answer in answers if isinstance(answer, Problem)}
    assert till.shop.desk.failed is not None
    assert till.shop.desk.waiting == 0
    asyncio.run(until(lambda: till.shop.desk.stalled_s() == 0.0))
    till.reopen()
    assert [till.balance(card) for card in numbers] == [9_00] * 6
    till.sound()


def test_many_callers_of_every_kind(till: ServerTill, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of few cards, with few rows kept and small parts: every balance is what its own requests say."""
    monkeypatch.setattr(pipeline, "PART", 3)
    numbers = cards(till, 30, 1_000_00)
    expected = dict.fromkeys(numbers, 999_00)
    for side in till.shop.desk._sides._sides.values():
        side.rows.accounts_max = side.rows_max = 3
    draw = random.Random(5)
    before = till.shop.desk.commits.entries.total, till.shop.store.counts()["entries"]
    counts = flown(till, monkeypatch)
    ahead: list[int] = []
    reading = PostgresStore.read_ahead

    def read(self: PostgresStore, numbers: Sequence[str]) -> bool:
        ahead.append(len(numbers))
        return reading(self, numbers)

    monkeypatch.setattr(PostgresStore, "read_ahead", read)

    async def caller(name: int) -> None:
        for turn in range(40):
            card, fen = draw.choice(numbers), draw.randrange(1, 300)
            key = f"{name}-{turn}"
            if draw.random() < 0.1:
                request, delta = till.request("topup", card=card, key=key, meaning=key, command=TopUp(fen)), fen
            else:
                request, delta = sale(till, card, key, fen), -fen
            entry = await till.shop.desk.execute(request)
            assert entry.outcome == "applied", entry.code
            expected[card] += delta

    async def many(name: int) -> None:
        for turn in range(8):
            drawn = [(draw.choice(numbers), draw.randrange(1, 300)) for _ in range(10)]
            requests = [sale(till, card, f"m{name}-{turn}-{place}", fen) for place, (card, fen) in enumerate(drawn)]
            for (card, fen), answer in zip(drawn, await till.shop.desk.execute_many(requests), strict=True):
                assert getattr(answer, "outcome", "") == "applied", answer
                expected[card] -= fen

    async def all_of_them() -> None:
        await asyncio.gather(*(caller(name) for name in range(16)), *(many(name) for name in range(3)))

    asyncio.run(all_of_them())
    assert {card: till.balance(card) for card in numbers} == expected
    assert counts.count(2) > 5, "hardly anything was launched behind another"
    assert len(ahead) > 5, "hardly any card was read ahead"
    assert till.shop.desk.commits.entries.total - before[0] == till.shop.store.counts()["entries"] - before[1]
    till.sound()


def test_nothing_is_launched_before_who_waits_to_keep_something(till: ServerTill, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = cards(till, 4)
    order: list[str] = []
    for name in ("launch", "commit"):

        def noted(self: PostgresStore, batch: Batch, name: str = name, call: Callable[..., None] = getattr(PostgresStore, name)) -> None:
            order.append(f"{name} {len(batch.entries)} {len(batch.records)}")
            call(self, batch)

        monkeypatch.setattr(PostgresStore, name, noted)
    desk = till.shop.desk
    assert isinstance(desk, Pipeline)

    async def together() -> None:
        with held(till.database.superuser, EVERYWHERE):
            tasks = [asyncio.create_task(desk.execute(sale(till, numbers[0], "a")))]
            await until(lambda: bool(order))
            thread = threading.Thread(target=desk.keep, args=([Record("job", "kept", b"here")],))
            thread.start()
            await until(desk._turn.locked)
            tasks += [asyncio.create_task(desk.execute(sale(till, card, f"b-{card}"))) for card in numbers[1:]]
            await asyncio.sleep(0.05)
        await asyncio.gather(*tasks)
        await asyncio.to_thread(thread.join)

    asyncio.run(together())
    assert order[:2] == ["launch 1 0", "commit 0 1"]
    assert len(order) >= 3


def test_a_batch_that_changes_more_than_accounts_is_waited_for(till: ServerTill, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong PIN counts on its card, whose row is kept as long as its account is."""
    card = till.card(100_00, "guarded", pin="123456")
    counts = flown(till, monkeypatch)
    wrong = till.request(
        "settle", card=card, key="wrong", meaning="wrong", command=Sale("settle", [(50_00, 1)]), pin=Pin.parse("654321")
    )
    assert asyncio.run(till.shop.desk.execute(wrong)).code == "pin_wrong"
    assert counts == []
    assert asyncio.run(till.shop.desk.execute(sale(till, card, "small"))).outcome == "applied"
    assert counts == [1]


def test_who_keeps_something_gets_his_turn(till: ServerTill) -> None:
    """Callers that never pause do not keep the store from a job."""
    numbers = cards(till, 16, 10_000_00)
    kept = threading.Event()

    def keep() -> None:
        for number in range(5):
            till.shop.desk.keep([Record("job", f"kept-{number}", b"here", (), 0)])
        kept.set()

    async def settle(card: str) -> None:
        turn = 0
        while not kept.is_set():
            await till.shop.desk.execute(sale(till, card, f"{card}-{turn}"))
            turn += 1

    async def together() -> None:
        thread = threading.Thread(target=keep)
        tasks = [asyncio.create_task(settle(card)) for card in numbers]
        await asyncio.sleep(0.1)
        thread.start()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)
        thread.join()

    asyncio.run(together())
    assert len(till.shop.store.records("job", [f"kept-{number}" for number in range(5)])) == 5
    till.sound()


def test_a_server_that_hangs_before_anything_is_launched_is_seen(till: ServerTill) -> None:
    """While a batch asks for its locks, as it does where others write: nothing is on its way yet, and the desk stands still."""
    (card,) = cards(till, 1)
    desk = till.shop.desk
    till.shop.store._tokens.clear()  # type: ignore[attr-defined]

    async def run() -> Entry:
        with held(till.database.superuser, EVERYWHERE):
            sold = asyncio.create_task(desk.execute(sale(till, card, "waits")))
            await until(lambda: desk.stalled_s() > 0.05)
        return await sold

    assert asyncio.run(run()).outcome == "applied"
    asyncio.run(until(lambda: desk.stalled_s() == 0.0))
    till.sound()
