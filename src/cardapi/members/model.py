"""The journaled part of a member: no personal data, so that it may stay for ever (M9)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from cardapi.ids import parse_ticket_id, ticket_id
from cardapi.store.port import Record

STATES: Final = ("active", "suspended", "left", "merged", "disqualified", "erased")
ROUTES: Final = ("registration", "purchase", "day", "fee", "group", "import")
CHANNELS: Final = ("sms", "email", "webhook", "file")
STEPS: Final[dict[str, tuple[str, ...]]] = {  # state asked for -> states it may be asked in
    "active": ("suspended", "left"),
    "suspended": ("active",),
    "left": ("active", "suspended"),
}
"""What `member_state` may do; the other states are reached by verbs of their own."""

_NAME = re.compile(r"m[0-9a-f]{2}-[0-9a-f]{12}")


class Member(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a record of kind "member"."""

    state: str
    unit: str  # where enrolled: what its reach is judged by (R2)
    enrolled_at: int  # epoch seconds
    route: str  # how the person came in (L04-L06)
    referrer: str = ""  # a member, never one who was referred in turn (E10: depth 1)
    consents: tuple[str, ...] = ()  # channels that may be used for messages
    merged_into: str = ""
    brought: tuple[str, ...] = ()  # accounts that this one brought along when it was merged, to give back at a split
    real_name: bool = False  # whether evidence of who it is is kept (W3)
    asleep: bool = False  # suspended for inactivity: a purchase wakes it again (L10)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Member).decode


def member_id(partition: int, position: int) -> str:
    """Named by the entry that enrols: the same for every retry (O5), sortable by time."""
    return "m" + ticket_id(partition, position)


def is_member_id(text: str) -> bool:
    """Whether `text` is one that `member_id` writes."""
    if _NAME.fullmatch(text) is None:
        return False
    try:
        parse_ticket_id(text[1:])
    except ValueError:
        return False
    return True


def to_record(name: str, member: Member) -> Record:
    """As the store keeps it; found by unit, by state and by who referred."""
    keys = [("unit", member.unit), ("state", member.state)]
    if member.referrer:
        keys.append(("referrer", member.referrer))
    return Record("member", name, _encode(member), tuple(keys))


def from_record(record: Record) -> Member:
    """Raises msgspec.DecodeError for a body that is none of ours."""
    return _decode(record.body)


def account_name(account_id: int) -> str:
    """The id of a "holding" record: who holds an account."""
    return f"{account_id:013x}"


def holding(account_id: int, member: str) -> Record:
    """The record that says who holds an account; an empty member takes it away."""
    keys = (("member", member),) if member else ()
    return Record("holding", account_name(account_id), member.encode(), keys)
