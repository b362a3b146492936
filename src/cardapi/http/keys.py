"""Handlers of card keys: look, and retire without stopping the service (R5). Keys are made on the data directory only (`cardcore keys`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cardapi.http import key_schemas as ask
from cardapi.http.call import Call, Service, ok
from cardapi.http.problems import Answer, HttpProblem
from cardapi.keys.errors import KeyState, KeyStoreError, UnknownKey
from cardapi.keys.port import KeyInfo

Result = TypeVar("Result")


async def _with_keys(service: Service, work: Callable[[], Result]) -> Result:
    """Off the event loop, since it writes a file and waits for the journal. Raises HttpProblem keys_unavailable, KeyState, UnknownKey."""
    try:
        return await service.chores.run(work)
    except (KeyState, UnknownKey):
        raise
    except KeyStoreError as error:
        raise HttpProblem("keys_unavailable", error.detail) from error


def _view(info: KeyInfo) -> ask.KeyView:
    facts: dict[str, Any] = {name: getattr(info, name) for name in ask.KeyView.__struct_fields__}
    return ask.KeyView(**facts)


async def list_keys(service: Service, call: Call) -> Answer:
    """All keys in every state."""
    del call
    shop = service.shop

    def look() -> ask.Keys:
        return ask.Keys(mode=shop.keeper.mode if shop.has_key_file else "", keys=[_view(info) for info in shop.keys.keys()])  # noqa: SIM118

    return ok(await _with_keys(service, look))


async def retire_key(service: Service, call: Call) -> Answer:
    """Give a key to no further card, or end it; the same again is the same answer."""
    asked: ask.RetireKey = call.data
    shop, name, by = service.shop, call.path["key"], call.caller.operator

    def retire() -> KeyInfo:
        if not shop.has_key_file:
            raise UnknownKey(f"there is no key {name!r}", key=name)
        before = shop.keeper.record(name)
        if before.state == "retired" and asked.ends_at in (0, before.valid_to):
            return before.info()
        return shop.keeper.retire(name, by=by, at=service.now(), ends=asked.ends_at, reason=asked.reason).info()

    async with service.changes:
        return ok(_view(await _with_keys(service, retire)))
