"""What a purchase SAM does for DESFire cards: it knows the debit and read keys, answers a card's challenge, and lends the session.

Commands of its own, as the application notes of real modules are not public:
80 D0 key number, 00: key version 1, UID 7, challenge 16 -> the answer to the card, 32
80 D2 00 00: the card's proof, 32 -> transaction identifier 4, session keys for cipher and MAC, 16 each
80 D4 00 00 -> the next terminal number, 4, which it shares with purchases from purses

Session keys are good for one card until it leaves; the master keys never come out.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from firmware_sim import apdu, ciphers
from firmware_sim.apdu import Command, need
from firmware_sim.card import Entropy
from firmware_sim.desfire import ready
from firmware_sim.desfire.channel import Ev2Channel
from firmware_sim.diversify import diversify
from firmware_sim.nvm import Store
from firmware_sim.testkeys import known_key

ANSWER, FINISH, NUMBER = 0xD0, 0xD2, 0xD4
KEY_INDEX, MAC_WRONG = 0x9403, 0x9302
DEBIT, READ = 2, 3
UID, BLOCK = 7, 16


def test_keys() -> dict[str, bytes]:
    """Objects of a module's memory: the test keys, version 1."""
    return {_name(DEBIT, 1): known_key("desfire-debit"), _name(READ, 1): known_key("desfire-read")}


def _name(number: int, version: int) -> str:
    return f"d{number:x}{version:02x}"


@dataclass(frozen=True, slots=True)
class _Begun:
    key: bytes
    random: bytes
    card_random: bytes


class ValueKeys:
    """The DESFire side of a module; its state is lost with the power and with any other command."""

    def __init__(self, store: Store, entropy: Entropy) -> None:
        self._store = store
        self._entropy = entropy
        self._begun: _Begun | None = None

    def forget(self) -> None:
        """End a handshake under way."""
        self._begun = None

    def execute(self, command: Command) -> bytes:
        """80 D0 or 80 D2. Raises `Refused`."""
        begun, self._begun = self._begun, None
        return self._answer(command) if command.ins == ANSWER else self._finish(command, begun)

    def _answer(self, command: Command) -> bytes:
        need(command.p2 == 0 and command.p1 in (DEBIT, READ), apdu.WRONG_P1P2)
        need(len(command.data) == 1 + UID + BLOCK, apdu.WRONG_LENGTH)
        name = _name(command.p1, command.data[0]).encode()
        need(name in self._store, KEY_INDEX)
        uid, challenge = command.data[1 : 1 + UID], command.data[1 + UID :]
        key = diversify("aes128", self._store.read(name), uid + ready.AID + ready.SYSTEM)
        random = self._entropy(BLOCK)
        card_random = ciphers.cbc_decrypt("aes", key, bytes(BLOCK), challenge)
        self._begun = _Begun(key, random, card_random)
        return ciphers.cbc_encrypt("aes", key, bytes(BLOCK), random + card_random[1:] + card_random[:1])

    def _finish(self, command: Command, begun: _Begun | None) -> bytes:
        need(command.p1 == 0 and command.p2 == 0, apdu.WRONG_P1P2)
        need(len(command.data) == 2 * BLOCK, apdu.WRONG_LENGTH)
        need(begun is not None, apdu.CONDITIONS)
        assert begun is not None
        plain = ciphers.cbc_decrypt("aes", begun.key, bytes(BLOCK), command.data)
        need(hmac.compare_digest(plain[4 : 4 + BLOCK], begun.random[1:] + begun.random[:1]), MAC_WRONG)
        session = Ev2Channel(begun.key, begun.random, begun.card_random, plain[:4])
        return plain[:4] + session.enc_key + session.mac_key
