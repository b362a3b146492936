"""Shops for the durable lines: created by the product, their cards put in through the store's own port in bulk.

The cards' accounts are built by the core itself (a top-up and points, decided and folded), but enter the store without
a journal entry each, which would take minutes for a million; so `verify` would not accept such a shop, and each is
removed after its run. Everything that is timed afterwards goes through the product's ordinary path.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import psycopg

from cardapi.app import Shop, create_shop, open_shop
from cardapi.desk import Request
from cardapi.ids import ACCOUNT_BITS, home
from cardapi.store import postgres_sql
from cardapi.store.port import AccountRow, Batch, CardRow
from cardcore.settlement import Account, Adjust, Command, Line, Programme, Sale, Snapshot, TopUp, decide, pack

from . import scenarios
from .harness import LineFailed
from .scenarios import AT, PACK, PROGRAMME, OrderedKeys, TicketLine, card_number

UNIT = "store-1"
TERMINAL = "till-1"
CLIENT = f"terminal:{TERMINAL}"
BULK = 20_000
"""Cards that one bulk commit takes."""


def programme() -> Programme:
    """The benchmark's programme, compiled."""
    return pack.load(PACK)


def account(rules: Programme, account_id: int, paid_fen: int, points: int) -> Account:
    """An account after one top-up (principal and bonus) and a gift of points."""
    value = Account(account_id)
    gifts: tuple[Command, ...] = (TopUp(paid_fen), Adjust("points", points))
    for position, command in enumerate(gifts, 1):
        value.apply(decide(Snapshot(rules, value), command, AT * 1_000_000), position)
    return value


def single_account(rules: Programme) -> Account:
    return account(rules, 1, scenarios.TOPUP_FEN, scenarios.TOPUP_POINTS)


def sale(lines: tuple[TicketLine, ...], points: int = scenarios.TICKET_POINTS) -> Sale:
    """The settle command of a ticket, explanation off."""
    return Sale("settle", [Line(line.amount_fen, line.quantity, line.category) for line in lines], points=points)


@dataclass(frozen=True)
class Dataset:
    """A closed shop on disk with `cards` rich cards, numbered from 1."""

    directory: Path
    cards: int

    def places(self, seed: int) -> Iterator[int]:
        """Endless places of cards, 0 to `cards` - 1, drawn evenly."""
        draw = random.Random(seed).randrange
        while True:
            yield draw(self.cards)

    def numbers(self, seed: int) -> Iterator[str]:
        """Endless card numbers, drawn evenly; made beforehand, so that no timed call pays for a Luhn digit."""
        return map(self._numbers.__getitem__, self.places(seed))

    @cached_property
    def _numbers(self) -> list[str]:
        return [card_number(number) for number in range(1, self.cards + 1)]


def build(directory: Path, cards: int, *, store: str = "", owner: str = "", partitions: int = 0) -> Dataset:
    """Create a shop with one store, one terminal, the benchmark's programme and `cards` active cards."""
    create_shop(directory, name="benchmark", password="benchmark-only", store=store, owner=owner, partitions=partitions)
    with open_shop(directory) as shop:
        _change(shop, "unit", UNIT, {"id": UNIT, "name": "Store 1", "kind": "store", "parent": "issuer"})
        _change(shop, "terminal", TERMINAL, {"unit": UNIT, "name": "Till 1", "state": "active", "key_version": 1})
        _change(shop, "programme", f"{PROGRAMME}@1", {"pack": PACK, "valid_from": 0})
        count = len(shop.store.partitions())
        for partition in range(count):
            _reserve(shop, _number_in(partition, count, cards))
        bulks = (_bulk(programme(), range(first, min(first + BULK, cards + 1)), count) for first in range(1, cards + 1, BULK))
        if store:
            _copy(owner, bulks)
        else:
            for bulk in bulks:
                shop.store.commit(bulk)
    return Dataset(directory, cards)


def _copy(owner: str, bulks: Iterable[Batch]) -> None:
    """Put cards and accounts into the tables of a server as their owner, which is several times as quick as statements."""
    with psycopg.connect(owner) as connection, connection.cursor() as cursor:
        for bulk in bulks:
            with cursor.copy("COPY account (partition, account_id, state, changed_at) FROM STDIN") as rows:
                rows.write("".join(map(_line, bulk.accounts)))
            with cursor.copy(f"COPY card (partition, {postgres_sql.CARD}) FROM STDIN") as rows:
                rows.write("".join(map(_line, bulk.cards)))
        connection.commit()


def _line(row: AccountRow | CardRow) -> str:
    """A row as COPY takes it, its partition in front. No text here holds what would have to be escaped."""
    values = (row.account_id >> ACCOUNT_BITS, *msgspec.structs.astuple(row))
    return "\t".join([f"\\\\x{value.hex()}" if type(value) is bytes else str(value) for value in values]) + "\n"


def _number_in(partition: int, partitions: int, cards: int) -> int:
    """A place no other card has, whose number belongs to this partition."""
    if partitions == 1:
        return 0
    return next(place for place in range(cards + 1, cards + 1 + 2 * partitions) if home(card_number(place), partitions) == partition)


def _account_id(place: int, partitions: int) -> int:
    return home(card_number(place), partitions) << ACCOUNT_BITS | place + 1


def _bulk(rules: Programme, numbers: range, partitions: int) -> Batch:
    cards = [
        CardRow(
            number=card_number(number), account_id=_account_id(number, partitions), programme=PROGRAMME, state="active", state_from=0,
            unit=UNIT, kind="primary", valid_until=0, flags=0, pin_value=b"", pin_tries=0, changed_at=1,
        )
        for number in numbers
    ]  # fmt: skip
    rich = (account(rules, _account_id(number, partitions), scenarios.RICH_FEN, scenarios.RICH_POINTS) for number in numbers)
    accounts = [AccountRow(value.account_id, value.pack(), 1) for value in rich]
    return Batch(entries=[], cards=cards, accounts=accounts, documents=[])


def _reserve(shop: Shop, place: int) -> None:
    """A card issued and topped up by the ordinary path: its value is what its partition's liability starts from."""
    number = card_number(place)
    payload = {"programme": PROGRAMME, "kind": "primary", "valid_until": 0}
    steps: list[tuple[str, Command | None, dict[str, object]]] = [
        ("issue", None, payload), ("activate", None, {}), ("topup", TopUp(scenarios.RESERVE_FEN), {}),
    ]  # fmt: skip
    for verb, command, facts in steps:
        request = Request(
            verb=verb, client=CLIENT, client_key=f"benchmark-{verb}-{place}", fingerprint=bytes(16), card=number, command=command,
            unit=UNIT, terminal=TERMINAL, payload=facts,
        )  # fmt: skip
        entry = shop.desk.call(request)
        if entry.outcome != "applied":
            raise LineFailed(f"the reserve card's {verb} was refused: {entry.code}")


def _change(shop: Shop, kind: str, name: str, document: dict[str, object]) -> None:
    request = Request(
        verb="change", client="system", client_key=f"benchmark-{kind}-{name}", fingerprint=shop.desk.fingerprint([kind, name, document]),
        unit="issuer", payload={"kind": kind, "id": name, "document": document},
    )  # fmt: skip
    shop.desk.call(request)


class Caller:
    """Builds desk requests as the HTTP edge would, for a caller in the same process."""

    def __init__(self, shop: Shop, dataset: Dataset, seed: int, keys: Callable[[], str] | None = None) -> None:
        self._shop, self._cards = shop, dataset.numbers(seed)
        self._keys = keys or OrderedKeys(seed)
        self._fingerprint = bytes(16)

    def request(self, command: Sale) -> Request:
        """One settle of `command` on the next card. The fingerprint is constant: no key is ever sent twice."""
        return Request(
            verb="settle", client=CLIENT, client_key=self._keys(), fingerprint=self._fingerprint, card=next(self._cards),
            command=command, unit=UNIT, terminal=TERMINAL,
        )  # fmt: skip

    def settle(self, command: Sale) -> None:
        """One durable settle; raises LineFailed unless it was applied."""
        entry = self._shop.desk.call(self.request(command))
        if entry.outcome != "applied":
            raise LineFailed(f"a settle was {entry.outcome}: {entry.code}")

    def settle_many(self, command: Sale, count: int) -> None:
        """`count` settles as one queue item."""
        self._applied(self._shop.desk.call_many([self.request(command) for _ in range(count)]))

    async def execute_many(self, command: Sale, count: int) -> None:
        """The same from an event loop."""
        self._applied(await self._shop.desk.execute_many([self.request(command) for _ in range(count)]))

    @staticmethod
    def _applied(results: Sequence[object]) -> None:
        for result in results:
            if getattr(result, "outcome", "") != "applied":
                raise LineFailed(f"a settle of a batch was not applied: {result}")


@contextmanager
def opened(dataset: Dataset) -> Iterator[Shop]:
    with open_shop(dataset.directory) as shop:
        yield shop
