"""Goal: the purse card says byte for byte what the published and independently computed transcripts say.
Method: a card in the state of the vector, its random number scripted, hears the terminal's commands.
"""

from __future__ import annotations

import dataclasses

import pytest

from firmware_sim.nvm import Memory
from firmware_sim.pboc import PROFILES, Profile, PurseCard, Suite, personalise
from firmware_sim.pboc.layout import Purse
from tests.firmware_sim.support import Script, h, ok, refused, vectors

PROFILE = PROFILES["pboc2-3des"]
SELECT = "00A4040009A0000000038698070100"
SUITE = Suite("3des")


def card_of(given, use: str, *, online: bool, profile: Profile = PROFILE) -> PurseCard:
    """A card in the state of a vector, selected and with its PIN verified."""
    counter = given.get("online_atc", given.get("offline_atc"))
    purse = Purse(
        given["balance"], counter if online else 7, 9 if online else counter, given.get("overdraw_limit", given.get("old_limit", 0))
    )
    keys = {use: h(given[f"{use}_key"]), "tac": h(given.get("tac_key", "00" * 16))}
    memory = Memory()
    personalise(
        memory, profile=profile, master_keys={}, card_keys=keys, electronic_purse=purse, electronic_deposit=purse,
        key_version=int(given.get("key_version", "01"), 16), algorithm=int(given.get("algorithm", "00"), 16),
    )  # fmt: skip
    card = PurseCard(memory, profile, Script(h(given["random"])))
    card.power_on()
    ok(card, SELECT)
    ok(card, "0020000003123456")
    return card


def fields(given) -> str:
    return f"01{given['amount']:08X}{given['terminal_id']}"


@pytest.mark.parametrize(("given", "expected"), vectors("pboc_epurse", "pboc_load"))
def test_load(given, expected):
    card = card_of(given, "load", online=True)
    which = given["transaction_type"]
    assert ok(card, f"805000{which}0B{fields(given)}10") == h(expected["init_response"])
    tac = ok(card, expected["credit_command"])
    if "tac" in expected:
        assert tac == h(expected["tac"])
    assert ok(card, f"805C00{which}04") == expected["new_balance"].to_bytes(4, "big")
    # The proof by the counter after the transaction: MAC2 as received, then TAC.
    proof = ok(card, f"805A00{which}02{given['online_atc'] + 1:04X}08")
    assert proof == h(expected["mac2"]) + tac
    refused(card, f"805A00{which}02{given['online_atc']:04X}08", 0x9406)


PURCHASES = {"04": "02", "05": "01", "06": "01", "09": "03"}


@pytest.mark.parametrize(("given", "expected"), vectors("pboc_epurse", "pboc_purchase", "pboc_capp_purchase", "pboc_cash_withdraw"))
def test_purchase(given, expected):
    card = card_of(given, "purchase", online=False)
    kind = given["transaction_type"]
    which = "02" if kind in ("06", "09") else "01"
    assert ok(card, f"8050{PURCHASES[kind]}{which}0B{fields(given)}0F") == h(expected["init_response"])
    assert ok(card, expected["debit_command"]) == h(expected["debit_response"]) == h(expected["tac"] + expected["mac2"])
    assert ok(card, f"805C00{which}04") == expected["new_balance"].to_bytes(4, "big")
    # The other way round than the answer to DEBIT.
    assert ok(card, f"805A00{kind}02{given['offline_atc'] + 1:04X}08") == h(expected["mac2"] + expected["tac"])
    log = ok(card, "00B201C417")
    stamp = given["datetime_bcd"]
    assert log == h(f"{given['offline_atc']:04X}{given['overdraw_limit']:06X}{given['amount']:08X}{kind}{given['terminal_id']}{stamp}")


@pytest.mark.parametrize(("given", "expected"), vectors("pboc_epurse", "pboc_unload"))
def test_unload(given, expected):
    card = card_of(given, "unload", online=True)
    opened = ok(card, f"805005010B{fields(given)}10")
    assert opened == h(f"{given['balance']:08X}{given['online_atc']:04X}0100{given['random']}{expected['mac1']}")
    assert ok(card, f"805403000B{given['datetime_bcd']}{expected['mac2']}04") == h(expected["mac3"])
    assert ok(card, "805C000104") == expected["new_balance"].to_bytes(4, "big")


@pytest.mark.parametrize(("given", "expected"), vectors("pboc_epurse", "pboc_update_overdraw"))
def test_overdraw_update(given, expected):
    card = card_of(given, "overdraw", online=True)
    opened = ok(card, "8050040107" + "01" + given["terminal_id"] + "13")
    start = f"{given['balance']:08X}{given['online_atc']:04X}{given['old_limit']:06X}0100"
    assert opened == h(start + given["random"] + expected["mac1"])
    assert ok(card, f"805800000E{given['new_limit']:06X}{given['datetime_bcd']}{expected['mac2']}04") == h(expected["tac"])
    assert ok(card, "805C000104") == expected["new_balance"].to_bytes(4, "big")


@pytest.mark.parametrize(("given", "expected"), vectors("pboc_epurse", "pboc_diversify"))
def test_diversification(given, expected):
    key = SUITE.diversify(h(given["master_key"]), h(given["factor"]))
    assert key == h(expected["sub_key"])
    if "sub_key_level2" in expected:
        both = SUITE.chain(h(given["master_key"]), [h(given["factor"]), h(given["factor_level2"])])
        assert both == h(expected["sub_key_level2"])


@pytest.mark.parametrize(("given", "expected"), vectors("pboc_epurse", "pboc_tac_batch"))
def test_tac_batch(given, expected):
    """Records whose TAC is right must come out of a card; the others must not."""
    for record, valid in zip(given["records"], expected["tac_valid"], strict=True):
        factor = h(record["app_serial"])
        state = {"balance": 100000, "offline_atc": record["offline_atc"], "random": record["random"]}
        state["purchase_key"] = SUITE.diversify(h(given["purchase_master_key"]), factor).hex()
        state["tac_key"] = SUITE.diversify(h(given["tac_master_key"]), factor).hex()
        card = card_of(state, "purchase", online=False)
        ok(card, f"805001020B01{record['amount']:08X}{record['terminal_id']}0F")
        answer = ok(card, f"805401000F{record['terminal_sn']}{record['datetime_bcd']}{record['mac1']}08")
        assert answer[4:] == h(record["mac2"])
        assert (answer[:4] == h(record["tac"])) is valid


def test_profiles_of_the_proof():
    given = {"balance": 500, "offline_atc": 3, "random": "01020304", "purchase_key": "11" * 16, "tac_key": "22" * 16}
    card = card_of(given, "purchase", online=False, profile=dataclasses.replace(PROFILE, proof_counter="same", log_counter="next"))
    ok(card, "805001020B01000000640000000000010F")
    key = SUITE.process_key(h("11" * 16), h("0102030400030001"))
    mac1 = SUITE.mac(key, h("000000640600000000000120261122120000"))
    ok(card, h("805401000F0000000120261122120000") + mac1 + b"\x08")
    refused(card, "805A000602000408", 0x9406)
    assert len(ok(card, "805A000602000308")) == 8
    assert ok(card, "00B201C417")[:2] == h("0004")
