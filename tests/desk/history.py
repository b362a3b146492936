"""Histories: what concurrent clients asked, when, and what they were told, judged against the journal in the order it was committed.

The model is as plain as can be: a card has a balance, a ticket has what is left of it. Each entry is replayed at its place in its
card's partition; its outcome must be what the model says there. What was told must be what stands there, and who asked after
another had been answered must stand behind it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cardapi.ids import leg_key
from cardapi.store.port import Entry
from cardcore.settlement import Refund, Sale, TopUp, Transfer

CLIENT = "terminal:t1"


@dataclass
class Asked:
    """One request of a client, and one of its answers."""

    key: str
    verb: str  # settle topup transfer refund hold capture void; of any other only that it happened once, as told
    card: str
    amount_fen: int = 0
    to: str = ""  # of a transfer
    of: str = ""  # key of the ticket or hold that is refunded, captured or voided
    began: float = 0.0
    ended: float = 0.0
    told: str = ""  # "partition:position:outcome"


class Effect(NamedTuple):
    """An entry of the journal, as far as it is judged."""

    partition: int
    position: int
    client: str
    key: str
    outcome: str

    @property
    def told(self) -> str:
        return f"{self.partition}:{self.position}:{self.outcome}"


@dataclass
class Model:
    """Balances by card, what is left of each ticket by its key."""

    balances: dict[str, int]
    tickets: dict[str, int] = field(default_factory=dict)
    holds: dict[str, int] = field(default_factory=dict)

    def outcome(self, asked: Asked) -> str:
        """What must become of it now; "" for what the model does not know."""
        if asked.verb == "topup":
            possible = True
        elif asked.verb == "refund":
            possible = self.tickets.get(asked.of, 0) > 0
        elif asked.verb == "capture":
            possible = asked.of in self.holds
        elif asked.verb == "void":
            possible = asked.of in self.holds or self.tickets.get(asked.of, 0) > 0
        elif asked.verb in ("settle", "hold", "transfer"):
            possible = self.balances[asked.card] >= asked.amount_fen
        else:
            return ""
        return "applied" if possible else "refused"

    def apply(self, asked: Asked) -> None:
        """Fold what was applied; what the model does not know changes no card of it."""
        if asked.verb == "capture":
            self.holds.pop(asked.of)
        elif asked.verb in ("refund", "void"):
            self.balances[asked.card] += (self.holds if asked.of in self.holds else self.tickets).pop(asked.of)
        elif asked.verb == "topup":
            self.balances[asked.card] += asked.amount_fen
        elif asked.verb in ("settle", "hold", "transfer"):
            self.balances[asked.card] -= asked.amount_fen
            if asked.verb != "transfer":
                (self.tickets if asked.verb == "settle" else self.holds)[asked.key] = asked.amount_fen


def judge(
    start: dict[str, int], history: Sequence[Asked], journal: Iterable[Effect], end: dict[str, int], clients: Collection[str] = (CLIENT,)
) -> None:
    """Raise AssertionError unless the history is one that a correct service, doing one thing after another, could have made."""
    asked = {one.key: one for one in history}
    standing: dict[str, Effect] = {}
    effects = sorted(journal)
    partitions = {effect.partition for effect in effects}
    legs: dict[tuple[str, str], Asked] = {}  # the further entry that a transfer may have -> the transfer
    for effect in effects:
        if effect.client in clients and effect.key in asked:
            assert effect.key not in standing, f"{effect.key} has two effects"
            standing[effect.key] = effect
            if asked[effect.key].verb == "transfer" and effect.outcome == "applied":
                legs |= {leg_key(effect.partition, effect.position, other): asked[effect.key] for other in partitions - {effect.partition}}
    crossed = {legs[effect.client, effect.key].key for effect in effects if (effect.client, effect.key) in legs}
    model = Model(dict(start))
    for effect in effects:
        one = asked.get(effect.key) if effect.client in clients else None
        if one is not None:
            expected = model.outcome(one)
            assert effect.outcome == (expected or effect.outcome), f"{one.key} at {effect.told}: should be {expected}"
            if effect.outcome == "applied":
                model.apply(one)
        leg = legs.get((effect.client, effect.key))
        if leg is not None:
            model.balances[leg.to] += leg.amount_fen
        elif one is not None and one.verb == "transfer" and effect.outcome == "applied" and one.key not in crossed:
            model.balances[one.to] += one.amount_fen  # both cards in one partition: one entry does both
        assert min(model.balances.values()) >= 0, f"overspent at {effect.told}"
    for one in history:
        stands = standing[one.key].told if one.key in standing else ""
        assert one.told == stands, f"{one.key} was told {one.told or 'nothing happened'}, there stands {stands or 'nothing'}"
    assert model.balances == end, f"balances are {end}, the journal says {model.balances}"
    _real_time(history, standing)


def _real_time(history: Sequence[Asked], standing: dict[str, Effect]) -> None:
    """Of two effects in a partition, one that was answered before the other was asked stands before it."""
    by_partition: dict[int, list[tuple[int, Asked]]] = {}
    first: dict[str, Asked] = {}
    for one in sorted(history, key=lambda one: one.ended):
        first.setdefault(one.key, one)
    for key, one in first.items():
        if key in standing:
            by_partition.setdefault(standing[key].partition, []).append((standing[key].position, one))
    for placed in by_partition.values():
        earliest = float("inf")  # end of whatever stands later
        for position, one in sorted(placed, key=lambda pair: pair[0], reverse=True):
            assert one.began <= earliest, f"{one.key} stands at {position}, before what was answered before it was asked"
            earliest = min(earliest, one.ended)


def effects_of(entries: Iterable[Entry]) -> list[Effect]:
    return [Effect(entry.partition, entry.position, entry.client, entry.client_key, entry.outcome) for entry in entries]


class Client:
    """One till among many: random requests, some sent twice, to one or another process."""

    def __init__(self, till: Any, desks: Sequence[Any], cards: Sequence[str], name: str, seed: int) -> None:
        self._till, self._desks, self._cards, self._name = till, desks, cards, name
        self._rng = random.Random(seed)
        self._mine: list[tuple[Asked, Any]] = []

    def run(self, count: int) -> list[Asked]:
        done = []
        for number in range(count):
            again = self._rng.choice(self._mine) if self._mine and self._rng.random() < 0.2 else None
            asked, request = again or self._fresh(f"{self._name}-{number}")
            answer = Asked(asked.key, asked.verb, asked.card, asked.amount_fen, asked.to, asked.of)
            answer.began = time.monotonic()
            entry = self._rng.choice(self._desks).call(request)
            answer.told = f"{entry.partition}:{entry.position}:{entry.outcome}"
            answer.ended = time.monotonic()
            self._mine.append((answer, request))
            done.append(answer)
        return done

    def _fresh(self, key: str) -> tuple[Asked, Any]:
        verb = self._rng.choice(("settle", "settle", "settle", "topup", "transfer", "refund"))
        card, to = self._rng.sample(list(self._cards), 2)
        fen = self._rng.randrange(1, 400)
        paid = [one for one, _ in self._mine if one.verb == "settle" and one.told.endswith("applied")]
        if verb == "refund" and paid:
            ticket = self._rng.choice(paid)
            partition, position, _ = ticket.told.split(":")
            request = self._till.request("refund", key=key, meaning=key, ref=int(position), partition=int(partition), command=Refund())
            return Asked(key, verb, ticket.card, of=ticket.key), request
        if verb == "transfer":
            return Asked(key, verb, card, fen, to), self._till.request(
                verb, key=key, meaning=key, card=card, further=(to,), command=Transfer(fen)
            )
        if verb == "topup":
            return Asked(key, verb, card, fen), self._till.request(verb, key=key, meaning=key, card=card, command=TopUp(fen))
        return Asked(key, "settle", card, fen), self._till.request(
            "settle", key=key, meaning=key, card=card, command=Sale("settle", [(fen, 1)])
        )


def race(till: Any, desks: Sequence[Any], cards: Sequence[str], clients: int, each: int) -> list[Asked]:
    """Many clients at once; what all of them asked and were told."""
    with ThreadPoolExecutor(clients) as pool:
        lives = [Client(till, desks, cards, f"c{number}", number) for number in range(clients)]
        return [one for done in pool.map(lambda client: client.run(each), lives) for one in done]


def sums(read: Callable[[], dict[str, int]], running: Callable[[], bool]) -> list[int]:
    """The sum of all balances, snapshot after snapshot, while something runs."""
    found = [sum(read().values())]
    while running():
        found.append(sum(read().values()))
    return [*found, sum(read().values())]
