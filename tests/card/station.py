"""A driver for tests: a simulated card, our own seals in place of SAMs, and a list of intents in place of a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cardcore.card import Answer, psam, seals
from cardcore.card.dialogue import Dialogue, Intend, ToCard, ToSam
from cardcore.card.purse import Make
from cardcore.card.purse_debit import CheckPurchase, SealPurchase
from cardcore.card.purse_load import CheckProof, Permit
from cardcore.card.purse_proof import JudgeProof
from cardcore.crypto import Key, pboc
from firmware_sim import build
from firmware_sim.card import Card
from firmware_sim.nvm import PowerCut
from firmware_sim.testkeys import known_key

TERMINAL = build.TEST_TERMINAL
AT = bytes.fromhex("20261122093000")
PIN = bytes.fromhex("123456")


class Torn(Exception):
    """The card was pulled out."""


@dataclass
class Station:
    """Answers the questions of a dialogue. With `module` the purchase side is a simulated PSAM, spoken to by APDU; without
    `judges` nobody can judge a proof, as at an offline terminal."""

    make: Make
    card: Card
    module: Card | None = None
    judges: bool = True
    intents: list[Any] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seals = seals.PurchaseSeals(self.make, self.master("purchase"), TERMINAL)

    def master(self, purpose: str) -> Key:
        return Key(self.make.profile.cipher, known_key(purpose))

    def run(self, dialogue: Dialogue[Any]) -> Any:
        """The whole dialogue; its result. Raises what it raises, and Torn."""
        return self._drive(dialogue, self.card)

    def _drive(self, dialogue: Dialogue[Any], card: Card) -> Any:
        answer: Any = None
        failure: Exception | None = None
        while True:
            try:
                question = dialogue.throw(failure) if failure else dialogue.send(answer)
            except StopIteration as done:
                return done.value
            answer, failure = None, None
            try:
                answer = self._answer(question, card)
            except Torn:
                dialogue.close()
                raise
            except Exception as error:  # thrown back in at the yield, as a driver does
                failure = error

    def _answer(self, question: Any, card: Card) -> Any:
        match question:
            case ToCard(command):
                self.sent.append(command.encode())
                try:
                    return Answer.decode(card.transmit(command.encode()))
                except PowerCut as cut:
                    raise Torn from cut
            case Intend(intent):
                self.intents.append(intent)
            case ToSam(SealPurchase() as request):
                return self._drive(psam.seal(self.make, request), self.module) if self.module else self.seals.seal(request)
            case ToSam(CheckPurchase() as request):
                return self._drive(psam.check(request), self.module) if self.module else self.seals.check(request.mac2)
            case ToSam(Permit() as request):
                return seals.permit(self.make, self.master("unload" if request.kind == pboc.UNLOAD else "load"), request)
            case ToSam(CheckProof() as request):
                seals.check_proof(self.make, self.master("unload" if request.permit.kind == pboc.UNLOAD else "tac"), request)
            case ToSam(JudgeProof() as request):
                return seals.judge(self.make, self.master("tac"), self.master("unload"), request) if self.judges else None
            case _:
                raise AssertionError(f"no answer to {question}")
        return None
