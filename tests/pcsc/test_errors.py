"""Goal: every way in which PC/SC says no ends in one stable code with advice, and no wait is lost or repeated.
Method: a scripted binding in place of `smartcard.scard`, since a real service cannot be made to fail in all of these ways.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cardapi.pcsc import context as contexts
from cardapi.pcsc import errors
from cardapi.pcsc.context import PNP_READER, Context
from cardapi.pcsc.watch import READER_ADDED, READER_GONE, Watcher
from firmware_sim.pcscd import until
from tests.pcsc import daemon


class Binding:
    """`smartcard.scard` with the results that a test wants. Numbers are pcsc-lite's."""

    def __init__(self, **results: Any) -> None:
        daemon.needs_pcsc()
        from smartcard import scard

        self._real, self._results = scard, results

    def __getattr__(self, name: str) -> Any:
        if name in self._results:
            result = self._results[name]
            return result if callable(result) else lambda *_: result
        return getattr(self._real, name)


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> Any:
    def bind(**results: Any) -> Binding:
        defaults = {"SCardEstablishContext": [0, 1], "SCardReleaseContext": 0, "SCardCancel": 0, "SCardDisconnect": 0}
        binding = Binding(**{**defaults, **results})
        monkeypatch.setattr(contexts, "scard", lambda: binding)
        return binding

    return bind


@pytest.mark.parametrize(
    ("result", "code"),
    [(0x8010001D, "pcsc_no_service"), (0x8010001E, "pcsc_no_service"), (0x8010006A, "pcsc_no_permission"), (0x8010002E, "no_reader"),
     (0x80100014, "pcsc_failure")],
)  # fmt: skip
def test_no_context(bound: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: int, code: str):
    monkeypatch.setattr(errors, "SOCKET", tmp_path / "none")
    bound(SCardEstablishContext=[result, 0])
    with pytest.raises(errors.PcscError) as raised:
        Context()
    assert raised.value.code == code
    assert raised.value.advice in raised.value.detail
    assert len(raised.value.advice) > 20


def test_a_service_that_ends_while_it_is_asked_is_not_one_that_turns_us_away(bound: Any):
    """Both hang up, and the library says "access denied" of both; who asks again finds out. So does a wait on a service that ends."""
    answers = iter([[0x8010006A, 0], [0, 1]])
    bound(SCardEstablishContext=lambda _: next(answers), SCardGetStatusChange=[0x8010006A, []])
    with Context() as context, pytest.raises(errors.NoService):
        context.wait({"Reader": 0}, 1)


def test_a_socket_that_may_not_be_written_is_a_matter_of_permission(bound: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """And one that may be is not: a service that ends takes its socket away at any moment."""
    place = tmp_path / "pcscd.comm"
    monkeypatch.setattr(errors, "SOCKET", place)
    bound(SCardEstablishContext=[0x8010001D, 0])
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        with pytest.raises(errors.NoService):
            Context()
    opened = os.open

    def refuse(path: Any, *how: Any, **more: Any) -> int:
        if path == place:
            raise PermissionError(13, "Permission denied")
        return opened(path, *how, **more)

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(errors.NoPermission):
        Context()


@pytest.mark.parametrize(
    ("result", "code"),
    [(0x8010000C, "no_card"), (0x80100069, "no_card"), (0x80100066, "mute_card"), (0x80100067, "mute_card"), (0x8010000F, "mute_card"),
     (0x8010000B, "card_in_use"), (0x80100009, "reader_unplugged"), (0x80100017, "reader_unplugged"), (0x8010001D, "pcsc_no_service"),
     (0x8010006A, "pcsc_no_service")],
)  # fmt: skip
def test_no_connection(bound: Any, result: int, code: str):
    bound(SCardConnect=[result, 0, 0])
    with Context() as context, pytest.raises(errors.PcscError) as raised:
        context.connect("Reader", patience_s=0.05)
    assert raised.value.code == code


def test_a_service_that_goes_on_and_says_no_keeps_the_reader_from_us(bound: Any):
    bound(SCardConnect=[0x8010006A, 0, 0], SCardListReaders=[0, ["Reader"]])
    with Context() as context, pytest.raises(errors.NoPermission):
        context.connect("Reader")


@pytest.mark.parametrize(
    ("answer", "code"),
    [([0x80100069, []], "card_removed"), ([0x80100068, []], "card_removed"), ([0x80100016, []], "card_removed"), ([0, []], "card_removed"),
     ([0, [0x90]], "card_removed"), ([0x80100017, []], "reader_unplugged"), ([0x80100014, []], "pcsc_failure")],
)  # fmt: skip
def test_no_answer(bound: Any, answer: Any, code: str):
    ended: list[int] = []
    bound(SCardConnect=[0, 7, 2], SCardTransmit=answer, SCardDisconnect=lambda _, how: ended.append(how))
    with Context() as context, context.connect("Reader") as link, pytest.raises(errors.PcscError) as raised:
        link.transmit(b"\x00\xa4\x00\x00")
    assert raised.value.code == code
    assert ended == [0], "a card that has gone is not reset"


def test_a_card_is_reset_when_it_is_let_go(bound: Any):
    ended: list[int] = []
    bound(SCardConnect=[0, 7, 2], SCardTransmit=[0, [0x90, 0]], SCardDisconnect=lambda _, how: ended.append(how))
    with Context() as context, context.connect("Reader") as link:
        assert link.transmit(b"\x00\xa4\x00\x00") == b"\x90\x00"
    link.close()
    assert ended == [1], "once"


def test_a_card_that_left_after_its_last_answer_is_not_reset(bound: Any):
    ended: list[int] = []
    answers = iter([[0, [0x90, 0]], [0, []]])
    bound(SCardConnect=[0, 7, 2], SCardTransmit=lambda *_: next(answers), SCardDisconnect=lambda _, how: ended.append(how))
    with Context() as context, context.connect("Reader") as link:
        link.transmit(b"\x00\xa4\x00\x00")
    assert ended == [0]


def test_no_binding(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "smartcard", None)
    with pytest.raises(errors.NoPyscard, match=r"cardcore\[pcsc\]"):
        Context()


def test_a_reader_plugged_in_is_found_by_the_notification_reader(bound: Any):
    """The wait on it ends when one comes or goes; nothing is asked in between."""
    plugged, listed = threading.Semaphore(0), [["one"], ["one", "two"], ["two"]]
    waits: list[str] = []

    def readers(*_: Any) -> Any:
        return [0, listed[0]]

    def change(_: int, timeout: int, known: list[tuple[str, int]]) -> Any:
        if known[0][0] != PNP_READER:
            plugged_out.wait(60)
            return [0x80100002, []]
        waits.append(known[0][0])
        if not plugged.acquire(timeout=60):
            return [0x8010000A, []]
        if len(listed) > 1:
            listed.pop(0)
        return [0, [(PNP_READER, 2, [])]]

    plugged_out = threading.Event()

    def cancel(*_: Any) -> int:
        plugged_out.set()
        plugged.release()
        return 0

    bound(SCardListReaders=readers, SCardGetStatusChange=change, SCardCancel=cancel)
    with Watcher(lambda *_: None) as watcher:
        first = watcher.next(30)
        assert first is not None
        assert (first.what, first.reader) == (READER_ADDED, "one")
        until(lambda: waits, "the first wait")
        assert watcher.next(0.2) is None
        assert len(waits) == 1, "it sleeps"
        plugged.release()
        second = watcher.next(30)
        assert second is not None
        assert (second.what, second.reader) == (READER_ADDED, "two")
        plugged.release()
        third = watcher.next(30)
        assert third is not None
        assert (third.what, third.reader) == (READER_GONE, "one")
