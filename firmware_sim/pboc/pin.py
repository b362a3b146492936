"""The PIN of the application. Each try is counted in memory before it is compared, so that pulling the card saves no guess."""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import TYPE_CHECKING

from firmware_sim import apdu
from firmware_sim.apdu import Command, Refused, need
from firmware_sim.pboc.layout import Key, KeyUse, PinState

if TYPE_CHECKING:
    from firmware_sim.pboc.card import PurseCard

PIN_BYTES = range(2, 7)


def _save(card: PurseCard, pin: PinState) -> None:
    card.store.begin().write(PinState.NAME, pin.pack()).commit()


def _present(card: PurseCard, identifier: int, offered: bytes) -> PinState:
    """Count a try, compare, and give the tries back when right. Raises `Refused` 63Cx or 6983."""
    pin = PinState.read(card.store)
    need(identifier == pin.identifier, apdu.KEY_NOT_FOUND)
    need(pin.tries_left > 0, apdu.BLOCKED)
    pin = replace(pin, tries_left=pin.tries_left - 1)
    _save(card, pin)
    if not hmac.compare_digest(offered, pin.value):
        card.pin_verified = False
        raise Refused(apdu.TRIES_LEFT | pin.tries_left)
    pin = replace(pin, tries_left=pin.tries)
    _save(card, pin)
    return pin


def verify(card: PurseCard, command: Command) -> bytes:
    """00 20 00 id: PIN as BCD bytes. Without data it tells the tries left and takes none (ISO/IEC 7816-4, 11.5.6)."""
    need(command.p1 == 0, apdu.WRONG_P1P2)
    if not command.data:
        pin = PinState.read(card.store)
        need(command.p2 == pin.identifier, apdu.KEY_NOT_FOUND)
        raise Refused(apdu.TRIES_LEFT | pin.tries_left if pin.tries_left else apdu.BLOCKED)
    need(len(command.data) in PIN_BYTES, apdu.WRONG_LENGTH)
    _present(card, command.p2, command.data)
    card.pin_verified = True
    return b""


def change_or_reload(card: PurseCard, command: Command) -> bytes:
    """80 5E: P1 01 change (old || FF || new), P1 00 reload (new PIN || MAC4 under the reload key, halves XORed, IV 0)."""
    if command.p1 == 0x01:
        return _change(card, command)
    if command.p1 == 0x00:
        return _reload(card, command)
    raise Refused(apdu.WRONG_P1P2)


def _change(card: PurseCard, command: Command) -> bytes:
    old, separator, new = command.data.partition(b"\xff")
    need(len(separator) == 1 and len(old) in PIN_BYTES and len(new) in PIN_BYTES, apdu.WRONG_LENGTH)
    need(b"\xff" not in new, apdu.WRONG_DATA)
    pin = _present(card, command.p2, old)
    _save(card, replace(pin, value=new))
    return b""


def _reload(card: PurseCard, command: Command) -> bytes:
    new, mac = command.data[:-4], command.data[-4:]
    need(len(new) in PIN_BYTES, apdu.WRONG_LENGTH)
    pin = PinState.read(card.store)
    need(command.p2 == pin.identifier, apdu.KEY_NOT_FOUND)
    need(b"\xff" not in new, apdu.WRONG_DATA)
    key = Key.find(card.store, KeyUse.RELOAD_PIN, 1)
    need(key is not None, apdu.KEY_NOT_FOUND)
    assert key is not None
    card.count_key_use(KeyUse.RELOAD_PIN, 1, hmac.compare_digest(card.suite.mac(card.suite.fold(key.value), new), mac))
    _save(card, replace(pin, value=new, tries_left=pin.tries))
    return b""


def unblock(card: PurseCard, command: Command) -> bytes:
    """84 24 00 id: enciphered PIN || MAC4, both under the PIN unblock key; needs a fresh challenge."""
    need(command.p1 == 0, apdu.WRONG_P1P2)
    pin = PinState.read(card.store)
    need(command.p2 == pin.identifier, apdu.KEY_NOT_FOUND)
    sealed = card.open_line(command, KeyUse.UNBLOCK_PIN, 1)
    key = Key.find(card.store, KeyUse.UNBLOCK_PIN, 1)
    assert key is not None, "open_line has found the key"
    new = card.suite.unseal(key.value, sealed)
    need(new is not None and len(new) in PIN_BYTES and b"\xff" not in new, apdu.WRONG_DATA)
    assert new is not None
    _save(card, replace(pin, value=new, tries_left=pin.tries))
    return b""
