"""`cardcore init` makes a data directory, with `--demo` a shop to try things in; `cardcore demo` shows how."""

from __future__ import annotations

import secrets
import shlex
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cardapi.cli.options import DEFAULT_DATA, DataDir, Json
from cardapi.cli.show import Mistake, emit_json, note, say

if TYPE_CHECKING:
    from cardapi.cli.service import Service

STORE = "store-1"
TERMINAL = "till-1"
PACKS = ("mall-vip", "spa", "gift-card", "replay")


def init(
    data: DataDir = DEFAULT_DATA,
    name: Annotated[str, typer.Option("--name", help="The issuer's name.")] = "",
    demo: Annotated[bool, typer.Option("--demo", help="Add a demo shop: store, till, people, programmes and cards with value.")] = False,
    store: Annotated[
        str,
        typer.Option("--store", help="The journal's server: postgresql://USER@HOST/DATABASE, or local-postgres. Default: a file here."),
    ] = "",
    owner: Annotated[str, typer.Option("--owner", help="For a given server: the address of the role that owns the tables.")] = "",
    partitions: Annotated[
        int, typer.Option("--partitions", min=0, max=256, help="Parts of the journal, for ever. Default: 1 in a file, 64 on a server.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Make a data directory: root secret, database, the issuer and a first operator. Shows the credentials; keep them.

    Example: cardcore init --data var/shop --demo
    """
    made = make(data, name=name, demo=demo, store=store, owner=owner, partitions=partitions)
    if as_json:
        emit_json(made)
        return
    say(f"made {data}: operator {made['operator']}, password {made['password']}")
    say(f"keep a copy of {data / 'secrets' / 'root.key'} apart from the database; without it nobody can check or open the books")
    if demo:
        say(f"demo shop: cashier {made['cashier']}, password {made['cashier_password']}, cards {', '.join(made['cards'].values())}")
        say(f"now: cardcore serve --data {shlex.quote(str(data))}")


def make(
    data: Path, *, name: str = "", demo: bool = False, store: str = "", owner: str = "", partitions: int = 0
) -> dict[str, Any]:
    """Make the directory and tell what was made, credentials included. Raises ShopError exists."""
    import msgspec

    from cardapi.app import create_shop, open_shop
    from cardapi.cli.serve import write_private
    from cardapi.cli.service import demo_file, inside
    from cardapi.keys.keyfile import TEST
    from cardapi.keys.protect import ROOT

    empty = not data.exists() or not any(data.iterdir())
    made: dict[str, Any] = dict(
        create_shop(data, name=name or ("Demo shop" if demo else "Shop"), store=store, owner=owner, partitions=partitions)
    )
    if demo:
        try:
            shop = open_shop(data)
            with inside(shop, made["operator"]) as service:
                made |= _furnish(service)
                # The keys of the card simulator, which everybody knows: its cards can be loaded and paid with at once.
                keeper = shop.create_keys(mode=TEST, protection=ROOT, by=made["operator"])
                keeper.add_demo_keys(by=made["operator"], at=int(time.time()))
            write_private(demo_file(data), msgspec.json.format(msgspec.json.encode(made), indent=1))
        except BaseException:
            if empty:  # half a demo shop helps nobody
                shutil.rmtree(data, ignore_errors=True)
            raise
    return made


def _furnish(service: Service) -> dict[str, Any]:
    """A store with a till and three people, the shipped programmes, and a card of each kind with value on it."""
    from cardapi.shipped import pack_text

    service.do("createUnit", {"id": STORE, "name": "Demo store", "kind": "store", "parent": "issuer"})
    terminal = service.do("createTerminal", {"id": TERMINAL, "unit": STORE, "name": "Till 1"})
    people = {}
    for role in ("cashier", "manager"):
        people[role] = secrets.token_urlsafe(9)
        body = {"id": role, "name": role.capitalize(), "password": people[role], "role": role, "unit": STORE}
        service.do("createOperator", body)
    for pack in PACKS:
        service.do("publishScheme", {"pack": pack_text(pack)})
    cards = {}
    for pack, paid_fen, product in (("mall-vip", 1000_00, ""), ("spa", 1000_00, ""), ("gift-card", 500_00, "")):
        card = service.do("issueCards", {"programme": pack, "activate": True})["cards"][0]["card"]
        service.do("topUp", {"card": card, "paid_fen": paid_fen, "tender": "cash", "product": product})
        cards[pack] = card
    return {
        "store": STORE,
        "terminal": terminal["id"],
        "terminal_key": terminal["key"],
        "terminal_key_version": terminal["key_version"],
        "cashier": "cashier",
        "cashier_password": people["cashier"],
        "manager": "manager",
        "manager_password": people["manager"],
        "cards": cards,
    }


def demo(
    data: Annotated[
        Path | None, typer.Option("--data", help="Show the demo shop that is running on this data directory; else make one to throw away.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 0,
    as_json: Json = False,
) -> None:
    """A demo shop: its address, who can log in, and lines to paste that buy something and print the receipt.

    Without --data it makes a shop in a temporary directory, serves it, and removes it when you press Ctrl-C.
    With --data DIR it shows the lines for a demo shop that `cardcore serve` is serving.
    """
    from cardapi.cli.serve import run
    from cardapi.cli.service import Remote, Service, demo_credentials, service_address

    if data is None:
        with tempfile.TemporaryDirectory(prefix="cardcore-demo-") as place:
            shop = Path(place) / "shop"
            make(shop, demo=True)
            raise typer.Exit(run(shop, host, port))
    made = demo_credentials(data)
    if made is None:
        raise Mistake("no_demo", f"{data} holds no demo shop: make one with `cardcore init --data DIR --demo`")
    url = service_address(data)
    with Service(Remote(url)) as service:
        service.log_in(made["cashier"], made["cashier_password"])
        if as_json:
            emit_json({**made, "url": url, "token": service.token})
        else:
            say(demo_text(made, url, service.token))
    if not as_json:
        note("the token in these lines is a session of 12 hours")


def demo_text(made: dict[str, Any], url: str, token: str) -> str:
    """What a newcomer reads and pastes."""
    import msgspec

    card = made["cards"]["mall-vip"]
    ticket = {"card": card, "lines": [{"amount_fen": 55_90}], "shortfall_tender": "cash", "explain": True}
    body = msgspec.json.encode(ticket).decode()
    receipt = "import json,sys; t=json.load(sys.stdin); print(*t.get('receipt') or [t], sep='\\n')"
    return "\n".join(
        [
            f"demo shop at {url}  (API description: {url}/docs)",
            f"  operator {made['operator']}  password {made['password']}",
            f"  cashier  {made['cashier']}  password {made['cashier_password']}",
            f"  terminal {made['terminal']}  key {made['terminal_key']}",
            "  cards    " + "  ".join(f"{name} {number}" for name, number in made["cards"].items()),
            "",
            "buy something for ¥55.90 with the gold card and see the receipt (paste the whole block):",
            f"  TOKEN={token}",
            f'  curl -s {url}/v1/settle -H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: demo-$(date +%s%N)" \\',
            f"    -H 'Content-Type: application/json' -d '{body}' \\",
            f'    | python3 -c "{receipt}"',
            "",
            "what is on the card now:",
            f'  curl -s {url}/v1/cards/{card} -H "Authorization: Bearer $TOKEN"',
        ]
    )
