"""The issuer's load SAM (ISAM): checks what a card offers for load, unload and overdraw update, permits it, and checks the proof.

Its two commands are this simulator's own, since makes of load SAMs differ; the bytes they check and make are those of the purse.

    80 76 kind-of-key 00  balance 4, counter 2, [old limit 3], random 4, amount or new limit, type 1, terminal 6, key version 1,
                          MAC1 4, date 4, time 3, factors of 8 innermost first        -> MAC2 4, or 9302
    80 78 00 00           TAC (load, update) or MAC3 (unload) 4                       -> 9000, or 9302
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from firmware_sim import apdu
from firmware_sim.apdu import Command, Refused, need
from firmware_sim.card import Card, Entropy
from firmware_sim.nvm import Memory, Store
from firmware_sim.pboc.profile import PROFILES, Profile
from firmware_sim.pboc.suite import Suite
from firmware_sim.testkeys import known_key

MAC_WRONG, KEY_INDEX = 0x9302, 0x9403
# Type: letter of the master key, bytes of amount or limit.
KINDS = {0x01: ("load", 4), 0x02: ("load", 4), 0x03: ("unload", 4), 0x07: ("overdraw", 3)}
PURPOSES = ("load", "unload", "overdraw", "tac")


def _key_name(purpose: str, version: int) -> bytes:
    return b"k" + bytes((PURPOSES.index(purpose), version)) + b"."


@dataclass(frozen=True, slots=True)
class _Open:
    expected: bytes


class LoadSam(Card):
    """A load SAM with master keys for load, unload, overdraw and TAC."""

    description = "load SAM"
    ATR = bytes.fromhex("3B6800004953414D54455354")  # historical bytes: ISAMTEST

    def __init__(self, memory: Memory, profile: Profile = PROFILES["pboc2-3des"], entropy: Entropy = secrets.token_bytes) -> None:
        super().__init__(memory, entropy)
        self.suite = Suite(profile.cipher, profile.tac_key)
        self.start()

    @staticmethod
    def personalise(memory: Memory, keys: Mapping[str, bytes] | None = None, *, version: int = 1) -> None:
        """Fill a blank module with master keys by purpose (test keys when absent). Raises ValueError when it is not blank."""
        store = Store(memory)
        store.load()
        if store.names():
            raise ValueError("the module holds keys already")
        transaction = store.begin()
        for purpose in PURPOSES:
            transaction.create(_key_name(purpose, version), keys[purpose] if keys else known_key(purpose))
        transaction.commit()

    def start(self) -> None:
        """Forget the transaction under way."""
        self._open: _Open | None = None

    def execute(self, command: Command) -> bytes:
        """Answer a command. Raises `Refused`."""
        waiting, self._open = self._open, None
        match command.cla, command.ins:
            case 0x00, 0xA4:
                return b"\x90\x00"
            case 0x80, 0x76:
                return self._permit(command) + b"\x90\x00"
            case 0x80, 0x78:
                need(waiting is not None, apdu.CONDITIONS)
                assert waiting is not None
                need(hmac.compare_digest(waiting.expected, command.data), MAC_WRONG)
                return b"\x90\x00"
            case 0x00 | 0x80, _:
                raise Refused(apdu.WRONG_INS)
            case _:
                raise Refused(apdu.WRONG_CLA)

    def _permit(self, command: Command) -> bytes:
        need(command.p1 in KINDS and command.p2 == 0, apdu.WRONG_P1P2)
        purpose, amount_size = KINDS[command.p1]
        updating = purpose == "overdraw"
        data = memoryview(command.data)

        def take(size: int) -> bytes:
            nonlocal data
            need(len(data) >= size, apdu.WRONG_LENGTH)
            taken, data = bytes(data[:size]), data[size:]
            return taken

        balance, counter, old_limit = take(4), take(2), take(3 if updating else 0)
        random, amount, kind, terminal, version = take(4), take(amount_size), take(1), take(6), take(1)
        mac1, stamp, factors = take(4), take(7), bytes(data)
        need(kind[0] == command.p1, apdu.WRONG_DATA)
        need(bool(factors) and len(factors) % 8 == 0, apdu.WRONG_LENGTH)
        levels = [factors[i : i + 8] for i in range(0, len(factors), 8)][::-1]
        name, tac_name = _key_name(purpose, version[0]), _key_name("tac", version[0])
        need(name in self.store and tac_name in self.store, KEY_INDEX)
        key = self.suite.process_key(self.suite.chain(self.store.read(name), levels), random + counter + b"\x80\x00")
        need(hmac.compare_digest(self.suite.mac(key, balance, old_limit or amount, kind, terminal), mac1), MAC_WRONG)
        moved = int.from_bytes(amount, "big") - int.from_bytes(old_limit, "big")
        after = int.from_bytes(balance, "big") + (-moved if purpose == "unload" else moved)
        need(0 <= after <= 0xFFFFFFFF, apdu.CONDITIONS)
        proof = after.to_bytes(4, "big") + counter + amount + kind + terminal + stamp
        tac_key = self.suite.chain(self.store.read(tac_name), levels)
        self._open = _Open(self.suite.mac(key, proof) if purpose == "unload" else self.suite.tac(tac_key, proof))
        return self.suite.mac(key, amount, kind, terminal, stamp)
