"""`cardcore member`: who holds cards - enrol, find, change, link, merge, export, erase."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Key, Operator, Token, Url
from cardapi.cli.service import reach
from cardapi.cli.show import details, emit_json, listing, note

app = group("Members: enrol, find, change, link cards, merge, export, erase.")

Member = Annotated[str, typer.Argument(metavar="MEMBER", help="The member's id, such as m00-00000000002a.", show_default=False)]
Why = Annotated[str, typer.Option("--reason", help="Why; it stays in the journal, so no personal data here.", show_default=False)]
Card = Annotated[str, typer.Option("--card", help="The number of a card.")]
Phone = Annotated[str, typer.Option("--phone", help="Phone number.")]
PersonName = Annotated[str, typer.Option("--name", help="The person's name.")]
Tags = Annotated[list[str], typer.Option("--tag", help="A tag; may be given more than once.")]
NUMBER = "CARDCORE_DOCUMENT_NUMBER"


@app.command()
def create(
    name: PersonName = "",
    phone: Phone = "",
    birthday: Annotated[str, typer.Option("--birthday", help="YYYY-MM-DD.")] = "",
    card: Card = "",
    programme: Annotated[str, typer.Option("--programme", help="Whose rules of enrolment apply, where no card is given.")] = "",
    route: Annotated[str, typer.Option("--route", help="registration, purchase, day, fee or group.")] = "registration",
    single: Annotated[int, typer.Option("--single-fen", help="The largest single ticket, in fen.")] = 0,
    cumulative: Annotated[int, typer.Option("--cumulative-fen", help="All tickets together, in fen.")] = 0,
    fee: Annotated[int, typer.Option("--fee-fen", help="The fee that was paid, in fen.")] = 0,
    tender: Annotated[str, typer.Option("--fee-tender", help="How the fee was paid: cash, bank ...")] = "cash",
    referrer: Annotated[str, typer.Option("--referrer", help="The member who brought this one in.")] = "",
    document: Annotated[str, typer.Option("--document", help="id_card, passport, permit or licence; asks for its number.")] = "",
    consents: Annotated[list[str], typer.Option("--consent", help="A channel for messages: sms, email, webhook, file.")] = [],  # noqa: B006
    tags: Tags = [],  # noqa: B006
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Enrol a person, perhaps with a card.

    Example: cardcore member create --name 张伟 --phone 13800138000 --card 6200000000000013
    """
    body: dict[str, Any] = {
        "name": name, "phone": phone, "birthday": birthday, "card": card, "programme": programme, "route": route, "single_fen": single,
        "cumulative_fen": cumulative, "fee_fen": fee, "fee_tender": tender, "referrer": referrer, "consents": consents, "tags": tags,
    }  # fmt: skip
    if document:
        number = os.environ.get(NUMBER) or str(typer.prompt("Number of the document", hide_input=True, err=True))
        body["evidence"] = {"document": document, "number": number, "name": name}
    with reach(data, url=url, token=token, operator=operator) as service:
        made = service.do("createMember", body, key=key)
    _show("Member", made, as_json=as_json)


def _show(title: str, member: dict[str, Any], *, as_json: bool) -> None:
    rows = {field: ", ".join(value) if isinstance(value, list) else value for field, value in member.items()}
    details(title, member if as_json else rows, as_json=as_json)


@app.command()
def show(
    member: Member, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False
) -> None:
    """Show a member and its cards."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        found = service.do("getMember", path={"member": member})
    _show(f"Member {member}", found, as_json=as_json)


@app.command()
def find(
    phone: Phone = "",
    name: PersonName = "",
    tag: Annotated[str, typer.Option("--tag", help="A tag.")] = "",
    birthday: Annotated[str, typer.Option("--birthday", help="MM-DD.")] = "",
    card: Card = "",
    most: Annotated[int, typer.Option("--most", min=1, help="At most so many.")] = 100,
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Find members by exactly one property."""
    asked = {"phone": phone, "name": name, "tag": tag, "birthday": birthday, "card": card}
    rows: list[dict[str, Any]] = []
    cursor = ""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        while True:
            body = {field: value for field, value in {**asked, "cursor": cursor}.items() if value}
            page = service.do("searchMembers", body)
            rows += page["members"]
            cursor = page["next_cursor"]
            if not cursor or len(rows) >= most:
                break
    columns = {"member": "member", "state": "state", "name": "name", "phone": "phone", "birthday": "birthday", "unit": "unit"}
    listing("Members", rows[:most], columns, as_json=as_json)


def _do(
    operation: str, title: str, member: str, body: dict[str, Any], data: Any, url: str, token: str, operator: str, key: str, as_json: bool
) -> None:
    with reach(data, url=url, token=token, operator=operator) as service:
        done = service.do(operation, body, key=key, path={"member": member})
    if as_json:
        emit_json(done)
        return
    details(title, done, as_json=False)
    if "approval_id" in done:
        note("Kept. Nothing moves until somebody else approves it.")


@app.command()
def link(
    member: Member, card: Card, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", key: Key = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Say that a member holds a card."""
    _do("linkCard", "Card linked", member, {"card": card}, data, url, token, operator, key, as_json)


@app.command()
def unlink(
    member: Member, card: Card, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", key: Key = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Say that a member holds a card no more."""
    _do("unlinkCard", "Card unlinked", member, {"card": card}, data, url, token, operator, key, as_json)


@app.command()
def consent(
    member: Member,
    channels: Annotated[list[str], typer.Argument(help="Channels that may be used: sms, email, webhook, file. None: no messages.")] = [],  # noqa: B006
    data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", key: Key = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Keep which messages a member agreed to."""
    _do("setConsent", "Consent", member, {"consents": channels}, data, url, token, operator, key, as_json)


@app.command()
def state(
    member: Member,
    wanted: Annotated[str, typer.Argument(metavar="STATE", help="active, suspended or left.", show_default=False)],
    reason: Why,
    data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", key: Key = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Suspend, resume or end a membership; balances stay."""
    _do("setMemberState", "Member", member, {"state": wanted, "reason": reason}, data, url, token, operator, key, as_json)


@app.command()
def merge(
    member: Member,
    into: Annotated[str, typer.Option("--into", help="The member this one turned out to be.", show_default=False)],
    reason: Why,
    data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", key: Key = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Ask to merge a member into another; a second person approves."""
    _do("mergeMember", "Merge asked for", member, {"into": into, "reason": reason}, data, url, token, operator, key, as_json)


@app.command()
def split(
    member: Member, reason: Why, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", key: Key = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Ask to undo a merge; a second person approves."""
    _do("splitMember", "Split asked for", member, {"reason": reason}, data, url, token, operator, key, as_json)


@app.command()
def disqualify(
    member: Member, reason: Why, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", key: Key = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Ask to end a membership for cheating and take its points; a second person approves."""
    _do("disqualifyMember", "Disqualification asked for", member, {"reason": reason}, data, url, token, operator, key, as_json)


@app.command()
def export(
    member: Member, reason: Why, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", key: Key = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Show all that is kept of a member. Who asked and why goes into the journal first."""
    with reach(data, url=url, token=token, operator=operator) as service:
        _show(f"Member {member}", service.do("exportMember", {"reason": reason}, key=key, path={"member": member}), as_json=as_json)


@app.command()
def erase(
    member: Member, reason: Why, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", key: Key = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Erase a member's personal data; cards and the journal stay."""
    _do("eraseMember", "Erased", member, {"reason": reason}, data, url, token, operator, key, as_json)
