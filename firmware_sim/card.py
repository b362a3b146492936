"""What every simulated chip has in common: power, reset, the command loop, and the answer that can be cut short."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from firmware_sim.apdu import Command, Refused
from firmware_sim.nvm import Memory, PowerCut, Store
from firmware_sim.tear import Tear

Entropy = Callable[[int], bytes]


class Card:
    """A chip in the field or in a slot. Subclasses answer commands in `execute` and forget volatile state in `start`.

    Args:
        memory: where its state lives; a blank memory is a chip before personalisation.
        entropy: source of its random numbers, `secrets.token_bytes` unless a test wants to know them.
    """

    ATR = bytes.fromhex("3B8080010101")
    description = "card"

    def __init__(self, memory: Memory, entropy: Entropy = secrets.token_bytes) -> None:
        self.memory = memory
        self.power = memory.power
        self.store = Store(memory)
        self.entropy = entropy
        self.powered = False
        self.tears: list[Tear] = []

    def power_on(self) -> bytes:
        """Bring the card into the field; recovers its memory. Returns the ATR. Raises `PowerCut` when a cut was set for that."""
        self.powered = False
        self.store.load()
        self.start()
        self.powered = True
        return self.ATR

    def power_off(self) -> None:
        """Take the card away; everything volatile is lost."""
        self.powered = False

    def reset(self) -> bytes:
        """Warm reset: off and on. Returns the ATR."""
        self.power_off()
        return self.power_on()

    def transmit(self, command: bytes) -> bytes:
        """Answer a command APDU: data and status word, always at least two bytes.

        Raises `PowerCut` if power fails while the card works or answers (`answer` holds the bytes that were sent) or is off already.
        """
        if not self.powered:
            raise PowerCut
        try:
            armed = [tear for tear in self.tears if tear.meet(command, self.power)]
            answer = self._answer(command)
        except PowerCut:
            self.power_off()
            raise
        sent = self.power.pay_answer(len(answer))
        if sent < len(answer):
            self.power_off()
            raise PowerCut(answer[:sent])
        if armed:
            self.power.disarm()
        return answer

    def _answer(self, raw: bytes) -> bytes:
        try:
            return self.execute(Command.parse(raw))
        except Refused as refusal:
            return refusal.answer()

    def start(self) -> None:
        """Forget everything volatile."""
        raise NotImplementedError

    def execute(self, command: Command) -> bytes:
        """Answer a command: data and status word. Raises `Refused`."""
        raise NotImplementedError
