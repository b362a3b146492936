"""Handlers of the registry of media: which carriers a card has, and the steps of their life (K7-K9)."""

from __future__ import annotations

from cardapi.http import tap_schemas as ask
from cardapi.http.call import Call, Handler, Service, ok
from cardapi.http.cards import read
from cardapi.http.corrections import need_card
from cardapi.http.problems import Answer, HttpProblem
from cardapi.http.tickets import card_step
from cardapi.ids import ticket_id
from cardapi.media.profiles import need_profile
from cardapi.store.media import unpack_keys
from cardapi.store.port import MediumRow


async def register(service: Service, call: Call) -> Answer:
    """A new medium of a card."""
    asked: ask.RegisterMedium = call.data
    number = call.path["card"]
    await need_card(service, call, number)
    need_profile(asked.medium, asked.profile)
    payload = {"medium": asked.medium, "profile": asked.profile, "keys": [list(key) for key in asked.keys], "purse": asked.purse}
    return card_step(await service.desk.execute(service.request(call, "register_medium", card=number, payload=payload)))


def step(verb: str) -> Handler:
    """The handler of one step of a medium's life."""

    async def handle(service: Service, call: Call) -> Answer:
        asked: ask.MediumStep = call.data
        row = (await service.desk.ask(lambda store: store.read_media([asked.medium]))).get(asked.medium)
        if row is None:
            raise HttpProblem("unknown_medium")
        found = await read(service, row.card)
        service.need_reach(call, found.card.unit, "unknown_medium")
        request = service.request(call, verb, card=row.card, payload={"medium": asked.medium}, reason=asked.reason)
        return card_step(await service.desk.execute(request))

    handle.__doc__ = f"Step {verb} of a medium's life."
    return handle


async def list_media(service: Service, call: Call) -> Answer:
    """The media of a card's account."""
    number = call.path["card"]
    if call.caller.operator:
        await need_card(service, call, number)
    found = await read(service, number)
    rows = await service.desk.ask(lambda store: store.media_of(found.account.account_id))
    return ok(ask.Media(card=number, media=[_view(row) for row in rows]))


def _view(row: MediumRow) -> ask.MediumView:
    keys = [ask.KeyPeriodView(version=key.version, valid_from=key.valid_from, valid_to=key.valid_to) for key in unpack_keys(row.keys)]
    flight = ticket_id(row.account_id >> 40, row.in_flight) if row.in_flight else ""
    return ask.MediumView(
        medium=row.medium, card=row.card, profile=row.profile, state=row.state, purse=row.purse, online_counter=row.online_counter,
        offline_counter=row.offline_counter, chip_fen=row.balance_fen, in_flight=flight, keys=keys,
    )  # fmt: skip
