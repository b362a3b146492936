"""A simulated card in a virtual reader: the client side of vsmartcard's vpcd, which real pcscd drives as a reader.

Protocol: both sides send a 2-byte big-endian length and that many bytes. From the reader, one byte is a control (00 power off,
01 power on, 02 reset, 04 give the ATR) and anything longer a command APDU; only ATR and APDU are answered.

The reader sends length and payload in two writes. With delayed acknowledgements on our side, Nagle's algorithm on its side holds the
second write back for about 40 ms, so TCP_QUICKACK is set anew as soon as a length has come, which acknowledges it at once: Linux drops
the mode by itself. The payload is acknowledged with our answer.

A dialogue's commands follow each other within some hundred microseconds, and waking a processor that has gone to sleep for each takes
as long as the card's work. So a slot may look for the next message for a while after an answer (`spin`) before it sleeps.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import time

from firmware_sim.card import Card
from firmware_sim.nvm import PowerCut

POWER_OFF, POWER_ON, RESET, GIVE_ATR = 0x00, 0x01, 0x02, 0x04
DEFAULT_PORT = 35963
LENGTH = struct.Struct(">H")
QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux has it


class Slot:
    """Keeps a card in a virtual reader: connects, serves, and connects again when the reader or the card went away.

    Args:
        away: seconds that a card torn out by a power cut stays out before it is put back.
        patience: seconds between attempts to reach the reader.
        spin: seconds after the answer to a command in which the next one is looked for without sleeping. Not in a thread beside others
            that have something to do: it would keep the interpreter from them.
    """

    def __init__(
        self, card: Card, host: str = "127.0.0.1", port: int = DEFAULT_PORT,
        *, away: float = 1.0, patience: float = 0.5, spin: float = 0.0,
    ) -> None:  # fmt: skip
        self.card, self.host, self.port = card, host, port
        self.away, self.patience, self.spin = away, patience, spin
        self.present = threading.Event()
        self.connected = threading.Event()
        self._stopped = threading.Event()
        self._link: socket.socket | None = None
        self._lock = threading.Lock()
        self.present.set()

    def run(self) -> None:
        """Serve until `stop`; waits for the reader as long as it takes."""
        while not self._stopped.is_set():
            if not self.present.wait(0.1):
                continue
            try:
                link = socket.create_connection((self.host, self.port), timeout=5)
            except OSError:
                self._stopped.wait(self.patience)
                continue
            torn = self._serve(link)
            if torn:
                self._stopped.wait(self.away)
            elif self.present.is_set():
                self._stopped.wait(min(self.patience, 0.05))

    def pull(self) -> None:
        """Take the card out of the reader, in the middle of whatever it does."""
        self.present.clear()
        self._hang_up()

    def insert(self) -> None:
        """Put the card back."""
        self.present.set()

    def stop(self) -> None:
        """End `run`, from any thread."""
        self._stopped.set()
        self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            if self._link is not None:
                with contextlib.suppress(OSError):
                    self._link.shutdown(socket.SHUT_RDWR)

    def _serve(self, link: socket.socket) -> bool:
        """Serve one connection. True when power was cut under the card."""
        link.settimeout(None)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._link = link
        if self._stopped.is_set() or not self.present.is_set():
            self._hang_up()
        self.connected.set()
        try:
            awake_until = 0.0
            while (message := _receive(link, awake_until)) is not None:
                answer = self._answer(message)
                if answer is not None:
                    link.sendall(LENGTH.pack(len(answer)) + answer)
                # A reader asks for the ATR now and then to see whether the card is there: nothing follows that.
                awake_until = time.perf_counter() + self.spin if len(message) > 1 else 0.0
        except PowerCut:
            return True
        except OSError:
            return False
        finally:
            self.card.power_off()
            self.connected.clear()
            with self._lock:
                self._link = None
            link.close()
        return False

    def _answer(self, message: bytes) -> bytes | None:
        if len(message) > 1:
            if not self.card.powered:
                self.card.power_on()
            return self.card.transmit(message)
        if message == bytes((GIVE_ATR,)):
            return self.card.ATR
        if message == bytes((POWER_OFF,)):
            self.card.power_off()
        elif message == bytes((POWER_ON,)):
            if not self.card.powered:
                self.card.power_on()
        elif message == bytes((RESET,)):
            self.card.reset()
        return None


def _receive(link: socket.socket, awake_until: float) -> bytes | None:
    """One message, or None when the reader hung up between messages or within one. Sleeps for it from that time (perf_counter) on."""
    _look_out(link, awake_until)
    head = _receive_exactly(link, LENGTH.size)
    if head is None:
        return None
    if QUICKACK is not None:
        link.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
    (length,) = LENGTH.unpack(head)
    return _receive_exactly(link, length)


def _look_out(link: socket.socket, awake_until: float) -> None:
    """Return when there is something to receive, at that time at the latest."""
    if time.perf_counter() < awake_until:
        coming = select.poll()
        coming.register(link, select.POLLIN)
        while not coming.poll(0) and time.perf_counter() < awake_until:
            os.sched_yield()  # whoever else wants this processor has it


def _receive_exactly(link: socket.socket, size: int) -> bytes | None:
    received = link.recv(size) if size else b""
    while len(received) < size:
        part = link.recv(size - len(received))
        if not part:
            return None
        received += part
    return received


def serve_in_thread(slot: Slot, timeout: float = 5.0) -> threading.Thread:
    """Run a slot in a daemon thread and wait until it reached its reader. Raises TimeoutError."""
    thread = threading.Thread(target=slot.run, name="firmware-sim-slot", daemon=True)
    thread.start()
    if not slot.connected.wait(timeout):
        slot.stop()
        raise TimeoutError(f"no virtual reader at {slot.host}:{slot.port} within {timeout} s")
    return thread
