"""Goal: DESFire channels and transaction MACs are the published ones. Method: handshakes with scripted random numbers against a card,
MACs and ciphertexts through the card's channel objects, transaction MACs from whole transactions.
"""

from __future__ import annotations

import pytest

from firmware_sim import ciphers
from firmware_sim.desfire import DesfireCard, KeyType
from firmware_sim.desfire.channel import Ev1Channel, Ev2Channel
from firmware_sim.desfire.layout import Application, File, FileType, Mode, TransactionMac
from firmware_sim.desfire.pending import session_keys
from firmware_sim.nvm import Memory
from tests.firmware_sim.reader import Reader, le
from tests.firmware_sim.support import Script, h, vectors

UID = h("04010203040506")


def card_with(key: bytes, *numbers: bytes) -> DesfireCard:
    memory = Memory()
    DesfireCard.fresh(memory, UID, key, KeyType.AES)
    card = DesfireCard(memory, Script(*numbers))
    card.power_on()
    return card


def ev2_channel(given) -> Ev2Channel:
    channel = Ev2Channel(bytes(16), bytes(16), bytes(16), h(given.get("ti", "00000000")), given.get("cmd_ctr", 0))
    channel.enc_key = h(given.get("ses_auth_enc_key", "00" * 16))
    channel.mac_key = h(given.get("ses_auth_mac_key", "00" * 16))
    return channel


@pytest.mark.parametrize(("given", "expected"), vectors("desfire_ev1", "ev1_auth_aes"))
def test_ev1_handshake(given, expected):
    card = card_with(h(given["key"]), h(given["rndb"]))
    assert card.transmit(h("90AA0000010000")) == h(expected["card_response1"] + "91AF")
    assert card.transmit(h("90AF000020" + expected["pcd_command2"] + "00")) == h(expected["card_response2"] + "9100")
    assert isinstance(card.channel, Ev1Channel)
    assert card.channel._key == h(expected["session_key"])
    assert card.channel.iv == bytes(16)


@pytest.mark.parametrize(("given", "expected"), vectors("desfire_ev1", "ev1_cmac_chain"))
def test_ev1_running_cmac(given, expected):
    channel = Ev1Channel("aes", h(given["session_key"]))
    channel.iv = h(given["iv"])
    command = h(given["command"])
    channel.open(command[0], command[1:], 1, 0, Mode.MAC, False)
    assert channel.iv == h(expected["iv_after_command"])
    data = h(given["response_data"])
    assert channel.seal(command[0], data, Mode.MAC, False) == data + h(expected["response_mac"])
    assert channel.iv == h(expected["iv_after_response"])


@pytest.mark.parametrize(("given", "expected"), vectors("desfire_ev1", "ev1_full_credit"))
def test_ev1_enciphered_credit(given, expected):
    channel = Ev1Channel("aes", h(given["session_key"]))
    channel.iv = h(given["iv"])
    opened = channel.open(0x0C, h(given["file_no"] + expected["encrypted"]), 1, 4, Mode.FULL, True)
    assert opened == h(given["file_no"] + given["amount_le"])


@pytest.mark.parametrize(("given", "expected"), vectors("desfire_ev2_auth_sm", "ev2_session_keys"))
def test_ev2_session_keys(given, expected):
    channel = Ev2Channel(h(given["key"]), h(given["rnda"]), h(given["rndb"]), bytes(4))
    assert channel.enc_key == h(expected["ses_auth_enc_key"])
    assert channel.mac_key == h(expected["ses_auth_mac_key"])


@pytest.mark.parametrize(("given", "expected"), vectors("desfire_ev2_auth_sm", "ev2_first_handshake"))
def test_ev2_handshake(given, expected):
    card = card_with(h(given["key"]), h(expected["rndb"]), h(expected["ti"]))
    assert card.transmit(h("9071000002000000")) == h(given["card_response1"] + "91AF")
    answer = card.transmit(h("90AF000020" + expected["pcd_command2_data"] + "00"))
    assert answer == h(expected["card_response2"] + "9100")
    assert isinstance(card.channel, Ev2Channel)
    assert (card.channel.enc_key, card.channel.mac_key) == (h(expected["ses_auth_enc_key"]), h(expected["ses_auth_mac_key"]))
    assert (card.channel.ti, card.channel.counter) == (h(expected["ti"]), 0)


@pytest.mark.parametrize(("given", "expected"), vectors("desfire_ev2_auth_sm", "ev2_iv"))
def test_ev2_iv(given, expected):
    label = b"\xa5\x5a" if given["direction"] == "command" else b"\x5a\xa5"
    assert ev2_channel(given).iv(label) == h(expected["iv"])


@pytest.mark.parametrize(("given", "expected"), vectors("desfire_ev2_auth_sm", "ev2_mac"))
def test_ev2_mac(given, expected):
    assert ev2_channel(given).mac(int(given["first_byte"], 16), h(given["data"])) == h(expected["mact"])


@pytest.mark.parametrize(("given", "expected"), vectors("desfire_ev2_auth_sm", "ev2_full_command"))
def test_ev2_full_command(given, expected):
    channel = ev2_channel(given)
    apdu = h(expected["apdu"])
    header, data = h(given["header"]), h(given["data"])
    opened = channel.open(apdu[1], apdu[5:-1], len(header), len(data), Mode.FULL, True)
    assert opened == header + data
    assert channel.counter == given["cmd_ctr"] + 1


@pytest.mark.parametrize(("given", "expected"), vectors("desfire_ev2_auth_sm", "ev2_full_response"))
def test_ev2_full_response(given, expected):
    sealed = ev2_channel(given).seal(0x8D, h(expected["plain"]), Mode.FULL, True)
    assert sealed == h(given["encrypted"] + given["mact"])


@pytest.mark.parametrize(("given", "expected"), vectors("desfire_tmac", "tm_session_keys"))
def test_transaction_mac_keys(given, expected):
    keys = session_keys(h(given["app_tm_key"]), given["tmc_before"] + 1, h(given["uid"]))
    assert keys == (h(expected["ses_tm_mac_key"]), h(expected["ses_tm_enc_key"]))


AID = h("010203")


def transaction_card(given) -> Reader:
    """A card whose application is about to make the transaction of a vector: value 5000 in file 2, a TMAC file at the counter."""
    memory = Memory()
    DesfireCard.fresh(memory, h(given["uid"]))
    card = DesfireCard(memory)
    card.power_on()
    reader = Reader(card)
    reader.exchange(0xCA, AID + b"\x0f\x81")
    reader.select(AID)
    reader.authenticate("ev2", 0, bytes(16))
    # Rights 0 everywhere: the session's key has them all; the log and the data file travel in full mode.
    reader.plain_command(0xCC, h("02010000") + le(0) + le(100000) + le(5250) + b"\x01")
    reader.plain_command(0xC0, h("04030000") + le(16, 3) + le(3, 3))
    reader.plain_command(0xCB, h("01030000") + le(32, 3))
    if any(operation["op"] == "LimitedCredit" for operation in given["operations"]):
        reader.move(0xDC, 2, 250, MAC)
        reader.commit()
    reader.command(0xCE, h("0F00000F02"), h(given["app_tm_key"]) + b"\x00", FULL, writes=True)
    file = File.find(card.store, AID, 0x0F)
    assert file is not None
    assert file.type is FileType.TRANSACTION_MAC
    previous = next((h(o["prev_reader_id"]) for o in given["operations"] if "prev_reader_id" in o), bytes(16))
    state = TransactionMac(h(given["app_tm_key"]), 0, given["tmc_before"], bytes(8), previous)
    transaction = card.store.begin()
    file.write(transaction, state.pack())
    transaction.commit()
    if any(operation["op"] == "GetValue" for operation in given["operations"]):
        settings = next(o["value"] for o in given["operations"] if o["op"] == "GetValue")
        found = File.find(card.store, AID, 2)
        assert found is not None
        change = card.store.begin()
        found.write(change, le(settings), 8)
        change.commit()
    assert Application.find(card.store, AID) is not None
    return reader


MAC, FULL = 1, 3


@pytest.mark.parametrize(("given", "expected"), vectors("desfire_tmac", "tmv"))
def test_transaction_mac_of_a_whole_transaction(given, expected):
    reader = transaction_card(given)
    for operation in given["operations"]:
        match operation["op"]:
            case "CommitReaderID":
                assert reader.plain_command(0xC8, h(operation["reader_id"])) == h(operation["enc_tmri"])
            case "GetValue":
                assert reader.value(operation["file_no"], MAC) == operation["value"]
            case "Debit" | "LimitedCredit":
                reader.move(int(operation["cmd"], 16), operation["file_no"], operation["value"], MAC)
            case "WriteRecord" | "WriteData":
                reader.write(int(operation["cmd"], 16), operation["file_no"], h(operation["data"]), operation["offset"], FULL)
    assert bytes(reader.card.pending.tmi) == h(expected["tmi"])
    assert reader.commit() == h(expected["tmc_returned_le"] + expected["tmv"])
    # The file shows what the commit said, and the next transaction starts from there.
    assert reader.read(0xBD, 0x0F, mode=0) == h(expected["tmc_returned_le"] + expected["tmv"])


def test_the_reader_of_these_tests_is_not_the_card():
    """The oracle: the reader's code for a MAC agrees with a published one, so that agreement with the card means something."""
    given, expected = next(p.values for p in vectors("desfire_ev2_auth_sm", "ev2_mac") if p.id == "an12196-5.3")
    reader = Reader(card_with(bytes(16)))
    reader.mac_key, reader.ti, reader.counter = h(given["ses_auth_mac_key"]), h(given["ti"]), given["cmd_ctr"]
    assert reader.ev2_mac(0xF5, h(given["data"])) == h(expected["mact"])
    assert ciphers.odd_bytes(bytes(range(16))) == bytes(range(1, 16, 2))
