"""Where to pull the card: `54#3:answer:0` is the third 54 command, after 0 bytes of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from firmware_sim.nvm import Power, PowerCut

Where = Literal["command", "memory", "answer"]


@dataclass(slots=True)
class Tear:
    """One cut of power: before the card sees the command, at a memory byte that it writes, or at a byte of its answer."""

    ins: int
    occurrence: int
    where: Where
    byte: int = 0

    @classmethod
    def parse(cls, text: str) -> Tear:
        """Read `INS[#K]:command`, `INS[#K]:memory:N` or `INS[#K]:answer:N`. Raises ValueError with the sentence for the user."""
        form = f"{text!r} is no tear point; write INS[#K]:command, INS[#K]:memory:N or INS[#K]:answer:N, like 54#3:answer:0"
        target, _, rest = text.partition(":")
        where, _, byte = rest.partition(":")
        ins, _, occurrence = target.partition("#")
        if where not in get_args(Where) or (where == "command") == bool(byte):
            raise ValueError(form)
        try:
            found = cls(int(ins, 16), int(occurrence or "1"), cast(Where, where), int(byte or "0"))
        except ValueError as error:
            raise ValueError(form) from error
        if not 0 <= found.ins <= 0xFF or found.occurrence < 1 or found.byte < 0:
            raise ValueError(form)
        return found

    def meet(self, command: bytes, power: Power) -> bool:
        """Called with each command before the card acts: arms the cut when its turn has come.

        True when it is armed: it is for this command only. Raises `PowerCut`.
        """
        if len(command) < 2 or command[1] != self.ins or self.occurrence == 0:
            return False
        self.occurrence -= 1
        if self.occurrence:
            return False
        if self.where == "command":
            raise PowerCut
        if self.where == "memory":
            power.cut_at_memory_byte(self.byte)
        else:
            power.cut_at_answer_byte(self.byte)
        return True
