"""`cardcore messages`: what members were told, what waits, what could not be sent."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Operator, Token, Url
from cardapi.cli.service import reach
from cardapi.cli.show import details, listing, note, say

app = group("Messages to members. A running service sends them by itself; channels are in settings.toml, [messages].")


@app.command("list")
def list_messages(
    state: Annotated[str, typer.Option("--state", help="due, sent or dead.")] = "due",
    most: Annotated[int, typer.Option("--most", min=1, help="At most so many, oldest first.")] = 200,
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """List messages: those that are due, were sent, or could not be sent (dead)."""
    rows: list[dict[str, Any]] = []
    cursor = ""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        while True:
            page = service.do("listMessages", query={"state": state, "cursor": cursor})
            rows += page["messages"]
            cursor = page["next_cursor"]
            if not cursor or len(rows) >= most:
                break
    columns = {
        "message": "message", "member": "member", "channel": "channel", "template": "template", "tries": "tries", "error": "error"
    }
    listing("Messages", rows[:most], columns, as_json=as_json)


@app.command()
def send(data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False) -> None:
    """Make the messages that the journal calls for and send what is due now."""
    with reach(data, url=url, token=token, operator=operator) as service:
        done = service.do("sendMessages")
    details("Messages", done, as_json=as_json)


@app.command()
def retry(
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="The id of a dead message.", show_default=False)],
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Send a dead message after all."""
    with reach(data, url=url, token=token, operator=operator) as service:
        done = service.do("retryMessage", path={"message": message})
    details("Message", done, as_json=as_json)


@app.command()
def key(data: DataDir = DEFAULT_DATA) -> None:
    """Print the key that signs what the webhook is told, for whoever receives it."""
    from cardapi.custody import Custody

    say(Custody.load(data / "secrets").webhook_key().reveal().hex())
    note("Keep it secret: who has it can write messages in the shop's name to the webhook.")
