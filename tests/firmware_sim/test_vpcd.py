"""Goal: the card speaks vpcd's protocol, survives the reader going and coming, and is gone while torn out.
Method: a fake vpcd on a free port plays the reader; the command line runs as a process of its own.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_sim import build
from firmware_sim.__main__ import main
from firmware_sim.nvm import Memory
from firmware_sim.pboc import PROFILES
from firmware_sim.tear import Tear
from firmware_sim.vpcd import Slot, serve_in_thread
from tests.firmware_sim.support import h, ok
from tests.firmware_sim.till import SELECT, Till
from tests.support import sized

ROOT = Path(__file__).parent.parent.parent
OFF, ON, RESET, ATR = b"\x00", b"\x01", b"\x02", b"\x04"


class FakeVpcd:
    """The reader's side: listens, sends length and payload in two writes as vpcd does."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(60)
        self.port = self.listener.getsockname()[1]
        self.link: socket.socket | None = None

    def accept(self) -> None:
        self.link, _ = self.listener.accept()
        self.link.settimeout(60)

    def send(self, message: bytes) -> None:
        assert self.link is not None
        self.link.sendall(struct.pack(">H", len(message)))
        self.link.sendall(message)

    def receive(self) -> bytes | None:
        assert self.link is not None
        head = self._exactly(2)
        return None if head is None else self._exactly(struct.unpack(">H", head)[0])

    def _exactly(self, size: int) -> bytes | None:
        assert self.link is not None
        data = b""
        while len(data) < size:
            try:
                part = self.link.recv(size - len(data))
            except ConnectionError:
                return None
            if not part:
                return None
            data += part
        return data

    def ask(self, message: bytes) -> bytes:
        """The answer, or nothing when the card hung up."""
        try:
            self.send(message)
        except ConnectionError:
            return b""
        return self.receive() or b""

    def close(self) -> None:
        if self.link is not None:
            self.link.close()
        self.listener.close()


@pytest.fixture
def reader() -> Iterator[FakeVpcd]:
    made = FakeVpcd()
    yield made
    made.close()


@pytest.fixture
def slot(reader: FakeVpcd) -> Iterator[Slot]:
    made = Slot(build.purse_card(balance=5000), port=reader.port, away=0.05, patience=0.05)
    thread = serve_in_thread(made, timeout=30)
    reader.accept()
    yield made
    made.stop()
    thread.join(30)
    assert not thread.is_alive()


def test_power_atr_reset_and_commands(reader: FakeVpcd, slot: Slot):
    assert reader.ask(ATR) == slot.card.ATR
    reader.send(ON)
    assert reader.ask(SELECT).endswith(b"\x90\x00")
    assert reader.ask(h("805C000204")) == h("000013889000")
    reader.send(RESET)
    assert reader.ask(h("805C000204")) == h("6986"), "a reset forgets the selection"
    reader.send(OFF)
    assert reader.ask(ATR) == slot.card.ATR
    assert not slot.card.powered
    reader.send(b"")
    assert reader.ask(b"\x00\xa4") == h("6700")
    assert reader.ask(ATR) == slot.card.ATR


def test_small_socket_writes_are_not_held_back(reader: FakeVpcd, slot: Slot):
    assert slot.connected.wait(30)
    with slot._lock:
        assert slot._link is not None
        assert slot._link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_reader_goes_and_comes_back(reader: FakeVpcd, slot: Slot):
    assert reader.ask(ATR)
    assert reader.link is not None
    reader.link.close()
    reader.accept()
    assert reader.ask(ATR) == slot.card.ATR
    # Hanging up within a message is no message.
    reader.link.sendall(b"\x00")
    reader.link.close()
    reader.accept()
    assert reader.ask(ATR) == slot.card.ATR


def test_pulled_card_is_gone_until_it_is_put_back(reader: FakeVpcd, slot: Slot):
    reader.send(ON)
    assert reader.ask(SELECT).endswith(b"\x90\x00")
    slot.pull()
    assert reader.receive() is None
    slot.insert()
    reader.accept()
    assert reader.ask(ATR) == slot.card.ATR
    assert reader.ask(h("805C000204")) == h("6986")


def test_torn_out_and_back_with_the_debit_done(reader: FakeVpcd, slot: Slot):
    till = Till()
    card = slot.card
    card.tears = [Tear.parse("54:answer:0")]
    # Over the wire, as a terminal would: the fake reader stands for PC/SC.
    wire = Wire(reader)
    debit = till.open_purchase(wire, 1250)  # type: ignore[arg-type]
    assert reader.ask(debit) == b"", "the card has gone without a word"
    reader.accept()
    assert reader.ask(SELECT).endswith(b"\x90\x00")
    assert reader.ask(h("805C000204")) == (5000 - 1250).to_bytes(4, "big") + b"\x90\x00"
    proof = reader.ask(h("805A000602000108"))
    assert till.sam.transmit(h("8072000004") + proof[:4]) == b"\x90\x00"


class Wire:
    """A card at the end of the fake reader."""

    def __init__(self, reader: FakeVpcd) -> None:
        self.reader = reader
        self.profile = PROFILES["pboc2-3des"]

    def transmit(self, command: bytes) -> bytes:
        return self.reader.ask(command)


def test_no_reader_says_so():
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    with pytest.raises(TimeoutError, match="no virtual reader"):
        serve_in_thread(Slot(build.purse_card(), port=port, patience=0.05), timeout=0.3)


def run(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "firmware_sim", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})


def test_command_line_serves_keeps_its_state_and_ends(reader: FakeVpcd, tmp_path: Path):
    image = str(tmp_path / "card.img")
    process = run("--card", "pboc", "--balance", "777", "--port", str(reader.port), "--state", image, "--trace")
    try:
        reader.accept()
        assert reader.ask(SELECT).endswith(b"\x90\x00")
        assert reader.ask(h("805C000204")) == h("000003099000")
        second = run("--card", "pboc", "--port", str(reader.port), "--state", image)
        assert "in use" in second.communicate(timeout=60)[1]
        assert second.returncode == 1
        process.send_signal(signal.SIGUSR1)
        assert reader.receive() is None
        process.send_signal(signal.SIGUSR2)
        reader.accept()
        assert reader.ask(ATR)
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    assert "TEST KEYS" in out
    assert "> 80 5C 00 02 04" in out
    assert "< 00 00 03 09 90 00" in out
    wrong = run("--card", "desfire", "--state", image)
    assert "holds a pboc card" in wrong.communicate(timeout=60)[1]


def test_ends_well_though_another_signal_waits(reader: FakeVpcd):
    """Both are there when it looks, and the one that ends it comes first."""
    process = run("--card", "pboc", "--port", str(reader.port))
    try:
        reader.accept()
        for each in (signal.SIGSTOP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGCONT):
            process.send_signal(each)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, errors


def test_card_comes_back_however_fast_it_is_pulled_and_put_back(reader: FakeVpcd):
    """A signal may come at any instruction of the process, also within the locks that it needs itself."""
    process = run("--card", "pboc", "--port", str(reader.port))
    try:
        reader.accept()
        for _ in range(sized(50, 1000)):
            for _ in range(30):
                process.send_signal(signal.SIGUSR1)
                process.send_signal(signal.SIGUSR2)
            # It may have been in and out several times; whoever answers is the card that was put back.
            while reader.ask(ATR) == b"":
                reader.accept()
        assert process.poll() is None
        process.send_signal(signal.SIGUSR1)
        assert reader.receive() is None, "and it can still be taken out"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, errors


def test_what_kills_the_slot_ends_the_command(monkeypatch: pytest.MonkeyPatch):
    def fail(_: Slot) -> None:
        raise RuntimeError("the slot is broken")

    monkeypatch.setattr(Slot, "run", fail)
    with pytest.raises(RuntimeError, match="the slot is broken"):
        main(["--card", "pboc"])
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_killing_the_process_is_pulling_the_card(reader: FakeVpcd, tmp_path: Path):
    """The image is written as the memory is: a process killed in the middle of a debit leaves a card from before or after it."""
    image, till, balance = tmp_path / "card.img", Till(), 100_000
    for delay_us in [(n * 700) % 1900 for n in range(sized(3, 60))]:
        process = run("--card", "pboc", "--balance", "100000", "--port", str(reader.port), "--state", str(image))
        try:
            reader.accept()
            debit = till.open_purchase(Wire(reader), 100)  # type: ignore[arg-type]
            reader.send(debit)
            time.sleep(delay_us / 1_000_000)
        finally:
            process.kill()
            process.communicate()
        memory = Memory(path=image)
        card = build.open_card(memory)
        card.power_on()
        ok(card, SELECT)
        left = till.balance(card)  # type: ignore[arg-type]
        assert left in (balance, balance - 100)
        counter = (100_000 - left) // 100
        if counter:
            assert len(ok(card, h("805A000602") + counter.to_bytes(2, "big") + b"\x08")) == 8
        memory.close()
        balance = left


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--card", "pboc", "--tear", "9:x"], "is no tear point"),
        (["--card", "desfire", "--profile", "sm4"], "has no profile sm4"),
        (["--card", "pboc", "--state", "/nowhere/card.img"], "No such file"),
    ],
)
def test_command_line_explains_mistakes(arguments, said, capsys):
    assert main(arguments) == 1
    assert said in capsys.readouterr().err


def test_help_is_plain(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "TEST KEYS" in text
    assert "--tear" in text
