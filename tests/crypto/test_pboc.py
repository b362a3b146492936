"""The purse MACs against the published load example and vectors made by two other libraries, every intermediate value compared.

The simulator answers are rebuilt from the parts, so that the order of fields in commands and answers is covered too.
"""

from __future__ import annotations

import pytest

from cardcore.crypto import InvalidCryptoInput, InvalidKey, InvalidMac, Key, pboc
from cardcore.crypto.diversify import pboc as diversify
from cardcore.crypto.mac import mac_algorithm1, mac_algorithm3
from tests.crypto.test_diversify import reveal
from tests.crypto.vectors import cases, octets

P = pboc.PBOC2_3DES


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


@pytest.mark.parametrize("vector", cases("pboc_epurse", "pboc_load"))
def test_load(vector):
    given, expected = vector["input"], vector["expected"]
    kind, terminal, at = int(given["transaction_type"], 16), octets(given["terminal_id"]), octets(given["datetime_bcd"])
    balance, counter, amount, drawn = given["balance"], given["online_atc"], given["amount"], octets(given["random"])

    process = pboc.load_key(P, Key("tdes", octets(given["load_key"])), drawn, counter)
    assert reveal(process) == octets(expected["session_key"])
    mac1 = pboc.mac4(process, pboc.initialize_input(balance, amount, kind, terminal))
    assert mac1 == octets(expected["mac1"])
    versions = octets(given["key_version"] + given["algorithm"])
    assert number(balance, 4) + number(counter, 2) + versions + drawn + mac1 == octets(expected["init_response"])
    mac2 = pboc.mac4(process, pboc.command_input(amount, kind, terminal, at))
    assert mac2 == octets(expected["mac2"])
    assert octets("805200000B") + at + mac2 + b"\x04" == octets(expected["credit_command"])
    assert balance + amount == expected["new_balance"]
    if "tac_key" in given:
        folded = pboc.tac_key(P, Key("tdes", octets(given["tac_key"])))
        assert reveal(folded) == octets(expected["tac_key_folded"])
        signed = pboc.credited_input(balance + amount, counter, amount, kind, terminal, at)
        assert pboc.mac4(folded, signed) == octets(expected["tac"])
        pboc.verify_mac4(folded, signed, octets(expected["tac"]))


@pytest.mark.parametrize("vector", cases("pboc_epurse", "pboc_purchase", "pboc_capp_purchase", "pboc_cash_withdraw"))
def test_purchase(vector):
    given, expected = vector["input"], vector["expected"]
    kind, terminal, at = int(given["transaction_type"], 16), octets(given["terminal_id"]), octets(given["datetime_bcd"])
    serial, amount = int(given["terminal_sn"], 16), given["amount"]

    process = pboc.purchase_key(P, Key("tdes", octets(given["purchase_key"])), octets(given["random"]), given["offline_atc"], serial)
    assert reveal(process) == octets(expected["session_key"])
    mac1 = pboc.mac4(process, pboc.command_input(amount, kind, terminal, at))
    assert mac1 == octets(expected["mac1"])
    mac2 = pboc.mac4(process, pboc.debited_input(amount))
    assert mac2 == octets(expected["mac2"])
    assert octets("805401000F") + number(serial, 4) + at + mac1 + b"\x08" == octets(expected["debit_command"])
    folded = pboc.tac_key(P, Key("tdes", octets(given["tac_key"])))
    assert reveal(folded) == octets(expected["tac_key_folded"])
    tac = pboc.mac4(folded, pboc.purchase_tac_input(amount, kind, terminal, serial, at))
    assert tac == octets(expected["tac"])
    assert tac + mac2 == octets(expected["debit_response"])
    opened = number(given["balance"], 4) + number(given["offline_atc"], 2) + number(given["overdraw_limit"], 3)
    assert opened + octets(given["key_version"] + given["algorithm"] + given["random"]) == octets(expected["init_response"])


@pytest.mark.parametrize("vector", cases("pboc_epurse", "pboc_unload"))
def test_unload(vector):
    given, expected = vector["input"], vector["expected"]
    terminal, at, amount = octets(given["terminal_id"]), octets(given["datetime_bcd"]), given["amount"]
    process = pboc.load_key(P, Key("tdes", octets(given["unload_key"])), octets(given["random"]), given["online_atc"])
    assert reveal(process) == octets(expected["session_key"])
    assert pboc.mac4(process, pboc.initialize_input(given["balance"], amount, pboc.UNLOAD, terminal)) == octets(expected["mac1"])
    assert pboc.mac4(process, pboc.command_input(amount, pboc.UNLOAD, terminal, at)) == octets(expected["mac2"])
    left = given["balance"] - amount
    assert left == expected["new_balance"]
    signed = pboc.credited_input(left, given["online_atc"], amount, pboc.UNLOAD, terminal, at)
    assert pboc.mac4(process, signed) == octets(expected["mac3"])


@pytest.mark.parametrize("vector", cases("pboc_epurse", "pboc_update_overdraw"))
def test_overdraw(vector):
    given, expected = vector["input"], vector["expected"]
    terminal, at, new, old = octets(given["terminal_id"]), octets(given["datetime_bcd"]), given["new_limit"], given["old_limit"]
    process = pboc.load_key(P, Key("tdes", octets(given["overdraw_key"])), octets(given["random"]), given["online_atc"])
    assert reveal(process) == octets(expected["session_key"])
    assert pboc.mac4(process, pboc.overdraw_mac1_input(given["balance"], old, terminal)) == octets(expected["mac1"])
    assert pboc.mac4(process, pboc.overdraw_mac2_input(new, terminal, at)) == octets(expected["mac2"])
    after = given["balance"] - old + new
    assert after == expected["new_balance"]
    signed = pboc.overdraw_tac_input(after, given["online_atc"], new, terminal, at)
    assert pboc.mac4(pboc.tac_key(P, Key("tdes", octets(given["tac_key"]))), signed) == octets(expected["tac"])


@pytest.mark.parametrize("vector", cases("pboc_epurse", "pboc_tac_batch"))
def test_settlement_records_one_by_one(vector):
    given = vector["input"]
    purchase_master, tac_master = (Key("tdes", octets(given[name])) for name in ("purchase_master_key", "tac_master_key"))
    for record, valid in zip(given["records"], vector["expected"]["tac_valid"], strict=True):
        factor, serial = [octets(record["app_serial"])], int(record["terminal_sn"], 16)
        kind, terminal, at = int(record["type"], 16), octets(record["terminal_id"]), octets(record["datetime_bcd"])
        process = pboc.purchase_key(P, diversify(purchase_master, factor), octets(record["random"]), record["offline_atc"], serial)
        pboc.verify_mac4(process, pboc.command_input(record["amount"], kind, terminal, at), octets(record["mac1"]))
        pboc.verify_mac4(process, pboc.debited_input(record["amount"]), octets(record["mac2"]))
        key = pboc.tac_key(P, diversify(tac_master, factor))
        signed = pboc.purchase_tac_input(record["amount"], kind, terminal, serial, at)
        if valid:
            pboc.verify_mac4(key, signed, octets(record["tac"]))
        else:
            with pytest.raises(InvalidMac):
                pboc.verify_mac4(key, signed, octets(record["tac"]))


def test_sm4_profile_follows_its_text():
    # Process key: the same 8-octet block padded 80 00.. to 16; the MAC is CBC-MAC with SM4. Workings from the primitives.
    from cardcore.crypto.cipher import encrypt_ecb

    card, drawn = Key("sm4", bytes(range(16))), bytes(4)
    process = pboc.purchase_key(pboc.TRANSIT_SM4, card, drawn, 7, 0x01020304)
    assert reveal(process) == encrypt_ecb(card, drawn + b"\x00\x07\x03\x04" + b"\x80" + bytes(7))
    assert pboc.mac4(process, b"abc") == mac_algorithm1(process, b"abc")[:4]
    assert reveal(pboc.tac_key(pboc.TRANSIT_SM4, card)) == bytes(range(16))
    zeros = pboc.Profile("sm4-zeros", "sm4", tac_folded=False, challenge_octets=8, process_padding=1, mac_padding=1)
    process = pboc.purchase_key(zeros, card, drawn, 7, 0x01020304)
    assert reveal(process) == encrypt_ecb(card, drawn + b"\x00\x07\x03\x04" + bytes(8))
    assert pboc.mac4(process, b"abc", zeros) == mac_algorithm1(process, b"abc", 1)[:4]
    folding = pboc.Profile("sm4-folded", "sm4", tac_folded=True, challenge_octets=8)
    assert reveal(pboc.tac_key(folding, card)) == b"\x08" * 16


def test_profiles_refuse_each_others_keys():
    for profile, key in ((P, Key("sm4", bytes(16))), (pboc.TRANSIT_SM4, Key("tdes", bytes(16))), (P, Key("tdes", bytes(24)))):
        with pytest.raises(InvalidKey):
            pboc.load_key(profile, key, bytes(4), 0)
        with pytest.raises(InvalidKey):
            pboc.tac_key(profile, key)


def test_maintenance_mac_uses_the_challenge_as_the_profile_says():
    key, header, challenge = Key("tdes", bytes(range(16))), octets("841E000004"), octets("11223344")
    assert pboc.maintenance_mac(P, key, challenge, header) == mac_algorithm3(key, header, 2, challenge + bytes(4))[:4]
    single = Key("des", bytes(range(8)))
    assert pboc.maintenance_mac(P, single, challenge, header) == mac_algorithm1(single, header, 2, challenge + bytes(4))[:4]
    whole = pboc.Profile("whole challenge", "tdes", tac_folded=True, challenge_octets=8)
    assert pboc.maintenance_mac(whole, key, challenge * 2, header) == mac_algorithm3(key, header, 2, challenge * 2)[:4]
    with pytest.raises(InvalidCryptoInput):
        pboc.maintenance_mac(P, key, challenge * 2, header)


@pytest.mark.parametrize("amount", [-1, 1 << 32, 1.0, True, "1"])
def test_amounts_outside_the_field_are_refused(amount):
    with pytest.raises(InvalidCryptoInput):
        pboc.debited_input(amount)
    assert len(pboc.debited_input((1 << 32) - 1)) == 4
    assert pboc.debited_input(0) == bytes(4)
