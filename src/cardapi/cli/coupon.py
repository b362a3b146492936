"""`cardcore coupon`: coupons on cards and as codes - give, list, trace, many cards at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, CardNumber, DataDir, Json, Key, Operator, Reason, Token, Url
from cardapi.cli.service import reach
from cardapi.cli.show import Mistake, details, emit_json, listing, note, progress, say

app = group("Coupons: put them on cards, make codes of them, see what became of one. Using one is a sale's: cardcore card pay --coupon.")

Kind = Annotated[str, typer.Argument(metavar="COUPON", help="The kind of coupon, as the pack names it.", show_default=False)]
PART = 200
COLUMNS = {"coupon_id": "coupon", "coupon": "kind", "title": "title", "uses": "uses", "ends_at": "ends"}


def shown(rows: list[dict[str, Any]], *, as_json: bool) -> list[dict[str, Any]]:
    """Coupons as a table has them: the title in the till's language, the end as a date."""
    if as_json:
        return rows
    return [{**row, "title": row["title"]["zh"], "ends_at": _day(row["ends_at"])} for row in rows]


def _day(ends_at: int) -> str:
    import datetime as dt

    # A coupon ends at the midnight after its last day, by UTC+8 as receipts have it.
    last = dt.datetime.fromtimestamp(ends_at - 1, dt.timezone(dt.timedelta(hours=8)))
    return last.date().isoformat() if ends_at else "never"


@app.command()
def give(
    card: CardNumber,
    coupon: Kind,
    count: Annotated[int, typer.Option("--count", min=1, max=100, help="How many.")] = 1,
    reason: Reason = "given by hand",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Put coupons on a card.

    Example: cardcore coupon give 6200000000000013 off-20 --count 2
    """
    body = {"card": card, "coupon": coupon, "count": count, "reason": reason}
    with reach(data, url=url, token=token, operator=operator) as service:
        made = service.do("giveCoupons", body, key=key)
    listing(f"Given to {card}", shown(made["coupons"], as_json=as_json), COLUMNS, as_json=as_json)


@app.command("list")
def list_coupons(
    card: CardNumber, data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False
) -> None:
    """List the coupons that a card can use now, the one that ends first in front."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        rows = service.do("cardCoupons", path={"card": card})["coupons"]
    listing(f"Coupons of {card}", shown(rows, as_json=as_json), COLUMNS, as_json=as_json)


@app.command()
def trace(
    coupon: Annotated[str, typer.Argument(metavar="COUPON", help="A coupon's id, or a bearer's code.", show_default=False)],
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Show where a coupon came from, where it was used and given back."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        found = service.do("traceCoupon", {"coupon": coupon})
    if as_json:
        emit_json(found)
        return
    details(f"Coupon {found['coupon_id'] or 'code'}", {name: found[name] for name in ("coupon", "card", "state", "uses")}, as_json=False)
    columns = {"at": "at", "verb": "what", "change": "uses", "unit": "unit", "terminal": "terminal", "operator": "operator",
               "ticket_id": "ticket"}  # fmt: skip
    listing("Its life", found["steps"], columns, as_json=False)


@app.command()
def batch(
    name: Annotated[str, typer.Argument(metavar="BATCH", help="A name: each card has it once, for ever.", show_default=False)],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Card numbers, one on a line.", show_default=False)],
    coupons: Annotated[list[str], typer.Option("--coupon", help="A kind of coupon; several make a bundle.", show_default=False)],
    check: Annotated[bool, typer.Option("--check", help="Write nothing: say what of it stands in the journal.")] = False,
    reason: Reason = "batch of coupons",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Put a coupon of each kind on every card of a file. Stopped anywhere, run it again: nobody gets it twice.

    Example: cardcore coupon batch spring cards.txt --coupon off-20 --coupon voucher-5
    """
    numbers = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    wrong = [number for number in numbers if not (number.isascii() and number.isdigit() and 8 <= len(number) <= 32)]
    if wrong or not numbers:
        raise Mistake("bad_file", f"{file} has {len(wrong)} lines that are no card number" if wrong else f"{file} has no card number")
    cards = list(dict.fromkeys(numbers))
    totals: dict[str, Any] = {"batch": name, "cards": len(cards), "asked": 0, "given": 0, "before": 0, "missing": 0}
    refused: dict[str, str] = {}
    with reach(data, url=url, token=token, operator=operator) as service, progress(f"batch {name}", len(cards)) as tell:
        for at in range(0, len(cards), PART):
            part = cards[at : at + PART]
            body = {"batch": name, "coupons": coupons, "cards": part, "check": check, "reason": reason}
            done = service.do("giveCouponBatch", body)
            for total in ("asked", "given", "before", "missing"):
                totals[total] += done[total]
            refused |= done["refused"]
            tell(len(part))
    if as_json:
        emit_json({**totals, "refused": refused})
    else:
        details(f"Batch {name}", {**totals, "refused": len(refused)}, as_json=False)
        for what, code in list(refused.items())[:50]:
            note(f"card {what.replace('/', ', ')}: {code}")
    if refused:
        note(f"error: {len(refused)} coupons were not given; leave these cards out, or give them under another batch [cards_refused]")
        raise typer.Exit(1)


@app.command()
def codes(
    name: Annotated[str, typer.Argument(metavar="BATCH", help="A name for this batch of codes.", show_default=False)],
    coupon: Kind,
    programme: Annotated[str, typer.Option("--programme", help="The pack that has this kind of coupon.", show_default=False)],
    count: Annotated[int, typer.Option("--count", min=1, max=500, help="How many.")] = 1,
    pictures: Annotated[Path | None, typer.Option("--pictures", help="A folder for a QR picture (SVG) of each code.")] = None,
    reason: Reason = "codes made",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Make codes: a coupon for whoever shows one first. They are shown now and kept nowhere; the same --key shows them again.

    Example: cardcore coupon codes flyer off-20 --programme mall-vip --count 100 > codes.txt
    """
    body = {"batch": name, "programme": programme, "coupon": coupon, "count": count, "reason": reason}
    with reach(data, url=url, token=token, operator=operator) as service:
        made = service.do("makeCouponCodes", body, key=key)
    if pictures is not None:
        _draw(made["codes"], pictures)
    if as_json:
        emit_json(made)
        return
    for code in made["codes"]:
        say(code)


@app.command()
def allow(
    count: Annotated[int, typer.Argument(metavar="COUNT", min=1, max=100_000, help="How many more, on the day of the approval.")],
    reason: Reason,
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Ask to give, or make codes of, more coupons today than one person may; a second person approves.

    Example: cardcore coupon allow 5000 --reason anniversary --as manager
    """
    with reach(data, url=url, token=token, operator=operator) as service:
        asked = service.do("allowCoupons", {"count": count, "reason": reason}, key=key)
    details(f"{count} more coupons", asked, as_json=as_json)
    if not as_json:
        note("nothing changes before somebody else approves: cardcore coupon approve WHO-ASKED --as NAME")


@app.command()
def approve(
    maker: Annotated[str, typer.Argument(metavar="WHO", help="Who asked for more coupons.", show_default=False)],
    reason: Reason = "",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Approve that somebody else makes more coupons today.

    Example: cardcore coupon approve manager --as admin
    """
    with reach(data, url=url, token=token, operator=operator) as service:
        waiting = [
            row["id"] for row in service.pages("listApprovals", "approvals")
            if row["operation"] == "allowCoupons" and row["state"] == "pending" and row["maker"] == maker
        ]  # fmt: skip
        if not waiting:
            raise Mistake("nothing_to_approve", f"{maker!r} did not ask for more coupons, or it is approved already")
        allowed = service.do("approve", {"reason": reason}, key=key, path={"approval": waiting[-1]})
    details(f"Coupons of {maker}", allowed, as_json=as_json)


def _draw(made: list[str], folder: Path) -> None:
    """A picture for each code, named by its place in the batch: a name must not give the code away."""
    try:
        import segno
    except ImportError:
        raise Mistake("no_pictures", "pictures of codes need one more package: pip install 'cardcore[pictures]'") from None
    folder.mkdir(parents=True, exist_ok=True)
    for number, code in enumerate(made, 1):
        path = folder / f"{number:04d}.svg"
        path.touch(mode=0o600)
        segno.make_qr(code).save(str(path), scale=8)
