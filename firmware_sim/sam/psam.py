"""The purchase SAM of a terminal (PSAM): bound to one terminal id, numbers every purchase, makes MAC1, checks MAC2.

It holds purchase master keys only; load and TAC keys stay with the issuer. The terminal number rises in memory before MAC1 leaves
the module, so that no cut of power makes it give one number to two purchases.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from firmware_sim import apdu
from firmware_sim.apdu import Command, need
from firmware_sim.card import Card, Entropy
from firmware_sim.nvm import Memory, Store
from firmware_sim.pboc.profile import PROFILES, Profile
from firmware_sim.pboc.suite import Suite
from firmware_sim.sam import value
from firmware_sim.testkeys import known_key

NUMBER_MAX = 0xFFFFFFFF
TERMINAL_ID_SFI = 0x16
MAC_WRONG, COUNTER_AT_MAXIMUM, KEY_INDEX = 0x9302, 0x9402, 0x9403
DEBIT_KINDS = frozenset((0x04, 0x05, 0x06, 0x09))
_TERMINAL, _NUMBER, _TRIES = b"terminal", b"number", b"tries"


@dataclass(frozen=True, slots=True)
class _Open:
    process_key: bytes
    amount: bytes


class PurchaseSam(Card):
    """A PSAM. Commands: 00 A4 select (any), 00 B0 96 00 06 terminal id, 80 70 init for purchase, 80 72 credit; for DESFire see `value`.

    Args:
        memory: personalised by `PurchaseSam.personalise`.
        profile: cipher of the cards it meets.
    """

    description = "purchase SAM"
    ATR = bytes.fromhex("3B6800005053414D54455354")  # historical bytes: PSAMTEST

    def __init__(self, memory: Memory, profile: Profile = PROFILES["pboc2-3des"], entropy: Entropy = secrets.token_bytes) -> None:
        super().__init__(memory, entropy)
        self.suite = Suite(profile.cipher, profile.tac_key)
        self.value = value.ValueKeys(self.store, entropy)
        self.start()

    @staticmethod
    def personalise(
        memory: Memory,
        terminal_id: bytes,
        *,
        purchase_keys: Mapping[int, bytes] | None = None,
        number: int = 0,
        mac_tries: int = 10,
    ) -> None:
        """Bind a blank module to a terminal. Raises ValueError for a wrong id or a module that is bound already.

        Args:
            terminal_id: 6 bytes.
            purchase_keys: master keys by version; version 1 of the test key when absent.
            number: last terminal number used.
            mac_tries: wrong MAC2 in a row before the module locks.
        """
        store = Store(memory)
        store.load()
        if store.names() or len(terminal_id) != 6:
            raise ValueError("a blank memory and a terminal id of 6 bytes are needed")
        keys = purchase_keys or {1: known_key("purchase")}
        transaction = store.begin().create(_TERMINAL, terminal_id).create(_NUMBER, number.to_bytes(4, "big"))
        transaction.create(_TRIES, bytes((mac_tries, mac_tries)))
        for version, key in keys.items():
            transaction.create(b"k" + bytes((version,)) + b".", key)
        for name, key in value.test_keys().items():
            transaction.create(name.encode(), key)
        transaction.commit()

    def start(self) -> None:
        """Forget what is under way."""
        self._open: _Open | None = None
        self.value.forget()

    def execute(self, command: Command) -> bytes:
        """Answer a command. Raises `Refused`."""
        purchase, self._open = self._open, None
        if command.cla == 0x80 and command.ins in (value.ANSWER, value.FINISH):
            return self.value.execute(command) + b"\x90\x00"
        self.value.forget()
        match command.cla, command.ins:
            case 0x00, 0xA4:
                return b"\x90\x00"
            case 0x00, 0xB0:
                need((command.p1, command.p2) == (0x80 | TERMINAL_ID_SFI, 0), apdu.FILE_NOT_FOUND)
                return self.store.read(_TERMINAL) + b"\x90\x00"
            case 0x80, 0x70:
                return self._init_for_purchase(command) + b"\x90\x00"
            case 0x80, 0x72:
                return self._credit(command, purchase) + b"\x90\x00"
            case 0x80, value.NUMBER:
                need(command.p1 == 0 and command.p2 == 0, apdu.WRONG_P1P2)
                return self._next_number() + b"\x90\x00"
            case 0x00 | 0x80, _:
                raise apdu.Refused(apdu.WRONG_INS)
            case _:
                raise apdu.Refused(apdu.WRONG_CLA)

    def _init_for_purchase(self, command: Command) -> bytes:
        """Random 4, counter 2, amount 4, type 1, date 4, time 3, key version 1, algorithm 1, factors of 8 innermost first."""
        need(command.p1 == 0 and command.p2 == 0, apdu.WRONG_P1P2)
        data = command.data
        need(len(data) >= 28 and (len(data) - 20) % 8 == 0, apdu.WRONG_LENGTH)
        random, counter, amount, kind, stamp = data[:4], data[4:6], data[6:10], data[10:11], data[11:18]
        need(kind[0] in DEBIT_KINDS, apdu.WRONG_DATA)
        name = b"k" + data[18:19] + b"."
        need(name in self.store, KEY_INDEX)
        need(self.store.read(_TRIES)[1] > 0, apdu.BLOCKED)
        taken = self._next_number()
        factors = [data[i : i + 8] for i in range(20, len(data), 8)]
        card_key = self.suite.chain(self.store.read(name), reversed(factors))
        process_key = self.suite.process_key(card_key, random + counter + taken[2:])
        self._open = _Open(process_key, amount)
        return taken + self.suite.mac(process_key, amount, kind, self.store.read(_TERMINAL), stamp)

    def _next_number(self) -> bytes:
        """The terminal number of the next purchase, 4; taken for ever before it leaves the module."""
        number = int.from_bytes(self.store.read(_NUMBER), "big")
        need(number < NUMBER_MAX, COUNTER_AT_MAXIMUM)
        taken = (number + 1).to_bytes(4, "big")
        self.store.begin().write(_NUMBER, taken).commit()
        return taken

    def _credit(self, command: Command, purchase: _Open | None) -> bytes:
        """MAC2 4: right, or 9302 and one try less."""
        need(command.p1 == 0 and command.p2 == 0, apdu.WRONG_P1P2)
        need(len(command.data) == 4, apdu.WRONG_LENGTH)
        need(purchase is not None, apdu.CONDITIONS)
        assert purchase is not None
        most, left = self.store.read(_TRIES)
        right = hmac.compare_digest(self.suite.mac(purchase.process_key, purchase.amount), command.data)
        if not right:
            self.store.begin().write(_TRIES, bytes((most, left - 1))).commit()
        elif left != most:
            self.store.begin().write(_TRIES, bytes((most, most))).commit()
        need(right, MAC_WRONG)
        return b""
