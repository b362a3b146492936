"""Goal: every command explains itself, and help is there at once. Method: walk the tree of commands; look at what is imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from cardapi.cli.root import app
from tests.cli.shop import ENVIRONMENT

HEAVY = ("fastapi", "numpy", "sqlalchemy", "duckdb", "uvicorn", "rich.console", "cryptography", "argon2", "cardapi.app", "cardapi.http")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, child in getattr(command, "commands", {}).items():
        yield " ".join((*path, name)), child
        yield from commands(child, (*path, name))


ALL = dict(commands(get_command(app)))


def test_the_commands_of_the_issue_are_there():
    cards = ("issue", "show", "activate", "topup", "pay", "freeze", "unfreeze", "lost", "swap", "statement", "pin")
    wanted = {f"card {verb}" for verb in cards} | {
        "init", "serve", "demo", "scheme check", "scheme show", "scheme list", "replay", "close", "verify", "rebuild", "export", "backup",
        "restore", "openapi", "version", "sign", "terminal create", "terminal list", "terminal revoke", "terminal rotate", "unit create",
        "unit list", "user create", "user grant", "user list", "user revoke", "user password",
    }  # fmt: skip
    assert wanted <= set(ALL)


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_command_and_option_has_help(name: str):
    command = ALL[name]
    assert command.help, "no help"
    assert command.help.split("\n")[0].endswith((".", ":"))
    silent = [parameter.name for parameter in command.params if not getattr(parameter, "help", "")]
    assert not silent


def test_every_listing_has_json():
    listings = [name for name in ALL if name.split()[-1] in {"list", "show", "statement", "verify", "trial", "close", "export", "replay"}]
    assert listings
    for name in listings:
        assert any("--json" in parameter.opts for parameter in ALL[name].params), name


def test_help_imports_nothing_heavy():
    code = f"import sys; from cardapi.cli.root import app; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_help_prints():
    done = subprocess.run(
        [sys.executable, "-m", "cardapi.cli", "card", "pay", "--help"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Example: cardcore card pay" in done.stdout
