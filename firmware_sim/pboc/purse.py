"""Transactions of the purse: INITIALIZE opens one, its own commit command closes it in a single memory transaction.

Source: PBOC electronic purse, commands 8050, 8052, 8054, 8058, 805A, 80DC as public terminals and FMCOS notes describe them.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from firmware_sim import apdu
from firmware_sim.apdu import Command, Refused, need
from firmware_sim.nvm import Transaction
from firmware_sim.pboc.layout import CAPP_FILE, COUNTER_MAX, LOG_FILE, File, Key, KeyUse, Proof, Purse

if TYPE_CHECKING:
    from firmware_sim.pboc.card import PurseCard

MAC_WRONG, COUNTER_AT_MAXIMUM, KEY_INDEX, PROOF_MISSING = 0x9302, 0x9402, 0x9403, 0x9406
ED, EP = 0x01, 0x02
BALANCE_MAX = 0xFFFFFFFF
KIND_UNLOAD, KIND_UPDATE, KIND_CAPP = 0x03, 0x07, 0x09
# P1 of INITIALIZE: key used, transaction type for each purse.
OPENINGS: dict[int, tuple[KeyUse, dict[int, int]]] = {
    0x00: (KeyUse.LOAD, {ED: 0x01, EP: 0x02}),
    0x01: (KeyUse.PURCHASE, {ED: 0x05, EP: 0x06}),
    0x02: (KeyUse.PURCHASE, {ED: 0x04}),
    0x03: (KeyUse.PURCHASE, {EP: KIND_CAPP}),
    0x04: (KeyUse.OVERDRAW, {ED: KIND_UPDATE}),
    0x05: (KeyUse.UNLOAD, {ED: KIND_UNLOAD, EP: KIND_UNLOAD}),
}
LOADS = frozenset((0x01, 0x02))
DEBITS = frozenset((0x04, 0x05, 0x06, KIND_CAPP))


@dataclass(slots=True)
class Pending:
    """A transaction between INITIALIZE and its commit command; lives in volatile memory."""

    kind: int
    which: int
    amount: bytes
    terminal: bytes
    random: bytes
    key: Key
    process_key: bytes = field(default=b"", repr=False)
    cached: list[tuple[int, bytes]] = field(default_factory=list)


def _u(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def get_balance(card: PurseCard, command: Command) -> bytes:
    """80 5C 00 P2: 4 bytes."""
    need(command.p1 == 0 and command.p2 in (ED, EP), apdu.WRONG_P1P2)
    need(not command.data, apdu.WRONG_LENGTH)
    return _u(Purse.read(card.store, command.p2).balance, 4)


def initialize(card: PurseCard, command: Command) -> bytes:
    """80 50: open a transaction. Checks in the order blocked, key, funds, counter, PIN."""
    profile = card.profile
    need(command.p1 in OPENINGS, apdu.WRONG_P1P2)
    use, kinds = OPENINGS[command.p1]
    which = command.p2
    if command.p1 == 0x04:
        need(which in profile.update_p2, apdu.WRONG_P1P2)
        which = ED
    need(which in kinds and (command.p1 != 0x05 or which in profile.unload_purses), apdu.WRONG_P1P2)
    kind = kinds[which]
    amount_size = 0 if kind == KIND_UPDATE else 4
    need(len(command.data) == 1 + amount_size + 6, apdu.WRONG_LENGTH)
    key = Key.find(card.store, use, command.data[0])
    need(key is not None, KEY_INDEX)
    assert key is not None
    amount, terminal = command.data[1 : 1 + amount_size], command.data[1 + amount_size :]
    purse = Purse.read(card.store, which)
    value = int.from_bytes(amount, "big")
    if kind in LOADS:
        need(purse.balance + value <= BALANCE_MAX, apdu.CONDITIONS)
    elif kind != KIND_UPDATE:
        need(value <= purse.balance, profile.funds_status)
    online = kind not in DEBITS
    counter = purse.online_counter if online else purse.offline_counter
    need(counter < COUNTER_MAX, COUNTER_AT_MAXIMUM)
    wants_pin = profile.pin_for_load if kind in LOADS else profile.pin_for_ed and which == ED and kind != KIND_UPDATE
    need(card.pin_verified or not wants_pin, apdu.SECURITY_STATUS)

    random = card.entropy(4)
    pending = Pending(kind, which, amount, terminal, random, key)
    opened = _u(purse.balance, 4) + _u(counter, 2)
    trailer = bytes((key.version, key.algorithm)) + random
    if online:
        pending.process_key = card.suite.process_key(key.value, random + _u(counter, 2) + b"\x80\x00")
        limit = _u(purse.overdraw_limit, 3) if kind == KIND_UPDATE else b""
        mac1 = card.suite.mac(pending.process_key, _u(purse.balance, 4), limit or amount, bytes((kind,)), terminal)
        answer = opened + limit + trailer + mac1
    else:
        answer = opened + _u(purse.overdraw_limit, 3) + trailer
    card.pending = pending
    return answer


def _take(card: PurseCard, kinds: frozenset[int], command: Command, size: int) -> Pending:
    """The pending transaction of one of these kinds, and no longer pending. Raises `Refused`."""
    pending, card.pending = card.pending, None
    need(pending is not None and pending.kind in kinds, apdu.CONDITIONS)
    need(len(command.data) == size, apdu.WRONG_LENGTH)
    assert pending is not None
    return pending


def _check(expected: bytes, received: bytes) -> None:
    need(hmac.compare_digest(expected, received), MAC_WRONG)


def credit_for_load(card: PurseCard, command: Command) -> bytes:
    """80 52 00 00: date 4, time 3, MAC2 4; answers the TAC."""
    need(command.p1 == 0 and command.p2 == 0, apdu.WRONG_P1P2)
    pending = _take(card, LOADS, command, 11)
    stamp, mac2 = command.data[:7], command.data[7:]
    about = pending.amount + bytes((pending.kind,)) + pending.terminal
    _check(card.suite.mac(pending.process_key, about, stamp), mac2)
    purse = Purse.read(card.store, pending.which)
    after = purse.moved(int.from_bytes(pending.amount, "big"), online=True)
    tac = card.suite.tac(card.tac_key(), _u(after.balance, 4), _u(purse.online_counter, 2), about, stamp)
    _settle(card, pending, after, purse.online_counter, stamp, mac2, tac)
    return tac


def debit(card: PurseCard, command: Command) -> bytes:
    """80 54: P1 01 purchase, withdraw and compound purchase; P1 03 unload."""
    if (command.p1, command.p2) == (0x01, 0x00):
        return _debit_for_purchase(card, command)
    if (command.p1, command.p2) == (0x03, 0x00):
        return _debit_for_unload(card, command)
    raise Refused(apdu.WRONG_P1P2)


def _debit_for_purchase(card: PurseCard, command: Command) -> bytes:
    """Terminal number 4, date 4, time 3, MAC1 4; answers TAC then MAC2."""
    pending = _take(card, DEBITS, command, 15)
    number, stamp, mac1 = command.data[:4], command.data[4:11], command.data[11:]
    purse = Purse.read(card.store, pending.which)
    key = card.suite.process_key(pending.key.value, pending.random + _u(purse.offline_counter, 2) + number[2:])
    about = pending.amount + bytes((pending.kind,)) + pending.terminal
    _check(card.suite.mac(key, about, stamp), mac1)
    mac2 = card.suite.mac(key, pending.amount)
    tac = card.suite.tac(card.tac_key(), about, number, stamp)
    after = purse.moved(-int.from_bytes(pending.amount, "big"), online=False)
    _settle(card, pending, after, purse.offline_counter, stamp, mac2, tac)
    return tac + mac2


def _debit_for_unload(card: PurseCard, command: Command) -> bytes:
    """Date 4, time 3, MAC2 4; answers MAC3. An unload has no TAC: its proof carries zeros there."""
    pending = _take(card, frozenset((KIND_UNLOAD,)), command, 11)
    stamp, mac2 = command.data[:7], command.data[7:]
    about = pending.amount + bytes((pending.kind,)) + pending.terminal
    _check(card.suite.mac(pending.process_key, about, stamp), mac2)
    purse = Purse.read(card.store, pending.which)
    after = purse.moved(-int.from_bytes(pending.amount, "big"), online=True)
    mac3 = card.suite.mac(pending.process_key, _u(after.balance, 4), _u(purse.online_counter, 2), about, stamp)
    _settle(card, pending, after, purse.online_counter, stamp, mac3, bytes(4))
    return mac3


def update_overdraw_limit(card: PurseCard, command: Command) -> bytes:
    """80 58 00 00: new limit 3, date 4, time 3, MAC2 4; answers the TAC."""
    need(command.p1 == 0 and command.p2 == 0, apdu.WRONG_P1P2)
    pending = _take(card, frozenset((KIND_UPDATE,)), command, 14)
    limit, stamp, mac2 = command.data[:3], command.data[3:10], command.data[10:]
    about = limit + bytes((KIND_UPDATE,)) + pending.terminal
    _check(card.suite.mac(pending.process_key, about, stamp), mac2)
    purse = Purse.read(card.store, ED)
    shift = int.from_bytes(limit, "big") - purse.overdraw_limit
    need(purse.balance + shift >= 0, card.profile.funds_status)
    need(purse.balance + shift <= BALANCE_MAX, apdu.CONDITIONS)
    after = purse.moved(shift, online=True, overdraw_limit=int.from_bytes(limit, "big"))
    tac = card.suite.tac(card.tac_key(), _u(after.balance, 4), _u(purse.online_counter, 2), about, stamp)
    pending.amount = limit.rjust(4, b"\x00")
    _settle(card, pending, after, purse.online_counter, stamp, mac2, tac)
    return tac


def _settle(card: PurseCard, pending: Pending, after: Purse, counter: int, stamp: bytes, mac: bytes, tac: bytes) -> None:
    """Purse, log record, proof and cached records, all in one memory transaction; then the security status is gone."""
    transaction: Transaction = card.store.begin()
    transaction.write(Purse.name(pending.which), after.pack())
    log = File.find(card.store, LOG_FILE)
    if log is not None:
        logged = counter + (card.profile.log_counter == "next")
        record = _u(logged, 2) + _u(after.overdraw_limit, 3) + pending.amount + bytes((pending.kind,)) + pending.terminal + stamp
        log.append(transaction, record)
    transaction.write(Proof.NAME, Proof(pending.kind, counter, mac, tac).pack())
    for number, record in pending.cached:
        capp = File.find(card.store, CAPP_FILE)
        assert capp is not None, "records are cached only for a file that is there"
        capp.write(transaction, record, (number - 1) * capp.record_size)
    transaction.commit()
    if card.profile.pin_once:
        card.pin_verified = False


def update_capp_cache(card: PurseCard, command: Command) -> bytes:
    """80/84 DC: keep a record for the compound purchase under way; the debit writes it together with the purse."""
    pending = card.pending
    need(pending is not None and pending.kind == KIND_CAPP, apdu.CONDITIONS)
    assert pending is not None
    sealed = command.cla == 0x84
    need(sealed or not card.profile.capp_mac, apdu.MAC_MISSING)
    data = card.open_line(command, KeyUse.MAINTENANCE, 1) if sealed else command.data
    capp = card.file_by_sfi(command.p2 >> 3, CAPP_FILE)
    by_number = command.p2 & 7 == 4
    need(command.p2 & 7 in (0, 4) and by_number == (card.profile.capp_by == "number"), apdu.WRONG_P1P2)
    number = command.p1 if by_number else capp.number_of(card.store, command.p1)
    need(number is not None and 1 <= number <= capp.used, apdu.RECORD_NOT_FOUND)
    assert number is not None
    need(0 < len(data) <= capp.record_size, apdu.WRONG_LENGTH)
    # A record found by its identifier keeps it, else the debit would lose the record.
    need(by_number or data[0] == command.p1, apdu.WRONG_DATA)
    old = capp.record(card.store, number)
    assert old is not None
    pending.cached = [c for c in pending.cached if c[0] != number] + [(number, data + old[len(data) :])]
    return b""


def get_transaction_proof(card: PurseCard, command: Command) -> bytes:
    """80 5A 00 type, counter 2: MAC2 (MAC3 of an unload) then TAC - the reverse of the order of DEBIT."""
    need(command.p1 == 0, apdu.WRONG_P1P2)
    need(len(command.data) == 2, apdu.WRONG_LENGTH)
    proof = Proof.read(card.store)
    asked = int.from_bytes(command.data, "big")
    ahead = card.profile.proof_counter == "next"
    need(proof is not None and proof.kind == command.p2 and proof.counter + ahead == asked, PROOF_MISSING)
    assert proof is not None
    return proof.mac + proof.tac
