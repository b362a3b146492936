"""Bodies of off-line clearing: uploads and what came of them, cases, purchase SAMs."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from cardapi.http.fields import Asked, Reason, Second, Slug, Told, whole

UPLOAD_OCTETS = 72 * 4_098  # header, 4,096 records and a seal


class UploadClearing(Asked):
    """A clearing batch, or a piece of one: header, at most 4,096 whole records, and the seal if it is the last piece."""

    batch: Annotated[bytes, Meta(min_length=1, max_length=UPLOAD_OCTETS, description="The octets of docs/clearing.md, in base64.")]


class BlockedCard(Told):
    """A chip that no till may take; `state` is empty for one that is not blocked any more. `since`: from which second, 0 for always."""

    medium: str
    state: str
    since: int


class BlockedCards(Told):
    """A page of the list of blocked cards, or of what changed since the list `since` (0: the page is of the whole list).

    The list of `version` has `count` cards and has every one that was blocked up to that second; `digest` is SHA-256 over all of it.
    `mac` is made with the terminal's own key, of version `key_version`.
    """

    version: int
    since: int
    count: int
    digest: str
    mac: str
    key_version: int
    cards: list[BlockedCard]
    next_cursor: str = ""


class BatchView(Told):
    """What has come of a batch so far. `sealed` is how many records its seal counts, -1 while that has not come."""

    batch: str
    received: int
    accepted: int
    accepted_fen: int
    cases: int
    sealed: int
    sealed_fen: int


class Cleared(Told):
    """What one upload did: each of its `received` records is counted once, in `repeated`, in `outcomes` or in `counted`: without proof, and
    beyond what is kept of one uploader in a day."""

    ticket_id: str
    journal_position: int
    client_key: str
    received: int
    repeated: int
    counted: int
    outcomes: dict[str, int]
    accepted_fen: int
    batch: BatchView


class CaseView(Told):
    """Something a person must look at; `what` says it in words. `facts` depend on the reason."""

    case: str
    reason: str
    what: str
    state: str
    card: str
    terminal: str
    unit: str
    amount_fen: int
    opened_at: int
    closed_at: int
    note: str
    facts: dict[str, Any]


class Cases(Told):
    """A page of cases."""

    cases: list[CaseView]
    next_cursor: str = ""


class CloseCase(Asked):
    """Close a case; no money moves."""

    reason: Reason


class AssignSam(Asked):
    """From when on a purchase SAM's terminal number stands for a terminal; without one it is out of use."""

    sam: Annotated[str, Meta(pattern=whole("[0-9a-f]{12}"), description="The terminal number, 12 hex digits.", examples=["000000000001"])]
    terminal: Annotated[str, Meta(pattern=whole("([a-z0-9][a-z0-9-]{0,31})?"), description="A terminal's id, or empty.")] = ""
    valid_from: Second = 0
    utc_offset: Annotated[str, Meta(pattern=whole("[+-][0-9]{2}:[0-9]{2}"), description="Of the terminal's clock.")] = "+08:00"


class SamPeriodView(Told):
    """Whose it was from when on."""

    valid_from: int
    terminal: str
    unit: str


class SamView(Told):
    """A purchase SAM by its terminal number."""

    sam: str
    utc_offset: str
    periods: list[SamPeriodView]


class Sams(Told):
    """A page of purchase SAMs."""

    sams: list[SamView]
    next_cursor: str = ""


class ReleaseTerminal(Asked):
    """Let a terminal that was suspended for wrong MACs clear again."""

    reason: Reason


class Suspension(Told):
    """Wrong MACs of a terminal."""

    terminal: Slug
    state: str
    bad: int
