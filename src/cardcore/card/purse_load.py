"""Moving money between the account and the card, online: load and unload. The server holds the keys; the station never sees them."""

from __future__ import annotations

from dataclasses import dataclass

from cardcore.card.apdu import Command
from cardcore.card.dialogue import Dialogue, Intend, ToSam, ask
from cardcore.card.purse import ED, EP, Application, initialize_online
from cardcore.crypto import pboc


@dataclass(frozen=True, slots=True)
class Permit:
    """Ask the server to check MAC1 and permit the step; answered by MAC2 (4 octets), or InvalidMac is raised."""

    application: Application
    kind: int
    amount: int
    terminal: bytes
    at: bytes
    balance: int
    counter: int
    random: bytes
    key_version: int
    algorithm: int
    mac1: bytes

    @property
    def balance_after(self) -> int:
        """What the purse holds when the step has been done."""
        return self.balance + (-self.amount if self.kind == pboc.UNLOAD else self.amount)


@dataclass(frozen=True, slots=True)
class CheckProof:
    """Have the server check the card's TAC of a load or MAC3 of an unload; answered by None, or InvalidMac is raised."""

    permit: Permit
    proof: bytes


@dataclass(frozen=True, slots=True)
class OnlineIntent:
    """What is written before the command that moves the money."""

    permit: Permit
    purse: int

    @property
    def application(self) -> Application:
        """The card it is about."""
        return self.permit.application


@dataclass(frozen=True, slots=True)
class Moved:
    """A finished load or unload. `proof` is the TAC of a load, MAC3 of an unload."""

    intent: OnlineIntent
    proof: bytes


def load(application: Application, amount: int, terminal: bytes, at: bytes, *, purse: int = EP, key_index: int = 1) -> Dialogue[Moved]:
    """Put `amount` fen on the card. Cards want the PIN verified before. Raises CardRefused, UnexpectedAnswer, InvalidMac."""
    kind = pboc.LOAD_EP if purse == EP else pboc.LOAD_ED
    permit, intent, mac2 = yield from _permitted(0x00, application, kind, amount, terminal, at, purse, key_index)
    yield Intend(intent)
    tac = yield from ask(Command(0x80, 0x52, 0x00, 0x00, at + mac2, expected=4), octets=4)
    yield ToSam(CheckProof(permit, tac))
    return Moved(intent, tac)


def unload(application: Application, amount: int, terminal: bytes, at: bytes, *, purse: int = ED, key_index: int = 1) -> Dialogue[Moved]:
    """Take `amount` fen back to the account; most makes allow it for ED only. Raises as `load`."""
    permit, intent, mac2 = yield from _permitted(0x05, application, pboc.UNLOAD, amount, terminal, at, purse, key_index)
    yield Intend(intent)
    mac3 = yield from ask(Command(0x80, 0x54, 0x03, 0x00, at + mac2, expected=4), octets=4)
    yield ToSam(CheckProof(permit, mac3))
    return Moved(intent, mac3)


def _permitted(
    p1: int, application: Application, kind: int, amount: int, terminal: bytes, at: bytes, purse: int, key_index: int
) -> Dialogue[tuple[Permit, OnlineIntent, bytes]]:
    opened = yield from initialize_online(p1, purse, key_index, amount, terminal)
    permit = Permit(
        application, kind, amount, terminal, at, opened.balance, opened.counter, opened.random, opened.key_version, opened.algorithm,
        opened.mac1,
    )  # fmt: skip
    mac2: bytes = yield ToSam(permit)
    return permit, OnlineIntent(permit, purse), mac2
