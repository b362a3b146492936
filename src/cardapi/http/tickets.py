"""From journal entries to answers. Every answer is a pure function of its entry and of published, immutable programmes (O2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec

from cardapi.desk import Desk
from cardapi.http import ticket
from cardapi.http.call import JSON, ok
from cardapi.http.card_schemas import CardStep
from cardapi.http.problems import Answer, HttpProblem, answer, body
from cardapi.ids import ticket_id
from cardapi.people.registry import Registry
from cardapi.store.port import CardRow, Entry
from cardcore.settlement import VERBS, Programme, Settlement, receipt

MONEY_VERBS = frozenset(VERBS) - {"quote"}
CARDS_KEPT = 200_000
PLAIN, LINES, FULL = 0, 1, 2  # how much of a ticket an answer shows

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)



class Stepped(msgspec.Struct, array_like=True):
    """The part of a life cycle entry's body that answers show: the card rows before and after it, and what was told with it."""

    before: list[CardRow]
    after: list[CardRow]
    facts: dict[str, Any] = {}


_unpack = msgspec.msgpack.Decoder(dict[str, Any]).decode
_step_body = msgspec.msgpack.Decoder(Stepped).decode


class _Always(dict[str, str]):
    """The same value for every key."""

    def __init__(self, value: str) -> None:
        super().__init__()
        self._value = value

    def __missing__(self, key: str) -> str:
        return self._value


class Tickets:
    """Knows which programme decided a card's entries; a card keeps its programme for life."""

    def __init__(self, desk: Desk, registry: Registry) -> None:
        self._desk = desk
        self._registry = registry
        self._names: dict[str, str] = {}  # card number -> programme name
        self._programmes: dict[tuple[str, int], Programme] = {}

    # ---- programmes
    async def programme(self, card: str, version: int) -> Programme:
        """The programme version that decided an entry of this card."""
        name = self.known_name(card) or await self.read_name(card)
        return self.version(name, version)

    def known_name(self, card: str) -> str:
        """The card's programme if that needs no read: the shop has only one, or the card was seen before. Else empty."""
        return self._registry.only_programme() or self._names.get(card, "")

    async def read_name(self, card: str) -> str:
        """The card's programme from the store, remembered. Raises HttpProblem unknown_card."""
        found = await self.read_names([card])
        if card not in found:
            raise HttpProblem("unknown_card")
        return found[card]

    async def read_names(self, cards: Sequence[str]) -> dict[str, str]:
        """The programmes of these cards in one read, remembered."""
        found = await self._desk.ask(lambda store: store.read(cards))
        names = {card: row.card.programme for card, row in found.items()}
        for card, name in names.items():
            if len(self._names) >= CARDS_KEPT:
                self._names.pop(next(iter(self._names)))
            self._names[card] = name
        return names

    async def names(self, answers: Sequence[object]) -> Mapping[str, str]:
        """The programme of the card of every applied entry among these, those not seen before in one read."""
        only = self._registry.only_programme()
        if only:
            return _Always(only)
        cards = {done.card for done in answers if isinstance(done, Entry) and done.outcome == "applied"}
        known = {card: self._names.get(card, "") for card in cards}
        unread = [card for card, name in known.items() if not name]
        return known | await self.read_names(unread) if unread else known

    def version(self, name: str, version: int) -> Programme:
        """A published version; it never changes, so it is looked for once."""
        programme = self._programmes.get((name, version))
        if programme is None:
            for published in self._registry.versions(name):
                if published.version == version:
                    self._programmes[name, version] = programme = published.programme
                    break
            else:
                raise AssertionError(f"an entry names programme {name} version {version}, which was never published")
        return programme

    # ---- money entries
    async def answer(self, entry: Entry, *, explain: bool = False) -> Answer:
        """The answer of a money verb: 200 with a Ticket, or the problem its refusal is."""
        if entry.outcome == "applied" and not self.known_name(entry.card):
            await self.read_name(entry.card)
        return self.answer_known(entry, explain=explain)

    def answer_known(self, entry: Entry, *, explain: bool) -> Answer:
        """The same where the programme of an applied entry's card is known."""
        if entry.outcome != "applied":
            return refusal(entry)
        return 200, JSON, self._ticket(entry, self.known_name(entry.card), explain)

    async def ticket(self, entry: Entry, *, explain: bool = False) -> bytes:
        """The Ticket of an applied money entry, as JSON."""
        return self._ticket(entry, self.known_name(entry.card) or await self.read_name(entry.card), explain)

    def _ticket(self, entry: Entry, programme: str, explain: bool) -> bytes:
        settlement = Settlement.unpack(entry.body)
        return self.told(settlement, self.version(programme, settlement.programme_version), entry, FULL if explain else LINES)

    def told(self, settlement: Settlement, programme: Programme, entry: Entry, detail: int) -> bytes:
        """An applied entry as a Ticket in JSON. `detail` is PLAIN, LINES or FULL."""
        return ticket.write(
            settlement, partition=entry.partition, position=entry.position, at_us=entry.at_us, client_key=entry.client_key,
            verb=entry.verb, outcome="applied", card=entry.card, programme=programme.name, tier=programme.tiers[settlement.tier_after],
            lines=detail >= LINES, receipt=receipt.lines(settlement, programme, self._heading(entry)) if detail == FULL else (),
            explanation=receipt.explain(settlement, programme) if detail == FULL else (),
        )  # fmt: skip

    @staticmethod
    def quoted(settlement: Settlement, programme: Programme, at_us: int, card: str, *, explain: bool) -> bytes:
        """A quote as a Ticket in JSON; it has no place in the journal."""
        heading = receipt.Heading(card=card, at=till_time(at_us))
        return ticket.write(
            settlement, partition=0, position=0, at_us=at_us, client_key="", verb="quote", outcome="quoted", card=card,
            programme=programme.name, tier=programme.tiers[settlement.tier_after], lines=True,
            receipt=receipt.lines(settlement, programme, heading) if explain else (),
            explanation=receipt.explain(settlement, programme) if explain else (),
        )  # fmt: skip

    def _heading(self, entry: Entry) -> receipt.Heading:
        unit = self._registry.unit(entry.unit)
        return receipt.Heading(
            unit.name if unit else "", entry.card, till_time(entry.at_us), ticket_id(entry.partition, entry.position), entry.position
        )

    # ---- any entry
    async def effect(self, entry: Entry) -> Any:
        """What any entry did, for look-ups: a Ticket, a CardStep, or the problem document of a refusal. Never an error."""
        if entry.outcome != "applied":
            return refused(entry)
        if entry.verb in MONEY_VERBS and entry.body:
            return msgspec.Raw(await self.ticket(entry, explain=True))
        return step(entry)


def till_time(at_us: int) -> str:
    """How a receipt shows a time: in UTC+8, to the second."""
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(timezone(timedelta(hours=8))).strftime("%Y-%m-%d %H:%M:%S")


def refused(entry: Entry) -> dict[str, Any]:
    """The problem document of a refused entry; its facts were recorded with it."""
    return body(
        entry.code, facts=_unpack(entry.body) if entry.body else {}, ticket_id=ticket_id(entry.partition, entry.position),
        journal_position=entry.position, client_key=entry.client_key, outcome="refused",
    )  # fmt: skip


def refusal(entry: Entry) -> Answer:
    """The HTTP answer of a refused entry, the same for every retry."""
    document = refused(entry)
    return answer(entry.code, document["detail"], document)


def step(entry: Entry) -> CardStep:
    """A life cycle entry as an answer."""
    new = fee = ""
    if entry.verb in ("swap", "reissue"):
        done = _step_body(entry.body)
        new = done.after[-1].number
        if done.facts.get("fee_fen"):  # its entry follows at once, in the same commit (`desk.fees`)
            fee = ticket_id(entry.partition, entry.position + 1)
    return CardStep(
        ticket_id=ticket_id(entry.partition, entry.position), journal_position=entry.position, client_key=entry.client_key,
        verb=entry.verb, outcome=entry.outcome, card=entry.card, at=ticket.time_text(entry.at_us), new_card=new, fee_ticket_id=fee,
    )  # fmt: skip


def card_step(entry: Entry) -> Answer:
    """The answer of a life cycle verb."""
    return ok(step(entry)) if entry.outcome == "applied" else refusal(entry)


