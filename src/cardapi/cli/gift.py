"""`cardcore gift`: what points buy - list, redeem, take back."""

from __future__ import annotations

from typing import Annotated

import typer

from cardapi.cli.coupon import COLUMNS, shown
from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, CardNumber, DataDir, Json, Key, Operator, Token, Url, with_pin
from cardapi.cli.service import reach
from cardapi.cli.show import details, emit_json, listing

app = group("Gifts and vouchers for points: what there is, and redeeming it for a card.")


@app.command("list")
def list_gifts(
    programme: Annotated[str, typer.Argument(metavar="PROGRAMME", help="The pack, such as mall-vip.", show_default=False)],
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """List what the points of a programme buy, and what is left of it."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        rows = service.do("listGifts", path={"programme": programme})["gifts"]
    if not as_json:
        rows = [
            {**row, "title": row["title"]["zh"], "items": ", ".join(row["items"]) or row["coupon"],
             "left": ", ".join(f"{name} {left}".strip() for name, left in row["left"].items()) or "no bound"}
            for row in rows
        ]  # fmt: skip
    columns = {"gift": "gift", "title": "title", "points": "points", "items": "what", "left": "left"}
    listing(f"Gifts of {programme}", rows, columns, as_json=as_json)


@app.command()
def redeem(
    card: CardNumber,
    gift: Annotated[str, typer.Argument(metavar="GIFT", help="The gift, as the pack names it.", show_default=False)],
    item: Annotated[str, typer.Option("--item", help="Which of its things, where it offers several.")] = "",
    quantity: Annotated[int, typer.Option("--quantity", min=1, max=100, help="How many.")] = 1,
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Take a card's points for a gift or a voucher. A PIN, where one is asked for, comes from CARDCORE_PIN.

    Example: cardcore gift redeem 6200000000000013 voucher-5
    """
    body = {"card": card, "gift": gift, "item": item, "quantity": quantity}
    with reach(data, url=url, token=token, operator=operator) as service:
        done = service.do("redeem", with_pin(body), key=key)
    if as_json:
        emit_json(done)
        return
    coupons = done.pop("coupons")
    details("Redeemed", done, as_json=False)
    if coupons:
        listing("On the card now", shown(coupons, as_json=False), COLUMNS, as_json=False)
