"""Bodies of moving in from another system (N7)."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from cardapi.http.fields import Asked, Card, Fen, Reason, Second, Slug, Told, whole

PART_MAX = 200


class CreateImport(Asked):
    """Ask to move in: the control totals of the file, which a second person approves and which must come out to the fen."""

    id: Slug
    programme: Annotated[str, Meta(min_length=1, max_length=64)]
    rows: Annotated[int, Meta(ge=1, le=1_000_000)]
    principal_fen: Fen = 0
    bonus_fen: Fen = 0
    points: Fen = 0
    digest: Annotated[str, Meta(pattern=whole("([0-9a-f]{64})?"), description="SHA-256 of the file.")] = ""
    reason: Reason = "moving in"


class ImportRow(Asked):
    """One card of the old system."""

    card: Card
    name: Annotated[str, Meta(max_length=100)] = ""
    phone: Annotated[str, Meta(max_length=32)] = ""
    birthday: Annotated[str, Meta(pattern=whole("([0-9]{4}-[0-9]{2}-[0-9]{2})?"))] = ""
    principal_fen: Fen = 0
    bonus_fen: Fen = 0
    points: Fen = 0
    valid_until: Second = 0

    def __repr__(self) -> str:
        return "ImportRow(***)"


class ImportRows(Asked):
    """Rows from number `first` (from 1) on. Sending them again changes nothing."""

    first: Annotated[int, Meta(ge=1, le=1_000_000)]
    rows: Annotated[list[ImportRow], Meta(min_length=1, max_length=PART_MAX)]

    def __repr__(self) -> str:
        return "ImportRows(***)"


class UndoRows(Asked):
    """Take back rows from number `first` on."""

    first: Annotated[int, Meta(ge=1, le=1_000_000)]
    count: Annotated[int, Meta(ge=1, le=PART_MAX)]


class UndoImport(Asked):
    """Ask to take a whole import back; a second person approves. What was spent meanwhile stays."""

    reason: Reason


class RowResults(Told):
    """What is not as asked, by row number: the code of the first step that was refused."""

    done: int
    refused: dict[str, str]


class ImportView(Told):
    """An import: what it must come to, and what the journal says it came to."""

    id: str
    programme: str
    state: str
    expected: dict[str, Any]
    found: dict[str, Any]
