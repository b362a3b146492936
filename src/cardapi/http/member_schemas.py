"""Bodies of member care. What names a person goes in bodies only, never in an address that a proxy would log (A6)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cardapi.http.fields import Asked, Card, CardOrNew, Fen, MemberIdOrNone, Reason, Tender, Text, Told, whole
from cardapi.http.staff_schemas import Page

MemberId = Annotated[str, Meta(pattern=whole("m[0-9a-f]{2}-[0-9a-f]{12}"), examples=["m00-00000000002a"])]
Personal = Annotated[str, Meta(max_length=200)]
Tag = Annotated[str, Meta(min_length=1, max_length=32)]
Tags = Annotated[list[Tag], Meta(max_length=32)]
Attributes = Annotated[dict[str, Personal], Meta(max_length=32)]
Channel = Literal["sms", "email", "webhook", "file"]
Channels = Annotated[list[Channel], Meta(max_length=4)]
Route = Literal["registration", "purchase", "day", "fee", "group", "import"]


class EvidenceIn(Asked):
    """Who somebody really is, as seen on a document by the caller (W3)."""

    document: Literal["id_card", "passport", "permit", "licence"]
    number: Annotated[str, Meta(min_length=4, max_length=40)]
    name: Annotated[str, Meta(min_length=1, max_length=100)]

    def __repr__(self) -> str:
        return "EvidenceIn(***)"


class CreateMember(Asked):
    """A person who may hold cards. Rules of the card's programme (or of `programme`) apply: age, route, spend, fee (L04-L06).

    `fee_fen` is what the till takes with `fee_tender` for membership: what the programme asks for, or nothing where a rule waives it.
    """

    name: Annotated[str, Meta(max_length=100)] = ""
    phone: Annotated[str, Meta(max_length=32)] = ""
    email: Personal = ""
    birthday: Annotated[str, Meta(pattern=whole("([0-9]{4}-[0-9]{2}-[0-9]{2})?"), examples=["1990-03-15"])] = ""
    language: Literal["zh", "en"] = "zh"
    attributes: Attributes = msgspec.field(default_factory=dict)
    tags: Tags = msgspec.field(default_factory=list)
    evidence: EvidenceIn | None = None
    card: CardOrNew = ""
    programme: Annotated[str, Meta(max_length=64)] = ""
    route: Route = "registration"
    single_fen: Fen = 0
    cumulative_fen: Fen = 0
    day_fen: Fen = 0
    organisation: Annotated[str, Meta(max_length=100)] = ""
    fee_fen: Fen = 0
    fee_tender: Tender = "cash"
    referrer: MemberIdOrNone = ""
    consents: Channels = msgspec.field(default_factory=list)

    def __repr__(self) -> str:
        return "CreateMember(***)"


class UpdateMember(Asked):
    """Fields to replace; what is left out stays."""

    name: Annotated[str, Meta(max_length=100)] | UnsetType = UNSET
    phone: Annotated[str, Meta(max_length=32)] | UnsetType = UNSET
    email: Personal | UnsetType = UNSET
    birthday: Annotated[str, Meta(pattern=whole("([0-9]{4}-[0-9]{2}-[0-9]{2})?"))] | UnsetType = UNSET
    language: Literal["zh", "en"] | UnsetType = UNSET
    attributes: Attributes | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    evidence: EvidenceIn | UnsetType = UNSET
    reason: Text = ""

    def __repr__(self) -> str:
        return "UpdateMember(***)"


class SearchMembers(Asked):
    """Exactly one of these. Names and tags match whole; `phone4` is the last four digits; `birthday` is MM-DD."""

    phone: Annotated[str, Meta(max_length=32)] = ""
    phone4: Annotated[str, Meta(pattern=whole("([0-9]{4})?"))] = ""
    name: Annotated[str, Meta(max_length=100)] = ""
    tag: Annotated[str, Meta(max_length=32)] = ""
    birthday: Annotated[str, Meta(pattern=whole("([0-9]{2}-[0-9]{2})?"))] = ""
    document: Annotated[str, Meta(max_length=40)] = ""
    card: CardOrNew = ""
    referrer: MemberIdOrNone = ""
    cursor: Annotated[str, Meta(max_length=512)] = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50

    def __repr__(self) -> str:
        return "SearchMembers(***)"


class SetConsent(Asked):
    """The channels the member agrees to; none withdraws all."""

    consents: Channels
    reason: Text = ""


class LinkCard(Asked):
    """A card that this member holds."""

    card: Card
    reason: Text = ""


class SetMemberState(Asked):
    """Suspend, resume (`active`) or leave; balances stay (L10)."""

    state: Literal["active", "suspended", "left"]
    reason: Reason


class MergeMember(Asked):
    """The member this one turned out to be; a second person approves."""

    into: MemberId
    reason: Reason


class BecauseMember(Asked):
    """A step with its reason. Keep personal data out of it: it stays in the journal."""

    reason: Reason


class EvidenceView(Told):
    """What is kept as evidence. Whole only in an export."""

    document: str
    number: str
    name: str
    seen_by: str
    seen_at: int

    def __repr__(self) -> str:
        return "EvidenceView(***)"


class MemberView(Told):
    """A member. Callers without a manager's reach to it see phone, name and e-mail masked, and the birthday without its year.

    `fee_ticket_id` comes with the answer of an enrolment that cost a fee: the ticket has its receipt.
    """

    member: str
    state: str
    unit: str
    enrolled_at: int
    route: str
    referrer: str
    consents: list[str]
    merged_into: str
    real_name: bool
    name: str
    phone: str
    email: str
    birthday: str
    language: str
    tags: list[str]
    attributes: dict[str, str]
    cards: list[str]
    fee_ticket_id: str = ""
    evidence: EvidenceView | None = None

    def __repr__(self) -> str:
        return "MemberView(***)"


class MemberStep(Told):
    """One step of a member, as the journal has it."""

    member: str
    verb: str
    outcome: str
    ticket_id: str
    journal_position: int
    client_key: str
    at: str


class Members(Page):
    """A page of members."""

    members: list[MemberView]
