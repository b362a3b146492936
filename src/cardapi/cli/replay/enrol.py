"""Before the drive: the programme, a unit and a terminal for each store, an active card for each household - through the API.

Every call has a client key made from what it is for, so that running it again makes nothing twice and gets the same answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from cardapi.cli.replay.drive import ReplayFailed, together
from cardapi.cli.replay.source import BasketName
from cardapi.cli.replay.wire import Answer, BearerSigner, Link, TerminalSigner
from cardapi.ids import card_number

PROGRAMME = "replay"
CARD_PREFIX = "84"
Where = Callable[[str], tuple[str, str]]


class Enrolled(NamedTuple):
    """Who takes part: household -> card number, store -> signer of its terminal."""

    cards: dict[int, str]
    terminals: dict[int, TerminalSigner]


class Enrolment:
    """Makes what the replay needs, as an operator that may. `where` gives method and path of an operation id."""

    def __init__(self, links: list[Link], token: str, where: Where, source_key: str, parent: str, advance: Callable[[int], None]) -> None:
        self._links = links
        self._signer = BearerSigner(token)
        self._where = where
        self._source_key = source_key
        self._parent = parent
        self._advance = advance

    async def run(self, index: Iterable[BasketName], pack: str) -> Enrolled:
        """Publish, create, issue, activate. Raises ReplayFailed with the service's answer."""
        names = list(index)
        stores = sorted({name.store for name in names})
        households = sorted({name.household for name in names})
        await self._publish(pack)
        cards: dict[int, str] = {}
        terminals: dict[int, TerminalSigner] = {}

        async def store(link: Link, number: int) -> None:
            terminals[number] = await self._store(link, number)

        async def household(link: Link, number: int) -> None:
            cards[number] = await self._card(link, number)

        await self._each(stores, store)
        await self._each(households, household)
        return Enrolled(cards, terminals)

    async def _each(self, numbers: list[int], work: Callable[[Link, int], Any]) -> None:
        queue = deque(numbers)

        async def worker(link: Link) -> None:
            while queue:
                await work(link, queue.popleft())
                self._advance(1)

        await together(worker(link) for link in self._links)

    async def _publish(self, pack: str) -> None:
        answer = await self._do(
            self._links[0], "publishScheme", {"pack": pack}, f"replay-pack-{PROGRAMME}", allowed=("exists", "invalid_document")
        )
        if answer.status >= 400 and not await self._published(pack):
            raise ReplayFailed(f"the programme {PROGRAMME!r} of this service is another one: {_text(answer)}")

    async def _published(self, pack: str) -> bool:
        from cardcore.settlement.pack import normalise

        ours = normalise(pack)
        method, path = self._where("listSchemes")
        answer = await self._links[0].request(self._signer, method, path)
        rows = answer.json().get("schemes", []) if answer.status == 200 else []
        return any(row["name"] == PROGRAMME and row["digest"] == ours["digest"] for row in rows)

    async def _store(self, link: Link, store: int) -> TerminalSigner:
        name = f"{self._source_key}-{store}"
        unit = {"id": name, "name": f"Replay store {store}", "kind": "store", "parent": self._parent}
        await self._do(link, "createUnit", unit, f"replay-unit-{name}", allowed=("exists",))
        terminal = {"id": name, "unit": name, "name": f"Replay till of store {store}"}
        answer = await self._do(link, "createTerminal", terminal, f"replay-terminal-{name}", allowed=("exists",))
        if answer.status == 409:  # made by another operator before: take it over with a key of our own
            answer = await self._do(link, "rotateTerminalKey", {"reason": "replay"}, f"replay-rotate-{name}", path={"terminal": name})
        made = answer.json()
        return TerminalSigner(name, made["key_version"], bytes.fromhex(made["key"]))

    async def _card(self, link: Link, household: int) -> str:
        number = household_card(self._source_key, household)
        body = {"programme": PROGRAMME, "card": number, "activate": True}
        await self._do(link, "issueCards", body, f"replay-card-{self._source_key}-{household}", allowed=("number_taken",))
        return number

    async def _do(
        self, link: Link, operation: str, body: Any, key: str, *, path: dict[str, str] | None = None, allowed: tuple[str, ...] = ()
    ) -> Answer:
        method, template = self._where(operation)
        data = b"" if body is None else msgspec.json.encode(body)
        answer = await link.request(self._signer, method, template.format_map(path or {}), data, key)
        if answer.status >= 400 and _code(answer) not in allowed:
            raise ReplayFailed(f"{operation} was refused: {_text(answer)}", status=answer.status)
        return answer


def household_card(source_key: str, household: int) -> str:
    """The card number of a household: fixed, so that every run means the same cards; generated sources have numbers of their own."""
    seed = source_key.removeprefix("gen")
    series = int(seed) % 900 + 100 if seed.isdigit() else 1
    return card_number(f"{CARD_PREFIX}{series:03d}", household)


def _code(answer: Answer) -> str:
    try:
        return str(answer.json().get("code", ""))
    except (msgspec.DecodeError, AttributeError):
        return ""


def _text(answer: Answer) -> str:
    return f"{answer.status} {answer.body[:300].decode('utf-8', 'replace')}"
