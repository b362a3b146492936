"""Goal: cards that come ready, blank or as tags are usable with what is public about them. Method: vectors for diversification and SUN,
a sale on the ready DESFire purse with its transaction MAC recomputed, a whole personalisation of a blank purse card.
"""

from __future__ import annotations

import pytest

from firmware_sim import build, ciphers
from firmware_sim.desfire import ready
from firmware_sim.diversify import diversify
from firmware_sim.ntag import COUNTER_MAX, Tag, session_keys
from firmware_sim.nvm import Memory
from firmware_sim.pboc import PROFILES, Identity, PurseCard
from firmware_sim.pboc.personal import KEYS
from firmware_sim.testkeys import known_key
from tests.firmware_sim.reader import FULL, MAC, PLAIN, Reader, Refusal, le
from tests.firmware_sim.support import h, ok, refused, vectors
from tests.firmware_sim.till import PIN, SELECT, Till

AN10922 = ("an10922_aes128", "an10922_aes192", "an10922_aes256", "an10922_2tdea", "an10922_3tdea")


@pytest.mark.parametrize("kind", AN10922)
def test_an10922(kind):
    for row in vectors("an10922_diversification", kind):
        given, expected = row.values
        key = diversify(kind.removeprefix("an10922_"), h(given["master_key"]), h(given["diversification_input"]))
        assert key == h(expected["diversified_key"]), row.id


def test_an10922_input_has_bounds():
    for message in (b"", bytes(32)):
        with pytest.raises(ValueError, match="1 to 31"):
            diversify("aes128", bytes(16), message)
    with pytest.raises(ValueError, match="24 bytes"):
        diversify("3tdea", bytes(16), b"1")


@pytest.mark.parametrize(("given", "expected"), vectors("ntag424_sdm", "sdm_session_keys"))
def test_sun_session_keys(given, expected):
    counter = int.from_bytes(h(given["read_ctr_le"]), "little")
    keys = session_keys(h(given["sdm_file_read_key"]), h(given["uid"]), counter)
    assert keys == (h(expected["ses_sdm_file_read_enc"]), h(expected["ses_sdm_file_read_mac"]))


@pytest.mark.parametrize(("given", "expected"), vectors("ntag424_sdm", "sdm_sun"))
def test_sun_tap(given, expected):
    """The tag of the vector, one tap before, says what the vector's tag said."""
    meta = h(given["sdm_meta_read_key"])
    random = ciphers.cbc_decrypt("aes", meta, bytes(16), h(given["picc_enc_data"]))[11:]
    covered, data = given["mac_input_ascii"], h(expected.get("file_data", ""))
    tag = Tag(h(expected["uid"]), h(given["sdm_file_read_key"]), meta, data, counter=expected["read_ctr"] - 1, entropy=lambda size: random)
    tag.text = "" if data else covered.removesuffix("&cmac=")
    between = ("&enc=" if data else "&text=") + covered if covered else "&cmac="
    assert tag.tap("https://a.test/") == f"https://a.test/?picc={given['picc_enc_data']}{between}{expected['sdmmac']}"


@pytest.mark.parametrize(("given", "expected"), vectors("ntag424_sdm", "sdm_plain_mirror"))
def test_sun_plain(given, expected):
    tag = Tag(h(given["uid"]), h(given["sdm_file_read_key"]), counter=int(given["read_ctr_url"], 16) - 1)
    assert tag.tap().endswith(f"uid={given['uid']}&ctr={given['read_ctr_url']}&cmac={expected['sdmmac']}")


def test_tag_counter_rises_and_ends():
    tag = Tag(bytes(7), bytes(16), counter=COUNTER_MAX - 1)
    assert "ctr=FFFFFF" in tag.tap()
    with pytest.raises(OverflowError):
        tag.tap()


UID = build.TEST_UID


def test_ready_desfire_purse_sells_and_proves_it():
    card = build.desfire_purse_card(balance=10000, number=b"6200000000000005")
    card.power_on()
    reader = Reader(card)
    reader.select(ready.AID)
    assert reader.read(0xBD, ready.NUMBER_FILE, 0, 16) == b"6200000000000005"
    reader.authenticate("ev2", 2, ready.card_key("desfire-debit", UID))
    reader_id = b"TILL 1".ljust(16, b"\0")
    sealed = reader.plain_command(0xC8, reader_id)
    reader.move(0xDC, ready.VALUE_FILE, 1250, FULL)
    reader.write(0x3B, ready.LOG_FILE, b"12.50".ljust(32), mode=MAC)
    proof = reader.commit()
    tmi = b"\xc8" + reader_id + sealed + bytes(15) + (b"\xdc\x01" + le(1250)).ljust(16, b"\0")
    tmi += (b"\x3b\x02" + bytes(3) + le(32, 3)).ljust(16, b"\0") + b"12.50".ljust(32)
    key = ciphers.cmac("aes", ready.card_key("desfire-transaction-mac", UID), h("5A00010080") + proof[:4] + UID)
    assert proof == le(1) + ciphers.cmac("aes", key, tmi)[1::2]
    # The till's key gives nothing back; the load key does.
    with pytest.raises(Refusal):
        reader.move(0x0C, ready.VALUE_FILE, 1, FULL)
    reader.authenticate("ev2", 1, ready.card_key("desfire-credit", UID))
    reader.move(0x0C, ready.VALUE_FILE, 5000, FULL)
    reader.commit()
    reader.authenticate("ev2", 3, ready.card_key("desfire-read", UID))
    assert reader.value(ready.VALUE_FILE, FULL) == 13750
    assert reader.read(0xBD, ready.MAC_FILE, mode=MAC)[:4] == le(2)


def test_ready_ev1_purse():
    card = build.desfire_purse_card(ev2=False, balance=100)
    card.power_on()
    reader = Reader(card)
    reader.select(ready.AID)
    reader.authenticate("aes", 2, ready.card_key("desfire-debit", UID))
    reader.move(0xDC, ready.VALUE_FILE, 100, FULL)
    assert reader.plain_command(0xC7) == b""
    assert reader.value(ready.VALUE_FILE, FULL) == 0
    assert reader.read(0xBD, ready.NUMBER_FILE, mode=PLAIN) == bytes(32)


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_blank_purse_card_is_personalised_by_its_issuer(profile):
    card = build.blank_purse_card(profile=profile)
    card.power_on()
    ok(card, SELECT)
    suite, transport = card.suite, known_key("transport")
    challenge = ok(card, "0084000008")
    ok(card, h("00820000") + bytes((suite.block_size,)) + suite.encrypt_block(transport, challenge.ljust(suite.block_size, b"\0")))

    def secured(head: str, data: bytes) -> None:
        start = h(head) + bytes((len(data) + 4,)) + data
        ok(card, start + suite.line_mac(transport, ok(card, bytes((0, 0x84, 0, 0, card.profile.challenge_in_iv))), start))

    identity = Identity(serial=h("00001234567890123456"), holder=b"LI LEI")
    secured("04D69500", identity.public_data())
    secured("04D69600", identity.holder)
    for name in sorted(KEYS, key=lambda name: name == "maintenance"):
        use, index = KEYS[name]
        key = suite.chain(known_key(name), identity.factors(card.profile.diversify_by))
        secured(f"84D4{use:02X}{index:02X}", suite.seal(transport, bytes((1, card.profile.algorithm)) + key))
    till = Till(profile)
    till.load(card, 10000)
    till.purchase(card, 1250)
    assert till.balance(card) == 8750


def test_blank_and_ready_by_name():
    for kind in build.KINDS:
        card = build.new_card(kind, Memory(), balance=5 if kind in ("pboc", "desfire") else 0)
        assert card.power_on() == card.ATR
        assert build.made_as(card.memory) == (kind, {"desfire": "ev2"}.get(kind, "pboc2-3des"))
        again = build.open_card(card.memory)
        assert type(again) is type(card)
    assert isinstance(build.new_card("pboc", Memory(), blank=True), PurseCard)
    assert not build.new_card("desfire", Memory(), blank=True).store.names(b"F")
    for kind, options in (
        ("pboc", {"balance": -1}),
        ("pboc", {"blank": True, "balance": 1}),
        ("psam", {"blank": True}),
        ("isam", {"profile": "x"}),
    ):
        with pytest.raises(ValueError, match=r"balance|profile"):
            build.new_card(kind, Memory(), **options)
    with pytest.raises(ValueError, match="blank"):
        build.open_card(Memory())
    card = build.purse_card()
    card.power_on()
    refused(card, PIN, 0x6986)
