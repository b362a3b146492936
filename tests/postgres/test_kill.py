"""Two processes on one server under load, one of them killed again and again (O1, O3, F3, F6).

The killed one comes back and repeats the keys that had no answer, while the other goes on. In the end: no acknowledged entry is
missing, no key has two, what was sold is what is gone, and the books verify. The canaries are the same checks on a store that
answers before its commit, and one that forgets keys: they must fail. What a process had sent when it was killed may land for
as long as its server's backends live, so the checks look at one moment of the journal and the balances.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cardcore.settlement import Account
from tests.postgres.life import Life, context, judge_journal
from tests.postgres.pair import until
from tests.postgres.server import held, server
from tests.postgres.till import ServerTill
from tests.support import sized

KILLS = sized(3, 60)
MONEY_FEN = 1_000_000
CARDS = 8


@pytest.fixture
def till(tmp_path: Path) -> Iterator[ServerTill]:
    till = ServerTill(tmp_path / "shop", 4)
    yield till
    till.end()


def judge(till: ServerTill, cards: list[str], sent: set[str], answered: dict[str, str]) -> None:
    """The checks; an AssertionError says which one failed."""
    with closing(till.shop.store.reader()) as reader, reader.snapshot():
        sold = judge_journal(reader, sent, answered)
        found = reader.read(cards)
    left = sum(lot.amount for card in cards for lot in Account.unpack(found[card].account.state).lots())
    assert left == CARDS * MONEY_FEN - sold
    till.sound()


def recorded(till: ServerTill) -> set[str]:
    """The keys of those processes that the journal has."""
    with closing(till.shop.store.reader()) as reader, reader.snapshot():
        entries = [entry for partition in reader.partitions() for entry in reader.journal(partition)]
    return {entry.client_key for entry in entries if entry.client == "terminal:t1" and ":" in entry.client_key}


def test_one_of_two_processes_is_killed_again_and_again(till: ServerTill) -> None:
    cards = [till.card(MONEY_FEN) for _ in range(CARDS)]
    lives = context()
    rng = random.Random(3)
    steady = Life(lives, till.directory, cards, "steady", [])
    steady.wait(5)
    sent: set[str] = set()
    answered: dict[str, str] = {}
    for number in range(KILLS):
        life = Life(lives, till.directory, cards, f"life-{number}", sorted(sent - answered.keys()))
        life.wait(rng.randrange(1, 40))
        keys, answers = life.kill()
        sent |= keys
        for key, answer in answers.items():
            assert answered.setdefault(key, answer) == answer, f"key {key} was answered twice, differently"
        before = steady.answers
        steady.wait(before + 3)  # the other one goes on: what the dead one held is free
    keys, answers = steady.kill()
    judge(till, cards, sent | keys, answered | answers)
    assert len(answered) > KILLS


def test_what_a_killed_process_had_sent_lands_after_its_death_once(till: ServerTill) -> None:
    """Its batches wait on the server for a row that somebody holds; the process dies; the row comes free."""
    cards = [till.card(MONEY_FEN) for _ in range(CARDS)]
    waiting = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{till.database.name}' AND wait_event_type = 'Lock'"
    life = Life(context(), till.directory, cards, "late", [])
    life.wait(20)
    with held(till.database.superuser, "0, 1, 2, 3"):
        until("a batch waits", lambda: server().sql(waiting))
        sent, answered = life.kill()
        before = recorded(till)
        judge(till, cards, sent, answered)
    unanswered = sent - answered.keys()
    until("what was sent lands", lambda: recorded(till) - before)
    landed = recorded(till) - before
    assert landed <= unanswered
    again = Life(context(), till.directory, cards, "again", sorted(unanswered))
    again.wait(len(unanswered) + 1)
    keys, answers = again.kill()
    assert landed <= answers.keys(), "each of them is told its entry, and"
    judge(till, cards, sent | keys, answered | answers)  # none has a second one


def test_the_checks_find_a_lost_and_a_doubled_effect(till: ServerTill) -> None:
    """Canaries: an answer that no entry stands for, an answer with another entry, money that moved without a sale."""
    cards = [till.card(MONEY_FEN) for _ in range(CARDS)]
    key = f"canary:1:{cards[0]}"
    entry = till.sale(cards[0], 1, key=key)
    answer = f"{entry.partition}:{entry.position}:{entry.outcome}"
    judge(till, cards, {key}, {key: answer})
    with pytest.raises(AssertionError, match="acknowledged and lost"):
        judge(till, cards, {key, "canary:2:x"}, {key: answer, "canary:2:x": "0:99:applied"})
    with pytest.raises(AssertionError, match="acknowledged and lost"):
        judge(till, cards, {key}, {key: f"{entry.partition}:{entry.position + 1}:applied"})
    with pytest.raises(AssertionError):
        judge(till, cards, set(), {})
    till.topup(cards[1], 1)
    with pytest.raises(AssertionError):
        judge(till, cards, {key}, {key: answer})
