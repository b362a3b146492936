"""A message as it is kept: whom, what and how far - never an address, a name or a secret (A6)."""

from __future__ import annotations

from typing import Final

import msgspec

from cardapi.store.port import Record

KIND: Final = "message"
STATES: Final = ("due", "sent", "dead")
TRIES_MAX: Final = 8
FIRST_WAIT_S: Final = 60
LONGEST_WAIT_S: Final = 6 * 3_600
KEPT_S: Final = 90 * 86_400  # how long sent messages are kept


class Message(msgspec.Struct):
    """Body of a record of kind "message". Its id names what it is about, so that it is made once."""

    member: str
    channel: str
    template: str
    facts: dict[str, str | int]  # what the template shows; see `templates.FACTS`
    made_at: int  # epoch seconds
    state: str = "due"
    tries: int = 0
    next_at: int = 0  # epoch seconds, while due
    error: str = ""  # code of the last try


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


def to_record(name: str, message: Message) -> Record:
    """As the store keeps it: found by state and age, and by member."""
    keys = [("state:" + message.state, f"{message.made_at:012d}"), ("member", message.member)]
    if message.state == "due":
        keys.append(("due", f"{message.next_at:012d}"))
    return Record(KIND, name, _encode(message), tuple(keys))


def from_record(record: Record) -> Message:
    """Raises msgspec.DecodeError for a body that is none of ours."""
    return _decode(record.body)


def failed(message: Message, error: str, now: int) -> Message:
    """The message after a try that failed: due again later, twice as long each time, or dead."""
    tries = message.tries + 1
    wait = min(LONGEST_WAIT_S, FIRST_WAIT_S << message.tries)
    state = "dead" if tries >= TRIES_MAX else "due"
    return msgspec.structs.replace(message, tries=tries, next_at=now + wait, state=state, error=error)
