"""Goal: value files and transactions of DESFire keep their rules in every channel and mode.
Method: a reader written from the specification against the card; each refusal checked to have changed nothing.
"""

from __future__ import annotations

import random

import pytest

from firmware_sim import build, ciphers
from firmware_sim.desfire import DesfireCard
from firmware_sim.desfire.channel import Ev2Channel
from firmware_sim.desfire.layout import File, TransactionMac
from firmware_sim.nvm import Memory
from tests.firmware_sim.reader import FULL, MAC, PLAIN, Reader, Refusal, le
from tests.firmware_sim.support import h

AID = h("A1B2C3")
MASTER = {"des": bytes(16), "2k": bytes(range(1, 17)), "3k": bytes(range(1, 25)), "aes": bytes(range(16))}
CHANNELS = [
    ("native", 0x00, b"\x11" * 8 + b"\x11" * 8), ("native", 0x00, bytes(range(2, 34, 2))), ("iso", 0x00, bytes(range(2, 34, 2))),
    ("iso", 0x00, b"\x11" * 16), ("iso", 0x40, bytes(range(2, 50, 2))), ("aes", 0x80, bytes(range(16))), ("ev2", 0x80, bytes(range(16))),
]  # fmt: skip
NAMES = ["native-des", "native-2k3des", "iso-2k3des", "iso-des", "iso-3k3des", "aes", "ev2"]


def blank(**options) -> Reader:
    memory = Memory()
    DesfireCard.fresh(memory, h("04A1A2A3A4A5A6"))
    card = DesfireCard(memory, random.Random(3).randbytes, **options)
    card.power_on()
    return Reader(card)


def start_key(key_type: int) -> bytes:
    return bytes(24 if key_type == 0x40 else 16)


def first_kind(key_type: int) -> str:
    return {0x00: "native", 0x40: "iso", 0x80: "aes"}[key_type]


def change_key(reader: Reader, number: int, new: bytes, old: bytes, *, own: bool, version: int = 1) -> None:
    """ChangeKey in the reader's channel, from the specification."""
    tail = bytes((version,)) if reader.kind == "ev2" or (reader.kind == "aes") else b""
    number_byte = bytes((number,))
    sent = new if own else ciphers.xor(new, old)
    if reader.kind == "ev2":
        reader_data = sent + tail + (b"" if own else ciphers.crc32(new))
        iv = ciphers.encrypt("aes", reader.enc, b"\xa5\x5a" + reader.ti + reader.counter.to_bytes(2, "little") + bytes(8))
        sealed = ciphers.cbc_encrypt("aes", reader.enc, iv, ciphers.pad80(reader_data, 16))
        reader.exchange(0xC4, number_byte + sealed + reader.ev2_mac(0xC4, number_byte + sealed))
        reader.counter += 1
    elif reader.kind == "native":
        plain = sent + ciphers.crc16(sent) + (b"" if own else ciphers.crc16(new))
        plain += bytes(-len(plain) % 8)
        sealed, previous = b"", bytes(8)
        for at in range(0, len(plain), 8):
            previous = ciphers.decrypt("des", reader.session, ciphers.xor(plain[at : at + 8], previous))
            sealed += previous
        reader.exchange(0xC4, number_byte + sealed)
    else:
        plain = sent + tail
        plain += ciphers.crc32(b"\xc4" + number_byte + plain) + (b"" if own else ciphers.crc32(new))
        plain += bytes(-len(plain) % reader.block)
        sealed = ciphers.cbc_encrypt(reader.cipher, reader.session, reader.iv, plain)
        reader.iv = sealed[-reader.block :]
        answer = reader.exchange(0xC4, number_byte + sealed)
        if not own:
            assert answer == reader._cmac(b"\x00")
    if own:
        reader.kind = "none"


def shop(kind: str, key_type: int, key: bytes, mode: int, **options) -> Reader:
    """Value files 1 and 2, cyclic log 3, backup 4, linear log 5, standard 6; all rights key 1, change key 0. Session with key 1."""
    reader = blank(**options)
    reader.exchange(0xCA, AID + b"\x0f" + bytes((2 | key_type,)))
    reader.select(AID)
    zero = start_key(key_type)
    reader.authenticate(first_kind(key_type), 0, zero)  # type: ignore[arg-type]
    change_key(reader, 1, key, zero, own=False)
    head = bytes((mode,)) + h("1011")
    reader.plain_command(0xCC, b"\x01" + head + le(0) + le(10000) + le(5000) + b"\x01")
    reader.plain_command(0xCC, b"\x02" + head + le(-100) + le(100) + le(0) + b"\x00")
    reader.plain_command(0xC0, b"\x03" + head + le(16, 3) + le(4, 3))
    reader.plain_command(0xCB, b"\x04" + head + le(300, 3))
    reader.plain_command(0xC1, b"\x05" + head + le(8, 3) + le(2, 3))
    reader.plain_command(0xCD, b"\x06" + head + le(100, 3))
    reader.select(AID)
    reader.authenticate(kind, 1, key)  # type: ignore[arg-type]
    return reader


def again(reader: Reader, kind: str, key: bytes) -> None:
    reader.select(AID)
    reader.authenticate(kind, 1, key)  # type: ignore[arg-type]


def refusal(call, *arguments, **named) -> int:
    with pytest.raises(Refusal) as caught:
        call(*arguments, **named)
    return caught.value.status


AES_KEY = bytes(range(16))


@pytest.mark.parametrize("mode", [PLAIN, MAC, FULL], ids=["plain", "mac", "full"])
@pytest.mark.parametrize(("kind", "key_type", "key"), CHANNELS, ids=NAMES)
def test_every_channel_and_mode(kind, key_type, key, mode):
    reader = shop(kind, key_type, key, mode)
    assert reader.value(1, mode) == 5000
    reader.move(0xDC, 1, 1250, mode)
    assert reader.value(1, mode) == 5000, "uncommitted"
    reader.move(0x0C, 2, 100, mode)
    reader.write(0x3B, 3, b"12.50", 2, mode)
    reader.write(0x3D, 4, bytes(range(250)) + b"end", 40, mode)
    reader.write(0x3D, 6, b"at once", 1, mode)
    assert reader.read(0xBD, 6, 1, 7, mode) == b"at once"
    assert reader.read(0xBD, 4, 0, 0, mode) == bytes(300)
    reader.plain_command(0xC7)
    assert (reader.value(1, mode), reader.value(2, mode)) == (3750, 100)
    assert reader.read(0xBB, 3, mode=mode) == b"\0\0" + b"12.50" + bytes(9)
    assert reader.read(0xBD, 4, 40, 253, mode) == bytes(range(250)) + b"end"
    reader.move(0x1C, 1, 250, mode)
    reader.plain_command(0xC7)
    assert reader.value(1, mode) == 4000
    reader.move(0xDC, 1, 1, mode)
    reader.plain_command(0xA7)
    assert reader.value(1, mode) == 4000
    assert refusal(reader.plain_command, 0xC7) == 0x0C


@pytest.mark.parametrize(("kind", "key_type", "key"), CHANNELS, ids=NAMES)
def test_small_frames_make_one_command(kind, key_type, key):
    reader = shop(kind, key_type, key, FULL)
    reader.frame = 52
    reader.write(0x3D, 4, bytes(range(256)), 0, FULL)
    reader.plain_command(0xC7)
    assert reader.read(0xBD, 4, 0, 256, FULL) == bytes(range(256))
    assert reader.read(0xAD, 4, 0, 256, FULL) == bytes(range(256))


@pytest.mark.parametrize(("kind", "key_type", "key"), CHANNELS, ids=NAMES)
@pytest.mark.parametrize("mode", [MAC, FULL], ids=["mac", "full"])
def test_a_changed_command_moves_nothing(kind, key_type, key, mode):
    for bit in range(8):
        reader = shop(kind, key_type, key, mode)
        reader.move(0xDC, 1, 1, mode)
        honest = reader.card.transmit

        def flipped(command: bytes, bit: int = bit, send=honest) -> bytes:
            body = bytearray(command)
            body[-2 - bit % 4] ^= 1 << bit
            return send(bytes(body))

        reader.card.transmit = flipped  # type: ignore[method-assign]
        assert refusal(reader.move, 0xDC, 1, 1000, mode) == 0x1E
        reader.card.transmit = honest  # type: ignore[method-assign]
        assert not reader.card.pending
        # The session is gone too.
        assert reader.raw(0x6C, b"\x01") == (b"", 0xAE)
        again(reader, kind, key)
        assert reader.value(1, mode) == 5000


def test_bounds_of_a_value_file():
    reader = shop("ev2", 0x80, AES_KEY, MAC)
    reader.move(0x0C, 1, 5000, MAC)
    assert refusal(reader.move, 0x0C, 1, 1, MAC) == 0xBE
    again(reader, "ev2", AES_KEY)
    assert reader.value(1, MAC) == 5000, "the error dropped the pending credit"
    reader.move(0xDC, 1, 5000, MAC)
    assert refusal(reader.move, 0xDC, 1, 1, MAC) == 0xBE
    again(reader, "ev2", AES_KEY)
    assert refusal(reader.move, 0xDC, 1, -1, MAC) == 0xBE
    again(reader, "ev2", AES_KEY)
    assert refusal(reader.move, 0x0C, 1, 0x7FFFFFFF, MAC) == 0xBE
    again(reader, "ev2", AES_KEY)
    reader.move(0xDC, 2, 100, MAC)
    reader.plain_command(0xC7)
    assert reader.value(2, MAC) == -100
    assert refusal(reader.move, 0xDC, 2, 1, MAC) == 0xBE


def test_limited_credit_once_and_up_to_the_last_debits():
    reader = shop("ev2", 0x80, AES_KEY, MAC)

    def refused_limited(amount: int) -> None:
        assert refusal(reader.move, 0x1C, 1, amount, MAC) == 0xBE
        again(reader, "ev2", AES_KEY)

    refused_limited(1)
    reader.move(0xDC, 1, 300, MAC)
    reader.move(0xDC, 1, 200, MAC)
    reader.plain_command(0xC7)
    refused_limited(501)
    reader.move(0x1C, 1, 400, MAC)
    assert refusal(reader.move, 0x1C, 1, 1, MAC) == 0xBE
    again(reader, "ev2", AES_KEY)
    reader.move(0x1C, 1, 400, MAC)
    reader.plain_command(0xC7)
    assert reader.value(1, MAC) == 4900
    refused_limited(1)
    reader.move(0xDC, 1, 10, MAC)
    reader.plain_command(0xC7)
    reader.move(0x0C, 1, 10, MAC)
    reader.plain_command(0xC7)
    refused_limited(1)
    assert refusal(reader.move, 0x1C, 2, 0, MAC) == 0x9D


def test_records_newest_and_oldest():
    reader = shop("aes", 0x80, AES_KEY, PLAIN)
    for number in range(1, 6):
        reader.write(0x3B, 3, bytes((number,)) * 16)
        reader.write(0x3B, 3, b"!", 15)
        reader.plain_command(0xC7)
    rows = reader.read(0xBB, 3)
    # Room for four keeps three; oldest first.
    assert [rows[i] for i in range(0, 48, 16)] == [3, 4, 5]
    assert reader.read(0xBB, 3, 0, 1)[0] == 5
    assert reader.read(0xBB, 3, 2, 1)[0] == 3
    assert refusal(reader.read, 0xBB, 3, 2, 2) == 0xBE
    again(reader, "aes", AES_KEY)
    for number in range(2):
        reader.write(0x3B, 5, bytes((number,)) * 8)
        reader.plain_command(0xC7)
    assert refusal(reader.write, 0x3B, 5, bytes(8)) == 0xBE
    again(reader, "aes", AES_KEY)
    reader.plain_command(0xEB, b"\x05")
    assert len(reader.read(0xBB, 5)) == 16, "cleared by the commit only"
    reader.plain_command(0xC7)
    assert refusal(reader.read, 0xBB, 5) == 0xBE
    again(reader, "aes", AES_KEY)
    reader.write(0x3B, 5, b"first   ")
    reader.plain_command(0xC7)
    assert reader.read(0xBB, 5) == b"first   "


def test_rights_are_asked_for():
    reader = shop("ev2", 0x80, AES_KEY, MAC)
    reader.select(AID)
    assert reader.raw(0x6C, b"\x01")[1] == 0xAE
    assert reader.raw(0xDC, b"\x01" + le(1))[1] == 0xAE
    reader.authenticate("ev2", 0, bytes(16))
    assert refusal(reader.value, 1, MAC) == 0xAE
    reader.select(AID)
    reader.authenticate("ev2", 0, bytes(16))
    # Free reading, never writing, debit with key 1.
    reader.plain_command(0xCC, b"\x09\x01" + h("1FEF") + le(0) + le(9) + le(5) + b"\x00")
    reader.select(AID)
    assert reader.value(9) == 5
    assert refusal(reader.move, 0x0C, 9, 1) == 0xAE
    assert refusal(reader.exchange, 0x6C, b"\x08") == 0xF0
    reader.authenticate("ev2", 1, AES_KEY)
    assert refusal(reader.write, 0x3D, 1, b"x", mode=MAC) == 0x9D, "no data file"
    reader.select(AID)
    assert refusal(reader.exchange, 0xDA, AID) == 0xAE


@pytest.mark.parametrize("kind", ["aes", "ev2"])
def test_wrong_key_and_wrong_proof(kind):
    reader = shop(kind, 0x80, AES_KEY, MAC)
    reader.select(AID)
    assert refusal(reader.authenticate, kind, 1, bytes(16)) == 0xAE
    assert refusal(reader.authenticate, kind, 5, bytes(16)) == 0x40
    assert refusal(reader.authenticate, "native", 1, bytes(16)) == 0xAE
    assert reader.raw(0xAF, bytes(32)) == (b"", 0xCA)


def test_ev2_session_counts_and_ends():
    reader = shop("ev2", 0x80, AES_KEY, MAC)
    channel = reader.card.channel
    assert isinstance(channel, Ev2Channel)
    body = b"\x01" + reader.ev2_mac(0x6C, b"\x01")
    assert reader.raw(0x6C, body)[1] == 0
    assert channel.counter == 1
    # The very same bytes again are a replay.
    assert reader.raw(0x6C, body)[1] == 0x1E
    again(reader, "ev2", AES_KEY)
    channel = reader.card.channel
    assert isinstance(channel, Ev2Channel)
    channel.counter = reader.counter = 0xFFFE
    assert reader.value(1, MAC) == 5000
    assert refusal(reader.value, 1, MAC) == 0xAE


def test_non_first_goes_on_with_the_transaction():
    reader = shop("ev2", 0x80, AES_KEY, MAC)
    reader.move(0xDC, 1, 100, MAC)
    ti, counter = reader.ti, reader.counter
    reader.authenticate("ev2", 1, AES_KEY, ins=0x77)
    assert (reader.ti, reader.counter) == (ti, counter)
    reader.plain_command(0xC7)
    assert reader.value(1, MAC) == 4900
    reader.move(0xDC, 1, 100, MAC)
    reader.authenticate("ev2", 1, AES_KEY)
    assert refusal(reader.plain_command, 0xC7) == 0x0C
    reader.select(AID)
    assert refusal(reader.authenticate, "ev2", 1, AES_KEY, ins=0x77) == 0xAE


@pytest.mark.parametrize(("kind", "key_type", "key"), CHANNELS, ids=NAMES)
def test_keys_change_in_every_channel(kind, key_type, key):
    reader = shop(kind, key_type, key, MAC)
    zero = start_key(key_type)
    new = bytes(b & 0xFE for b in random.Random(5).randbytes(len(zero)))
    reader.select(AID)
    reader.authenticate(kind, 0, zero)
    change_key(reader, 1, new, key, own=False, version=7)
    assert reader.plain_command(0x64, b"\x01") == (b"\x07" if key_type == 0x80 else b"\x00")
    assert refusal(again, reader, kind, key) == 0xAE
    again(reader, kind, new)
    assert refusal(change_key, reader, 1, key, new, own=True) == 0xAE, "the master key changes keys here"
    reader.select(AID)
    reader.authenticate(kind, 0, zero)
    change_key(reader, 0, new, zero, own=True)
    assert reader.raw(0x6C, b"\x01")[1] == 0xAE
    reader.authenticate(kind, 0, new)
    assert refusal(change_key, reader, 1, key, key, own=False) == 0x1E, "the old key was not known"


def test_card_level():
    reader = blank()
    assert reader.exchange(0x60)[14:21] == h("04A1A2A3A4A5A6")
    assert refusal(reader.exchange, 0x51) == 0xAE
    assert refusal(reader.exchange, 0x71, b"\0\0") == 0xAE, "a DES key"
    reader.authenticate("native", 0, bytes(16))
    # The master key of the card becomes AES: own key, so no XOR.
    plain = AES_KEY + b"\x10"
    plain += ciphers.crc16(plain)
    plain += bytes(-len(plain) % 8)
    sealed, previous = b"", bytes(8)
    for at in range(0, len(plain), 8):
        previous = ciphers.decrypt("des", reader.session, ciphers.xor(plain[at : at + 8], previous))
        sealed += previous
    reader.exchange(0xC4, b"\x80" + sealed)
    reader.authenticate("ev2", 0, AES_KEY)
    assert reader.command(0x51, mode=FULL) == h("04A1A2A3A4A5A6")
    assert reader.plain_command(0x64, b"\x00") == b"\x10"
    reader.plain_command(0xCA, AID + b"\x0f\x82")
    assert refusal(reader.plain_command, 0xCA, AID + b"\x0f\x82") == 0xDE
    assert reader.exchange(0x6A) == AID
    assert refusal(reader.exchange, 0x5A, b"\1\1\1") == 0xA0
    reader.select(AID)
    reader.authenticate("ev2", 0, bytes(16))
    free = int.from_bytes(reader.plain_command(0x6E), "little")
    reader.plain_command(0xCD, h("01000000") + le(100, 3))
    assert int.from_bytes(reader.plain_command(0x6E), "little") < free
    assert reader.plain_command(0xF5, b"\x01") == h("00000000") + le(100, 3)
    reader.command(0x5F, b"\x01", h("03EEEE"), FULL, writes=True)
    assert reader.plain_command(0xF5, b"\x01") == h("0003EEEE") + le(100, 3)
    assert reader.plain_command(0x6F) == b"\x01"
    assert reader.plain_command(0x45) == h("0F82")
    reader.command(0x54, b"", b"\x0b", FULL, writes=True)
    assert reader.plain_command(0x45) == h("0B82")
    assert refusal(reader.plain_command, 0xCD, h("02000000") + le(9000, 3)) == 0x0E
    reader.select(AID)
    assert refusal(reader.exchange, 0xDF, b"\x01") == 0xAE
    reader.authenticate("ev2", 0, bytes(16))
    reader.plain_command(0xDF, b"\x01")
    reader.select(bytes(3))
    reader.authenticate("ev2", 0, AES_KEY)
    reader.plain_command(0xFC)
    assert reader.plain_command(0x6A) == b""


def test_transaction_mac_has_its_limits():
    reader = shop("ev2", 0x80, AES_KEY, MAC, reader_id_required=True)
    reader.select(AID)
    reader.authenticate("ev2", 0, bytes(16))
    reader.command(0xCE, h("0F00F01F02"), AES_KEY + b"\x05", FULL, writes=True)
    assert refusal(reader.command, 0xCE, h("0E00F01F02"), AES_KEY + b"\x05", FULL, writes=True) == 0xDE
    again(reader, "ev2", AES_KEY)
    assert reader.plain_command(0xF5, b"\x0f") == h("0500F01F0205")
    reader.move(0xDC, 1, 1, MAC)
    # The reader id is asked for here, and its right is F: none may give it, so none is needed.
    reader.commit()
    assert refusal(reader.plain_command, 0xC8, bytes(16)) == 0x9D
    again(reader, "ev2", AES_KEY)
    card = reader.card
    file = File.find(card.store, AID, 15)
    assert file is not None
    transaction = card.store.begin()
    file.write(transaction, TransactionMac(AES_KEY, 5, 0xFFFFFFFE).pack())
    transaction.commit()
    reader.move(0xDC, 1, 1, MAC)
    assert reader.commit()[:4] == b"\xff\xff\xff\xff"
    assert refusal(reader.move, 0xDC, 1, 1, MAC) == 0x9D


def test_reader_id_chains_transactions():
    reader = shop("ev2", 0x80, AES_KEY, MAC, reader_id_required=True)
    reader.select(AID)
    reader.authenticate("ev2", 0, bytes(16))
    reader.command(0xCE, h("0F00101F02"), AES_KEY + b"\x05", FULL, writes=True)
    again(reader, "ev2", AES_KEY)
    reader.move(0xDC, 1, 1, MAC)
    assert refusal(reader.commit) == 0x9D
    again(reader, "ev2", AES_KEY)
    previous = bytes(16)
    for number in (1, 2):
        reader.move(0xDC, 1, 1, MAC)
        sealed = reader.plain_command(0xC8, bytes((number,)) * 16)
        counter = int.from_bytes(reader.commit()[:4], "little")
        key = ciphers.cmac("aes", AES_KEY, h("A500010080") + le(counter) + h("04A1A2A3A4A5A6"))
        assert ciphers.cbc_decrypt("aes", key, bytes(16), sealed) == previous
        previous = bytes((number,)) * 16


def test_an_ev1_chip_knows_no_ev2():
    reader = shop("aes", 0x80, AES_KEY, MAC, ev2=False)
    assert refusal(reader.authenticate, "ev2", 1, AES_KEY) == 0xAE
    reader.authenticate("aes", 0, bytes(16))
    assert refusal(reader.command, 0xCE, h("0F0010FF02"), AES_KEY + b"\x05", FULL, writes=True) == 0xAE


def test_errors_may_leave_the_session():
    reader = shop("ev2", 0x80, AES_KEY, MAC, errors_end_session=False)
    reader.move(0xDC, 1, 10, MAC)
    status = reader.raw(0x0C, b"\x01" + le(9000) + reader.ev2_mac(0x0C, b"\x01" + le(9000)))[1]
    assert status == 0xBE
    reader.counter += 1
    reader.kind = "ev2"
    assert not reader.card.pending
    assert reader.value(1, MAC) == 5000


def test_wrapping_is_checked():
    card = build.desfire_card()
    card.power_on()
    assert card.transmit(h("905A00000300000000")) == h("9100")
    assert card.transmit(h("005A000003000000")) == h("6E00")
    assert card.transmit(h("905A010003000000")) == h("6A86")
    assert card.transmit(h("9099000000")) == h("911C")
    assert card.transmit(h("90AF000000")) == h("91CA")
    assert card.transmit(h("00A4040007D276000085010000")) == h("9000")
    assert card.transmit(h("90CA000005000000")) == h("6700")


def test_random_transactions_keep_the_books():
    """A seeded workload over all channels and modes against plain sums."""
    rng = random.Random(11)
    for (kind, key_type, key), mode in zip(CHANNELS, [PLAIN, MAC, FULL, MAC, FULL, FULL, MAC], strict=True):
        reader = shop(kind, key_type, key, mode)
        truth = {1: 5000, 2: 0}
        bounds = {1: (0, 10000), 2: (-100, 100)}
        for _ in range(25):
            planned = dict(truth)
            for _ in range(rng.randrange(1, 4)):
                number, sign = rng.choice((1, 2)), rng.choice((1, -1))
                amount = rng.randrange(0, 1500 if number == 1 else 60)
                if bounds[number][0] <= planned[number] + sign * amount <= bounds[number][1]:
                    reader.move(0x0C if sign > 0 else 0xDC, number, amount, mode)
                    planned[number] += sign * amount
            ending = rng.random()
            if ending < 0.2:
                again(reader, kind, key)
            elif ending < 0.3:
                reader.card.reset()
                again(reader, kind, key)
            elif reader.card.pending:
                reader.plain_command(0xC7)
                truth = planned
            assert (reader.value(1, mode), reader.value(2, mode)) == (truth[1], truth[2])
