"""An issuer for tests: answers the questions of personalisation with the simulator's test keys, over a simulated card."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from cardcore.card import Answer, desfire_issue, issue_seals
from cardcore.card.dialogue import Dialogue, Intend, ToCard, ToSam
from cardcore.card.purse import Application, Make
from cardcore.crypto import Key
from cardcore.crypto.diversify import an10922
from cardcore.crypto.diversify import pboc as diversify
from firmware_sim.card import Card
from firmware_sim.desfire import ready
from firmware_sim.nvm import PowerCut
from firmware_sim.testkeys import known_key
from tests.card.station import Torn

NEW = Application(
    issuer=bytes.fromhex("1000000010000000"), kind=2, version=1, serial=bytes.fromhex("00001234567890123456"),
    valid_from=bytes.fromhex("20260101"), valid_to=bytes.fromhex("20361231"),
)  # fmt: skip


@dataclass
class Issuer:
    """Runs a dialogue against a card. `cut_after` tears the card out instead of its n-th answer."""

    card: Card
    make: Make | None = None
    application: Application = NEW
    uid: bytes = b""
    wrong: str = ""  # the key that this issuer has not
    cut_after: int = -1
    master: str = "master"
    sent: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(7)

    def fetch(self, name: str) -> Key:
        """The key of this card by its short name."""
        if name == "card":  # the simulator has no test key for it
            octets = b"own master key 1"
        else:
            octets = known_key({"tmac": "desfire-transaction-mac"}.get(name, f"desfire-{name}") if self.uid else name)
        if name == self.wrong:
            octets = bytes(octet ^ 0xAA for octet in octets)
        if self.uid:
            return an10922(Key("aes", octets), self.uid + ready.AID + ready.SYSTEM)
        assert self.make is not None
        master = Key(self.make.profile.cipher, octets)
        return master if name == "transport" else diversify(master, self.application.factors(self.make))

    def run(self, dialogue: Dialogue[Any]) -> Any:
        """The result. Raises what the dialogue raises, and Torn."""
        answer: Any = None
        while True:
            try:
                question = dialogue.send(answer)
            except StopIteration as done:
                return done.value
            answer = self._answer(question)

    def _answer(self, question: Any) -> Any:
        match question:
            case ToCard(command):
                self.sent.append(command.encode())
                try:
                    answer = self.card.transmit(command.encode())
                except PowerCut as cut:
                    raise Torn from cut
                if len(self.sent) - 1 == self.cut_after:
                    self.card.power_off()
                    raise Torn
                return Answer.decode(answer)
            case Intend():
                return None
            case ToSam(request) if self.uid:
                return issue_seals.answer_desfire(self.fetch, self._random.randbytes(16), request, master=self.master)
            case ToSam(request):
                assert self.make is not None
                return issue_seals.answer_purse(self.make, self.fetch, request)
        raise AssertionError(f"no answer to {question}")


def layout(*, ev2: bool = True, key_version: int = 1) -> desfire_issue.Layout:
    """The purse of `firmware_sim.desfire.ready`."""
    return desfire_issue.Layout(ready.AID, 1_000_000, key_version, ev2=ev2, mac_file=ready.MAC_FILE if ev2 else None)
