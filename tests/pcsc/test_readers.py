"""Goal: readers and cards are seen coming and going, through unplugging, a killed service and a card pulled in the middle.
Method: simulated cards behind the real pcscd; the watcher's own events, in order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cardapi.pcsc import contents
from cardapi.pcsc.context import Context
from cardapi.pcsc.drive import drive
from cardapi.pcsc.errors import CardLocked, CardRemoved, NoCard, NoReader, NoService, OutcomeUnknown, PcscError, SeveralReaders
from cardapi.pcsc.identify import identify
from cardapi.pcsc.watch import CARD, CARD_GONE, ENDING_S, READER_ADDED, READER_GONE, SERVICE_FOUND, SERVICE_LOST, Event, Watcher
from cardcore.card import purse
from cardcore.card.apdu import Command
from cardcore.card.dialogue import Intend, ask
from firmware_sim import build
from firmware_sim.pboc import Identity
from firmware_sim.pcscd import Pcscd, free_ports, until
from firmware_sim.tear import Tear
from tests.pcsc.daemon import Daemon


def look(context: Context, reader: str) -> Any:
    with context.connect(reader) as link:
        return drive(contents.read(drive(identify(), link)), link)


@pytest.fixture
def watcher(pcscd: Daemon) -> Iterator[Watcher]:
    with Watcher(look) as made:
        for _ in range(2):
            assert expect(made, READER_ADDED).reader in (pcscd.reader, pcscd.second)
        yield made


def expect(watcher: Watcher, what: str, patience_s: float = 30.0) -> Event:
    event = expect_any(watcher, patience_s)
    assert event.what == what, event
    return event


def expect_any(watcher: Watcher, patience_s: float = 30.0) -> Event:
    event = watcher.next(patience_s)
    assert event is not None, f"nothing within {patience_s} s"
    return event


def test_list_and_choose(pcscd: Daemon):
    with Context() as context:
        assert {pcscd.reader, pcscd.second} <= set(context.readers())
        assert context.choose("00 01") == pcscd.second
        assert context.choose("00 0", without=pcscd.second) == pcscd.reader
        with pytest.raises(SeveralReaders):
            context.choose(pcscd.name)
        with pytest.raises(NoReader):
            context.choose("Contactless")
        with pytest.raises(NoCard):
            context.connect(pcscd.reader)


def test_every_kind_of_card_is_told(pcscd: Daemon):
    identity = Identity(serial=bytes.fromhex("00000000000000004711"))
    cards = [
        (build.purse_card(identity=identity, balance=4200), "pboc", "00000000000000004711", False),
        (build.blank_purse_card(), "pboc", "", True),
        (build.desfire_purse_card(number=b"6200000000000013"), "desfire", build.TEST_UID.hex(), False),
        (build.desfire_card(), "desfire", build.TEST_UID.hex(), True),
        (build.purchase_sam(), "psam", build.TEST_TERMINAL.hex(), False),
        (build.load_sam(), "unknown", "", False),
    ]
    for one, two in zip(cards[::2], cards[1::2], strict=True):
        with pcscd.holding(two[0], second=True, seen=False), pcscd.holding(one[0]), Context() as context:
            pcscd.sees(pcscd.second, card=True)
            for reader, (card, kind, number, blank) in ((pcscd.reader, one), (pcscd.second, two)):
                seen = look(context, reader)
                assert (seen.found.kind, seen.found.number, seen.found.blank) == (kind, number, blank)
                if card is cards[0][0]:
                    assert (seen.balance_fen, seen.deposit_fen, seen.pin_tries, seen.records) == (4200, 0, 3, ())
                    assert seen.found.medium == "pboc:100000001000000000000000000000004711"
                if card is cards[2][0]:
                    assert seen.found.printed == "6200000000000013"


def test_reading_changes_nothing(pcscd: Daemon):
    card = build.purse_card(balance=4200)
    before = bytes(card.memory.cells)
    with pcscd.holding(card), Context() as context:
        for _ in range(5):
            assert look(context, pcscd.reader).pin_tries == 3
    assert bytes(card.memory.cells) == before


def test_cards_come_and_go(pcscd: Daemon, watcher: Watcher):
    with pcscd.holding(build.purse_card(balance=700)) as slot:
        event = expect(watcher, CARD)
        assert (event.reader, event.result.balance_fen) == (pcscd.reader, 700)
        slot.pull()
        assert expect(watcher, CARD_GONE).reader == pcscd.reader
        slot.insert()
        assert expect(watcher, CARD).result.balance_fen == 700
        with pcscd.holding(build.purchase_sam(), second=True):
            event = expect(watcher, CARD)
            assert (event.reader, event.result.found.kind) == (pcscd.second, "psam")
        assert expect(watcher, CARD_GONE).reader == pcscd.second
    assert expect(watcher, CARD_GONE).reader == pcscd.reader
    assert watcher.next(0.3) is None, "nothing else happened"


def test_readers_appear_and_disappear(own_pcscd: Pcscd, watcher: Watcher):
    """Virtual readers come with the service's configuration, so it is started again with another one."""
    own_pcscd.kill()
    expect(watcher, SERVICE_LOST)
    own_pcscd.readers["Second Counter"] = free_ports()
    own_pcscd.start()
    expect(watcher, SERVICE_FOUND)
    added = ["Second Counter 00 00", "Second Counter 00 01"]
    assert sorted(expect(watcher, READER_ADDED).reader for _ in added) == added
    own_pcscd.kill()
    expect(watcher, SERVICE_LOST)
    del own_pcscd.readers["Second Counter"]
    own_pcscd.start()
    expect(watcher, SERVICE_FOUND)
    assert sorted(expect(watcher, READER_GONE).reader for _ in added) == added


def test_the_service_is_killed_and_comes_back(pcscd: Daemon, own_pcscd: Pcscd, watcher: Watcher):
    with pcscd.holding(build.purse_card(balance=900)):
        assert expect(watcher, CARD).result.balance_fen == 900
        own_pcscd.kill()
        lost = expect(watcher, SERVICE_LOST)
        assert isinstance(lost.error, NoService)
        assert "start pcscd" in lost.error.detail
        with pytest.raises(NoService):
            Context()
        own_pcscd.start()
        # The card never left, but nobody knows what happened to it meanwhile.
        again = [expect_any(watcher).what for _ in range(2)]
        assert sorted(again) == sorted([SERVICE_FOUND, CARD_GONE])
        assert expect(watcher, CARD).result.balance_fen == 900
    assert expect(watcher, CARD_GONE)


def test_a_watcher_ends_at_once_and_leaves_no_thread(pcscd: Daemon):
    before = threading.active_count()
    watcher = Watcher(look)
    for _ in range(2):
        expect(watcher, READER_ADDED)
    start = time.monotonic()
    watcher.close()
    assert time.monotonic() - start < ENDING_S
    assert threading.active_count() == before


def test_waiting_costs_no_processor(pcscd: Daemon, watcher: Watcher):
    used = time.process_time()
    assert watcher.next(1.5) is None
    assert time.process_time() - used < 0.15


def test_a_card_used_by_another_program(pcscd: Daemon, watcher: Watcher):
    with pcscd.holding(build.purse_card(balance=300)), Context() as context:
        expect(watcher, CARD)
        with context.connect(pcscd.reader), Context() as other, pytest.raises(CardLocked):
            other.connect(pcscd.reader, patience_s=0.1)
        assert watcher.next(0.7) is None, "that a card is used is no coming and going"
    expect(watcher, CARD_GONE)


def test_a_card_that_never_answers_holds_up_nobody_else(pcscd: Daemon):
    """A module in one reader hangs for seconds; the other reader's card is told meanwhile, and the watcher can be asked and ended."""
    card = build.purse_card(balance=1)
    released = threading.Event()
    plain = card.transmit
    card.transmit = lambda command: (released.wait(60), plain(command))[1]  # type: ignore[method-assign]
    with pcscd.holding(card), Watcher(look) as watcher:
        for _ in range(2):
            expect(watcher, READER_ADDED)
        with pcscd.holding(build.purchase_sam(), second=True):
            assert expect(watcher, CARD).reader == pcscd.second
            assert watcher.busy
            released.set()
            assert expect(watcher, CARD).reader == pcscd.reader
        assert expect(watcher, CARD_GONE).reader == pcscd.second


def changing() -> Any:
    """A dialogue that selects the purse, announces a change, and sends it: an INITIALIZE stands for it."""
    yield from purse.open_application(purse.Make())
    yield Intend("something")
    return (yield from ask(Command(0x80, 0x50, 0x01, 0x02, bytes(11), expected=15)))


def readable(context: Context, reader: str) -> bool:
    try:
        return look(context, reader).found.kind == "pboc"
    except PcscError:
        return False


def test_a_card_pulled_before_and_after_the_intent(pcscd: Daemon):
    """What fails before the intent is written leaves the card as it was; whatever fails after it has an unknown outcome."""
    before, after = ("A4:command", "A4:answer:0", "A4:answer:17"), ("50:command", "50:answer:0", "50:answer:1")
    card = build.purse_card(balance=100)
    with pcscd.holding(card, away=0.01), Context() as context:
        for tear in (*before, *after):
            until(lambda: readable(context, pcscd.reader), "the card put back")
            card.tears = [Tear.parse(tear)]
            intents: list[Any] = []
            with context.connect(pcscd.reader) as link, pytest.raises(OutcomeUnknown if tear in after else CardRemoved) as raised:
                drive(changing(), link, intend=intents.append)
            assert (intents, tear) == (["something"] if tear in after else [], tear)
            assert isinstance(raised.value.__cause__, CardRemoved if tear in after else type(None)), tear
