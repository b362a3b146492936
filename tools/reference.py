"""Write docs/reference.md from the program's own tables: `python tools/reference.py` (`make docs`).

A tidy test compares the file with what this would write, so the document cannot fall behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

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


def document() -> str:
    """The whole of docs/reference.md."""
    return OPENING + codes()


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
