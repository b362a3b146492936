"""The line to one card: octets out, octets in. What the octets mean is the business of `cardcore.card`."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any, Self

from cardapi.pcsc.errors import CardRemoved, PcscError, failure

SELECT_MASTER_FILE = bytes.fromhex("00A40000023F00")


class Link:
    """A connected card, used by the thread that connected it. Made by `Context.connect`."""

    def __init__(self, binding: Any, handle: int, protocol: int, reader: str) -> None:
        self._binding, self._handle, self._protocol = binding, handle, protocol
        self.reader = reader
        self._open, self._lost = True, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def transmit(self, command: bytes) -> bytes:
        """One command APDU and its answer, at least a status word.

        Raises CardRemoved, ReaderUnplugged, NoService ... Virtual readers report a card that was pulled out as success without an
        answer, so fewer than two octets are a removed card too. Whether the command was carried out is not known after any of these.
        """
        result, answer = self._binding.SCardTransmit(self._handle, self._protocol, list(command))
        if result != self._binding.SCARD_S_SUCCESS:
            self._lost = True
            raise failure(self._binding, result, f"the card in the reader {self.reader} did not answer")
        if len(answer) < 2:
            self._lost = True
            raise CardRemoved(f"the card was taken off the reader {self.reader}")
        return bytes(answer)

    @property
    def atr(self) -> bytes:
        """The card's answer to reset. Raises as `transmit`."""
        result, _, _, _, atr = self._binding.SCardStatus(self._handle)
        if result != self._binding.SCARD_S_SUCCESS:
            raise failure(self._binding, result, f"the card in the reader {self.reader} did not answer")
        return bytes(atr)

    def close(self) -> None:
        """Let the card go. It is reset, so that no verified PIN and no open transaction stays for the next program.

        A card that has gone forgets by itself, and is not reset: pcsc-lite takes a failed reset for an empty reader, and keeps to that
        when this or another card is there before its next look. So the card is spoken to once more first.
        """
        if self._open:
            self._open = False
            if not self._lost:
                with contextlib.suppress(PcscError):
                    self.transmit(SELECT_MASTER_FILE)
            self._binding.SCardDisconnect(self._handle, self._binding.SCARD_LEAVE_CARD if self._lost else self._binding.SCARD_RESET_CARD)
