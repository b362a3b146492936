"""`cardcore batch`: stocks of blank cards - opened by two people, counted serial by serial, closed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Key, Operator, Reason, Token, Url
from cardapi.cli.service import reach
from cardapi.cli.show import Mistake, details, note

app = group("Batches of blank cards: opened by two people, every serial counted. cardcore card personalise makes the cards.")

Batch = Annotated[str, typer.Argument(help="The batch.", show_default=False)]


@app.command("open")
def open_(
    batch: Batch,
    programme: Annotated[str, typer.Option("--programme", help="The pack the cards live by.", show_default=False)],
    unit: Annotated[str, typer.Option("--unit", help="Where the cards are made and kept.", show_default=False)],
    count: Annotated[int, typer.Option("--count", min=1, max=100_000, help="How many serials.")] = 1,
    profile: Annotated[str, typer.Option("--profile", help="Make of card: pboc2-3des, fm1208, transit-sm4, desfire-ev2.")] = "pboc2-3des",
    first: Annotated[int, typer.Option("--first-serial", min=1, help="The first serial number.")] = 1,
    issuer: Annotated[str, typer.Option("--issuer", help="Issuer identifier on purse cards, 16 hex digits.")] = "1000000010000000",
    prefix: Annotated[str, typer.Option("--prefix", help="The digits the card numbers start with.")] = "62",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Ask for a batch of cards to make; a second person approves it (cardcore batch approve).

    Example: cardcore batch open spring --programme mall-vip --unit store-1 --count 100 --as admin
    """
    body = {
        "id": batch, "programme": programme, "unit": unit, "count": count, "profile": profile, "first_serial": first, "issuer": issuer,
        "prefix": prefix, "purse": 0 if profile.startswith("desfire") else 2,
    }  # fmt: skip
    with reach(data, url=url, token=token, operator=operator) as service:
        asked = service.do("openBatch", body, key=key)
    details(f"Batch {batch}", asked, as_json=as_json)
    if not as_json:
        note(f"nothing can be made before somebody else approves: cardcore batch approve {batch} --as NAME")


@app.command()
def approve(
    batch: Batch, reason: Reason = "", data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "",
    key: Key = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Approve a batch that somebody else asked for."""
    with reach(data, url=url, token=token, operator=operator) as service:
        waiting = [
            row["id"] for row in service.pages("listApprovals", "approvals")
            if row["operation"] == "openBatch" and row["state"] == "pending" and row["body"].get("id") == batch
        ]  # fmt: skip
        if not waiting:
            raise Mistake("nothing_to_approve", f"nobody asked for a batch {batch!r}, or it is approved already")
        _tell(service.do("approve", {"reason": reason}, key=key, path={"approval": waiting[-1]}), as_json)


@app.command()
def show(
    batch: Batch, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False
) -> None:
    """Count the serials of a batch: issued, begun (given to a card that is not finished), spoiled, left."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        _tell(service.do("batchStatus", path={"batch": batch}), as_json)


@app.command()
def close(
    batch: Batch, reason: Reason = "closed on the command line", data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "",
    operator: Operator = "", key: Key = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Make no more cards of a batch."""
    with reach(data, url=url, token=token, operator=operator) as service:
        _tell(service.do("closeBatch", {"reason": reason}, key=key, path={"batch": batch}), as_json)


@app.command()
def spoil(
    batch: Batch,
    medium: Annotated[str, typer.Argument(help="The medium of the card, such as pboc:1000...0001.", show_default=False)],
    reason: Reason = "spoiled in the making", data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "",
    key: Key = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Write off a card that was begun and will not be finished."""
    with reach(data, url=url, token=token, operator=operator) as service:
        done = service.do("spoilCard", {"medium": medium, "reason": reason}, key=key, path={"batch": batch})
    details(f"Card {done.get('card', '')}", done, as_json=as_json)


def _tell(status: dict[str, Any], as_json: bool) -> None:
    details(f"Batch {status.get('id', '')}", status, as_json=as_json)
