"""Goal: a till off line takes nothing from a blocked card, believes only its own service, and its batch names the list it went by.
Method: a service's board behind a function in the place of HTTP, then the command against a running demo shop; cards of the simulator.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cardapi.clearing import scan
from cardapi.clearing.board import Board, page
from cardapi.pcsc.blocked import BlockedCards, CardBlocked, ListTooOld, NotGenuineList, need_young
from cardapi.pcsc.drive import drive
from cardapi.pcsc.errors import OutcomeUnknown
from cardapi.pcsc.identify import identify
from cardapi.pcsc.offline import LIST_RENEWED_S, Till
from cardcore.clearing import blocked
from cardcore.clearing.blocked import Blocked
from cardcore.errors import CardcoreError
from firmware_sim import build
from firmware_sim.card import Card
from firmware_sim.tear import Tear
from tests.pcsc.near import Held, NearModule, now
from tests.pcsc.test_offline import MAKE, left, offer, proven, purse_of

KEY = b"the terminal's own key"
AT = int(now().timestamp())


class Board2:
    """A service that gives out what `rows` says, two cards a page."""

    def __init__(self) -> None:
        self.board, self.rows, self.at, self.asked = Board(), [Blocked("pboc:00", "lost", 0)], AT, 0
        self.forgets = 0

    def ask(self, query: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        version, since, after = query["cursor"].split("|") if query["cursor"] else (0, query["since"], "")
        if version and self.forgets:
            self.forgets -= 1
            error = CardcoreError("gone")
            error.code = "cursor_malformed"
            raise error
        listing = self.board.kept(int(version)) if version else self.board.current(self.at, lambda: self.rows)
        assert listing is not None
        changes = self.board.changes(int(since), listing) if int(since) else None
        chosen, last = page(listing.rows if changes is None else changes, after, 2)
        told = 0 if changes is None else int(since)
        return {
            "version": listing.version, "since": told, "digest": listing.digest.hex(),
            "mac": blocked.mac(KEY, "till-1", listing.version, len(listing.rows), listing.digest).hex(),
            "cards": [row._asdict() for row in chosen], "next_cursor": f"{listing.version}|{told}|{last}" if last else "",
        }  # fmt: skip


def fetch(service: Board2, known: BlockedCards | None = None, *, key: bytes = KEY, terminal: str = "till-1") -> BlockedCards:
    return BlockedCards.fetch(service.ask, terminal, key, known)


def test_fetch_whole_and_changes(tmp_path: Path):
    service = Board2()
    service.rows = [Blocked(f"pboc:{n:02d}", "lost", 0) for n in range(5)]
    first = fetch(service)
    assert (first.rows, service.asked) == (service.rows, 3)
    first.write(tmp_path / "list")
    assert BlockedCards.read(tmp_path / "none", "till-1", KEY) is None
    known = BlockedCards.read(tmp_path / "list", "till-1", KEY)
    assert known is not None
    service.at += 100
    service.rows = [*service.rows[1:], Blocked("pboc:09", "frozen", 0)]
    service.asked = 0
    later = fetch(service, known)
    assert (later.rows, service.asked) == (service.rows, 1), "two changes on one page"
    assert later.version == first.version + 100
    service.board = Board()  # restarted: it knows of no changes
    assert fetch(service, later).rows == service.rows
    service.forgets, service.board = 1, Board()
    assert fetch(service).rows == service.rows, "begun again when the list was made anew between two pages"


def test_a_list_of_somebody_else_is_not_believed(tmp_path: Path):
    service = Board2()
    with pytest.raises(NotGenuineList):
        fetch(service, key=b"another key")
    with pytest.raises(NotGenuineList):
        fetch(service, terminal="till-2")
    good = fetch(service)
    plain = service.ask
    service.ask = lambda query: plain(query) | {"cards": []}  # type: ignore[method-assign]
    with pytest.raises(NotGenuineList):
        fetch(service)
    path = tmp_path / "list"
    good.write(path)
    whole = path.read_bytes()
    for wrong in (whole.replace(b"lost", b"free"), whole.replace(b'"version":', b'"version":1'), whole[:-2], b"", b"[]"):
        path.write_bytes(wrong)
        with pytest.raises(NotGenuineList):
            BlockedCards.read(path, "till-1", KEY)
    path.write_bytes(whole)
    with pytest.raises(NotGenuineList, match="till-1"):
        BlockedCards.read(path, "till-2", KEY)


def test_changes_that_do_not_fit_what_is_known_give_way_to_the_whole_list():
    service = Board2()
    known = fetch(service)
    known.rows.append(Blocked("pboc:77", "lost", 0))
    service.at += 100
    assert fetch(service, known).rows == service.rows


def listed(card: Card, at: int = AT, *, since: int = 0) -> BlockedCards:
    """A list of version `at` with this card on it."""
    service = Board2()
    service.at, service.rows = at + 60, [Blocked(drive(identify(MAKE), Held(card)).medium, "lost", since)]
    return fetch(service)


def test_a_blocked_card_is_refused_before_the_purchase(tmp_path: Path):
    card, free = purse_of(), purse_of(2)
    plain, sent = card.transmit, []

    def watched(command: bytes) -> bytes:
        sent.append(command[1])
        return plain(command)

    card.transmit = watched  # type: ignore[method-assign]
    with Till(NearModule(build.purchase_sam()), tmp_path / "today.ccb", now(), listed(card)) as till:
        with pytest.raises(CardBlocked, match="lost"):
            offer(till.purchase(1250, now), card)
        assert not {0x50, 0x54} & set(sent), "no purchase was begun"
        assert offer(till.purchase(1250, now), free).balance_after == 8750
        till.blocked = listed(card, since=AT + 1)
        assert offer(till.purchase(1, now), card).balance_after == 9999, "it counts as lost from a second on that has not come"
    assert scan(tmp_path / "today.ccb").header.blacklist == AT


def test_what_a_card_began_before_it_was_blocked_is_settled(tmp_path: Path):
    card, path, sam = purse_of(), tmp_path / "today.ccb", build.purchase_sam()
    card.tears = [Tear.parse("54:answer:0")]
    with Till(NearModule(sam), path, now()) as till, pytest.raises(OutcomeUnknown):
        offer(till.purchase(1250, now), card)
    with Till(NearModule(sam), path, now(), listed(card)) as till:
        assert offer(till.purchase(1250, now), card).earlier
        with pytest.raises(CardBlocked):
            offer(till.purchase(1250, now), card)
    aside = next(tmp_path.glob("today-*.ccb"), path)
    assert (left(card), proven(aside) + (proven(path) if aside != path else 0)) == (8750, 1250)


def test_a_batch_names_one_list(tmp_path: Path):
    """An empty batch takes the newer list over; one with purchases is closed and put aside, once the list is much newer."""
    path, sam, card, other = tmp_path / "today.ccb", build.purchase_sam(), purse_of(), purse_of(2)
    with Till(NearModule(sam), path, now()):
        pass
    with Till(NearModule(sam), path, now(), listed(other)) as till:
        assert till.batch.header.blacklist == AT
        offer(till.purchase(100, now), card)
    with Till(NearModule(sam), path, now(), listed(other, AT + LIST_RENEWED_S)) as till:
        assert till.batch.header.blacklist == AT, "half a day changes nothing"
        first = till.batch.header.batch
        offer(till.purchase(100, now), card)
    newer = now() + timedelta(seconds=LIST_RENEWED_S + 1)
    with Till(NearModule(sam), path, newer, listed(other, AT + LIST_RENEWED_S + 1)) as till:
        assert (till.batch.count, till.batch.header.blacklist) == (0, AT + LIST_RENEWED_S + 1)
        assert till.batch.header.batch != first
        offer(till.purchase(100, now), card)
    aside = scan(tmp_path / f"today-{first}.ccb")
    assert (aside.count, aside.total_fen, aside.seal is not None) == (2, 200, True)
    assert scan(path).count == 1


def test_a_list_may_be_asked_to_be_young():
    service = Board2()
    cards = fetch(service)
    need_young(None, AT, 0)
    need_young(cards, cards.version + 3600, 3600)
    with pytest.raises(ListTooOld, match="1 hours"):
        need_young(cards, cards.version + 3601, 3600)
    with pytest.raises(ListTooOld, match="no list"):
        need_young(None, AT, 3600)
