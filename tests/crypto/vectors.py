"""The vector files of tests/vectors as pytest parameters. Each file names its source; each vector says published or self-generated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "vectors"


def read(name: str) -> list[dict[str, Any]]:
    """All vectors of one file."""
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["vectors"]


def cases(name: str, *kinds: str) -> list[Any]:
    """The vectors of the kinds, as parameters named by their id. A kind without vectors is a mistake in the test."""
    found = [pytest.param(vector, id=vector["id"]) for vector in read(name) if vector["kind"] in kinds]
    assert {vector["kind"] for vector in read(name)} >= set(kinds), f"{name} has no vectors of some of {kinds}"
    return found


def octets(text: str) -> bytes:
    """Hex of a vector file as octets."""
    return bytes.fromhex(text)
