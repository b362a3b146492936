"""Goal: a blank card becomes one that can be loaded and paid with, whatever the profile, and again after it was torn out anywhere.

Method: blank cards of the simulator are personalised by the dialogues; the tills of the simulator's own suite, which share no code with
us, then load and pay. For tearing, the card is cut after each answer in turn and the dialogue is run again.
"""

from __future__ import annotations

from typing import Literal

import pytest

from cardcore.card import CardRefused, OtherCard, desfire_issue, purse, purse_issue, tries_left
from cardcore.card.purse import Make
from cardcore.crypto import pboc
from firmware_sim import build
from firmware_sim.card import Card
from firmware_sim.desfire import DesfireCard, ready
from firmware_sim.pboc import PROFILES, PurseCard
from firmware_sim.testkeys import known_key
from tests.card.issuer import NEW, Issuer, layout
from tests.card.station import Torn
from tests.firmware_sim.reader import Reader, Refusal
from tests.firmware_sim.till import Till

MAKES = {
    "pboc2-3des": Make(),
    "fm1208": Make(levels=("issuer", "serial")),
    "transit-sm4": Make(profile=pboc.TRANSIT_SM4),
}
PIN = bytes.fromhex("123456")


def new_purse(profile: str) -> purse_issue.NewPurse:
    return purse_issue.NewPurse(NEW, b"LI LEI", dict.fromkeys(purse_issue.KEYS, 1), PROFILES[profile].algorithm)


def blank(profile: str) -> PurseCard:
    card = build.blank_purse_card(profile=profile)
    card.power_on()
    return card


def personalised(profile: str) -> Issuer:
    issuer = Issuer(blank(profile), MAKES[profile])
    issuer.run(purse_issue.personalise(MAKES[profile], new_purse(profile)))
    return issuer


def works(profile: str, card: Card) -> None:
    """The simulator's own till loads and pays."""
    assert isinstance(card, PurseCard)
    card.power_on()
    till = Till(profile)
    till.load(card, 10000)
    till.purchase(card, 1250)
    assert till.balance(card) == 8750


@pytest.mark.parametrize("profile", sorted(MAKES))
def test_a_blank_purse_becomes_one_to_pay_with(profile: str) -> None:
    issuer = personalised(profile)
    works(profile, issuer.card)
    # Once personalised it is nobody's blank card: neither the transport key nor another identity opens it.
    other = purse_issue.NewPurse(purse.Application(bytes(8), 2, 1, b"\x09" * 10, bytes(4), bytes(4)), b"", new_purse(profile).versions)
    with pytest.raises(OtherCard):
        issuer.run(purse_issue.personalise(MAKES[profile], other))
    assert not any(known_key("transport") in command for command in issuer.sent)


def test_no_key_is_said_in_clear() -> None:
    issuer = personalised("pboc2-3des")
    said = b"".join(issuer.sent)
    for name in purse_issue.KEYS:
        with issuer.fetch(name).lend() as octets:
            assert bytes(octets) not in said


@pytest.mark.parametrize("profile", sorted(MAKES))
def test_a_purse_torn_out_anywhere_is_personalised_by_running_again(profile: str) -> None:
    whole = len(personalised(profile).sent)
    for place in range(whole):
        card = blank(profile)
        with pytest.raises(Torn):
            Issuer(card, MAKES[profile], cut_after=place).run(purse_issue.personalise(MAKES[profile], new_purse(profile)))
        card.power_on()
        again = Issuer(card, MAKES[profile])
        assert again.run(purse_issue.personalise(MAKES[profile], new_purse(profile))) == NEW, f"cut after answer {place}"
        works(profile, card)


def test_a_strangers_card_is_refused_and_not_locked() -> None:
    card = blank("pboc2-3des")
    with pytest.raises(CardRefused) as refused:
        Issuer(card, MAKES["pboc2-3des"], wrong="transport").run(purse_issue.personalise(Make(), new_purse("pboc2-3des")))
    assert tries_left(int(refused.value.facts["status"], 16)) == 1
    Issuer(card, MAKES["pboc2-3des"]).run(purse_issue.personalise(Make(), new_purse("pboc2-3des")))


@pytest.mark.parametrize("profile", sorted(MAKES))
def test_a_forgotten_pin_gets_a_new_one(profile: str) -> None:
    make, issuer = MAKES[profile], personalised(profile)
    for _ in range(PROFILES[profile].pin_tries):
        with pytest.raises(CardRefused):
            issuer.run(purse.verify_pin(bytes.fromhex("999999")))
    with pytest.raises(CardRefused, match="locked"):
        issuer.run(purse.verify_pin(PIN))
    for number, dialogue in enumerate((purse_issue.reload_pin(b"\x11\x22"), purse_issue.unblock_pin(make, b"\x33\x44\x55"))):
        issuer.run(dialogue)
        issuer.run(purse.verify_pin((b"\x11\x22", b"\x33\x44\x55")[number]))


@pytest.mark.parametrize("key", ["unblock-pin", "reload-pin"])
def test_a_new_pin_needs_its_key(key: str) -> None:
    issuer = personalised("pboc2-3des")
    issuer.wrong = key
    dialogue = purse_issue.reload_pin(b"\x11\x22") if key == "reload-pin" else purse_issue.unblock_pin(Make(), b"\x11\x22")
    with pytest.raises(CardRefused) as refused:
        issuer.run(dialogue)
    assert refused.value.facts["status"] == "6988"
    issuer.run(purse.verify_pin(PIN))


@pytest.mark.parametrize("profile", sorted(MAKES))
def test_blocking_for_a_time_and_for_good(profile: str) -> None:
    make, issuer = MAKES[profile], personalised(profile)
    issuer.run(purse_issue.block_application(make))
    with pytest.raises(CardRefused):
        issuer.run(purse.balance())
    issuer.run(purse_issue.unblock_application(make))
    assert issuer.run(purse.balance()) == 0
    issuer.run(purse_issue.block_application(make, for_good=True))
    with pytest.raises(CardRefused):
        issuer.run(purse_issue.unblock_application(make))


# ---------------------------------------------------------------- DESFire
NUMBER = b"6200000000000013"


KINDS = pytest.mark.parametrize("ev2", [False, True], ids=["ev1", "ev2"])


def fresh(*, ev2: bool) -> DesfireCard:
    card = build.desfire_card(ev2=ev2)
    card.power_on()
    return card


def issued(*, ev2: bool) -> Issuer:
    issuer = Issuer(fresh(ev2=ev2), uid=build.TEST_UID)
    issuer.run(desfire_issue.personalise(layout(ev2=ev2), NUMBER))
    return issuer


def pays(card: Card, *, ev2: bool) -> None:
    """The simulator's own reader loads and pays with the keys it would have."""
    assert isinstance(card, DesfireCard)
    card.power_on()
    reader = Reader(card)
    reader.select(ready.AID)
    assert reader.read(0xBD, ready.NUMBER_FILE) == NUMBER.ljust(32, b"\0")
    kind: Literal["ev2", "aes"] = "ev2" if ev2 else "aes"
    reader.authenticate(kind, 1, ready.card_key("desfire-credit", build.TEST_UID))
    reader.move(0x0C, ready.VALUE_FILE, 1000, 3)
    reader.plain_command(0xC7)
    reader.authenticate(kind, 2, ready.card_key("desfire-debit", build.TEST_UID))
    reader.move(0xDC, ready.VALUE_FILE, 250, 3)
    reader.write(0x3B, ready.LOG_FILE, bytes(32), mode=1)
    reader.plain_command(0xC7)
    assert reader.value(ready.VALUE_FILE, 3) == 750


@KINDS
def test_a_blank_desfire_card_becomes_one_to_pay_with(ev2: bool) -> None:
    issuer = issued(ev2=ev2)
    pays(issuer.card, ev2=ev2)
    said = b"".join(issuer.sent)
    for name in (*desfire_issue.KEYS, "tmac"):
        with issuer.fetch(name).lend() as octets:
            assert bytes(octets) not in said


@KINDS
def test_a_desfire_card_is_made_like_the_ready_one(ev2: bool) -> None:
    """File for file and key for key, the two have the same content."""
    ready_made = build.desfire_purse_card(ev2=ev2, number=NUMBER)
    ready_made.power_on()
    ours, theirs = issued(ev2=ev2).card.store, ready_made.store
    names = {*theirs.names(b"F"), *theirs.names(b"A")}
    assert len(names) >= 4 + ev2
    assert {name: ours.read(name) for name in names} == {name: theirs.read(name) for name in names}


@KINDS
def test_a_desfire_card_torn_out_anywhere_is_personalised_by_running_again(ev2: bool) -> None:
    whole = len(issued(ev2=ev2).sent)
    for place in range(whole):
        card = fresh(ev2=ev2)
        with pytest.raises(Torn):
            Issuer(card, uid=build.TEST_UID, cut_after=place).run(desfire_issue.personalise(layout(ev2=ev2), NUMBER))
        card.power_on()
        Issuer(card, uid=build.TEST_UID).run(desfire_issue.personalise(layout(ev2=ev2), NUMBER))
        pays(card, ev2=ev2)


@KINDS
def test_a_desfire_card_of_another_issuer_is_refused(ev2: bool) -> None:
    issuer = issued(ev2=ev2)
    issuer.wrong = "master"
    with pytest.raises(CardRefused) as refused:
        issuer.run(desfire_issue.personalise(layout(ev2=ev2), NUMBER))
    assert refused.value.facts["status"] == "91AE"


# ---------------------------------------------------------------- the card's own master key
def secured(card: Card, *, ev2: bool, cut_after: int = -1, wrong: str = "") -> Issuer:
    issuer = Issuer(card, uid=build.TEST_UID, master="card", cut_after=cut_after, wrong=wrong)
    issuer.run(desfire_issue.secure_card(1, ev2=ev2))
    return issuer


def formats(card: Card, key: bytes, *, ev2: bool, native: bool = False) -> bool:
    """Whether whoever has this key can wipe the card."""
    assert isinstance(card, DesfireCard)
    card.power_on()
    reader = Reader(card)
    reader.select(bytes(3))
    try:
        kind: Literal["native", "ev2", "aes"] = "native" if native else "ev2" if ev2 else "aes"
        reader.authenticate(kind, 0, key)
        reader.plain_command(0xFC)
    except Refusal:
        return False
    return True


@KINDS
def test_nobody_formats_a_card_with_its_own_master_key(ev2: bool) -> None:
    issuer = issued(ev2=ev2)
    assert formats(fresh(ev2=ev2), bytes(16), ev2=ev2, native=True), "the factory's key opens a fresh card"
    secured(issuer.card, ev2=ev2)
    assert not formats(issuer.card, bytes(16), ev2=ev2, native=True)
    assert not formats(issuer.card, bytes(16), ev2=ev2)
    issuer.card.power_on()
    secured(issuer.card, ev2=ev2)  # again is no harm
    pays(issuer.card, ev2=ev2)
    with issuer.fetch("card").lend() as octets:
        assert formats(issuer.card, bytes(octets), ev2=ev2)


@KINDS
def test_securing_a_card_can_be_torn_and_run_again(ev2: bool) -> None:
    whole = len(secured(fresh(ev2=ev2), ev2=ev2).sent)
    for place in range(whole):
        card = fresh(ev2=ev2)
        with pytest.raises(Torn):
            secured(card, ev2=ev2, cut_after=place)
        card.power_on()
        secured(card, ev2=ev2)


@KINDS
def test_a_card_with_a_strangers_master_key_is_refused(ev2: bool) -> None:
    card = fresh(ev2=ev2)
    secured(card, ev2=ev2)
    with pytest.raises(CardRefused):
        secured(card, ev2=ev2, wrong="card")
