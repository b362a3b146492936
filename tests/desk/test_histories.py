"""Races (O1, O2, M4, M8): concurrent histories replay in commit order against a plain model, in real-time order; canaries do not.

Method: `tests.desk.history`. The canaries are toy services with one classic mistake each, run through the same judge; a judge
that lets one pass could not find it in the product either. `tests/postgres` runs the same on two processes' worth of desks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

import pytest

from cardcore.settlement import Account, Sale, Transfer
from tests.desk.history import CLIENT, Asked, Effect, effects_of, judge, race, sums
from tests.desk.till import Till
from tests.support import sized

CLIENTS, EACH = sized(12, 64), sized(12, 60)
MONEY_FEN = 20_00


def balances(till: Till, cards: list[str]) -> dict[str, int]:
    """Of one moment."""
    with closing(till.shop.store.reader()) as reader, reader.snapshot():
        found = reader.read(cards)
    return {card: sum(lot.amount for lot in Account.unpack(found[card].account.state).lots()) for card in cards}


def race_and_judge(till: Till, desks: list[object]) -> list[Asked]:
    cards = [till.card(MONEY_FEN) for _ in range(4)]
    history = race(till, desks, cards, CLIENTS, EACH)
    reader = till.shop.store.reader()
    journal = [effect for partition in reader.partitions() for effect in effects_of(reader.journal(partition))]
    reader.close()
    judge(dict.fromkeys(cards, MONEY_FEN), history, journal, balances(till, cards))
    till.sound()
    return history


def one_card(till: Till, desks: list[object]) -> None:
    """Everybody wants the last money of one card, each key twice: exactly what is there is spent."""
    card = till.card(100)
    clients = sized(16, 64)
    barrier = threading.Barrier(clients)
    told: list[tuple[str, str]] = []

    def spend(number: int) -> None:
        request = till.request("settle", key=f"spend-{number}", meaning=number, card=card, command=Sale("settle", [(30, 1)]))
        barrier.wait()
        for desk in (desks[number % len(desks)], desks[(number + 1) % len(desks)]):
            entry = desk.call(request)  # type: ignore[attr-defined]
            told.append((entry.client_key, f"{entry.position}:{entry.outcome}"))

    threads = [threading.Thread(target=spend, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 2 * clients
    assert len(set(told)) == clients, "a key had two answers"
    assert sum(answer.endswith("applied") for _, answer in set(told)) == 3
    assert till.balance(card) == 10
    till.sound()


def transfers_in_snapshots(till: Till, desks: list[object]) -> None:
    """Money goes round; every snapshot holds all of it."""
    cards = [till.card(10_00) for _ in range(6)]
    count = sized(40, 400)

    def move(number: int) -> None:
        for step in range(count):
            one, two = cards[(number + step) % 6], cards[(number + 2 * step + 1) % 6]
            if one != two:
                key = f"move-{number}-{step}"
                request = till.request("transfer", key=key, meaning=key, card=one, further=(two,), command=Transfer(1 + step % 7))
                desks[number % len(desks)].call(request)  # type: ignore[attr-defined]

    threads = [threading.Thread(target=move, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    found = sums(lambda: balances(till, cards), lambda: any(thread.is_alive() for thread in threads))
    for thread in threads:
        thread.join()
    assert set(found) == {60_00}, "a snapshot in which value is in neither place, or in both"


def test_concurrent_histories_replay_in_commit_order(till: Till) -> None:
    history = race_and_judge(till, [till.shop.desk])
    assert {one.verb for one in history} == {"settle", "topup", "transfer", "refund"}
    assert {one.told.rsplit(":", 1)[-1] for one in history} >= {"applied", "refused"}


def test_one_card_and_many_tills(till: Till) -> None:
    one_card(till, [till.shop.desk])


def test_the_sum_is_constant_in_every_snapshot(till: Till) -> None:
    transfers_in_snapshots(till, [till.shop.desk])


# ---------------------------------------------------------------- canaries
class Toy:
    """A service of one card, right in all but what a canary changes."""

    def __init__(self) -> None:
        self.start, self.balance = 100, 100
        self.journal: list[Effect] = []
        self.keys: dict[str, Effect] = {}
        self.left: dict[str, int] = {}
        self.history: list[Asked] = []
        self.clock = 0.0

    def enough(self, asked: Asked) -> bool:
        return self.left.get(asked.of, 0) > 0 if asked.verb == "refund" else self.balance >= asked.amount_fen

    def commit(self, asked: Asked, outcome: str) -> Effect:
        effect = Effect(0, len(self.journal) + 1, CLIENT, asked.key, outcome)
        self.journal.append(effect)
        if outcome == "applied" and asked.verb == "refund":
            self.balance += self.left.pop(asked.of)
        elif outcome == "applied":
            self.balance -= asked.amount_fen
            self.left[asked.key] = asked.amount_fen
        self.keys[asked.key] = effect
        return effect

    def told(self, asked: Asked, effect: Effect, began: float = 0.0) -> None:
        self.clock += 1
        asked.began, asked.ended, asked.told = began or self.clock, self.clock + 0.5, effect.told
        self.history.append(asked)

    def call(self, asked: Asked) -> None:
        effect = self.keys.get(asked.key) or self.commit(asked, "applied" if self.enough(asked) else "refused")
        self.told(asked, effect)

    def judged(self) -> None:
        judge({"card": self.start}, self.history, self.journal, {"card": self.balance})


def spend(key: str, fen: int) -> Asked:
    return Asked(key, "settle", "card", fen)


def ordinary(toy: Toy) -> None:
    toy.call(spend("a", 60))
    toy.call(spend("a", 60))
    toy.call(spend("b", 60))
    toy.call(Asked("r", "refund", "card", of="a"))
    toy.call(Asked("s", "refund", "card", of="a"))


def acknowledged_before_the_commit(toy: Toy) -> None:
    toy.told(spend("lost", 10), Effect(0, 6, CLIENT, "lost", "applied"))


def read_then_write(toy: Toy) -> None:
    one, two = spend("one", 70), spend("two", 70)
    seen = [toy.enough(asked) for asked in (one, two)]  # both read before either writes
    for asked, enough in zip((one, two), seen, strict=True):
        toy.told(asked, toy.commit(asked, "applied" if enough else "refused"))


def the_key_outside_the_transaction(toy: Toy) -> None:
    toy.call(spend("twice", 5))
    toy.told(spend("twice", 5), toy.commit(spend("twice", 5), "applied"))


def refund_without_a_cap(toy: Toy) -> None:
    toy.call(spend("ticket", 20))
    toy.call(Asked("first", "refund", "card", of="ticket"))
    toy.left["ticket"] = 20
    toy.call(Asked("second", "refund", "card", of="ticket"))


def another_answer_to_a_retry(toy: Toy) -> None:
    toy.call(spend("again", 5))
    toy.told(spend("again", 5), Effect(0, 99, CLIENT, "again", "applied"))


def answered_out_of_order(toy: Toy) -> None:
    late = spend("late", 1)
    toy.call(spend("early", 1))
    position = toy.journal[-1].position
    toy.journal[-1] = toy.journal[-1]._replace(position=position + 1)
    toy.history[-1].told = toy.journal[-1].told
    toy.told(late, toy.commit(late, "applied")._replace(position=position))
    toy.journal[-1] = toy.journal[-1]._replace(position=position)


def money_from_nowhere(toy: Toy) -> None:
    toy.balance += 1


@pytest.mark.parametrize(
    ("mistake", "found"),
    [
        (acknowledged_before_the_commit, "there stands nothing"),
        (read_then_write, "should be refused"),
        (the_key_outside_the_transaction, "two effects"),
        (refund_without_a_cap, "should be refused"),
        (another_answer_to_a_retry, "was told"),
        (answered_out_of_order, "before what was answered before it was asked"),
        (money_from_nowhere, "the journal says"),
    ],
)
def test_the_judge_finds(mistake: Callable[[Toy], None], found: str) -> None:
    toy = Toy()
    ordinary(toy)
    toy.judged()
    mistake(toy)
    with pytest.raises(AssertionError, match=found):
        toy.judged()
