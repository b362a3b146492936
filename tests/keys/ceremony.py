"""What the suites of keys share: a journal that is a list, keepers with a cheap passphrase, and components with their key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cardapi.keys.keeper import Keeper
from cardapi.keys.keyfile import PRODUCTION, Event, Record
from cardapi.keys.port import KeyInfo
from cardapi.keys.protect import PassphraseProtector, Protector, RootProtector
from cardcore.crypto import Key

NOW = 1_800_000_000
PASSPHRASE = "correct horse battery"
ANN, BOB, EVE = "ann", "bob", "eve"

# Two components and the key they make, worked by hand: each octet of the key is the XOR of the two above it.
FIRST, SECOND = "8F0F1C1F2BD4A0B9E6AD03E3D2F2A377", "112233445566778899AABBCCDDEEFF01"
WHOLE = "9E2D2F5B7EB2D7317F07B82F0F1C5C76"


class ListJournal:
    """`keeper.Journal` in a list."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.broken = False

    def newest(self) -> tuple[int, str]:
        return max(((d["generation"], d["digest"]) for d in self.documents), default=(0, ""))

    def record(self, name: str, document: dict[str, Any], event: Event) -> None:
        if self.broken:
            raise OSError("the machine stopped here")
        assert name == document["id"]
        assert event.what == document["event"]
        self.documents.append(document)


def passphrase(text: str = PASSPHRASE) -> PassphraseProtector:
    """The cheapest cost that the file allows."""
    return PassphraseProtector(lambda: text, memory_kib=8_192, passes=1, lanes=1)


def root() -> RootProtector:
    return RootProtector(bytes(range(32)))


def made(path: Path, journal: ListJournal, mode: str = PRODUCTION, protector: Protector | None = None) -> Keeper:
    return Keeper.create(path, protector or passphrase(), journal, mode=mode, by=ANN, at=NOW)


def reopened(path: Path, journal: ListJournal, protector: Protector | None = None) -> Keeper:
    return Keeper.open(path, protector or passphrase(), journal)


def enter(keeper: Keeper, number: int, text: str, by: str, **more: str) -> Record:
    """One of two components of the load key."""
    return keeper.component("pboc-load", "tdes", 1, number, 2, text, by=by, at=NOW, **more)


def active(keeper: Keeper, purpose: str = "pboc-load", algorithm: str = "tdes", version: int = 1) -> KeyInfo:
    """A generated key in use."""
    name = keeper.generate(purpose, algorithm, version, by=ANN, at=NOW).id
    return keeper.activate(name, by=BOB, at=NOW).info()


def octets_of(key: Key) -> bytes:
    with key.lend() as lent:
        return bytes(lent)
