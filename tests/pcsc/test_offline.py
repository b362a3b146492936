"""Goal: off line, money leaves a card once and stands in the batch once, whenever the card or the process goes, and never by a guess.
Method: the simulated purse and module, torn and killed at every step, first in this process and then behind the real pcscd; the
records are checked with the issuer's TAC key, the purse by its own balance.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cardapi.clearing import scan
from cardapi.pcsc import offline
from cardapi.pcsc.drive import drive
from cardapi.pcsc.errors import OutcomeUnknown, WrongCard
from cardapi.pcsc.identify import identify
from cardapi.pcsc.intents import DamagedIntents, Intents, TillBusy
from cardapi.pcsc.offline import NotGenuine, Paid, StillOpen, Till, WrongModule, stored
from cardcore.card import CardRefused, purse, seals
from cardcore.card.purse_debit import DebitIntent
from cardcore.clearing import InvalidBatch, PurseRecord
from cardcore.crypto import Key
from firmware_sim import build
from firmware_sim.card import Card
from firmware_sim.nvm import PowerCut
from firmware_sim.pboc import Identity
from firmware_sim.pcscd import Pcscd
from firmware_sim.tear import Tear
from firmware_sim.testkeys import known_key
from tests.cli.shop import call
from tests.firmware_sim.support import h
from tests.pcsc.daemon import Daemon
from tests.pcsc.near import Held, NearModule, now
from tests.support import sized

MAKE = purse.Make()
SELECT, BALANCE = h("00A4040009A00000000386980701"), h("805C000204")


def purse_of(serial: int = 1, balance: int = 10_000) -> Card:
    return build.purse_card(identity=Identity(serial=serial.to_bytes(10)), balance=balance)


def offer(purchase: offline.Purchase, card: Card) -> Paid:
    """Put the card on the reader once."""
    line = Held(card)
    return purchase.offer(line, drive(identify(MAKE), line))


def left(card: Card) -> int:
    card.tears = []
    card.power_on()
    card.transmit(SELECT)
    return int.from_bytes(card.transmit(BALANCE)[:4])


def proven(path: Path) -> int:
    """What stands in the batch, each record checked with the issuer's TAC key, no number twice."""
    found = stored(path, scan(path).count)
    for record in found:
        assert isinstance(record, PurseRecord)
        card = purse.Application(record.issuer, 2, 1, record.serial, bytes(4), bytes(4))
        intent = DebitIntent(card, 2, record.kind, record.amount, record.balance, record.counter, record.terminal, record.number, record.at)
        seals.check_purchase_tac(MAKE, Key("tdes", known_key("tac")), intent, record.tac)
    assert len({record.number for record in found}) == len(found)
    return sum(record.amount for record in found)


def test_pay(till: Till, path: Path):
    card = purse_of()
    first = offer(till.purchase(1250, now), card)
    second = offer(till.purchase(1250, now), card)
    assert (first.balance_after, second.balance_after, left(card)) == (8750, 7500, 7500)
    assert (first.recovered, second.begun.number, second.intent.counter) == (False, 2, 1)
    assert proven(path) == 2500
    assert till.intents.open == {}


WRITTEN = 136
"""Octets of its memory that the card writes in a debit."""
TORN = ["54:command", *(f"54:answer:{byte}" for byte in range(10)), *(f"54:memory:{byte}" for byte in range(0, WRITTEN, sized(5, 1)))]


@pytest.mark.parametrize("tear", TORN)
def test_torn_and_put_back(till: Till, path: Path, tear: str):
    card, purchase = purse_of(), till.purchase(1250, now)
    card.tears = [Tear.parse(tear)]
    with pytest.raises(OutcomeUnknown):
        offer(purchase, card)
    assert len(till.intents.open) == 1
    assert proven(path) == 0, "nothing is claimed before the card has told"
    paid = offer(purchase, card)
    assert not paid.earlier
    assert (left(card), proven(path), till.intents.open) == (8750, 1250, {})


@pytest.mark.parametrize("tear", ["54:command", "54:answer:0", "54:memory:40", f"54:memory:{WRITTEN - 1}"])
def test_torn_and_back_at_another_run(sam: Card, path: Path, tear: str):
    card = purse_of()
    card.tears = [Tear.parse(tear)]
    with Till(NearModule(sam), path, now()) as till, pytest.raises(OutcomeUnknown):
        offer(till.purchase(1250, now), card)
    other = purse_of(2)
    with Till(NearModule(sam), path, now()) as till:
        assert len(till.intents.open) == 1
        assert offer(till.purchase(300, now), other).balance_after == 9700, "other cards pay meanwhile"
        paid = offer(till.purchase(999, now), card)
        assert (paid.earlier, paid.intent.amount) in ((True, 1250), (False, 999)), "either the old one is completed or a new one made"
        assert 10_000 - left(card) + 10_000 - left(other) == proven(path)
        assert till.intents.open == {}


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", ["begin", "append", "end"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_process_is_killed(sam: Card, path: Path, monkeypatch: pytest.MonkeyPatch, step: str, when: str):
    card = purse_of()
    with Till(NearModule(sam), path, now()) as till:
        owner = till.batch if step == "append" else till.intents
        plain = getattr(owner, step)

        def killed(*arguments: Any) -> None:
            if when == "after":
                plain(*arguments)
            raise Killed

        monkeypatch.setattr(owner, step, killed)
        with pytest.raises(Killed):
            offer(till.purchase(1250, now), card)
    taken = 10_000 - left(card)
    assert taken == (0 if step == "begin" else 1250)
    with Till(NearModule(sam), path, now()) as till:
        if till.intents.open:
            paid = offer(till.purchase(500, now), card)
            assert paid.earlier == (taken > 0)
        assert (10_000 - left(card), till.intents.open) == (proven(path), {})


def test_another_card_does_not_pay_for_the_one_that_was_taken_away(till: Till, path: Path):
    card, other, purchase = purse_of(), purse_of(2), till.purchase(1250, now)
    card.tears = [Tear.parse("54:answer:0")]
    with pytest.raises(OutcomeUnknown):
        offer(purchase, card)
    for stranger in (other, build.desfire_purse_card()):
        with pytest.raises(OutcomeUnknown, match="another card"):
            offer(purchase, stranger)
    assert offer(purchase, card).recovered
    assert (left(card), left(other), proven(path)) == (8750, 10_000, 1250)


def test_refusals_take_nothing(till: Till, path: Path):
    card = purse_of(balance=1000)
    with pytest.raises(CardRefused) as refused:
        offer(till.purchase(1250, now), card)
    assert refused.value.facts["status"] == "9401"
    with pytest.raises(WrongCard):
        offer(till.purchase(1250, now), build.desfire_purse_card(ev2=False))
    with pytest.raises(WrongCard):
        offer(till.purchase(1250, now), build.blank_purse_card())
    assert (left(card), proven(path), till.intents.open) == (1000, 0, {})


def test_a_card_that_refuses_the_seal_is_asked_once(till: Till, path: Path):
    """A card of another issuer: it does not know MAC1. It says no, is asked what it did, and that is the end of it."""
    card = purse_of()
    plain, sent = card.transmit, []

    def other_key(command: bytes) -> bytes:
        sent.append(command[1])
        return plain(command[:-5] + bytes(octet ^ 1 for octet in command[-5:-1]) + command[-1:] if command[1] == 0x54 else command)

    card.transmit = other_key  # type: ignore[method-assign]
    with pytest.raises(CardRefused, match="9302"):
        offer(till.purchase(1250, now), card)
    assert sent.count(0x54) == 1
    card.transmit = plain  # type: ignore[method-assign]
    assert (left(card), proven(path), till.intents.open) == (10_000, 0, {})


def forging(card: Card, *, tear: bool) -> None:
    """A card that invents MAC2: in its answer to the debit, or in the proof after a tear that it stages."""
    plain = card.transmit

    def transmit(command: bytes) -> bytes:
        answer = plain(command)
        if command[1] == 0x54 and tear:
            card.power_off()
            raise PowerCut
        if command[1] == 0x54:
            return answer[:4] + b"\0\0\0\0" + answer[8:]
        return b"\0\0\0\0" + answer[4:] if command[1] == 0x5A else answer

    card.transmit = transmit  # type: ignore[method-assign]


@pytest.mark.parametrize("tear", [False, True])
def test_a_card_that_does_not_know_its_key_buys_nothing(sam: Card, path: Path, tear: bool):
    card = purse_of()
    forging(card, tear=tear)
    with Till(NearModule(sam), path, now()) as till:
        purchase = till.purchase(1250, now)
        if tear:
            with pytest.raises(OutcomeUnknown):
                offer(purchase, card)
        with pytest.raises(NotGenuine):
            offer(purchase, card)
        with pytest.raises(NotGenuine):
            offer(purchase, card)
    with Till(NearModule(sam), path, now()) as till:
        with pytest.raises(NotGenuine):
            offer(till.purchase(1, now), card)
        assert (proven(path), len(till.intents.open)) == (0, 1)


def test_what_the_card_cannot_tell_stays_open(sam: Card, path: Path):
    """Another till debited the card meanwhile, and again until the log has forgotten: nothing is guessed, nothing more is taken."""
    card = purse_of()
    card.tears = [Tear.parse("54:answer:0")]
    with Till(NearModule(sam), path, now()) as till, pytest.raises(OutcomeUnknown):
        offer(till.purchase(1250, now), card)
    elsewhere = path.with_name("elsewhere.ccb")
    with Till(NearModule(build.purchase_sam(terminal_id=h("000000000002"))), elsewhere, now()) as other:
        for times in (1, 11):
            for _ in range(times):
                offer(other.purchase(1, now), card)
            before = left(card)
            with Till(NearModule(sam), path, now()) as till:
                with pytest.raises(StillOpen, match="proof" if times == 1 else "cannot tell"):
                    offer(till.purchase(1250, now), card)
                assert len(till.intents.open) == 1
            assert left(card) == before
    assert proven(path) == 0


def test_files(sam: Card, path: Path):
    with Till(NearModule(sam), path, now()) as till:
        offer(till.purchase(1250, now), purse_of())
        with pytest.raises(TillBusy):
            Till(NearModule(sam), path, now())
    begun = path.with_name("today.ccb.begun")
    whole = begun.read_bytes()
    begun.write_bytes(whole + b'{"begun": {"iss')
    with Intents(begun) as intents:
        assert intents.open == {}
    assert begun.read_bytes() == whole, "a torn line was never acted upon"
    with pytest.raises(WrongModule):
        Till(NearModule(build.purchase_sam(terminal_id=h("000000000002"))), path, now())
    begun.write_bytes(whole + b'{"paid": 1}\n')
    with pytest.raises(DamagedIntents, match="line 3"):
        Till(NearModule(sam), path, now())
    begun.write_bytes(whole)
    with Till(NearModule(sam), path, now()) as till:
        till.batch.seal()
    with pytest.raises(InvalidBatch, match="sealed"):
        Till(NearModule(sam), path, now())


# ---------------------------------------------------------------- behind the real service
def test_the_command(pcscd: Daemon, path: Path):
    """Pay, be torn out in the middle and put back, pay with too little money: all in one go, as a person at the counter would."""
    card = purse_of()
    words = ("reader", "pay", "12.50", "--reader", pcscd.reader, "--sam", pcscd.second, "--batch", path, "--json", "--wait", "60")
    with pcscd.holding(build.purchase_sam(), second=True, seen=False), pcscd.holding(card, away=0.2):
        pcscd.sees(pcscd.second, card=True)
        paid = json.loads(call(*words).stdout)
        assert (paid["outcome"], paid["recovered"], paid["balance_fen"], paid["number"]) == ("paid", False, 8750, 1)
        card.tears = [Tear.parse("54:answer:3")]
        result = call(*words)
        paid = json.loads(result.stdout)
        assert (paid["outcome"], paid["recovered"], paid["balance_fen"], paid["in_flight"]) == ("paid", True, 7500, 0)
        assert "put the same card back" in result.stderr
        refused = call(*words[:2], "99.00", *words[3:], check=False)
        assert refused.returncode == 1
        assert "[card_refused]" in refused.stderr
        text = call(*(word for word in words if word != "--json")).stdout
        assert "paid: ¥12.50" in text
        assert "3 records, ¥37.50" in text
    assert (left(card), proven(path)) == (6250, 3750)


@pytest.mark.parametrize("profile", ["fm1208", "transit-sm4"])
def test_the_command_pays_with_purses_of_another_make(pcscd: Daemon, path: Path, profile: str):
    """Keys diversified by issuer and serial, and SM4 keys: what is sent to the module is as the card's make has it."""
    words = ("reader", "pay", "12.50", "--reader", pcscd.reader, "--sam", pcscd.second, "--batch", path, "--json", "--wait", "60")
    card, sam = build.purse_card(profile=profile, balance=10_000), build.purchase_sam(profile=profile)
    with pcscd.holding(sam, second=True, seen=False), pcscd.holding(card):
        pcscd.sees(pcscd.second, card=True)
        assert "[unknown_profile]" in call(*words, "--profile", "desfire-ev2", check=False).stderr
        if profile == "fm1208":
            assert "[card_refused]" in call(*words, check=False).stderr, "a key of another card"
        paid = json.loads(call(*words, "--profile", profile).stdout)
        assert (paid["outcome"], paid["balance_fen"], paid["in_flight"]) == ("paid", 8750, 0)


@pytest.mark.parametrize("when", ["before the card acts", "after it"])
def test_the_service_is_killed_under_a_debit(pcscd: Daemon, own_pcscd: Pcscd, path: Path, when: str):
    """pcscd dies while the card pays, and comes back: card and module have lost their power, the till goes on by proof."""
    card = purse_of()
    killed: list[bool] = []
    plain = card.transmit

    def killing(command: bytes) -> bytes:
        first = command[1] == 0x54 and not killed
        if first and when != "after it":
            own_pcscd.kill()
        answer = plain(command) if not first or when == "after it" else b""
        if first:
            if when == "after it":
                own_pcscd.kill()
            killed.append(True)
            own_pcscd.start()
            card.power_off()
            raise PowerCut
        return answer

    card.transmit = killing  # type: ignore[method-assign]
    words = ("reader", "pay", "12.50", "--reader", pcscd.reader, "--sam", pcscd.second, "--batch", path, "--json", "--wait", "60")
    with pcscd.holding(build.purchase_sam(), second=True, seen=False), pcscd.holding(card):
        pcscd.sees(pcscd.second, card=True)
        paid = json.loads(call(*words).stdout)
    assert killed
    assert (paid["outcome"], paid["recovered"], paid["in_flight"]) == ("paid", when == "after it", 0)
    assert (left(card), proven(path)) == (8750, 1250)


def test_the_command_says_what_is_missing(pcscd: Daemon, path: Path):
    words = ("reader", "pay", "12.50", "--reader", pcscd.reader, "--wait", "0.3")
    assert "[sam_and_batch]" in call(*words, "--batch", path, check=False).stderr
    with pcscd.holding(purse_of(), second=True):
        assert "[sam_unavailable]" in call(*words, "--sam", pcscd.second, "--batch", path, check=False).stderr
    with pcscd.holding(build.purchase_sam(), second=True):
        assert "[no_card]" in call(*words, "--sam", pcscd.second, "--batch", path, check=False).stderr
    assert call("reader", "pay", "0", "--sam", "x", "--batch", path, check=False).returncode == 1
