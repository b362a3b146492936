"""Write docs/reference.md from the program's own tables: `python tools/reference.py` (`make docs`).

A tidy test compares the file with what this would write, so the document cannot fall behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[1] / "docs" / "reference.md"

OPENING = """# Reference

Generated from the program by `make docs`; edit the program instead. [api.md](api.md) tells how the parts work together.
"""


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def codes() -> str:
    """Every code an answer can carry, with its status."""
    from cardapi.http.problems import PROBLEMS
    from cardcore.errors import DECLINE_CODES

    declined = [(f"`{code}`", text) for code, text in sorted(DECLINE_CODES.items())]
    others = [(f"`{code}`", str(kind.status), kind.title) for code, kind in sorted(PROBLEMS.items()) if code not in DECLINE_CODES]
    return (
        "\n## Declines\n\nOutcomes of a programme or a card: status 409, recorded under the client key, the same answer for a retry.\n\n"
        + table(("code", "meaning"), declined)
        + "\n## Other problems\n\nNothing was recorded, unless the meaning says otherwise.\n\n"
        + table(("code", "status", "meaning"), others)
    )


def operations() -> str:
    """Every operation of the API, by tag."""
    from cardapi.http.operations import OPERATIONS

    text = "\n## Operations\n\n(key): the call needs an `Idempotency-Key`. Roles: who may call it, within their scope.\n"
    for tag in dict.fromkeys(operation.tag for operation in OPERATIONS):
        rows = [
            (
                f"`{operation.id}`",
                f"{operation.method} `{operation.path}`",
                operation.summary + (" (key)" if operation.keyed else ""),
                ", ".join(sorted(operation.roles)) or "anyone",
            )
            for operation in OPERATIONS
            if operation.tag == tag
        ]
        text += f"\n### {tag}\n\n" + table(("operation", "call", "does", "roles"), rows)
    return text


def commands() -> str:
    """Every command of the command line with its first sentence."""
    from typer.main import get_command

    from cardapi.cli.root import app

    def walk(command: Any, name: str) -> Iterator[tuple[str, str]]:
        children = getattr(command, "commands", {})
        if children:
            for child in sorted(children):
                yield from walk(children[child], f"{name} {child}")
        elif not command.hidden:
            yield f"`{name}`", " ".join((command.help or "").split("\n\n")[0].split())

    return "\n## Commands\n\n`--help` of each tells its options.\n\n" + table(("command", "does"), walk(get_command(app), "cardcore"))


def document() -> str:
    """The whole of docs/reference.md."""
    return OPENING + commands() + operations() + codes()


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
