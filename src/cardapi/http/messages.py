"""Handlers of messages to members: what waits, what went, what could not; send now, send again (P06)."""

from __future__ import annotations

from cardapi.http import lists
from cardapi.http import message_schemas as ask
from cardapi.http.call import Call, Service, ok
from cardapi.http.problems import Answer, HttpProblem
from cardapi.messages.model import KIND, STATES, from_record
from cardapi.store.port import Record

LAST = "9" * 12


async def list_messages(service: Service, call: Call) -> Answer:
    """Messages of a state, oldest first; those that are due when none is named."""
    state = call.query.get("state") or "due"
    if state not in STATES:
        raise HttpProblem("query_malformed", f"state is one of {', '.join(STATES)}", parameter="state")
    made, _, name = lists.cursor_name(call).partition(" ")
    most = lists.limit(call)
    rows = await service.desk.ask(
        lambda store: store.find_records(KIND, f"state:{state}", "0", LAST, after=(made, name), limit=most + 1)
    )
    shown = rows[:most]
    cursor = lists.cursor_text(f"{from_record(shown[-1]).made_at:012d} {shown[-1].id}") if len(rows) > most else ""
    return ok(ask.Messages(messages=[_view(row) for row in shown], next_cursor=cursor))


def _view(row: Record) -> ask.MessageView:
    message = from_record(row)
    return ask.MessageView(
        message=row.id, member=message.member, channel=message.channel, template=message.template, state=message.state,
        tries=message.tries, made_at=message.made_at, next_at=message.next_at if message.state == "due" else 0, error=message.error,
    )  # fmt: skip


async def send(service: Service, call: Call) -> Answer:
    """One round of making and sending."""
    del call
    counts = await service.chores.run(service.shop.background.courier.once)
    return ok(ask.Sent(**counts))


async def retry(service: Service, call: Call) -> Answer:
    """A dead message is due again. Raises UnknownMessage."""
    name = call.path["message"]
    await service.chores.run(lambda: service.shop.background.courier.again(name))
    return ok(ask.Retried(message=name, state="due"))
