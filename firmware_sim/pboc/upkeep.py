"""Challenges, authentication, blocking, and the writing of keys: commands of the issuer rather than of the till."""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import TYPE_CHECKING

from firmware_sim import apdu
from firmware_sim.apdu import Command, Refused, need
from firmware_sim.pboc.layout import BLOCKED_FOR_A_TIME, BLOCKED_FOR_GOOD, CARD_BLOCKED, OPEN, Key, KeyUse

if TYPE_CHECKING:
    from firmware_sim.pboc.card import PurseCard

KEY_USES = frozenset(int(use) for use in KeyUse)


def get_challenge(card: PurseCard, command: Command) -> bytes:
    """00 84 00 00 Le 04 or 08."""
    need(command.p1 == 0 and command.p2 == 0, apdu.WRONG_P1P2)
    need(not command.data and command.expected in (4, 8), apdu.WRONG_LENGTH)
    assert command.expected is not None
    card.challenge = card.entropy(command.expected)
    return card.challenge


def external_authenticate(card: PurseCard, command: Command) -> bytes:
    """00 82 00 key: E(key, challenge padded with zeros to a block). 63Cx when wrong."""
    need(command.p1 == 0, apdu.WRONG_P1P2)
    need(len(command.data) == card.suite.block_size, apdu.WRONG_LENGTH)
    challenge, card.challenge = card.challenge, b""
    need(bool(challenge), apdu.CONDITIONS)
    key = Key.find(card.store, KeyUse.EXTERNAL, command.p2)
    need(key is not None, apdu.KEY_NOT_FOUND)
    assert key is not None
    need(key.tries_left > 0, apdu.BLOCKED)
    name = Key.name(KeyUse.EXTERNAL, command.p2)
    card.store.begin().write(name, replace(key, tries_left=key.tries_left - 1).pack()).commit()
    expected = card.suite.encrypt_block(key.value, challenge.ljust(card.suite.block_size, b"\x00"))
    if not hmac.compare_digest(expected, command.data):
        raise Refused(apdu.TRIES_LEFT | key.tries_left - 1)
    card.store.begin().write(name, replace(key, tries_left=key.tries).pack()).commit()
    card.authenticated = True
    return b""


def internal_authenticate(card: PurseCard, command: Command) -> bytes:
    """00 88 00 key: E(key, one block)."""
    need(command.p1 == 0, apdu.WRONG_P1P2)
    need(len(command.data) == card.suite.block_size, apdu.WRONG_LENGTH)
    key = Key.find(card.store, KeyUse.EXTERNAL, command.p2)
    need(key is not None, apdu.KEY_NOT_FOUND)
    assert key is not None
    return card.suite.encrypt_block(key.value, command.data)


def block_application(card: PurseCard, command: Command) -> bytes:
    """84 1E 00: P2 00 for a time, 01 for good."""
    need(command.p1 == 0 and command.p2 in (0, 1), apdu.WRONG_P1P2)
    need(card.application_state() != BLOCKED_FOR_GOOD, 0x9303)
    _no_data(card.open_line(command, KeyUse.MAINTENANCE, 1))
    card.set_application_state(BLOCKED_FOR_GOOD if command.p2 else BLOCKED_FOR_A_TIME)
    return b""


def unblock_application(card: PurseCard, command: Command) -> bytes:
    """84 18 00 00: undo a block for a time."""
    need(command.p1 == 0 and command.p2 == 0, apdu.WRONG_P1P2)
    need(card.application_state() != BLOCKED_FOR_GOOD, 0x9303)
    need(card.application_state() == BLOCKED_FOR_A_TIME, apdu.CONDITIONS)
    _no_data(card.open_line(command, KeyUse.MAINTENANCE, 1))
    card.set_application_state(OPEN)
    return b""


def block_card(card: PurseCard, command: Command) -> bytes:
    """84 16 00 00: nothing works ever after."""
    need(command.p1 == 0 and command.p2 == 0, apdu.WRONG_P1P2)
    _no_data(card.open_line(command, KeyUse.MAINTENANCE, 1))
    card.set_application_state(CARD_BLOCKED)
    return b""


def _no_data(data: bytes) -> None:
    need(not data, apdu.WRONG_LENGTH)


def write_key(card: PurseCard, command: Command) -> bytes:
    """84 D4 use index: seal(version, algorithm, 16 key bytes) under the maintenance key || MAC4 replaces a key of the card.

    Needs EXTERNAL AUTHENTICATE before. The form is this simulator's own: makes of cards differ. Keys never travel in clear.
    """
    need(command.cla == 0x84, apdu.MAC_MISSING)
    need(command.p1 in KEY_USES, apdu.WRONG_P1P2)
    need(card.authenticated, apdu.SECURITY_STATUS)
    old = Key.find(card.store, command.p1, command.p2)
    need(old is not None, apdu.KEY_NOT_FOUND)
    assert old is not None
    maintenance = Key.find(card.store, KeyUse.MAINTENANCE, 1)
    sealed = card.open_line(command, KeyUse.MAINTENANCE, 1)
    assert maintenance is not None, "open_line has found the key"
    plain = card.suite.unseal(maintenance.value, sealed)
    need(plain is not None and len(plain) == 18, apdu.WRONG_DATA)
    assert plain is not None
    new = replace(old, version=plain[0], algorithm=plain[1], value=plain[2:], tries_left=old.tries)
    card.store.begin().write(Key.name(command.p1, command.p2), new.pack()).commit()
    return b""
