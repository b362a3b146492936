"""Handlers of card sessions and of what is in flight: the station is a pipe between its card and `cardapi.media`."""

from __future__ import annotations

from cardapi.http import lists
from cardapi.http import tap_schemas as ask
from cardapi.http.call import Call, Service, ok
from cardapi.http.problems import Answer, HttpProblem
from cardapi.http.ticket import time_text
from cardapi.ids import ACCOUNT_BITS, ticket_id
from cardapi.media.asked import Asked, Caller, Record
from cardapi.store.port import Entry, Store
from cardcore.settlement import Settlement

IN_FLIGHT_MAX = 200
CHUNK = 600  # rows read at a time: more than there are partitions


async def open_session(service: Service, call: Call) -> Answer:
    """Begin, or begin again under the same key."""
    given: ask.OpenCardSession = call.data
    if given.purpose in ("load", "unload", "pay") and given.amount_fen == 0:
        raise HttpProblem("bad_value", "this purpose needs an amount", field="amount_fen")
    asked = Asked(
        purpose=given.purpose, amount_fen=given.amount_fen, tender=given.tender, pin=given.pin, batch=given.batch,
        records=tuple(Record(number=record.number, data=record.data) for record in given.records),
    )  # fmt: skip
    who = call.caller
    caller = Caller(client=who.client, client_key=call.key, unit=who.unit, terminal=who.terminal, operator=who.operator)
    meaning = service.fingerprint(call.operation.id, given)
    return ok(await service.taps.run(lambda sessions: sessions.open(caller, asked, meaning)))


async def step_session(service: Service, call: Call) -> Answer:
    """Take what the card answered; what to send next, or the result."""
    name, client, given = call.path["session"], call.caller.client, call.data
    return ok(await service.taps.run(lambda sessions: sessions.step(client, name, given.step, tuple(given.answers))))


async def close_session(service: Service, call: Call) -> Answer:
    """Give a session up; what it intended stays in flight."""
    name, client = call.path["session"], call.caller.client
    return ok(await service.taps.run(lambda sessions: sessions.close(client, name)))


async def list_in_flight(service: Service, call: Call) -> Answer:
    """Open loads, unloads and payments within the caller's reach, oldest first, by pages."""
    most = lists.limit(call, IN_FLIGHT_MAX)
    after = lists.cursor_number(call)

    def read(store: Store) -> tuple[list[ask.InFlight], int]:
        shown: list[ask.InFlight] = []
        seen: set[str] = set()
        place = after
        # Positions count in each partition for itself: rows of one position belong on one page.
        while rows := [row for row in store.in_flight(place, CHUNK) if row.medium not in seen]:
            for row in rows:
                if len(shown) >= most and row.in_flight > place + 1:
                    return shown, place + 1
                place = row.in_flight - 1
                seen.add(row.medium)
                entry = store.entry(row.account_id >> ACCOUNT_BITS, row.in_flight)
                assert entry is not None, "what is in flight has its entry"
                if service.reaches(call, entry.unit):
                    shown.append(_item(entry, row.medium))
        return shown, 0

    items, last = await service.report(read)
    return ok(ask.InFlightList(items=items, next_cursor=lists.cursor_text(str(last)) if last else ""))


def _item(entry: Entry, medium: str) -> ask.InFlight:
    return ask.InFlight(
        ticket_id=ticket_id(entry.partition, entry.position), verb=entry.verb, at=time_text(entry.at_us),
        amount_fen=Settlement.unpack(entry.body).net_fen, card=entry.card, medium=medium, unit=entry.unit, terminal=entry.terminal,
    )  # fmt: skip
