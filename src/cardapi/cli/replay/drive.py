"""The drive: many terminals at once, one request in flight per card, baskets in time order.

Baskets are handed out in time order; a card that is busy keeps its next baskets waiting, so each household's year happens
in its order while other households' tickets overtake it. What a card can spend is known from the answer before.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import msgspec

from cardapi.cli.replay.rule import Rule, basket_key, topup_key
from cardapi.cli.replay.source import Basket, BasketName, TicketLine
from cardapi.cli.replay.wire import Answer, Link, TerminalSigner
from cardcore.errors import CardcoreError

WINDOW = 4_096  # baskets read ahead


class ReplayFailed(CardcoreError):
    """The service answered something a replay cannot go on from; the facts hold its answer."""

    code = "replay_failed"


class Ticket(msgspec.Struct):
    """`settle` as sent."""

    card: str
    lines: list[TicketLine]
    shortfall_tender: str = ""
    reference: str = ""


class TopUp(msgspec.Struct):
    """`topUp` as sent."""

    card: str
    paid_fen: int
    tender: str = "cash"


class Done(msgspec.Struct):
    """What is read of an answer."""

    outcome: str
    balance_fen: int
    gross_fen: int = 0
    discount_fen: int = 0
    coupon_fen: int = 0
    net_fen: int = 0
    outside_fen: int = 0
    verb: str = ""


class Tally(msgspec.Struct):
    """What this run did, as the service answered it."""

    tickets: int = 0
    lines: int = 0
    gross_fen: int = 0
    discount_fen: int = 0
    coupon_fen: int = 0
    net_fen: int = 0
    lapsed_fen: int = 0
    cash_tickets: int = 0
    cash_fen: int = 0
    topups: int = 0
    topup_fen: int = 0
    skipped: int = 0  # baskets that an earlier run had done
    retries: int = 0
    seconds: int = 0
    requests_a_second: int = 0
    latency_us: dict[str, int] = {}


class Drive:
    """One run. `cards` maps household to card number, `terminals` store to signer, `paths` operation id to path."""

    def __init__(
        self,
        links: list[Link],
        cards: Mapping[int, str],
        terminals: Mapping[int, TerminalSigner],
        rule: Rule,
        source_key: str,
        paths: Mapping[str, str],
        advance: Callable[[int], None] = lambda step: None,
    ) -> None:
        self._links = links
        self._cards = cards
        self._terminals = terminals
        self._rule = rule
        self._source_key = source_key
        self._settle = paths["settle"]
        self._topup = paths["topUp"]
        self._by_key = paths["getByClientKey"]
        self._advance = advance
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Done).decode
        self._balance: dict[int, int] = {}
        self._skip: dict[int, int] = {}
        self._busy: dict[int, deque[Basket]] = {}
        self._ready: deque[Basket] = deque()
        self._waiting = 0
        self._idle: deque[asyncio.Future[None]] = deque()
        self._stopping = False
        self._latencies = array("q")
        self.tally = Tally()

    def stop(self) -> None:
        """Finish what is in flight, start nothing new."""
        self._stopping = True
        self._wake_all()

    @property
    def stopped(self) -> bool:
        return self._stopping

    # ------------------------------------------------------------ resume
    async def find_progress(self, index: list[BasketName]) -> None:
        """Ask the service how far each card came. A card's baskets happen in order, so it is a search by halving."""
        by_card: dict[int, list[BasketName]] = {}
        for name in index:
            by_card.setdefault(name.household, []).append(name)
        queue = deque(by_card.items())

        async def search(link: Link) -> None:
            while queue and not self._stopping:
                household, names = queue.popleft()
                low, high, balance = 0, len(names), 0
                while low < high:
                    middle = (low + high) // 2
                    found = await self._look_up(link, names[middle])
                    if found is None:
                        high = middle
                    else:
                        low, balance = middle + 1, found
                self._skip[household], self._balance[household] = low, balance
                self._advance(low)
                self.tally.skipped += low

        await together(search(link) for link in self._links)

    async def _look_up(self, link: Link, name: BasketName) -> int | None:
        key = basket_key(self._source_key, name)
        answer = await link.request(self._terminals[name.store], "GET", f"{self._by_key}?client_key={key}")
        if answer.status == 404:
            return None
        return self._read(answer, key).balance_fen

    # ------------------------------------------------------------ run
    async def run(self, baskets: Iterator[Basket]) -> Tally:
        """Drive all baskets. Raises ReplayFailed, Unreachable; after `stop` it returns what was done."""
        began = time.perf_counter_ns()
        retries = sum(link.retries for link in self._links)
        try:
            await together(self._work(link, baskets) for link in self._links)
        finally:
            elapsed = time.perf_counter_ns() - began
            tally = self.tally
            tally.retries = sum(link.retries for link in self._links) - retries
            tally.seconds = round(elapsed / 1_000_000_000)
            tally.requests_a_second = len(self._latencies) * 1_000_000_000 // max(elapsed, 1)
            tally.latency_us = percentiles(self._latencies)
        return self.tally

    async def _work(self, link: Link, baskets: Iterator[Basket]) -> None:
        while not self._stopping:
            basket = self._next(baskets)
            if basket is not None:
                await self._buy(link, basket)
                self._release(basket.name.household)
            elif self._busy:
                waiter = asyncio.get_running_loop().create_future()
                self._idle.append(waiter)
                await waiter
            else:
                self._wake_all()
                return

    def _next(self, baskets: Iterator[Basket]) -> Basket | None:
        """The earliest basket whose card is free, reading ahead as far as the window allows."""
        while not self._ready and self._waiting < WINDOW:
            basket = next(baskets, None)
            if basket is None:
                return None
            household = basket.name.household
            left = self._skip.get(household, 0)
            if left:
                self._skip[household] = left - 1
            elif household in self._busy:
                self._busy[household].append(basket)
                self._waiting += 1
            else:
                self._busy[household] = deque()
                self._ready.append(basket)
        return self._ready.popleft() if self._ready else None

    def _release(self, household: int) -> None:
        line = self._busy[household]
        if line:
            self._waiting -= 1
            self._ready.appendleft(line.popleft())
        else:
            del self._busy[household]
        if self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def _wake_all(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def _buy(self, link: Link, basket: Basket) -> None:
        name = basket.name
        key = basket_key(self._source_key, name)
        card = self._cards[name.household]
        terminal = self._terminals[name.store]
        balance = self._balance.get(name.household, 0)
        tender = ""
        if balance < basket.net_fen:
            if self._rule.pays_cash(key):
                tender = "cash"
            else:
                paid = self._rule.topup_fen(basket.net_fen - balance)
                await self._send(link, terminal, self._topup, TopUp(card, paid), topup_key(key))
                self.tally.topups += 1
                self.tally.topup_fen += paid
        done = await self._send(link, terminal, self._settle, Ticket(card, basket.lines, tender, str(name.basket)), key)
        self._balance[name.household] = done.balance_fen
        self._count(basket, done)
        self._advance(1)

    async def _send(self, link: Link, terminal: TerminalSigner, path: str, message: Any, key: str) -> Done:
        began = time.perf_counter_ns()
        answer = await link.request(terminal, "POST", path, self._encode(message), key)
        self._latencies.append((time.perf_counter_ns() - began) // 1_000)
        return self._read(answer, key)

    def _read(self, answer: Answer, key: str) -> Done:
        if answer.status not in (200, 201):
            _fail(answer, key)
        done = self._decode(answer.body)
        if done.outcome != "applied":
            _fail(answer, key)
        return done

    def _count(self, basket: Basket, done: Done) -> None:
        tally = self.tally
        tally.tickets += 1
        tally.lines += len(basket.lines)
        tally.gross_fen += done.gross_fen
        tally.discount_fen += done.discount_fen
        tally.coupon_fen += done.coupon_fen
        tally.net_fen += done.net_fen
        tally.lapsed_fen += basket.lapsed_fen
        if done.outside_fen:
            tally.cash_tickets += 1
            tally.cash_fen += done.outside_fen
        if done.net_fen != basket.net_fen:
            raise ReplayFailed(f"ticket {basket.name.basket} came to {done.net_fen} fen, its basket to {basket.net_fen}")


def _fail(answer: Answer, key: str) -> NoReturn:
    text = answer.body[:500].decode("utf-8", "replace")
    hint = " (was it replayed with another seed or rule before?)" if answer.status == 422 else ""
    raise ReplayFailed(f"the service answered {answer.status} to {key}{hint}: {text}", key=key, status=answer.status)


async def together(works: Any) -> None:
    """Run together; the first failure cancels the others and is raised as itself."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def percentiles(samples: array[int]) -> dict[str, int]:
    """p50, p90, p99 and max by nearest rank."""
    ordered = sorted(samples)
    if not ordered:
        return {}
    size = len(ordered)
    ranks = {"p50": 50, "p90": 90, "p99": 99}
    return {**{name: ordered[-(-size * rank // 100) - 1] for name, rank in ranks.items()}, "max": ordered[-1]}
