"""Handlers that find an earlier effect: by ticket id, or by the client key it was made under (O4)."""

from __future__ import annotations

from cardapi.http.call import Call, Service, ok
from cardapi.http.problems import Answer, HttpProblem
from cardapi.ids import parse_ticket_id
from cardapi.store.port import Entry


async def get_ticket(service: Service, call: Call) -> Answer:
    """One entry by its ticket id, if it was made within the caller's reach."""
    try:
        partition, position = parse_ticket_id(call.path["ticket"])
    except ValueError as error:
        raise HttpProblem("unknown_ticket") from error
    return await _show(service, call, await service.desk.ask(lambda store: store.entry(partition, position)))


async def get_by_client_key(service: Service, call: Call) -> Answer:
    """What the caller's own key did: the question of a till that lost the answer. Nothing found means: no effect so far."""
    key = call.query.get("client_key", "")
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise HttpProblem("query_malformed", "client_key is 1 to 255 printable ASCII characters", parameter="client_key")
    client = call.query.get("client") or call.caller.client
    if call.caller.terminal and client != call.caller.client:
        raise HttpProblem("unknown_ticket")
    name = (client, key)
    return await _show(service, call, (await service.desk.ask(lambda store: store.find_keys([name]))).get(name))


async def _show(service: Service, call: Call, entry: Entry | None) -> Answer:
    # Registry changes and sessions are not tickets; entries of other units look like none (R4).
    if entry is None or not (entry.card or entry.verb in ("tombstone", "void")):
        raise HttpProblem("unknown_ticket")
    if entry.client != call.caller.client:
        service.need_reach(call, entry.unit, "unknown_ticket")
    return ok(await service.tickets.effect(entry))
