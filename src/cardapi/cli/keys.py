"""`cardcore keys`: making, confirming and retiring the master keys of cards, on the data directory itself; no command shows a key."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cardapi.cli.group import group
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json, Operator, Reason
from cardapi.cli.show import Mistake, details, emit_json, listing, note, say

if TYPE_CHECKING:
    from cardapi.app import Shop
    from cardapi.keys.keyfile import Record

app = group(
    "The master keys of cards. They are entered in components by different people or made at random, confirmed by a second person, and "
    "never shown.\n\nStop the service first: but for `retire`, keys are changed on the data directory itself."
)

Purpose = Annotated[str, typer.Argument(help="What the key is for; `cardcore keys purposes` lists them.", show_default=False)]
KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The key's id, as in the list: PURPOSE-ALGORITHM-VERSION.", show_default=False)]
Algorithm = Annotated[str, typer.Option("--algorithm", help="tdes, sm4 or aes; may be left out where the purpose has one.")]
Version = Annotated[int, typer.Option("--version", help="1 to 255, as cards carry it; the next one when left out.")]

COLUMNS = {
    "id": "key", "state": "state", "check_value": "check value", "valid_from": "from", "valid_to": "to", "origin": "origin",
    "made_by": "made by", "activated_by": "confirmed by", "waits_for": "waits for", "warning": "warning",
}  # fmt: skip


# ---------------------------------------------------------------- who, when and how it is shown
def local_time(epoch: int) -> str:
    """An epoch second as people and programs read it; "" for none."""
    return datetime.fromtimestamp(epoch, UTC).astimezone().isoformat(timespec="seconds") if epoch else ""


def parse_time(text: str) -> int:
    """Epoch seconds of a date or a time; one without offset is this machine's. "now" is now, "" is 0. Raises typer.BadParameter."""
    if not text:
        return 0
    if text == "now":
        return int(time.time())
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp())
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no time such as 2026-12-31 or 2026-12-31T18:00:00+08:00") from None


def ask_secret(label: str, *, twice: bool = False) -> str:
    """Typed unseen at a terminal, else one line of standard input; never from the command line, where others can read it."""
    if sys.stdin.isatty():
        return str(typer.prompt(label, hide_input=True, confirmation_prompt=twice, err=True))
    return sys.stdin.readline().rstrip("\n")


def acting(shop: Shop, operator: str, *, proven: bool) -> str:
    """The administrator who does this; in production by password. Raises Mistake unknown_operator, not_allowed, login_failed."""
    from cardapi.cli.service import first_admin
    from cardapi.people import roles
    from cardapi.people.passwords import Passwords

    if not operator and proven:
        raise Mistake("unknown_operator", "say who you are: --as OPERATOR")
    name = operator or first_admin(shop)
    known = shop.registry.operator(name)
    if known is None or known.state != "active":
        raise Mistake("unknown_operator", f"there is no active operator {name!r} in {shop.directory}")
    if not any(grant.role == roles.ADMIN for grant in known.grants):
        raise Mistake("not_allowed", f"{name} is no administrator: card keys are their business")
    if proven:
        passwords = Passwords()
        right = passwords.matches(known.password, os.environ.get("CARDCORE_PASSWORD") or ask_secret(f"Password of {name}"))
        passwords.close()
        if not right:
            raise Mistake("login_failed", f"that is not the password of {name}")
    return name


@contextmanager
def opened(data: Path, operator: str) -> Iterator[tuple[Shop, str, int]]:
    """The shop with its key file opened, who acts, and now."""
    from cardapi.app import open_shop
    from cardapi.keys.keyfile import PRODUCTION

    with open_shop(data) as shop:
        if not shop.has_key_file:
            raise Mistake("no_keys", f"{data} has no card keys yet; begin with: cardcore keys new --data {data}")
        yield shop, acting(shop, operator, proven=shop.keeper.mode == PRODUCTION), int(time.time())


def shown(record: Record, now: int) -> dict[str, Any]:
    """What people and programs are told of a key: no octet of it."""
    from cardapi.keys.port import ACTIVE

    given = {part.number for part in record.components}
    missing = [str(number) for number in range(1, record.component_count + 1) if number not in given]
    warning = "test key" if record.test else ""
    if record.state == ACTIVE and not record.info().valid_at(now):
        warning = "not valid now"
    return {
        "id": record.id, "purpose": record.purpose, "algorithm": record.algorithm, "version": record.version, "state": record.state,
        "check_value": record.check_value.upper(), "valid_from": local_time(record.valid_from), "valid_to": local_time(record.valid_to),
        "origin": record.origin, "made_by": record.made_by, "made_at": local_time(record.made_at),
        "activated_by": record.activated_by, "activated_at": local_time(record.activated_at),
        "retired_by": record.retired_by, "retired_at": local_time(record.retired_at), "test": record.test,
        "components": [
            {"number": part.number, "by": part.by, "at": local_time(part.at), "check_value": part.check_value.upper()}
            for part in record.components
        ],
        "waits_for": f"component {', '.join(missing)}" if missing else "", "warning": warning,
    }  # fmt: skip


def tell(title: str, record: Record, *, as_json: bool) -> None:
    """One key after a change."""
    details(title, shown(record, int(time.time())), as_json=as_json)


def which(shop: Shop, purpose: str, algorithm: str, version: int) -> tuple[str, int]:
    """Algorithm and version, where they were left out. Raises Mistake which_algorithm."""
    from cardapi.keys.purposes import purpose_of

    known = purpose_of(purpose).algorithms
    if not algorithm and len(known) > 1:
        raise Mistake("which_algorithm", f"{purpose} keys are {' or '.join(known)}: say --algorithm")
    algorithm = algorithm or known[0]
    return algorithm, version or shop.keeper.next_version(purpose, algorithm)


# ---------------------------------------------------------------- looking
@app.command("list")
def list_keys(data: DataDir = DEFAULT_DATA, as_json: Json = False) -> None:
    """List the keys: state, check value, dates, who made and confirmed them. Works beside a running service."""
    from cardapi.app import open_shop

    with open_shop(data, read_only=True) as shop:
        records = shop.keeper.records() if shop.has_key_file else ()
    listing("Card keys", [shown(record, int(time.time())) for record in records], COLUMNS, as_json=as_json)


@app.command()
def purposes(as_json: Json = False) -> None:
    """List what keys may be for, and by which algorithm."""
    from cardapi.keys.purposes import PURPOSES

    rows = [{"purpose": p.name, "algorithms": list(p.algorithms), "cards": p.diversification, "what": p.what} for p in PURPOSES.values()]
    columns = {"purpose": "purpose", "algorithms": "algorithms", "cards": "key of a card", "what": "what for"}
    listing("Purposes", rows, columns, as_json=as_json)


@app.command()
def check(data: DataDir = DEFAULT_DATA, as_json: Json = False) -> None:
    """Open the key file as the service would: right passphrase, nothing changed, not an older copy, every key with its check value."""
    from cardapi.app import open_shop
    from cardapi.keys.keyfile import TEST
    from cardapi.keys.protect import ROOT

    with open_shop(data, read_only=True) as shop:
        if not shop.has_key_file:
            raise Mistake("no_keys", f"{data} has no card keys")
        keeper = shop.keeper
        found: dict[str, Any] = {
            "ok": True, "mode": keeper.mode, "opens_with": keeper.protection, "generation": keeper.generation,
            "keys": len(keeper.records()), "test_keys": sum(record.test for record in keeper.records()),
        }  # fmt: skip
    if as_json:
        emit_json(found)
        return
    say(f"the key file is whole: generation {found['generation']}, {found['keys']} keys, mode {found['mode']}")
    if found["mode"] == TEST:
        say(f"this is a TEST store ({found['test_keys']} keys that everybody knows): cards made with it are worth nothing")
    if found["opens_with"] == ROOT:
        say("it opens with the root secret alone: whoever copies the secrets folder has the keys; see `cardcore keys passphrase`")


# ---------------------------------------------------------------- making
@app.command()
def new(
    data: DataDir = DEFAULT_DATA,
    test: Annotated[bool, typer.Option("--test", help="A store to try things in: no passphrase, test keys allowed.")] = False,
    module: Annotated[
        bool, typer.Option("--module", help="Keys lie in the security module that settings.toml names (keys_module, keys_token).")
    ] = False,
    after_loss: Annotated[bool, typer.Option("--after-loss", help="The file that was there is gone, and its keys with it.")] = False,
    operator: Operator = "",
) -> None:
    """Begin the key file. It opens with a passphrase that is asked for (or read from standard input), unless it is for tests.

    At each start the service reads the passphrase, or the PIN of a security module, from the file that CARDCORE_KEYS_PASSPHRASE_FILE
    names, from the systemd credential cardcore-keys, or asks.
    """
    from cardapi.app import open_shop
    from cardapi.keys import keyfile, protect

    mode = keyfile.TEST if test else keyfile.PRODUCTION
    held = protect.MODULE if module else protect.ROOT if test else protect.PASSPHRASE
    ask = {protect.PASSPHRASE: new_passphrase, protect.MODULE: module_pin}.get(held)
    with open_shop(data) as shop:
        by = acting(shop, operator, proven=not test)
        shop.create_keys(mode=mode, protection=held, by=by, after_loss=after_loss, ask=ask)
    say(f"made the key file of {data} ({'for tests' if test else 'for production'}); keep a copy apart from the database and its backups")


def new_passphrase() -> str:
    """What the machine was given, else typed twice."""
    from cardapi.keys.protect import given_passphrase

    return given_passphrase() or ask_secret("New passphrase of the card keys", twice=True)


def module_pin() -> str:
    """What the machine was given, else typed."""
    from cardapi.keys.protect import given_passphrase

    return given_passphrase() or ask_secret("PIN of the security module")


@app.command()
def generate(
    purpose: Purpose,
    algorithm: Algorithm = "",
    version: Version = 0,
    data: DataDir = DEFAULT_DATA,
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Make a random key that nobody has seen. It waits for another person to activate it.

    Example: cardcore keys generate pboc-load --algorithm tdes --as ann
    """
    with opened(data, operator) as (shop, by, now):
        algorithm, version = which(shop, purpose, algorithm, version)
        record = shop.keeper.generate(purpose, algorithm, version, by=by, at=now)
    tell("Key generated", record, as_json=as_json)


@app.command()
def component(
    purpose: Purpose,
    number: Annotated[int, typer.Option("--number", help="Which component this is.", show_default=False)],
    of: Annotated[int, typer.Option("--of", help="How many components the key has.")] = 2,
    algorithm: Algorithm = "",
    version: Version = 0,
    expected: Annotated[str, typer.Option("--check", help="The component's check value on your paper: a typing error is refused.")] = "",
    expected_key: Annotated[str, typer.Option("--key-check", help="The whole key's check value, looked at with the last component.")] = "",
    data: DataDir = DEFAULT_DATA,
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Enter one component of a key: 32 hex digits, typed unseen (or read from standard input). Each by another person.

    The key is formed when all are in, and then waits for a person other than the last to activate it.

    Example: cardcore keys component pboc-load --algorithm tdes --number 1 --check 3F2A91 --as ann
    """
    with opened(data, operator) as (shop, by, now):
        algorithm, version = which(shop, purpose, algorithm, version)
        text = ask_secret(f"Component {number} of {of}")
        record = shop.keeper.component(
            purpose, algorithm, version, number, of, text, by=by, at=now, expected=expected, expected_key=expected_key
        )
    part = next(part for part in record.components if part.number == number)
    note(f"component {number} has the check value {part.check_value.upper()}")
    tell("Component entered", record, as_json=as_json)


# ---------------------------------------------------------------- life
@app.command()
def activate(
    key: KeyId,
    valid_from: Annotated[str, typer.Option("--from", help="Date or time from which it is used; now when left out.")] = "",
    valid_to: Annotated[str, typer.Option("--to", help="Date or time up to which it is used.")] = "",
    data: DataDir = DEFAULT_DATA,
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Confirm a key whose check value you have compared. Not by whoever made it."""
    with opened(data, operator) as (shop, by, now):
        record = shop.keeper.activate(key, by=by, at=now, valid_from=parse_time(valid_from), valid_to=parse_time(valid_to))
    tell("Key activated", record, as_json=as_json)


@app.command()
def retire(
    key: KeyId,
    ends: Annotated[
        str, typer.Option("--ends", help="Date, time or `now`: no card and no later record is served with it from then on.")
    ] = "",
    reason: Reason = "",
    data: DataDir = DEFAULT_DATA,
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Give a key to no further card. Cards that have it go on, unless --ends says until when; --ends now revokes it.

    Works while the service runs, and counts there at once.
    """
    from cardapi.cli.service import reach

    with reach(data, operator=operator) as service:
        body = {"ends_at": parse_time(ends), "reason": reason or "retired on the command line"}
        retired = service.do("retireKey", body, path={"key": key})
    retired = {**retired, "valid_from": local_time(retired["valid_from"]), "valid_to": local_time(retired["valid_to"])}
    details("Key retired", {**retired, "check_value": retired["check_value"].upper()}, as_json=as_json)


@app.command()
def discard(key: KeyId, data: DataDir = DEFAULT_DATA, operator: Operator = "") -> None:
    """Drop a key that was never in use: half entered, or with the wrong check value."""
    with opened(data, operator) as (shop, by, now):
        shop.keeper.discard(key, by=by, at=now)
    say(f"{key} is gone")


@app.command()
def mode(
    to: Annotated[str, typer.Argument(metavar="[production]", help="Leave out to see the mode.")] = "",
    drop_test_keys: Annotated[bool, typer.Option("--drop-test-keys", help="Drop all test keys with the switch.")] = False,
    data: DataDir = DEFAULT_DATA,
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Show whether the store is for tests or in production, or put it into production for good: no test key is taken from then on."""
    from cardapi.app import open_shop
    from cardapi.keys.keyfile import PRODUCTION

    if to not in ("", PRODUCTION):
        raise Mistake("unknown_mode", "the only mode to switch to is production")
    if to:
        with opened(data, operator) as (shop, by, now):
            shop.keeper.set_production(by=by, at=now, drop_test_keys=drop_test_keys)
    with open_shop(data, read_only=True) as shop:
        found = shop.keeper.mode if shop.has_key_file else "none"
    if as_json:
        emit_json({"mode": found})
    else:
        say(f"mode {found}" if found != "none" else "there are no card keys yet")


@app.command()
def passphrase(data: DataDir = DEFAULT_DATA, operator: Operator = "") -> None:
    """Seal the key file anew under another passphrase, or under one for the first time.

    The new one is typed twice, or is the line of standard input after those asked for before it.
    """
    from cardapi.keys.protect import PASSPHRASE

    with opened(data, operator) as (shop, by, now):
        new_one = shop.key_protector(PASSPHRASE, lambda: ask_secret("New passphrase of the card keys", twice=True))
        shop.keeper.protect(new_one, by=by, at=now)
    say("the key file opens with the new passphrase only; change the file or credential that the service reads it from")
