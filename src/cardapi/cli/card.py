"""`cardcore card`: the life of a card at the counter - issue, top up, pay, transfer, freeze, lose, replace, look at."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from cardapi.cli import personalise
from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, PIN, CardNumber, DataDir, Json, Key, Operator, Reason, Token, Url, amount_argument, with_pin
from cardapi.cli.service import reach
from cardapi.cli.show import details, emit_json, listing, note, parse_yuan, say, table, yuan

app = group("Cards: issue, top up, pay, transfer, freeze, replace, look at.")

Yuan = Annotated[int, amount_argument("An amount in yuan, such as 25 or 25.50.")]
Tender = Annotated[str, typer.Option("--tender", help="How the customer pays: cash, bank ...")]
Short = Annotated[
    str, typer.Option("--short", help="How the customer pays what the card does not cover, such as cash. Refused when left out.")
]


@app.command()
def issue(
    programme: Annotated[str, typer.Option("--programme", help="The pack the cards live by, such as mall-vip.", show_default=False)],
    count: Annotated[int, typer.Option("--count", min=1, max=500, help="How many.")] = 1,
    prefix: Annotated[str, typer.Option("--prefix", help="The digits the numbers start with.")] = "62",
    stock: Annotated[bool, typer.Option("--stock", help="Leave them in stock: made, not yet given to anybody.")] = False,
    activate_now: Annotated[bool, typer.Option("--activate", help="Ready for use at once.")] = False,
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Issue new cards of a programme.

    Example: cardcore card issue --programme mall-vip --count 3 --activate
    """
    body = {"programme": programme, "count": count, "prefix": prefix, "stock": stock, "activate": activate_now}
    with reach(data, url=url, token=token, operator=operator) as service:
        made = service.do("issueCards", body, key=key)
    listing("Cards", made["cards"], {"card": "card", "verb": "step", "at": "at"}, as_json=as_json)


@app.command()
def show(
    card: CardNumber, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False
) -> None:
    """Show a card: state, tier, what is on it, and what it owes since a return took back what was spent already."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        found = service.do("getCard", path={"card": card})
    details(f"Card {card}", found, as_json=as_json)
    for title, told in (("Purses", "balances"), ("Owed of purses", "owed")):
        if not as_json and found[told]:
            amounts = (yuan(row["amount"]) if row["unit"] == "fen" else f"{row['amount']} {row['unit']}" for row in found[told])
            table(title, ["purse", "amount"], zip((row["purse"] for row in found[told]), amounts, strict=True), right=["amount"])


@app.command()
def statement(
    card: CardNumber,
    most: Annotated[int, typer.Option("--most", min=1, help="At most so many entries, newest first.")] = 20,
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Show what happened on a card, newest first."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        rows = service.pages("cardStatement", "entries", path={"card": card}, most=most)
    columns = {
        "at": "at", "verb": "what", "outcome": "outcome", "code": "code", "terminal": "terminal", "net_fen": "amount",
        "balance_fen": "balance", "points": "points", "ticket_id": "ticket",
    }  # fmt: skip
    listing(f"Statement of {card}", rows, columns, as_json=as_json)


@app.command()
def topup(
    card: CardNumber,
    amount: Yuan,
    tender: Tender = "cash",
    product: Annotated[
        str, typer.Option("--product", help="Sell a product of the programme (a count card, a package) instead of value.")
    ] = "",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Top up a card; the programme adds its bonus.

    Example: cardcore card topup 6200000000000018 1000
    """
    body = {"card": card, "paid_fen": amount, "tender": tender, "product": product, "explain": True}
    with reach(data, url=url, token=token, operator=operator) as service:
        _ticket(service.do("topUp", body, key=key), explain=False, as_json=as_json)


@app.command()
def pay(
    card: CardNumber,
    amount: Yuan,
    category: Annotated[str, typer.Option("--category", help="The goods' category, where the programme has categories.")] = "",
    short: Short = "",
    points: Annotated[int, typer.Option("--points", min=-1, help="Points to use; -1 uses as many as the rules allow.")] = 0,
    coupons: Annotated[list[str], typer.Option("--coupon", help="A coupon: its kind, its id or a bearer's code; may be repeated.")] = [],  # noqa: B006
    explain: Annotated[bool, typer.Option("--explain", help="Say which rule gave or took what.")] = False,
    why_not: Annotated[bool, typer.Option("--why-not", help="Say also why each other rule did not.")] = False,
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Pay a ticket of one line and print the receipt. A PIN, where one is asked for, comes from CARDCORE_PIN.

    Example: cardcore card pay 6200000000000018 88.50 --short cash
    """
    line = {"amount_fen": amount, "category": category}
    body: dict[str, Any] = {"card": card, "lines": [line], "shortfall_tender": short, "points": points, "explain": True}
    if coupons:
        body["coupons"] = coupons
    if why_not:
        body["why_not"] = True
    with reach(data, url=url, token=token, operator=operator) as service:
        _ticket(service.do("settle", with_pin(body), key=key), explain=explain or why_not, as_json=as_json)


@app.command()
def transfer(
    card: CardNumber,
    to_card: Annotated[str, typer.Argument(metavar="TO_CARD", help="The card that gets it.", show_default=False)],
    amount: Annotated[int | None, amount_argument("An amount in yuan; left out where points move.")] = None,
    points: Annotated[int | None, typer.Option("--points", min=1, help="Points to move, in place of money.")] = None,
    reason: Reason = "",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Move money or points to another card, where both programmes allow it. A PIN, where one is asked for, comes from CARDCORE_PIN.

    Example: cardcore card transfer 6200000000000018 6200000000000026 50
    """
    body: dict[str, Any] = {"card": card, "to_card": to_card, "reason": reason}
    body |= {name: value for name, value in (("amount_fen", amount), ("points", points)) if value is not None}
    with reach(data, url=url, token=token, operator=operator) as service:
        _ticket(service.do("transfer", with_pin(body), key=key), explain=False, as_json=as_json)


@app.command()
def event(
    card: CardNumber,
    name: Annotated[str, typer.Argument(metavar="EVENT", help="What happened, as the pack names it: check-in, review, draw ...")],
    amount: Annotated[str, typer.Option("--amount", metavar="YUAN", help="What it is about, such as what a friend spent.")] = "0",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Record something that happened without a sale, and say what the pack's rules give for it.

    Example: cardcore card event 6200000000000018 check-in
    """
    body = {"card": card, "event": name, "amount_fen": parse_yuan(amount), "explain": True}
    with reach(data, url=url, token=token, operator=operator) as service:
        _ticket(service.do("recordEvent", body, key=key), explain=True, as_json=as_json)


@app.command()
def tiers(
    card: CardNumber,
    most: Annotated[int, typer.Option("--most", min=1, help="At most so many, newest first.")] = 20,
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Show how a card came to its tier: rises, falls, and reviews that kept it."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        rows = service.pages("tierHistory", "moves", path={"card": card}, most=most)
    columns = {"at": "at", "before": "from", "after": "to", "reason": "why", "verb": "by", "ticket_id": "ticket"}
    listing(f"Tiers of {card}", rows, columns, as_json=as_json)


def _ticket(ticket: dict[str, Any], *, explain: bool, as_json: bool) -> None:
    if as_json:
        emit_json(ticket)
        return
    for line in (*ticket.get("receipt", ()), *(ticket.get("explanation", ()) if explain else ())):
        say(line)
    say(f"ticket {ticket['ticket_id']}  balance {yuan(ticket['balance_fen'])}  points {ticket['points']}")


# ---------------------------------------------------------------- life cycle
def _step(operation: str, card: str, body: dict[str, Any], reached: dict[str, Any], key: str, as_json: bool) -> None:
    with reach(**reached) as service:
        done = service.do(operation, body, key=key, path={"card": card})
    details(f"Card {card}", done, as_json=as_json)


@app.command()
def activate(
    card: CardNumber, reason: Reason = "", data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "",
    key: Key = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Make an issued card ready for use."""
    _step("activateCard", card, {"reason": reason}, {"data": data, "url": url, "token": token, "operator": operator}, key, as_json)


@app.command()
def freeze(
    card: CardNumber, reason: Reason = "frozen on the command line", data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "",
    operator: Operator = "", key: Key = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Freeze a card: nothing moves until it is unfrozen."""
    _step("freeze", card, {"reason": reason}, {"data": data, "url": url, "token": token, "operator": operator}, key, as_json)


@app.command()
def unfreeze(
    card: CardNumber, reason: Reason = "unfrozen on the command line", data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "",
    operator: Operator = "", key: Key = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Let a frozen card work again."""
    _step("unfreeze", card, {"reason": reason}, {"data": data, "url": url, "token": token, "operator": operator}, key, as_json)


@app.command()
def lost(
    card: CardNumber, reason: Reason = "", data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "",
    key: Key = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Report a card lost, from now on. Its value waits for the replacement (swap)."""
    _step("reportLost", card, {"reason": reason}, {"data": data, "url": url, "token": token, "operator": operator}, key, as_json)


@app.command()
def swap(
    card: CardNumber,
    to_card: Annotated[str, typer.Option("--to", help="The new card's number; a fresh one when left out.")] = "",
    was_lost: Annotated[bool, typer.Option("--lost", help="The old card was reported lost, or has expired (a reissue).")] = False,
    fee: Annotated[str, typer.Option("--fee", metavar="YUAN", help="The fee that a reissue costs by its programme.")] = "0",
    tender: Tender = "cash",
    reason: Reason = "",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Replace a card: value and benefits follow the holder to the new number, the old one is dead."""
    body: dict[str, Any] = {"to_card": to_card, "reason": reason}
    if was_lost:
        body |= {"fee_fen": parse_yuan(fee), "fee_tender": tender}
    elif parse_yuan(fee):
        raise typer.BadParameter("an exchange costs no fee; a card that was lost or has expired is replaced with --lost")
    operation = "reissueCard" if was_lost else "swapCard"
    _step(operation, card, body, {"data": data, "url": url, "token": token, "operator": operator}, key, as_json)


@app.command()
def pin(
    card: CardNumber,
    reset: Annotated[bool, typer.Option("--reset", help="The holder forgot the PIN: a manager sets a new one, with a reason.")] = False,
    reason: Reason = "",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
) -> None:
    """Set a card's PIN (asked for, or read from CARDCORE_PIN; the old one, if there is one, from CARDCORE_OLD_PIN)."""
    fresh = os.environ.get(PIN) or str(typer.prompt("New PIN", hide_input=True, confirmation_prompt=True, err=True))
    old = os.environ.get("CARDCORE_OLD_PIN", "")
    body = {"pin": fresh, "reason": reason or ("forgotten" if reset else "")}
    if old and not reset:
        body["old_pin"] = old
    with reach(data, url=url, token=token, operator=operator) as service:
        service.do("setPin", body, key=key, path={"card": card})
    note(f"The PIN of card {card} is set.")


app.command()(personalise.personalise)
