"""A card in the hand and a module beside it, without readers: for dialogues of a till in this process."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cardapi.pcsc import offline
from cardapi.pcsc.drive import drive
from cardapi.pcsc.errors import CardRemoved
from cardapi.pcsc.identify import identify
from cardcore.card import purse
from firmware_sim.card import Card
from firmware_sim.nvm import PowerCut


def now() -> datetime:
    """The till's clock in these tests."""
    return datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


class Held:
    """A card in the hand: a line that is cut when the card is."""

    def __init__(self, card: Card) -> None:
        self.card = card
        card.power_on()

    def transmit(self, command: bytes) -> bytes:
        try:
            return self.card.transmit(command)
        except PowerCut:
            raise CardRemoved("torn out") from None


class NearModule(offline.Module):
    """The module without a reader."""

    def __init__(self, card: Card, make: purse.Make | None = None) -> None:
        self.line, self.make = Held(card), make or purse.Make()
        self.terminal = bytes.fromhex(self.ask(lambda: identify(self.make)).number)

    def ask(self, dialogue: Any) -> Any:
        return drive(dialogue(), self.line)

    def close(self) -> None:
        pass
