"""`cardcore user`: operators, their passwords and roles."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Key, Operator, Reason, Token, Url
from cardapi.cli.service import fresh_key, reach
from cardapi.cli.show import Mistake, details, listing, note

app = group("The people who work with the shop's system.")

User = Annotated[str, typer.Argument(metavar="ID", help="The operator's id.", show_default=False)]
Role = Annotated[str, typer.Option("--role", help="admin, hq, manager, cashier or auditor.", show_default=False)]
AtUnit = Annotated[str, typer.Option("--unit", help="The unit where the role holds, with all below it.")]

PASSWORD = "CARDCORE_NEW_PASSWORD"  # noqa: S105 (the name of an environment variable)


def ask_password() -> str:
    """From the environment for programs, else typed twice; never from the command line, where others can read it."""
    return os.environ.get(PASSWORD) or str(typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True))


@app.command()
def create(
    name: User,
    role: Role,
    unit: AtUnit = "issuer",
    title: Annotated[str, typer.Option("--name", help="Name as people say it; the id when left out.")] = "",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Create an operator with a first role. The password is asked for (or read from CARDCORE_NEW_PASSWORD).

    Example: cardcore user create li --name "Li Na" --role cashier --unit store-1
    """
    password = ask_password()
    with reach(data, url=url, token=token, operator=operator) as service:
        body = {"id": name, "name": title or name, "password": password, "role": role, "unit": unit}
        made = service.do("createOperator", body, key=key)
    details("Operator created", made, as_json=as_json)


@app.command()
def grant(
    name: User,
    role: Role,
    unit: AtUnit = "issuer",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Give an operator one more role at a unit."""
    with reach(data, url=url, token=token, operator=operator) as service:
        done = service.do("grantRole", {"role": role, "unit": unit}, key=key, path={"operator": name})
    details("Role granted", done, as_json=as_json)


@app.command("list")
def list_users(data: DataDir = DEFAULT_DATA, url: Url = "", token: Token = "", operator: Operator = "", as_json: Json = False) -> None:
    """List operators and their roles."""
    with reach(data, url=url, token=token, operator=operator, reading=True) as service:
        rows = service.pages("listOperators", "operators")
    listing("Operators", rows, {"id": "id", "name": "name", "state": "state", "grants": "roles"}, as_json=as_json)


@app.command()
def revoke(
    name: User,
    reason: Reason = "revoked on the command line",
    data: DataDir = DEFAULT_DATA,
    url: Url = "",
    token: Token = "",
    operator: Operator = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Revoke an operator: open sessions end at once."""
    with reach(data, url=url, token=token, operator=operator) as service:
        done = service.do("revokeOperator", {"reason": reason}, key=key, path={"operator": name})
    details("Operator revoked", done, as_json=as_json)


@app.command()
def password(
    name: User,
    data: DataDir = DEFAULT_DATA,
) -> None:
    """Set an operator's password, on the data directory itself: stop the service first. For when a password is forgotten.

    The password is asked for (or read from CARDCORE_NEW_PASSWORD).
    """
    from cardapi.app import open_shop
    from cardapi.desk import Request
    from cardapi.people.passwords import Passwords

    with open_shop(data) as shop:
        document = shop.registry.document("operator", name)
        if document is None:
            raise Mistake("unknown_operator", f"there is no operator {name!r} in {data}")
        fresh = ask_password()
        passwords = Passwords()
        after = {**document, "password": passwords.hash(fresh)}
        passwords.close()
        payload = {"kind": "operator", "id": name, "document": after}
        # Whoever can open the data directory can do this; the journal says that it was done here.
        shop.desk.call(Request("change", "system", fresh_key(), bytes(16), reason="password set on the command line", payload=payload))
    note(f"The password of {name} is changed.")


@app.command()
def login(name: User, url: Url = "", data: DataDir = DEFAULT_DATA) -> None:
    """Log in to a running service and print the session token, for CARDCORE_TOKEN or curl.

    Example: export CARDCORE_TOKEN=$(cardcore user login li --url http://127.0.0.1:8080)
    """
    from cardapi.cli.service import Remote, Service, service_address

    with Service(Remote(url or service_address(data))) as service:
        service.log_in(name, os.environ.get("CARDCORE_PASSWORD") or str(typer.prompt("Password", hide_input=True, err=True)))
        typer.echo(service.token)
