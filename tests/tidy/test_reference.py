"""Goal: docs/reference.md is what the program says. Method: write it again and compare."""

from __future__ import annotations

from tools import reference


def test_the_reference_is_current() -> None:
    assert reference.TARGET.read_text(encoding="utf-8") == reference.document(), "run `make docs` and commit docs/reference.md"
