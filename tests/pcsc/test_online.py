"""Goal: a station loads and pays with cards through a running service, and whatever goes away in between (card, service, both) the
money is where the card says and nobody pays twice. Method: the real service as a process, the real pcscd, simulated cards torn out
between two octets; the account is read from the service, the chip past its commands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cardapi.cli.service import reach
from cardapi.cli.show import Mistake
from cardapi.pcsc.errors import CardRemoved, OutcomeUnknown, UnknownCard
from cardapi.pcsc.identify import Found
from cardapi.pcsc.online import Session, SessionRefused
from firmware_sim import build
from firmware_sim.card import Card
from firmware_sim.pboc import Identity
from firmware_sim.pboc.layout import Purse
from firmware_sim.tear import Tear
from tests.cli.shop import Served, call, demo_shop, served
from tests.pcsc.daemon import Daemon

PIN: dict[str, Any] = {"CARDCORE_PIN": "123456"}


class Shop:
    """A running service, and cards that it knows."""

    def __init__(self, data: Path, service: Served) -> None:
        self.data, self.service = data, service
        self.cards = msgspec.json.decode((data / "demo.json").read_bytes())["cards"]
        self.card = ""
        with reach(data, url=service.url) as admin:
            self.token = admin.token  # one log-in: many at once are what the service holds off

    def do(self, operation: str, body: Any = None, **more: Any) -> Any:
        with reach(self.data, url=self.service.url, token=self.token) as service:
            return service.do(operation, body, **more)

    def register(self, medium: str, profile: str, card: str) -> None:
        """Give one of the demo's cards a chip."""
        self.card = self.cards[card]
        body = {"medium": medium, "profile": profile, "keys": [[1, 0, 0]], "purse": 2 if profile.startswith("pboc") else 0}
        self.do("registerMedium", body, path={"card": self.card})

    def account(self) -> int:
        return int(self.do("getCard", path={"card": self.card})["balance_fen"])

    def in_flight(self) -> list[Any]:
        return list(self.do("listInFlight")["items"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    data = tmp_path_factory.mktemp("online") / "shop"
    demo_shop(data)
    with served(data) as service:
        yield Shop(data, service)


def chip(card: Card) -> int:
    return Purse.read(card.store, 2).balance


def purse(serial: int) -> Card:
    return build.purse_card(identity=Identity(serial=serial.to_bytes(10)))


def station(pcscd: Daemon, shop: Shop, *words: str, ok: bool = True) -> Any:
    """`cardcore reader WORDS --json` at the counter."""
    where = ("--reader", pcscd.reader, "--data", str(shop.data), "--wait", "60", "--json")
    result = call("reader", *words, *where, check=ok, **PIN)
    return json.loads(result.stdout) if ok else result.stderr


def test_load_pay_show_tear_and_settle(pcscd: Daemon, shop: Shop):
    card = purse(1)
    shop.register("pboc:1000000010000000" + card_serial(1), "pboc2-3des", "mall-vip")
    before = shop.account()
    with pcscd.holding(card, away=0.2):
        loaded = station(pcscd, shop, "load", "100.00", "--tender", "cash")
        assert (loaded["outcome"], loaded["happened"], loaded["chip_fen"], chip(card)) == ("done", True, 100_00, 100_00)
        assert shop.account() == before, "paid at the till, not from the account"
        station(pcscd, shop, "load", "20")
        assert (chip(card), shop.account()) == (120_00, before - 20_00)
        paid = station(pcscd, shop, "pay", "12.50")
        assert (paid["outcome"], chip(card)) == ("done", 107_50)
        for tear, verb in (("54:command", "pay"), ("54:answer:0", "pay"), ("54:memory:60", "pay"), ("52:answer:2", "load")):
            card.tears = [Tear.parse(tear)]
            held = chip(card)
            done = station(pcscd, shop, verb, "12.50")
            assert (done["outcome"], done["happened"], done["amount_fen"]) == ("done", True, 12_50), tear
            assert chip(card) == held + (12_50 if verb == "load" else -12_50), tear
            assert shop.in_flight() == [], tear
        seen = station(pcscd, shop, "show", "--online")
        assert (seen["card"], seen["balance_fen"]) == (shop.card, chip(card))
        assert "[card_refused]" in station(pcscd, shop, "pay", "999", ok=False)
        assert station(pcscd, shop, "settle")["outcome"] == "done"
        text = call("reader", "pay", "1", "--reader", pcscd.reader, "--data", shop.data).stdout
        assert "paid: ¥1.00" in text


def card_serial(serial: int) -> str:
    return serial.to_bytes(10).hex()


def test_a_card_that_stays_away_is_settled_at_another_run(pcscd: Daemon, shop: Shop):
    card = purse(2)
    shop.register("pboc:1000000010000000" + card_serial(2), "pboc2-3des", "gift-card")
    with pcscd.holding(card, away=30) as slot:
        station(pcscd, shop, "load", "50", "--tender", "cash")
        card.tears = [Tear.parse("54:answer:0")]
        said = call("reader", "pay", "12.50", "--reader", pcscd.reader, "--data", shop.data, "--wait", "4", check=False).stderr
        assert "[card_outcome_unknown]" in said
        assert [item["amount_fen"] for item in shop.in_flight()] == [12_50]
        slot.stop()
    with pcscd.holding(card):
        settled = station(pcscd, shop, "pay", "3")
        assert (settled["outcome"], settled["happened"], settled["amount_fen"], chip(card)) == ("settled", True, 12_50, 37_50)
        assert shop.in_flight() == []
        assert station(pcscd, shop, "pay", "3")["chip_fen"] == 34_50


def test_a_desfire_card(pcscd: Daemon, shop: Shop):
    card = build.desfire_purse_card(uid=bytes.fromhex("04aabbccddeeff"))
    shop.register("desfire:04aabbccddeeff", "desfire-ev2", "spa")
    with pcscd.holding(card, away=0.2):
        assert station(pcscd, shop, "load", "30", "--tender", "cash")["chip_fen"] == 30_00
        card.tears = [Tear.parse("C7:answer:0")]
        assert station(pcscd, shop, "pay", "12.50")["chip_fen"] == 17_50
        assert station(pcscd, shop, "show", "--online")["balance_fen"] == 17_50


def test_what_is_missing_is_said(pcscd: Daemon, shop: Shop, tmp_path: Path):
    with pcscd.holding(purse(99)):
        assert "[unknown_medium]" in station(pcscd, shop, "pay", "1", ok=False)
        where = ("--reader", pcscd.reader, "--data", str(tmp_path))
        assert "[locked]" in call("reader", "pay", "1", *where, check=False).stderr
        assert "[no_terminal_key]" in call("reader", "pay", "1", *where, "--url", shop.service.url, check=False).stderr
        nobody = ("--url", "http://127.0.0.1:9", "--data", str(shop.data), "--reader", pcscd.reader)
        assert "[unreachable]" in call("reader", "pay", "1", *nobody, check=False).stderr


def test_the_service_is_killed_in_the_middle(pcscd: Daemon, tmp_path: Path):
    """The answer to the debit reaches the station, and the service is gone before it hears of it; started again, it goes on."""
    data = tmp_path / "shop"
    demo_shop(data)
    card = purse(1)
    plain = card.transmit
    with served(data) as first:
        shop = Shop(data, first)
        shop.register("pboc:1000000010000000" + card_serial(1), "pboc2-3des", "mall-vip")
        with pcscd.holding(card):
            station(pcscd, shop, "load", "100", "--tender", "cash")
            held: list[Any] = []

            def killing(command: bytes) -> bytes:
                answer = plain(command)
                if command[1] == 0x54 and not held:
                    first.kill()
                    held.append(context := served(data, first.port))
                    held.append(context.__enter__())
                return answer

            card.transmit = killing  # type: ignore[method-assign]
            try:
                paid = station(pcscd, shop, "pay", "12.50")
                assert (paid["outcome"], paid["happened"], chip(card)) == ("done", True, 87_50)
                assert len(held) == 2, "it was killed"
                assert shop.in_flight() == []
            finally:
                if held:
                    held[0].__exit__(None, None, None)


# ---------------------------------------------------------------- every way a session can go, without readers
class Script:
    """A service that answers what it is told to."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), []  # type: ignore[var-annotated]

    def do(self, operation: str, body: Any = None, *, key: str = "", path: Any = None) -> Any:
        self.asked.append((operation, key))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Silent:
    """A card that has gone, or one that agrees to everything."""

    def __init__(self, present: bool = True) -> None:
        self.present = present

    def transmit(self, command: bytes) -> bytes:
        if not self.present:
            raise CardRemoved("gone")
        return b"\x90\x00"


ASK = {"session": "s", "step": 0, "commands": ["00a40400"]}
FOUND = Found("pboc", "01")


def ended(outcome: str, **facts: Any) -> dict[str, Any]:
    return {"session": "s", "step": 1, "result": {"outcome": outcome, **facts}}


def asked(*answers: Any) -> tuple[Session, Script]:
    service, keys = Script(*answers), iter("abcdef")
    return Session(service, {"purpose": "pay", "amount_fen": 100}, lambda: next(keys)), service


def test_the_same_key_until_it_is_known():
    session, service = asked(ASK, ended("in_flight"), ASK, ended("settled", happened=True, ticket_id="t"))
    with pytest.raises(OutcomeUnknown):
        session.offer(Silent(), FOUND)
    assert session.offer(Silent(), FOUND)["outcome"] == "done"
    assert {key for operation, key in service.asked if operation == "openCardSession"} == {"a"}


def test_another_key_once_it_is_proved_not_to_have_happened():
    session, service = asked(ASK, ended("in_flight"), ASK, ended("settled", happened=False, ticket_id="t"), ASK, ended("done"))
    with pytest.raises(OutcomeUnknown):
        session.offer(Silent(), FOUND)
    assert session.offer(Silent(), FOUND)["outcome"] == "done"
    assert [key for operation, key in service.asked if operation == "openCardSession"] == ["a", "a", "b"]


def test_an_older_item_is_told_and_nothing_else_done():
    session, _ = asked(ASK, ended("settled", happened=True, verb="load", ticket_id="t"))
    assert session.offer(Silent(), FOUND)["outcome"] == "settled"


def test_refusals_torn_cards_and_strangers():
    session, service = asked(ASK, ended("torn"), ASK, ended("refused", code="card_refused", detail="no", tries_left=2))
    with pytest.raises(CardRemoved):
        session.offer(Silent(present=False), FOUND)
    with pytest.raises(SessionRefused, match="2 tries left") as refused:
        session.offer(Silent(), FOUND)
    assert refused.value.code == "card_refused"
    session, service = asked(ASK, ended("in_flight"), ASK, ended("refused", code="other_card"))
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            session.offer(Silent(), FOUND)
    session, service = asked()
    with pytest.raises(UnknownCard):
        session.offer(Silent(), Found("unknown"))
    assert service.asked == []


@pytest.mark.parametrize("code", ["unreachable", "unknown_session", "signature_time"])
def test_a_service_that_goes_away(code: str):
    session, service = asked(Mistake(code, "away"))
    with pytest.raises(Mistake):
        session.offer(Silent(), FOUND)  # nothing was asked of the card
    session, service = asked(ASK, Mistake(code, "away"), Mistake(code, "away"), ASK, ended("done", happened=True))
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            session.offer(Silent(), FOUND)
    assert session.offer(Silent(), FOUND)["outcome"] == "done"
    assert {key for operation, key in service.asked if operation == "openCardSession"} == {"a"}
