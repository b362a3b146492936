"""Handlers of verbs that name an earlier entry, or correct a card: capture, void, refund, reverse, transfer, adjust, expire."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from cardapi.desk import Request
from cardapi.http import approve
from cardapi.http import money_schemas as ask
from cardapi.http.call import Call, Service
from cardapi.http.problems import Answer, HttpProblem
from cardapi.http.tickets import card_step
from cardapi.ids import parse_ticket_id
from cardcore.settlement import Adjust, Capture, Command, Expire, Refund, Reverse, Transfer, Void


async def capture(service: Service, call: Call) -> Answer:
    """Turn a hold into a sale."""
    asked: ask.Capture = call.data
    return await _named(service, call, "capture", Capture(asked.amount_fen, explain=asked.explain), explain=asked.explain)


async def void(service: Service, call: Call) -> Answer:
    """Undo a sale or release a hold, by ticket or by client key."""
    return await _named(service, call, "void", Void(), reason=call.data.reason)


async def refund(service: Service, call: Call) -> Answer:
    """Give back part or all of a sale."""
    asked: ask.Refund = call.data
    command = Refund(amount_fen=asked.amount_fen, lines=asked.lines, explain=asked.explain)
    return await _named(service, call, "refund", command, reason=asked.reason, explain=asked.explain)


async def reverse(service: Service, call: Call) -> Answer:
    """Undo a top-up, transfer or adjustment."""
    return await _named(service, call, "reverse", Reverse(), reason=call.data.reason)


async def _named(service: Service, call: Call, verb: str, command: Command, *, explain: bool = False, reason: str = "") -> Answer:
    """Do a verb on the entry that the body names."""
    name = await _reference(service, call)
    entry = await service.desk.execute(service.request(call, verb, command=command, reason=reason, **name))
    if entry.outcome == "applied" and not entry.body:
        return card_step(entry)  # a void of a key that never arrived: nothing moved, and nothing will (O6)
    return await service.tickets.answer(entry, explain=explain)


async def _reference(service: Service, call: Call) -> dict[str, Any]:
    """How the desk finds the named entry. A ticket out of the caller's scope looks like none (R4); a caller's own key needs no look."""
    asked = call.data
    if bool(asked.ticket_id) == bool(asked.client_key):
        raise HttpProblem("bad_value", "name the ticket by exactly one of ticket_id and client_key", field="ticket_id")
    if asked.client_key:
        return {"ref_key": (call.caller.client, asked.client_key)}
    try:
        partition, position = parse_ticket_id(asked.ticket_id)
    except ValueError as error:  # position 0
        raise HttpProblem("unknown_ticket") from error
    entry = await service.desk.ask(lambda store: store.entry(partition, position))
    if entry is None or not entry.card:
        raise HttpProblem("unknown_ticket")
    service.need_reach(call, entry.unit, "unknown_ticket")
    return {"ref": position, "partition": partition, "card": entry.card}


async def transfer(service: Service, call: Call) -> Answer:
    """Move money or points between two cards."""
    asked: ask.Transfer = call.data
    given = [(unit, amount) for unit, amount in (("fen", asked.amount_fen), ("points", asked.points)) if amount is not UNSET]
    if len(given) != 1:
        raise HttpProblem("bad_value", "a transfer moves exactly one of amount_fen and points", field="amount_fen")
    [(unit, amount)] = given
    request = service.request(
        call, "transfer", card=asked.card, further=(asked.to_card,), command=Transfer(amount, unit=unit), pin=asked.pin, reason=asked.reason
    )
    return await service.tickets.answer(await service.desk.execute(request))


async def expire(service: Service, call: Call) -> Answer:
    """Write off what has lapsed on a card."""
    await need_card(service, call, call.data.card)
    entry = await service.desk.execute(service.request(call, "expire", card=call.data.card, command=Expire()))
    return await service.tickets.answer(entry)


async def adjust(service: Service, call: Call) -> Answer:
    """Ask for a correction; somebody else approves it."""
    asked: ask.Adjust = call.data
    unit = await need_card(service, call, asked.card)
    return await approve.ask_for(service, call, unit=unit, card=asked.card)


def adjust_request(service: Service, facts: approve.Execution) -> Request:
    """The approved correction, executed at most once whoever approves it (O1, R3)."""
    asked: ask.Adjust = facts.body
    return facts.request(service, "adjust", card=asked.card, command=Adjust(asked.purse, asked.amount), reason=asked.reason)


async def need_card(service: Service, call: Call, number: str) -> str:
    """The unit of a card within the caller's reach. Raises HttpProblem unknown_card for any other (R4)."""
    found = (await service.desk.ask(lambda store: store.read([number]))).get(number)
    if found is None:
        raise HttpProblem("unknown_card")
    service.need_reach(call, found.card.unit, "unknown_card")
    return found.card.unit
