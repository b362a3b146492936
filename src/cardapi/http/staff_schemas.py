"""Bodies of organisation and people: units, terminals, operators, grants, sessions, approvals, programmes."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from cardapi.custody import Secret
from cardapi.http.fields import Asked, Name, Reason, Role, Second, Slug, SlugOrNone, Text, Time, Told, UnitKind, whole


class Login(Asked):
    """Open a session. It acts at `unit` (default: the unit of the first grant), which must lie within the operator's grants."""

    operator: Slug
    password: Secret
    unit: SlugOrNone = ""


class Session(Told):
    """The token is shown only here. Send it as `Authorization: Bearer <token>`."""

    token: str
    operator: str
    unit: str
    expires_at: int


class CreateUnit(Asked):
    """A node of the organisation below `parent`, which must lie within the caller's reach (O01)."""

    id: Slug
    name: Name
    kind: UnitKind
    parent: Slug
    entity: SlugOrNone = ""  # the legal entity it belongs to, where that is not the one above (W6)


class UnitView(Told):
    """A unit; `path` runs from the issuer down to it."""

    id: str
    name: str
    kind: str
    parent: str
    path: list[str]


class CreateTerminal(Asked):
    """A till at `unit`."""

    id: Slug
    unit: Slug
    name: Name


class TerminalView(Told):
    """A terminal without its key."""

    id: str
    unit: str
    name: str
    state: str
    key_version: int


class TerminalKey(TerminalView):
    """A terminal with its signing key (hex). Only this call's maker sees it; it is derived, never stored."""

    key: str


class CreateOperator(Asked):
    """A person with one first grant, which cannot exceed the caller's own (R3)."""

    id: Slug
    name: Name
    password: Secret
    role: Role
    unit: Slug


class GrantRole(Asked):
    """One more role at a unit, not exceeding the caller's own (R3)."""

    role: Role
    unit: Slug


class GrantView(Told):
    """A role at a unit."""

    role: str
    unit: str


class OperatorView(Told):
    """An operator; never the password or its hash."""

    id: str
    name: str
    state: str
    grants: list[GrantView]


class Revoke(Asked):
    """Takes effect with the next request (R5)."""

    reason: Reason


class PublishScheme(Asked):
    """A programme version: TOML pack text, valid from `valid_from` (0: now). Immutable once published."""

    pack: Annotated[str, Meta(min_length=1, max_length=262_144)]
    valid_from: Second = 0


class SchemeView(Told):
    """A published programme version."""

    name: str
    version: int
    valid_from: int
    digest: str
    purses: list[str]
    tiers: list[str]
    products: list[str]


class ApprovalView(Told):
    """A request that waits for, or got, its second person."""

    id: str
    operation: str
    state: str
    maker: str
    approver: str
    unit: str
    card: str
    body: dict[str, Any]
    made_at: int
    expires_at: int
    outcome: str
    entry: str
    path: dict[str, str]  # what the address named: the card, member or import it is about


class PendingApproval(Told):
    """Accepted, nothing moved yet: `POST /v1/approvals/{approval_id}/approve` by somebody else executes it."""

    approval_id: str
    operation: str
    card: str
    unit: str
    outcome: str
    ticket_id: str
    journal_position: int
    client_key: str


class Approve(Asked):
    """Yes, by somebody else than the maker."""

    reason: Text = ""


class CloseDay(Asked):
    """Close a day (YYYY-MM-DD) in the offset of the books, e.g. +08:00 (Q01, C3)."""

    day: Annotated[str, Meta(pattern=whole("[0-9]{4}-[0-9]{2}-[0-9]{2}"), examples=["2026-11-22"])]
    utc_offset: Annotated[str, Meta(pattern=whole(r"[+-](0[0-9]|1[0-4]):[0-5][0-9]"))] = "+08:00"


class Report(Told):
    """A report as an object; its members are named in docs/journal.md."""

    ok: bool


class Verdict(Told):
    """`first_bad` names the first bad place, null when all is well."""

    ok: bool
    first_bad: Any = None


class Page(Told):
    """A page of a list. Pass `next_cursor` as `cursor` for the next; empty on the last."""

    next_cursor: str


class Units(Page):
    """A page of units."""

    units: list[UnitView]


class Terminals(Page):
    """A page of terminals."""

    terminals: list[TerminalView]


class Operators(Page):
    """A page of operators."""

    operators: list[OperatorView]


class Approvals(Page):
    """A page of approvals."""

    approvals: list[ApprovalView]


class Schemes(Page):
    """A page of programme versions."""

    schemes: list[SchemeView]


class JournalLine(Told):
    """One side of one posting (see `cardcore export`)."""

    position: int
    time: Time
    account: str
    unit: str
    amount: int
    reference: str
    partition: int
    ticket_id: str
    verb: str
    terminal: str


class JournalPage(Page):
    """Lines of a range of the journal, whole entries only; amounts sum to 0 for each entry and unit."""

    lines: list[JournalLine]


class Health(Told):
    """`status` is ok; anything else is a problem with status 503."""

    status: str
    detail: str = ""
