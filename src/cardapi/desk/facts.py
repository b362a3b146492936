"""What a decision may know of the member and the place (`cardcore.settlement.Facts`), for packs that ask for it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cardapi.coupons import model as coupon_model
from cardapi.custody import Custody
from cardapi.desk.request import Request
from cardapi.members import model, profile
from cardapi.people.registry import Registry
from cardapi.store.port import Record
from cardcore.settlement import Facts, Programme

WORD_MAX = 64  # characters of a tag, as `Facts` has it
OF_MEMBER = frozenset({"birthday", "tag", "tag_not"})

ReadRecord = Callable[[str, str], Record | None]
_channel = msgspec.msgpack.Decoder(tuple[str, str]).decode


def facts(
    record: ReadRecord, registry: Registry, custody: Custody, request: Request, asks: frozenset[str], account_id: int,
    programme: Programme | None = None,
) -> Facts | None:
    """Facts for a pack whose conditions ask for these words; None where it asks for none, which is what most packs do.

    Tags are the member's own, its attributes as `name:value`, and `member`; of a member who is suspended, has left or is out the state
    alone, so that a rule may be for just those (all others sleep on their cards, L10). A card of nobody has no tags.
    """
    if not asks:
        return None
    birthday, tags = _member(record, custody, account_id) if asks & OF_MEMBER else (None, [])
    unit = registry.unit(request.unit)
    path = unit.path if unit is not None else ()
    store = next((name for name in reversed(path) if (above := registry.unit(name)) is not None and above.kind == "store"), request.unit)
    stock = what_is_left(programme, lambda name: _given(record, name)) if programme is not None and "stock" in asks else ()
    return Facts(birthday=birthday, tags=tags, store=store, unit=request.unit, channel=_where(request), stock=stock)


def _given(record: ReadRecord, name: str) -> int:
    kept = record(coupon_model.STOCK, name)
    return coupon_model.unpack_stock(kept.body) if kept is not None else 0


def what_is_left(programme: Programme, given: Callable[[str], int]) -> list[str]:
    """Coupons and gifts of the pack of which there is something left to give: without a `stock` always, of several things any of them.

    `given`: how many were, by the name of the stock. Read when a decision is made, and no promise: what is given is counted exactly where
    it is given (`desk.coupons`).
    """
    left = []
    for kind, terms in (*(("coupon", one) for one in programme.coupons), *(("gift", one) for one in programme.gifts)):
        whats = [f"{terms['name']}:{item}" for item in terms.get("items", ())] or [terms["name"]]
        names = [coupon_model.stock_name(programme.name, kind, what) for what in whats]
        if not terms["stock"] or any(given(name) < terms["stock"] for name in names):
            left.append(terms["name"])
    return left


def _member(record: ReadRecord, custody: Custody, account_id: int) -> tuple[tuple[int, int] | None, list[str]]:
    held = record("holding", model.account_name(account_id))
    name = held.body.decode() if held is not None else ""
    kept = record("member", name) if name else None
    if kept is None:
        return None, []
    state = model.from_record(kept).state
    if state != "active":
        return None, [state]
    sealed = record("person", name)
    if sealed is None:
        return None, ["member"]
    person = profile.unseal(custody, sealed)
    born = profile.known_birthday(person)
    words = ["member", *person.tags, *(f"{key}:{value}" for key, value in person.attributes.items())]
    return (born.month, born.day) if born is not None else None, [word for word in words if len(word) <= WORD_MAX]


def _where(request: Request) -> str:
    """The channel that the edge put into the command's memo; a plain store sale has none (P03)."""
    memo = request.command.memo if request.command is not None else b""
    try:
        return _channel(memo)[0] if memo else "store"
    except msgspec.DecodeError:
        return "store"
