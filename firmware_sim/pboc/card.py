"""The purse card: which command goes where, selection, reading, secure messaging, and what a command leaves behind."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import replace

from firmware_sim import apdu
from firmware_sim.apdu import Command, Refused, need
from firmware_sim.card import Card, Entropy
from firmware_sim.nvm import Memory, MemoryFull
from firmware_sim.pboc import files, pin, purse, upkeep
from firmware_sim.pboc.layout import (
    APPLICATION,
    BLOCKED_FOR_A_TIME,
    BLOCKED_FOR_GOOD,
    CARD_BLOCKED,
    OPEN,
    File,
    Key,
    KeyUse,
)
from firmware_sim.pboc.profile import PROFILES, Profile
from firmware_sim.pboc.purse import Pending
from firmware_sim.pboc.suite import Suite

Handler = Callable[["PurseCard", Command], bytes]

HANDLERS: dict[tuple[int, int], Handler] = {
    (0x00, 0xA4): files.select,
    (0x00, 0xB0): files.read_binary,
    (0x00, 0xB2): files.read_record,
    (0x00, 0xD6): files.update_binary,
    (0x04, 0xD6): files.update_binary,
    (0x00, 0xDC): files.update_record,
    (0x04, 0xDC): files.update_record,
    (0x00, 0x84): upkeep.get_challenge,
    (0x00, 0x82): upkeep.external_authenticate,
    (0x00, 0x88): upkeep.internal_authenticate,
    (0x00, 0x20): pin.verify,
    (0x80, 0x5E): pin.change_or_reload,
    (0x84, 0x24): pin.unblock,
    (0x84, 0x1E): upkeep.block_application,
    (0x84, 0x18): upkeep.unblock_application,
    (0x84, 0x16): upkeep.block_card,
    (0x80, 0xD4): upkeep.write_key,
    (0x84, 0xD4): upkeep.write_key,
    (0x80, 0x5C): purse.get_balance,
    (0x80, 0x50): purse.initialize,
    (0x80, 0x52): purse.credit_for_load,
    (0x80, 0x54): purse.debit,
    (0x80, 0x58): purse.update_overdraw_limit,
    (0x80, 0x5A): purse.get_transaction_proof,
    (0x80, 0xDC): purse.update_capp_cache,
    (0x84, 0xDC): purse.update_capp_cache,
}
KNOWN_CLA = frozenset(cla for cla, _ in HANDLERS)
KNOWN_INS = frozenset(ins for _, ins in HANDLERS)
PURSE_INS = frozenset((0x50, 0x52, 0x54, 0x58, 0x5A, 0x5C, 0x5E, 0x20, 0x24))
COMMIT_INS = frozenset((0x52, 0x54, 0x58))
KEEPS_PENDING = COMMIT_INS | {0x84, 0xDC, 0xC0}  # commit commands take it themselves
WITHOUT_APPLICATION = frozenset((0xA4, 0xB2, 0x84))
FRESH_CHALLENGE_FOR = frozenset((0x82, 0x24, 0x1E, 0x18, 0x16, 0xD6, 0xDC, 0xD4))


class PurseCard(Card):
    """A personalised purse card (see `personal.personalise`)."""

    def __init__(self, memory: Memory, profile: Profile = PROFILES["pboc2-3des"], entropy: Entropy = secrets.token_bytes) -> None:
        super().__init__(memory, entropy)
        self.profile = profile
        self.description = f"purse card {profile.name}"
        self.suite = Suite(profile.cipher, profile.tac_key)
        self.pending: Pending | None = None
        self.start()

    def start(self) -> None:
        """Forget selection, PIN, challenge, authentication and the transaction under way."""
        self.in_application = False
        self.current_file: File | None = None
        self.pin_verified = False
        self.authenticated = False
        self.challenge = b""
        self.pending = None
        self._held_back = b""

    def execute(self, command: Command) -> bytes:
        """Answer a command; any command but the matching one ends a pending transaction."""
        if command.ins == 0xC0 and command.cla == 0:
            return self._get_response(command)
        self._held_back = b""
        if command.ins not in KEEPS_PENDING:
            self.pending = None
        try:
            handler = self._find(command)
            data = handler(self, command)
        except MemoryFull as full:
            raise Refused(apdu.NO_SPACE) from full
        except Refused:
            if command.ins in KEEPS_PENDING and command.ins != 0xC0:
                self.pending = None
            raise
        finally:
            if command.ins in FRESH_CHALLENGE_FOR:
                self.challenge = b""
        return self._deliver(command, data)

    def _find(self, command: Command) -> Handler:
        need(command.cla in KNOWN_CLA, apdu.WRONG_CLA)
        need(command.ins in KNOWN_INS, apdu.WRONG_INS)
        handler = HANDLERS.get((command.cla, command.ins))
        need(handler is not None, apdu.WRONG_CLA)
        assert handler is not None
        state = self.application_state()
        need(state != CARD_BLOCKED, apdu.NOT_SUPPORTED)
        need(self.in_application or command.ins in WITHOUT_APPLICATION, apdu.NO_CURRENT_FILE)
        if command.ins in PURSE_INS:
            need(state != BLOCKED_FOR_GOOD, 0x9303)
            need(state != BLOCKED_FOR_A_TIME, self.profile.blocked_status)
        return handler

    def _deliver(self, command: Command, data: bytes) -> bytes:
        """Data and 9000; with T=0 behaviour the data of a command with a body waits for GET RESPONSE."""
        if self.profile.t0 and data and command.data:
            self._held_back = data
            return bytes((0x61, len(data) & 0xFF))
        if data and command.expected is not None and command.expected < len(data):
            # A wrong Le shows the right one. The data waits for GET RESPONSE, so that a committed answer is not lost.
            self._held_back = data
            return bytes((0x6C if command.ins not in COMMIT_INS else 0x61, len(data) & 0xFF))
        return data + b"\x90\x00"

    def _get_response(self, command: Command) -> bytes:
        data = self._held_back
        need(bool(data), apdu.CONDITIONS)
        if command.expected is not None and command.expected < len(data):
            raise Refused(0x6C00 | len(data) & 0xFF)
        self._held_back = b""
        return data + b"\x90\x00"

    def application_state(self) -> int:
        """OPEN, blocked for a time or for good, or the whole card blocked."""
        return self.store.read(APPLICATION)[0] if APPLICATION in self.store else CARD_BLOCKED

    def set_application_state(self, state: int) -> None:
        """Change it durably."""
        assert OPEN <= state <= CARD_BLOCKED, "a known state"
        self.store.begin().write(APPLICATION, bytes((state,))).commit()

    def tac_key(self) -> bytes:
        """The card's TAC key. Raises `Refused` 9403 on a card without one."""
        key = Key.find(self.store, KeyUse.TAC, 0)
        need(key is not None, purse.KEY_INDEX)
        assert key is not None
        return key.value

    def file_by_sfi(self, sfi: int, expected: int | None = None) -> File:
        """The file with this short identifier; 00 means the current one. Raises `Refused`."""
        found = self.current_file if sfi == 0 else File.find(self.store, sfi)
        need(found is not None and (expected is None or found.number == expected), apdu.FILE_NOT_FOUND)
        assert found is not None
        # Read again: a committed write may have moved the header of the selected file.
        return File.find(self.store, found.number) or found

    def count_key_use(self, use: int, index: int, right: bool) -> None:
        """Take a try of the key in memory, give all back when it was right. Raises `Refused` 6988, or 6983 when none is left."""
        key = Key.find(self.store, use, index)
        need(key is not None, apdu.KEY_NOT_FOUND)
        assert key is not None
        need(key.tries_left > 0, apdu.BLOCKED)
        name = Key.name(use, index)
        self.store.begin().write(name, replace(key, tries_left=key.tries_left - 1).pack()).commit()
        need(right, apdu.MAC_WRONG_SM)
        self.store.begin().write(name, replace(key, tries_left=key.tries).pack()).commit()

    def open_line(self, command: Command, use: int, index: int) -> bytes:
        """Data of a command under secure messaging, its MAC checked and removed. Uses up the challenge. Raises `Refused`."""
        need(len(command.data) >= 4, apdu.MAC_MISSING)
        challenge, self.challenge = self.challenge, b""
        need(len(challenge) == self.profile.challenge_in_iv, apdu.CONDITIONS)
        key = Key.find(self.store, use, index)
        need(key is not None, apdu.KEY_NOT_FOUND)
        assert key is not None
        data, mac = command.data[:-4], command.data[-4:]
        message = command.header() + bytes((len(command.data) & 0xFF,)) + data
        right = hmac.compare_digest(self.suite.line_mac(key.value, challenge, message), mac)
        self.count_key_use(use, index, right)
        return data
