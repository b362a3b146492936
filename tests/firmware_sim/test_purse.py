"""Goal: the purse keeps its rules: order of commands, PIN, funds, counters, log, records of a compound purchase, blocking.
Method: dialogues between till, SAMs and card, each refusal checked to have changed nothing.
"""

from __future__ import annotations

import dataclasses
import random

import pytest

from firmware_sim import build
from firmware_sim.nvm import Memory
from firmware_sim.pboc import PROFILES, Identity, PurseCard, personalise
from firmware_sim.pboc.layout import Purse
from firmware_sim.pboc.personal import KEYS
from firmware_sim.testkeys import is_test_key, known_key
from tests.firmware_sim.support import h, ok, refused
from tests.firmware_sim.till import PIN, SELECT, Till

BUY = h("805001020B01000003E80000000000010F")


def card_with(purse: Purse, profile: str = "pboc2-3des", **changes) -> PurseCard:
    chosen = dataclasses.replace(PROFILES[profile], **changes)
    memory = Memory()
    personalise(memory, profile=chosen, electronic_purse=purse, electronic_deposit=purse)
    card = PurseCard(memory, chosen)
    card.power_on()
    return card


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_load_purchase_unload_in_every_profile(profile):
    till, card = Till(profile), card_with(Purse(), profile)
    till.load(card, 10000)
    till.purchase(card, 1250)
    till.purchase(card, 1250)
    till.load(card, 300, which=1, kind=1)
    till.purchase(card, 100, which=1, kind=5)
    till.load(card, 200, how=5, which=1, kind=3)
    state = till.state(card)
    assert state["balance 2"] == 7500
    assert state["balance 1"] == 0
    assert state["counters 2"] == ("0001", "0002")
    assert state["counters 1"] == ("0002", "0001")
    assert [record[18:20] for record in state["log"]] == ["03", "05", "01", "06", "06", "02"]


def test_identity_is_what_the_files_say():
    identity = Identity(serial=bytes(range(10)), holder=b"LI LEI")
    card = build.purse_card(identity=identity)
    card.power_on()
    ok(card, SELECT)
    public = ok(card, "00B095001E")
    assert public[10:20] == bytes(range(10))
    assert ok(card, "00B0960006") == b"LI LEI"
    refused(card, "00B0951F01", 0x6B00)
    refused(card, "00B095101E", 0x6C0E)
    refused(card, "00B0990001", 0x6A82)
    refused(card, "00D695000100", 0x6987)


def test_pin_counts_down_locks_and_comes_back():
    card = build.purse_card()
    card.power_on()
    ok(card, SELECT)
    refused(card, "0020000003654321", 0x63C2)
    ok(card, PIN)
    refused(card, "0020000003654321", 0x63C2)
    card.reset()
    ok(card, SELECT)
    refused(card, "0020000003654321", 0x63C1)
    refused(card, "805E010007654321FF111111", 0x63C0)
    refused(card, PIN, 0x6983)
    refused(card, "0020000001" + "12", 0x6700)
    refused(card, "0020000103123456", 0x6A88)
    # Unblock: a challenge, the PIN enciphered and the MAC under the card's unblock key.
    suite, key = card.suite, card.suite.chain(known_key("unblock-pin"), Identity().factors(card.profile.diversify_by))
    sealed = suite.seal(key, h("998877"))
    head = h("84240000") + bytes((len(sealed) + 4,))
    refused(card, head + sealed + bytes(4), 0x6985)
    challenge = ok(card, "0084000004")
    refused(card, head + sealed + bytes(4), 0x6988)
    challenge = ok(card, "0084000004")
    ok(card, head + sealed + suite.line_mac(key, challenge, head + sealed))
    ok(card, "0020000003998877")
    # The same command again is a replay: its challenge is used up.
    refused(card, head + sealed + suite.line_mac(key, challenge, head + sealed), 0x6985)


def test_change_and_reload_of_the_pin():
    card = build.purse_card()
    card.power_on()
    ok(card, SELECT)
    ok(card, "805E010007123456FF0000" + "77")
    refused(card, PIN, 0x63C2)
    ok(card, "0020000003000077")
    key = card.suite.chain(known_key("reload-pin"), Identity().factors(card.profile.diversify_by))
    mac = card.suite.mac(card.suite.fold(key), h("4321"))
    refused(card, h("805E0000064321") + bytes(4), 0x6988)
    ok(card, h("805E0000064321") + mac)
    ok(card, "00200000024321")


def test_pin_is_needed_for_load_and_once_only():
    till, card = Till(), card_with(Purse(500))
    ok(card, SELECT)
    load = h("805000020B01000000640000000000" + "0110")
    refused(card, load, 0x6982)
    refused(card, "805001010B01000000640000000000010F", 0x6982)
    ok(card, "805001020B01000000640000000000010F")
    till.load(card, 100)
    refused(card, load, 0x6982)


@pytest.mark.parametrize(
    ("purse", "command", "status"),
    [
        (Purse(999), BUY, 0x9401),
        (Purse(1000, 0, 0xFFFF), BUY, 0x9402),
        (Purse(1000), h("805001020B02000003E80000000000010F"), 0x9403),
        (Purse(1000), h("805001030B01000003E80000000000010F"), 0x6A86),
        (Purse(1000), h("805006020B01000003E80000000000010F"), 0x6A86),
        (Purse(1000), h("805002020B01000003E80000000000010F"), 0x6A86),
        (Purse(1000), h("805001020A01000003E800000000000F"), 0x6700),
        (Purse(1000), h("805401000F") + bytes(15) + b"\x08", 0x6985),
        (Purse(1000), h("805200000B") + bytes(11) + b"\x04", 0x6985),
        (Purse(1000), h("805403000B") + bytes(11) + b"\x04", 0x6985),
        (Purse(1000), h("805800000E") + bytes(14) + b"\x04", 0x6985),
        (Purse(0xFFFFFFFF), h("805000020B01000000010000000000" + "0110"), 0x6985),
        (Purse(1000), h("805A00060200" + "0008"), 0x9406),
        (Purse(1000), h("80510000"), 0x6D00),
        (Purse(1000), h("C0500000"), 0x6E00),
        (Purse(1000), h("0050010200"), 0x6E00),
        (Purse(1000), h("00A4040007D276000085010000"), 0x6A82),
        (Purse(1000), h("00B20BC417"), 0x6A83),
        (Purse(1000), h("00B201AC17"), 0x6981),
        (Purse(1000), h("8050"), 0x6700),
        (Purse(1000), h("80500102FF01"), 0x6700),
    ],
)
def test_refusals_change_nothing(purse, command, status):
    card = card_with(purse)
    ok(card, SELECT)
    ok(card, PIN)
    before = bytes(card.memory.cells)
    refused(card, command, status)
    assert bytes(card.memory.cells) == before


def test_a_wrong_mac_or_another_command_ends_the_transaction():
    till, card = Till(), card_with(Purse(5000))
    debit = till.open_purchase(card, 1000)
    wrong = bytearray(debit)
    wrong[-2] ^= 1
    before = bytes(card.memory.cells)
    refused(card, bytes(wrong), 0x9302)
    refused(card, debit, 0x6985)
    debit = till.open_purchase(card, 1000)
    ok(card, "805C000204")
    refused(card, debit, 0x6985)
    assert bytes(card.memory.cells) == before
    load = bytearray(till.open_load(card, 1000))
    load[-2] ^= 1
    refused(card, bytes(load), 0x9302)
    assert till.balance(card) == 5000
    debit = till.open_purchase(card, 1000)
    ok(card, debit)
    refused(card, debit, 0x6985)
    assert till.balance(card) == 4000


def test_counter_at_its_last_value():
    till, card = Till(), card_with(Purse(5000, 0xFFFE, 0xFFFE))
    till.purchase(card, 10)
    refused(card, BUY, 0x9402)
    till.load(card, 10)
    ok(card, PIN)
    refused(card, "805000020B010000000100000000000110", 0x9402)


def test_log_is_cyclic_newest_first():
    till, card = Till(), card_with(Purse(5000))
    for amount in range(1, 13):
        till.purchase(card, amount)
    amounts = [int(record[10:18], 16) for record in till.state(card)["log"]]
    assert amounts == list(range(12, 2, -1))


@pytest.mark.parametrize("by", ["id", "number"])
def test_compound_purchase_commits_purse_and_record_together(by):
    till, card = Till(), card_with(Purse(5000), capp_by=by)
    p2 = "B8" if by == "id" else "BC"
    debit = till.open_purchase(card, 0, how=3, kind=9)
    record = b"\x02" + b"ENTRY 09:30 GATE 4"
    update = h(f"80DC02{p2}") + bytes((len(record),)) + record
    ok(card, update)
    assert ok(card, SELECT)
    assert ok(card, "00B202BC20")[1:] == bytes(31), "nothing before the debit"
    debit = till.open_purchase(card, 350, how=3, kind=9)
    ok(card, update)
    answer = ok(card, debit)
    ok(till.sam, h("8072000004") + answer[4:])
    assert ok(card, "00B202BC20").rstrip(b"\0") == record
    assert till.balance(card) == 4650
    refused(card, update, 0x6985)
    till.open_purchase(card, 1, how=3, kind=9)
    refused(card, h(f"80DC09{p2}02") + b"\x09A", 0x6A83)
    if by == "id":
        till.open_purchase(card, 1, how=3, kind=9)
        refused(card, h(f"80DC02{p2}02") + b"\x03A", 0x6A80)


def line(card: PurseCard, head: str, data: bytes = b"") -> bytes:
    """A maintenance command with its secure messaging MAC."""
    key = card.suite.chain(known_key("maintenance"), Identity().factors(card.profile.diversify_by))
    challenge = ok(card, bytes((0, 0x84, 0, 0, card.profile.challenge_in_iv)))
    start = h(head) + bytes((len(data) + 4,)) + data
    return start + card.suite.line_mac(key, challenge, start)


@pytest.mark.parametrize("challenge", [4, 8])
def test_maintenance_under_secure_messaging(challenge):
    till, card = Till(), card_with(Purse(5000), challenge_in_iv=challenge)
    ok(card, SELECT)
    ok(card, line(card, "04D69600", b"HAN MEIMEI"))
    assert ok(card, "00B096000A") == b"HAN MEIMEI"
    ok(card, line(card, "04DC01BC", b"\x01" + b"x" * 31))
    ok(card, line(card, "841E0000"))
    refused(card, BUY, 0x6A81)
    assert refused(card, SELECT, 0x6283)[:1] == b"\x6f"
    ok(card, line(card, "84180000"))
    till.purchase(card, 10)
    for left in (2, 1, 0):
        command = line(card, "841E0000")
        refused(card, command[:-1] + bytes((command[-1] ^ 1,)), 0x6988)
        assert left >= 0
    refused(card, line(card, "841E0000"), 0x6983)
    other = card_with(Purse(1), challenge_in_iv=challenge)
    ok(other, SELECT)
    ok(other, line(other, "841E0001"))
    refused(other, BUY, 0x9303)
    refused(other, line(other, "84180000"), 0x9303)
    ok(other, line(other, "84160000"))
    refused(other, SELECT, 0x6A81)


def test_keys_are_changed_under_authentication_only():
    card = card_with(Purse(5000))
    ok(card, SELECT)
    factors = Identity().factors(card.profile.diversify_by)
    maintenance = card.suite.chain(known_key("maintenance"), factors)
    new = card.suite.chain(bytes(range(16)), factors)
    sealed = card.suite.seal(maintenance, b"\x02\x00" + new)
    refused(card, line(card, "84D43E01", sealed), 0x6982)
    external = card.suite.chain(known_key("external"), factors)
    challenge = ok(card, "0084000008")
    refused(card, h("0082000008") + bytes(8), 0x63C2)
    challenge = ok(card, "0084000008")
    ok(card, h("0082000008") + card.suite.encrypt_block(external, challenge))
    ok(card, line(card, "84D43E01", sealed))
    assert ok(card, BUY)[9] == 2
    assert ok(card, h("0088000008") + b"12345678") == card.suite.encrypt_block(external, b"12345678")


def test_t0_card_wants_get_response():
    till, card = Till(), card_with(Purse(5000), t0=True, pin_for_load=False)
    answer = card.transmit(SELECT)
    assert answer[0] == 0x61
    fci = card.transmit(h("00C00000") + answer[1:])
    assert fci[:1] == b"\x6f"
    refused(card, "805C000202", 0x6C04)
    refused(card, BUY, 0x610F)
    opened = ok(card, "00C000000F")
    assert opened[:4] == (5000).to_bytes(4, "big")
    refused(card, "00C000000F", 0x6985)
    assert till.sam.powered


def test_too_small_le_does_not_lose_a_committed_answer():
    till, card = Till(), card_with(Purse(5000))
    debit = till.open_purchase(card, 1000)
    refused(card, debit[:-1] + b"\x01", 0x6108)
    assert len(ok(card, "00C0000008")) == 8
    assert till.balance(card) == 4000


def test_purchase_sam_numbers_checks_and_locks():
    till, card = Till(), card_with(Purse(5000))
    assert ok(till.sam, "00B0960006") == till.terminal
    first = till.open_purchase(card, 10)[5:9]
    second = till.open_purchase(card, 10)[5:9]
    assert int.from_bytes(second, "big") == int.from_bytes(first, "big") + 1
    for _ in range(10):
        till.open_purchase(card, 10)
        refused(till.sam, "807200000400000000", 0x9302)
    refused(till.sam, "807200000400000000", 0x6985)
    refused(till.sam, h("807000001C") + bytes(10) + b"\x06" + bytes(7) + b"\x01\x00" + bytes(8) + b"\x08", 0x6983)
    refused(till.issuer, h("8076020029") + bytes(14) + b"\x02" + bytes(6) + b"\x01" + bytes(19), 0x9302)


def test_the_wrong_till_is_refused_by_the_card():
    """A terminal that changes the amount between card and SAM gets nothing."""
    till, card = Till(), card_with(Purse(5000))
    honest = till.open_purchase(card, 1000)
    ok(card, h("805001020B01000000010000000000010F"))
    refused(card, honest, 0x9302)
    assert till.balance(card) == 5000


def test_random_dialogue_keeps_the_books():
    """A seeded workload against a plain sum: no balance, counter or log entry other than the sum says."""
    rng, till, card = random.Random(20261122), Till(), card_with(Purse(0))
    balance = loads = buys = 0
    for _ in range(120):
        amount = rng.randrange(0, 3000)
        if rng.random() < 0.4:
            till.load(card, amount)
            balance, loads = balance + amount, loads + 1
        elif amount <= balance:
            till.purchase(card, amount)
            balance, buys = balance - amount, buys + 1
        else:
            ok(card, SELECT)
            refused(card, BUY[:6] + amount.to_bytes(4, "big") + BUY[10:], 0x9401)
    state = till.state(card)
    assert state["balance 2"] == balance
    assert state["counters 2"] == (f"{loads:04x}", f"{buys:04x}")
    assert loads > 20
    assert buys > 20


def test_test_keys_are_known_as_such():
    assert all(is_test_key(known_key(name)) for name in KEYS)
    assert not is_test_key(bytes(16))
    with pytest.raises(ValueError, match="no test key"):
        known_key("production")
