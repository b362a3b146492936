"""Answers about messages to members: whom, what, how far; never an address or a text with a name in it."""

from __future__ import annotations

from cardapi.http.fields import Told
from cardapi.http.staff_schemas import Page


class MessageView(Told):
    """One message. Times are epoch seconds; `next_at` counts while it is due, `error` is the code of the last try."""

    message: str
    member: str
    channel: str
    template: str
    state: str
    tries: int
    made_at: int
    next_at: int
    error: str


class Messages(Page):
    """A page of messages, oldest first."""

    messages: list[MessageView]


class Sent(Told):
    """What one round did."""

    made: int
    sent: int
    failed: int
    dead: int


class Retried(Told):
    """The message is due again."""

    message: str
    state: str
