"""Vectors, hex, and the terminal's side of the dialogues, written against the specification and not against the simulator's classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.card import Card

VECTORS = Path(__file__).parent.parent / "vectors"


def vectors(name: str, *kinds: str) -> list[Any]:
    """Parameters from a vector file, named by their ids; the file must have some of each kind."""
    rows = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))["vectors"]
    for kind in kinds:
        assert any(row["kind"] == kind for row in rows), f"{name} has no {kind}"
    return [pytest.param(row["input"], row["expected"], id=row["id"]) for row in rows if row["kind"] in kinds]


def h(text: str) -> bytes:
    """Bytes of a hex string."""
    return bytes.fromhex(text)


class Script:
    """Random numbers in a known order, then zeros."""

    def __init__(self, *numbers: bytes) -> None:
        self.numbers = list(numbers)

    def __call__(self, size: int) -> bytes:
        number = self.numbers.pop(0) if self.numbers else bytes(size)
        assert len(number) == size, "the script gives what the card asks for"
        return number


def ok(card: Card, command: str | bytes) -> bytes:
    """Transmit and expect 9000 or 9100; the data."""
    raw = h(command) if isinstance(command, str) else command
    answer = card.transmit(raw)
    assert answer[-2:] in (b"\x90\x00", b"\x91\x00"), f"{raw.hex()} -> {answer.hex()}"
    return answer[:-2]


def refused(card: Card, command: str | bytes, status: int) -> bytes:
    """Transmit and expect a status word; the data."""
    raw = h(command) if isinstance(command, str) else command
    answer = card.transmit(raw)
    assert answer[-2:].hex().upper() == f"{status:04X}", f"{raw.hex()} -> {answer.hex()}"
    return answer[:-2]
