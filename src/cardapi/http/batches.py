"""Handlers of personalisation batches: two people open one, every serial is counted, what is spoiled is written off (Z)."""

from __future__ import annotations

from typing import Any

import msgspec

from cardapi.desk import Request
from cardapi.http import approve
from cardapi.http import tap_schemas as ask
from cardapi.http.call import Call, Service, ok
from cardapi.http.cards import derived_key
from cardapi.http.problems import Answer, HttpProblem
from cardapi.http.tickets import card_step
from cardapi.media.issue import CHUNK, KIND, Batch, batch_of, registered
from cardapi.media.profiles import PROFILES, PurseProfile
from cardapi.store.port import Entry, Store


async def open_batch(service: Service, call: Call) -> Answer:
    """Ask for a batch at a unit within reach; a second person approves it."""
    asked: ask.OpenBatch = call.data
    service.need_reach(call, asked.unit)
    _check(service, asked)
    return await approve.ask_for(service, call, unit=asked.unit, card="")


def _check(service: Service, asked: ask.OpenBatch) -> None:
    """Raises HttpProblem bad_value, unknown_programme, exists."""
    profile = PROFILES.get(asked.profile)
    if profile is None:
        raise HttpProblem("bad_value", f"profile is one of {', '.join(PROFILES)}", field="profile")
    if isinstance(profile, PurseProfile) != (asked.purse > 0):
        raise HttpProblem("bad_value", "purse is 1 or 2 for PBOC cards, 0 for DESFire", field="purse")
    if asked.valid_to < asked.valid_from:
        raise HttpProblem("bad_value", "valid_to is before valid_from", field="valid_to")
    if not service.registry.versions(asked.programme):
        raise HttpProblem("unknown_programme")
    for name, document in service.registry.documents(KIND):
        batch = batch_of(document)
        assert batch is not None, "listed documents are there"
        ours = range(batch.first_serial, batch.first_serial + batch.count)
        if name == asked.id:
            raise HttpProblem("exists")
        if _same_cards(batch, asked) and (asked.first_serial in ours or batch.first_serial in range(
            asked.first_serial, asked.first_serial + asked.count
        )):  # fmt: skip
            raise HttpProblem("bad_value", f"batch {name} has serials of this range", field="first_serial")


def _same_cards(batch: Batch, asked: ask.OpenBatch) -> bool:
    """Whether one serial of both makes cards with the same keys: their records could not be told apart, as no MAC covers the issuer."""
    profiles = PROFILES[batch.profile], PROFILES[asked.profile]
    if batch.issuer == asked.issuer.lower():
        return True
    purses = [profile for profile in profiles if isinstance(profile, PurseProfile)]
    return len(purses) == len(profiles) and not any("issuer" in profile.make.levels for profile in purses)


def batch_request(service: Service, facts: approve.Execution) -> Request:
    """The approved batch."""
    asked: ask.OpenBatch = facts.body
    _check(service, asked)
    given = msgspec.structs.asdict(asked) | {"issuer": asked.issuer.lower()}
    batch = Batch(**given, state="open", maker=facts.document["maker"], approver=facts.approver, made_at=service.now())
    payload = {"kind": KIND, "id": asked.id, "document": msgspec.to_builtins(batch)}
    return facts.request(service, "change", payload=payload, reason="batch")


async def batch_opened(service: Service, facts: approve.Execution, entry: Entry) -> Answer:
    """The batch as it was opened."""
    del entry
    return ok(await _status(service, facts.body.id))


async def close_batch(service: Service, call: Call) -> Answer:
    """No card of this batch is made any more."""
    async with service.changes:
        batch = _found(service, call)
        await service.change(call, KIND, batch.id, msgspec.to_builtins(msgspec.structs.replace(batch, state="closed")), call.data.reason)
    return ok(await _status(service, batch.id))


async def batch_status(service: Service, call: Call) -> Answer:
    """How many serials are issued, begun, spoiled and left."""
    return ok(await _status(service, _found(service, call).id))


async def spoil(service: Service, call: Call) -> Answer:
    """Write off a card that was begun and will not be finished: its medium retires, its number is dead."""
    asked: ask.MediumStep = call.data
    batch = _found(service, call)
    row = (await service.desk.ask(lambda store: store.read_media([asked.medium]))).get(asked.medium)
    cards = await service.report(lambda store: _cards(store, batch))
    if row is None or row.card not in cards.values():
        raise HttpProblem("unknown_medium")
    number = row.card
    found = (await service.desk.ask(lambda store: store.read([number])))[number]
    if found.card.state not in ("stock", "destroyed"):
        raise HttpProblem("state_not_allowed", "this card is issued", state=found.card.state)
    if row.state != "retired":
        retire = service.request(call, "retire_medium", card=number, payload={"medium": asked.medium}, reason=asked.reason)
        retire.client_key = derived_key(call.key, "retire")
        await service.desk.execute(retire)
    return card_step(await service.desk.execute(service.request(call, "destroy", card=number, reason=asked.reason)))


def _found(service: Service, call: Call) -> Batch:
    batch = batch_of(service.registry.document(KIND, call.path["batch"]))
    if batch is None:
        raise HttpProblem("not_found")
    service.need_reach(call, batch.unit)
    return batch


def _cards(store: Store, batch: Batch) -> dict[int, str]:
    """Card numbers of a batch by their place in it."""
    cards: dict[int, str] = {}
    look: Any = lambda question: question(store)  # noqa: E731
    for start in range(0, batch.count, CHUNK):
        cards |= registered(look, batch, start, min(start + CHUNK, batch.count))
    return cards


async def _status(service: Service, name: str) -> ask.BatchStatus:
    batch = batch_of(service.registry.document(KIND, name))
    assert batch is not None, "the batch is there"

    def count(store: Store) -> dict[str, int]:
        cards = _cards(store, batch)
        states = [found.card.state for found in store.read(list(cards.values())).values()] if cards else []
        begun, spoiled = states.count("stock"), states.count("destroyed")
        return {"begun": begun, "spoiled": spoiled, "issued": len(states) - begun - spoiled, "left": batch.count - len(states)}

    counted = await service.report(count)
    return ask.BatchStatus(
        id=batch.id, unit=batch.unit, programme=batch.programme, profile=batch.profile, first_serial=batch.first_serial, count=batch.count,
        state=batch.state, maker=batch.maker, approver=batch.approver, **counted,
    )  # fmt: skip
