"""`cardcore scheme`: look at programme packs and check them before they are published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Key, Operator, Token, Url
from cardapi.cli.service import reach
from cardapi.cli.show import Mistake, details, emit_json, listing, note, say, table, yuan

app = group("Programme packs: the files that say what a card can do.")

Pack = Annotated[str, typer.Argument(help="A pack file, or the name of a pack that ships with cardcore.", show_default=False)]


@app.command("list")
def list_packs(as_json: Json = False) -> None:
    """List the packs that ship with cardcore."""
    from cardapi.shipped import packs
    from cardcore.settlement import pack

    rows = []
    for name, path in packs().items():
        text = path.read_text(encoding="utf-8")
        normal, words = pack.normalise(text), pack.describe(text)
        rows.append({"name": name, "version": normal["version"], "title": words["title"]["en"], "about": words["about"]["en"]})
    listing("Packs", rows, {"name": "name", "version": "version", "title": "title", "about": "about"}, as_json=as_json)


@app.command()
def check(file: Pack, as_json: Json = False) -> None:
    """Check a pack: every problem with its line and reason; exit code 1 when there is one.

    Example: cardcore scheme check my-cards.toml
    """
    from cardcore.settlement import pack

    problems = [problem._asdict() for problem in pack.check(_read(file))]
    if as_json:
        emit_json({"ok": not problems, "problems": problems})
    elif problems:
        for problem in problems:
            note(f"{file}:{problem['line']}: {problem['path'] + ': ' if problem['path'] else ''}{problem['reason']}")
        note(f"error: {len(problems)} problem{'s' if len(problems) > 1 else ''} [invalid_pack]")
    else:
        say(f"{file} is a valid pack")
    if problems:
        raise typer.Exit(1)


@app.command()
def show(file: Pack, as_json: Json = False) -> None:
    """Show what a pack says: purses, tiers, benefits and products.

    Example: cardcore scheme show mall-vip
    """
    from cardcore.settlement import pack

    text = _read(file)
    normal, words = pack.normalise(text), pack.describe(text)
    if as_json:
        emit_json({**normal, **words})
        return
    say(f"{normal['name']} version {normal['version']}: {words['title']['zh']} · {words['title']['en']}")
    say(words["about"]["en"])
    table("Purses", ["purse", "unit", "role"], ([purse["name"], purse["unit"], purse["role"]] for purse in normal["purses"]))
    table("Tiers", ["tier", "reached by"], ([tier["name"], _reached(tier)] for tier in normal["tiers"]))
    if normal["rules"]:
        table("Benefits", ["benefit", "effect"], ([rule["name"], rule["effect"]] for rule in normal["rules"]))
    if normal["products"]:
        products = ([product["name"], yuan(product["price_fen"])] for product in normal["products"])
        table("Products", ["product", "price"], products, right=["price"])


@app.command()
def publish(
    file: Pack,
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Publish a pack: cards can be issued by it from now on. What is published never changes; a change needs a new version.

    Example: cardcore scheme publish my-cards.toml
    """
    from cardcore.settlement import pack

    raw = _read(file)
    pack.normalise(raw)  # InvalidPack names the lines; no need to ask the service
    text = raw.decode()
    with reach(data, url=url, token=token, operator=operator) as service:
        made = service.do("publishScheme", {"pack": text}, key=key)
    details("Published", made, as_json=as_json)


def _reached(tier: dict[str, Any]) -> str:
    steps = []
    if tier["spend_min_fen"] >= 0:
        steps.append(f"spending {yuan(tier['spend_min_fen'])}")
    if tier["orders_min"] >= 0:
        steps.append(f"{tier['orders_min']} orders")
    if tier["points_min"] >= 0:
        steps.append(f"{tier['points_min']} points")
    return " or ".join(steps) or "everyone starts here"


def _read(file: str) -> bytes:
    from cardapi.shipped import packs

    path = Path(file)
    if not path.is_file():
        shipped = packs()
        if file not in shipped:
            raise Mistake("no_such_pack", f"there is no file {file!r} and no shipped pack of that name ({', '.join(shipped)})")
        path = shipped[file]
    return path.read_bytes()
