"""Goal: `cardcore.crypto` and the simulator, two libraries and two authors' readings of one description, agree on whole dialogues.
Method: the host's side of random dialogues comes from `cardcore.crypto` alone, the card's side from `firmware_sim` alone.
"""

from __future__ import annotations

import dataclasses
import random
from urllib.parse import parse_qs, urlsplit

import pytest

from cardcore.crypto import desfire_ev1, desfire_ev2, diversify, pboc, sun, tmac
from cardcore.crypto.errors import InvalidMac
from cardcore.crypto.key import Key
from firmware_sim import build, ntag
from firmware_sim import diversify as card_diversify
from firmware_sim.card import Card
from firmware_sim.desfire import DesfireCard, ready
from firmware_sim.nvm import Memory
from firmware_sim.pboc import PROFILES, Identity, PurseCard, personalise
from firmware_sim.pboc.layout import Purse
from firmware_sim.testkeys import known_key
from tests.firmware_sim.support import h, ok
from tests.firmware_sim.till import PIN, SELECT
from tests.support import sized

HOST = {
    "pboc2-3des": pboc.PBOC2_3DES, "fm1208": pboc.PBOC2_3DES, "transit-sm4": pboc.TRANSIT_SM4,
    "folded sm4": dataclasses.replace(pboc.TRANSIT_SM4, tac_folded=True),
    "whole 3des": dataclasses.replace(pboc.PBOC2_3DES, tac_folded=False, challenge_octets=8),
}  # fmt: skip
CARD = {
    **PROFILES,
    "folded sm4": dataclasses.replace(PROFILES["transit-sm4"], tac_key="folded"),
    "whole 3des": dataclasses.replace(PROFILES["pboc2-3des"], tac_key="whole", challenge_in_iv=8),
}
ROUNDS = sized(3, 100)


class Host:
    """An issuer and a terminal, both on `cardcore.crypto`, with the card of a profile."""

    def __init__(self, profile: str, seed: int) -> None:
        self.rng = random.Random(seed)
        self.profile, made = HOST[profile], CARD[profile]
        self.identity = Identity(serial=self.rng.randbytes(10), issuer=self.rng.randbytes(8))
        start = Purse(self.rng.randrange(1 << 20, 1 << 31), self.rng.randrange(60000), self.rng.randrange(60000), 500)
        memory = Memory()
        personalise(memory, self.identity, profile=made, electronic_purse=start, electronic_deposit=start)
        self.card = PurseCard(memory, made, self.rng.randbytes)
        self.card.power_on()
        self.factors = self.identity.factors(made.diversify_by)
        self.terminal, self.at, self.number = self.rng.randbytes(6), self.rng.randbytes(7), self.rng.randrange(1 << 32)

    def key(self, purpose: str) -> Key:
        return diversify.pboc(Key(self.profile.cipher, known_key(purpose)), self.factors)

    def mac(self, key: Key, message: bytes) -> bytes:
        return pboc.mac4(key, message, self.profile)

    def verify_tac(self, message: bytes, tac: bytes) -> None:
        pboc.verify_mac4(pboc.tac_key(self.profile, self.key("tac")), message, tac, self.profile)

    def ready(self) -> None:
        ok(self.card, SELECT)
        ok(self.card, PIN)


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("profile", HOST)
@pytest.mark.parametrize(("how", "which", "kind"), [(0, 2, pboc.LOAD_EP), (0, 1, pboc.LOAD_ED), (5, 1, pboc.UNLOAD)])
def test_load_and_unload(profile, how, which, kind, seed):
    host = Host(profile, seed)
    host.ready()
    amount = host.rng.randrange(1 << 20)
    opened = ok(host.card, bytes((0x80, 0x50, how, which, 0x0B, 1)) + amount.to_bytes(4, "big") + host.terminal + b"\x10")
    balance, counter = int.from_bytes(opened[:4], "big"), int.from_bytes(opened[4:6], "big")
    key = pboc.load_key(host.profile, host.key("load" if how == 0 else "unload"), opened[8:12], counter)
    pboc.verify_mac4(key, pboc.initialize_input(balance, amount, kind, host.terminal), opened[12:], host.profile)
    mac2 = host.mac(key, pboc.command_input(amount, kind, host.terminal, host.at))
    answer = ok(host.card, h("805200000B" if how == 0 else "805403000B") + host.at + mac2 + b"\x04")
    after = balance + (amount if how == 0 else -amount)
    proof = pboc.credited_input(after, counter, amount, kind, host.terminal, host.at)
    if how == 0:
        host.verify_tac(proof, answer)
    else:
        pboc.verify_mac4(key, proof, answer, host.profile)
    assert ok(host.card, bytes((0x80, 0x5C, 0, which, 4))) == after.to_bytes(4, "big")


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("profile", HOST)
@pytest.mark.parametrize(
    ("how", "which", "kind"),
    [(1, 2, pboc.PURCHASE_EP), (1, 1, pboc.PURCHASE_ED), (2, 1, pboc.CASH_WITHDRAWAL), (3, 2, pboc.COMPOUND_PURCHASE)],
)
def test_purchase(profile, how, which, kind, seed):
    host = Host(profile, seed)
    host.ready()
    amount = host.rng.randrange(1 << 20)
    opened = ok(host.card, bytes((0x80, 0x50, how, which, 0x0B, 1)) + amount.to_bytes(4, "big") + host.terminal + b"\x0f")
    counter = int.from_bytes(opened[4:6], "big")
    key = pboc.purchase_key(host.profile, host.key("purchase"), opened[11:15], counter, host.number)
    mac1 = host.mac(key, pboc.command_input(amount, kind, host.terminal, host.at))
    answer = ok(host.card, h("805401000F") + host.number.to_bytes(4, "big") + host.at + mac1 + b"\x08")
    pboc.verify_mac4(key, pboc.debited_input(amount), answer[4:], host.profile)
    message = pboc.purchase_tac_input(amount, kind, host.terminal, host.number, host.at)
    host.verify_tac(message, answer[:4])
    with pytest.raises(InvalidMac):
        host.verify_tac(message, answer[4:])


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("profile", HOST)
def test_overdraw_update_and_maintenance(profile, seed):
    host = Host(profile, seed)
    host.ready()
    opened = ok(host.card, h("805004010701") + host.terminal + b"\x13")
    balance, counter, old = (int.from_bytes(opened[a:b], "big") for a, b in ((0, 4), (4, 6), (6, 9)))
    key = pboc.load_key(host.profile, host.key("overdraw"), opened[11:15], counter)
    pboc.verify_mac4(key, pboc.overdraw_mac1_input(balance, old, host.terminal), opened[15:], host.profile)
    limit = host.rng.randrange(1 << 20)
    mac2 = host.mac(key, pboc.overdraw_mac2_input(limit, host.terminal, host.at))
    answer = ok(host.card, h("805800000E") + limit.to_bytes(3, "big") + host.at + mac2 + b"\x04")
    host.verify_tac(pboc.overdraw_tac_input(balance + limit - old, counter, limit, host.terminal, host.at), answer)
    challenge = ok(host.card, bytes((0, 0x84, 0, 0, host.profile.challenge_octets)))
    data = host.rng.randbytes(host.rng.randrange(1, 30))
    header = h("04D69600") + bytes((len(data) + 4,))
    mac = pboc.maintenance_mac(host.profile, host.key("maintenance"), challenge, header, data)
    ok(host.card, header + data + mac)
    assert ok(host.card, h("00B09600") + bytes((len(data),))) == data


@pytest.mark.parametrize(
    ("kind", "algorithm"), [("aes128", "aes"), ("aes192", "aes"), ("aes256", "aes"), ("2tdea", "tdes"), ("3tdea", "tdes")]
)
def test_an10922_of_every_length(kind, algorithm):
    rng = random.Random(kind)
    for length in range(1, 32 if algorithm == "aes" else 16):
        key, message = rng.randbytes(card_diversify.KINDS[kind][1]), rng.randbytes(length)
        with diversify.an10922(Key(algorithm, key), message).lend() as made:
            assert bytes(made) == card_diversify.diversify(kind, key, message), length


UID = build.TEST_UID
NATIVE = {0x71: b"\x02\x00", 0xAA: b"\x02"}


def native(card: Card, ins: int, body: bytes = b"") -> bytes:
    """A wrapped command; the data of its answer, whatever its status says short of a refusal."""
    answer = card.transmit(bytes((0x90, ins, 0, 0)) + (bytes((len(body),)) + body if body else b"") + b"\x00")
    assert answer[-2:] in (b"\x91\x00", b"\x91\xaf"), answer.hex()
    return answer[:-2]


def debit_card(*, ev2: bool) -> tuple[DesfireCard, Key]:
    card = build.desfire_purse_card(balance=100_000, ev2=ev2, entropy=random.Random(8).randbytes)
    card.power_on()
    native(card, 0x5A, ready.AID)
    key = diversify.an10922(Key("aes", known_key("desfire-debit")), UID + ready.AID + ready.SYSTEM)
    return card, key


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_desfire_ev2_debit_with_transaction_mac(seed):
    rng = random.Random(seed)
    card, key = debit_card(ev2=True)
    shake = desfire_ev2.start(key, rng.randbytes(16), native(card, 0x71, NATIVE[0x71]))
    session = desfire_ev2.finish_first(shake, native(card, 0xAF, shake.answer))

    def command(ins: int, header: bytes, data: bytes = b"", *, full: bool = False) -> bytes:
        sealed = session.seal_command(ins, header, data) if full else header + data + session.mac_command(ins, header + data)
        answer = native(card, ins, sealed)
        session.accepted()
        body, mac = answer[:-8], answer[-8:]
        if full:
            return session.open_answer(0, body, mac)
        session.verify_answer(0, body, mac)
        return body

    amount, reader, previous = rng.randrange(1, 5000), rng.randbytes(16), bytes(16)
    for round_number in (1, 2):
        enciphered = command(0xC8, b"", reader)
        before = int.from_bytes(command(tmac.GET_VALUE, b"\x01", full=True), "little", signed=True)
        command(tmac.DEBIT, b"\x01", amount.to_bytes(4, "little"), full=True)
        record = rng.randbytes(32)
        command(tmac.WRITE_RECORD, b"\x02" + bytes(3) + (32).to_bytes(3, "little"), record)
        proof = command(0xC7, b"\x01")
        counter = int.from_bytes(proof[:4], "little")
        assert counter == round_number
        inputs = tmac.reader_input(reader, enciphered) + tmac.value_input(tmac.GET_VALUE, 1, before)
        inputs += tmac.value_input(tmac.DEBIT, 1, amount) + tmac.data_input(tmac.WRITE_RECORD, 2, 0, record)
        mac_key = diversify.an10922(Key("aes", known_key("desfire-transaction-mac")), UID + ready.AID + ready.SYSTEM)
        tmac.verify(mac_key, UID, counter, inputs, proof[4:])
        assert tmac.decipher_reader(tmac.encipher_session_key(mac_key, counter, UID), enciphered) == previous
        previous = reader
        assert before == 100_000 - amount * (round_number - 1)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_desfire_ev1_debit(seed):
    rng = random.Random(seed)
    card, key = debit_card(ev2=False)
    shake = desfire_ev1.start(key, rng.randbytes(16), native(card, 0xAA, NATIVE[0xAA]))
    session = desfire_ev1.finish(shake, native(card, 0xAF, shake.answer))
    amount = rng.randrange(1, 5000)
    sealed = session.encipher_command(b"\xdc\x01", amount.to_bytes(4, "little"))
    session.verify_answer(b"", 0, native(card, 0xDC, b"\x01" + sealed))
    header = b"\x02" + bytes(3) + (32).to_bytes(3, "little")
    record = rng.randbytes(32)
    mac = session.mac_command(b"\x3b" + header + record)
    session.verify_answer(b"", 0, native(card, 0x3B, header + record + mac))
    session.mac_command(b"\xc7")
    session.verify_answer(b"", 0, native(card, 0xC7))
    session.mac_command(b"\x6c\x01")
    value = session.decipher_answer(native(card, 0x6C, b"\x01"), 4, 0)
    assert int.from_bytes(value, "little") == 100_000 - amount
    # The log is read with the reading key.
    key = diversify.an10922(Key("aes", known_key("desfire-read")), UID + ready.AID + ready.SYSTEM)
    shake = desfire_ev1.start(key, rng.randbytes(16), native(card, 0xAA, b"\x03"))
    session = desfire_ev1.finish(shake, native(card, 0xAF, shake.answer))
    session.mac_command(b"\xbb\x02" + bytes(6))
    answer = native(card, 0xBB, b"\x02" + bytes(6))
    session.verify_answer(answer[:-8], 0, answer[-8:])
    assert answer[:-8] == record


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_sun_taps(seed):
    rng = random.Random(seed)
    meta, file_key, uid = rng.randbytes(16), rng.randbytes(16), rng.randbytes(7)
    tag = ntag.Tag(uid, file_key, meta, rng.randbytes(16 * rng.randrange(3)), counter=rng.randrange(1 << 23), entropy=rng.randbytes)
    for _ in range(3):
        address = tag.tap()
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        tap = sun.open_picc_data(Key("aes", meta), h(query["picc"]))
        assert (tap.uid, tap.counter) == (uid, tag.counter)
        covered = address.partition("&enc=")[2].removesuffix(query["cmac"])
        sun.verify(Key("aes", file_key), tap, covered.encode(), h(query["cmac"]))
        if tag.file_data:
            assert sun.open_file_data(Key("aes", file_key), tap, h(query["enc"])) == tag.file_data
        with pytest.raises(InvalidMac):
            sun.verify(Key("aes", file_key), dataclasses.replace(tap, counter=tap.counter - 1), covered.encode(), h(query["cmac"]))
