"""Handlers of what happens to a card without a sale: recordEvent, and how its tier came about."""

from __future__ import annotations

import secrets

from cardapi.desk.events import reserved
from cardapi.http import card_schemas, lists
from cardapi.http import money_schemas as ask
from cardapi.http.call import Call, Service, ok
from cardapi.http.cards import read
from cardapi.http.corrections import need_card
from cardapi.http.problems import Answer, HttpProblem
from cardapi.http.sales import memo
from cardapi.http.ticket import time_text
from cardapi.http.tickets import MONEY_VERBS
from cardapi.ids import ticket_id
from cardapi.store.port import Entry
from cardcore.settlement import Event, Settlement

RANDOM_BITS = 62
PAGE = 200
REASONS = {"review": "reviewed", "refund": "returned", "void": "returned", "reverse": "reversed", "event": "event", "topup": "topped-up"}


async def record_event(service: Service, call: Call) -> Answer:
    """Decide an event by the card's pack. The random number of a draw is made here, once: the entry of the client key keeps it."""
    asked: ask.RecordEvent = call.data
    found = await read(service, asked.card)
    version = service.registry.version(found.card.programme, service.now())
    if version is not None and reserved(asked.event, version):
        raise HttpProblem("reserved_event", event=asked.event)
    happened = Event(
        asked.event, amount_fen=asked.amount_fen, random=secrets.randbits(RANDOM_BITS), explain=asked.explain,
        memo=memo(asked.channel, asked.reference),
    )  # fmt: skip
    entry = await service.desk.execute(service.request(call, "event", card=asked.card, command=happened))
    return await service.tickets.answer(entry, explain=asked.explain)


async def tier_history(service: Service, call: Call) -> Answer:
    """Every change of a card's tier, newest first, and every review that kept it, told from the journal (T05, T07)."""
    number = call.path["card"]
    if call.caller.operator:
        await need_card(service, call, number)
    found = await read(service, number)
    account_id, most = found.account.account_id, lists.limit(call, PAGE)
    before = lists.cursor_number(call) or None
    moves: list[card_schemas.TierMove] = []
    while len(moves) <= most:
        at = before
        entries = await service.report(lambda store, at=at: store.statement(account_id, at, PAGE))  # type: ignore[misc]
        for entry in entries:
            move = _move(service, found.card.programme, account_id, entry)
            if move is not None:
                moves.append(move)
            if len(moves) > most:
                break
        if len(entries) < PAGE:
            break
        before = entries[-1].position
    cursor = lists.cursor_text(str(moves[most - 1].journal_position)) if len(moves) > most else ""
    return ok(card_schemas.TierHistory(card=number, moves=moves[:most], next_cursor=cursor))


def _move(service: Service, programme: str, account_id: int, entry: Entry) -> card_schemas.TierMove | None:
    if entry.outcome != "applied" or entry.verb not in MONEY_VERBS or not entry.body or entry.account_id != account_id:
        return None
    done = Settlement.unpack(entry.body)
    if done.tier_before == done.tier_after and entry.verb != "review":
        return None
    tiers = next((one.programme.tiers for one in service.registry.versions(programme) if one.version == done.programme_version), ())
    before, after = (tiers[tier] if tier < len(tiers) else str(tier) for tier in (done.tier_before, done.tier_after))
    reason = "kept" if before == after else done.event or REASONS.get(entry.verb, "reached")
    return card_schemas.TierMove(
        ticket_id=ticket_id(entry.partition, entry.position), journal_position=entry.position, at=time_text(entry.at_us), verb=entry.verb,
        before=before, after=after, reason=reason,
    )  # fmt: skip
