"""Media at the desk: registering, retiring and blocking them (K7-K9, L01)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cardapi.desk.money import refuse
from cardapi.desk.request import Problem, Request
from cardapi.desk.work import Work
from cardapi.store.fold import Step, pack_body
from cardapi.store.media import pack_keys, unpack_keys
from cardapi.store.port import CardRow, Entry, MediumRow
from cardcore.errors import Declined

MEDIUM_MAX = 128
COUNTER_MAX = 65_535
KINDS = ("pboc", "desfire", "ntag424", "uid", "magstripe", "barcode")
REGISTERED_IN = frozenset({"stock", "issued", "active"})
STEPS: dict[str, tuple[frozenset[str], str]] = {
    "retire_medium": (frozenset({"active", "blocked"}), "retired"),
    "block_medium": (frozenset({"active"}), "blocked"),
    "unblock_medium": (frozenset({"blocked"}), "active"),
}


def images(row: MediumRow, **changes: object) -> tuple[MediumRow, MediumRow]:
    """A medium before and after, as a `Step` carries them."""
    from msgspec.structs import replace

    return replace(row, changed_at=0), replace(row, changed_at=0, **changes)


def retired(work: Work, card: CardRow) -> tuple[list[MediumRow], list[MediumRow]]:
    """The usable media of a number that goes out of use, before and after: what swap and reissue write (L01)."""
    pairs = [images(row, state="retired") for row in work.media_of(card.account_id) if row.card == card.number and row.state != "retired"]
    return [before for before, _ in pairs], [after for _, after in pairs]


def taken_over(work: Work, taken: CardRow, card: CardRow) -> tuple[list[MediumRow], list[MediumRow]]:
    """The media of a number that takes over the account of `card`, before and after: what they hold is that account's from here on."""
    rows = [row for row in work.media_of(taken.account_id) if row.card == taken.number]
    pairs = [images(row, account_id=card.account_id) for row in rows]
    return [before for before, _ in pairs], [after for _, after in pairs]


def _record(work: Work, request: Request, card: CardRow, before: list[MediumRow], after: list[MediumRow]) -> Entry:
    facts = {key: value for key, value in request.payload.items() if key != "keys"}
    return work.add(request, account_id=card.account_id, card=card.number, body=pack_body(Step([], [], facts, before, after)))


def _text(request: Request, name: str, most: int) -> str:
    value: Any = request.payload.get(name, "")
    if type(value) is not str or len(value) > most or not value.isascii() or not value.isprintable():
        raise Problem("invalid_payload", f"{name} must be at most {most} ASCII characters", name=name)
    return value


def _name(request: Request) -> str:
    name = _text(request, "medium", MEDIUM_MAX)
    kind, colon, rest = name.partition(":")
    if kind not in KINDS or not colon or not rest:
        raise Problem("invalid_payload", f"a medium is named <kind>:<id>, kind one of {', '.join(KINDS)}", name="medium")
    return name


def _keys(request: Request) -> bytes:
    """The key versions of the card, checked. Raises Problem."""
    packed = pack_keys(request.payload.get("keys", []))
    try:
        periods = unpack_keys(packed)
    except msgspec.MsgspecError as error:
        raise Problem("invalid_payload", "keys is a list of [version, valid_from, valid_to]", name="keys") from error
    if len(periods) > 16 or any(not (0 <= key.version <= 255 and key.valid_from >= 0 and key.valid_to >= 0) for key in periods):
        raise Problem("invalid_payload", "a key version is 0 to 255, its times are epoch seconds", name="keys")
    return packed


def register(work: Work, request: Request) -> Entry:
    """A new medium of a card. Raises Problem medium_taken; Declined state_not_allowed, too_many_media (K9)."""
    card = work.card(request.card) if request.card else None
    if card is None:
        raise Problem("unknown_card", "there is no such card")
    name = _name(request)
    if work.medium_taken(name):
        raise Problem("medium_taken", "this medium is registered already", medium=name)
    if card.state not in REGISTERED_IN:
        raise Declined("state_not_allowed", state=card.state, verb=request.verb)
    active = sum(row.card == card.number and row.state == "active" for row in work.media_of(card.account_id))
    most = work.version(card).policy.media_max
    if active >= most:
        raise Declined("too_many_media", media_max=most)
    purse = request.payload.get("purse", 0)
    if type(purse) is not int or purse not in ((1, 2) if name.startswith("pboc:") else (0,)):
        raise Problem("invalid_payload", "purse is 1 (ED) or 2 (EP) on a PBOC chip, 0 on others", name="purse")
    counter = request.payload.get("offline_counter", 0)
    if type(counter) is not int or not 0 <= counter <= COUNTER_MAX:
        raise Problem("invalid_payload", "a counter is 0 to 65535", name="offline_counter")
    row = MediumRow(name, card.account_id, card.number, _text(request, "profile", 32), "active", _keys(request), purse, 0, counter, 0, 0, 0)
    return _record(work, request, card, [], [row])


def step(work: Work, request: Request) -> Entry:
    """retire_medium, block_medium, unblock_medium. Raises Problem unknown_medium; Declined state_not_allowed, too_many_media."""
    row = work.medium(_name(request))
    card = None if row is None else work.card(row.card)
    if row is None or card is None or (request.card and request.card != card.number):
        raise Problem("unknown_medium", "there is no such medium")
    start, end = STEPS[request.verb]
    if row.state not in start:
        raise Declined("state_not_allowed", state=row.state, verb=request.verb)
    if end == "active":
        others = sum(other.card == row.card and other.state == "active" for other in work.media_of(row.account_id))
        if others >= work.version(card).policy.media_max:
            raise Declined("too_many_media", media_max=work.version(card).policy.media_max)
    before, after = images(row, state=end)
    return _record(work, request, card, [before], [after])


HANDLERS: dict[str, Callable[[Work, Request], Entry]] = {"register_medium": register, **dict.fromkeys(STEPS, step)}


def medium_verb(work: Work, request: Request) -> Entry:
    """One step of a medium's life; a Declined on a known card is recorded. Raises Problem."""
    try:
        return HANDLERS[request.verb](work, request)
    except Declined as declined:
        row = work.medium(_name(request))
        card = work.card(request.card or (row.card if row else ""))
        if card is None:
            raise
        return refuse(work, request, card, declined)
