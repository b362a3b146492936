"""A PC/SC context: which readers there are, waiting for changes, connecting. One thread uses it; only `cancel` may come from another.

Thin over `smartcard.scard` (pyscard), which is loaded when the first context is made, so that everything else works without it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from cardapi.pcsc.errors import CardLocked, NoCard, NoPermission, NoPyscard, NoReader, SeveralReaders, failure
from cardapi.pcsc.link import Link

PNP_READER = "\\\\?PnP?\\Notification"
"""The reader that never is: a wait on it ends when a reader comes or goes."""
CONNECT_S = 2.0
"""How long to try for a card that another program uses for a moment, as a watching one does when it comes."""
RETRY_S = 0.02


def scard() -> Any:
    """The binding. Raises NoPyscard."""
    try:
        from smartcard import scard as binding
    except ImportError:
        raise NoPyscard("pyscard is not installed") from None
    return binding


@dataclass(frozen=True, slots=True)
class ReaderState:
    """What lies in a reader. `raw` is handed back to the next wait; its upper half counts insertions and removals."""

    raw: int
    present: bool
    mute: bool
    busy: bool
    gone: bool
    atr: bytes

    @property
    def events(self) -> int:
        """Changes so far, by which a card that was taken out and put back quickly is told from one that stayed."""
        return self.raw >> 16


class Context:
    """Open from the start; `close` or a with block ends it. Raises NoPyscard, NoService, NoPermission."""

    def __init__(self) -> None:
        self._scard = scard()
        result, self._handle = self._scard.SCardEstablishContext(self._scard.SCARD_SCOPE_USER)
        if result == self._scard.SCARD_W_SECURITY_VIOLATION:
            # A service that turns us away hangs up, and so does one that ends just now: only the first does it again.
            time.sleep(RETRY_S)
            result, self._handle = self._scard.SCardEstablishContext(self._scard.SCARD_SCOPE_USER)
        if result == self._scard.SCARD_W_SECURITY_VIOLATION:
            raise failure(self._scard, result, "the PC/SC service turned us away", NoPermission)
        if result != self._scard.SCARD_S_SUCCESS:
            raise failure(self._scard, result, "the PC/SC service does not answer")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def readers(self) -> list[str]:
        """Names of the readers, in the service's order; none is no error."""
        result, names = self._scard.SCardListReaders(self._handle, [])
        if result == self._scard.SCARD_E_NO_READERS_AVAILABLE:
            return []
        self._check(result, "the readers cannot be listed")
        return list(names)

    def choose(self, wanted: str = "", *, without: str = "") -> str:
        """The one reader meant by a part of its name, or by nothing where there is one only; `without` is another one's name.

        Raises NoReader, SeveralReaders.
        """
        names = [name for name in self.readers() if name != without]
        found = [name for name in names if name == wanted] or [name for name in names if wanted.casefold() in name.casefold()]
        if not found:
            raise NoReader(f"there is no reader {wanted!r}" if wanted and names else "no reader is connected", readers=names)
        if len(found) > 1:
            raise SeveralReaders(f"there are {len(found)} readers: {', '.join(found)}", readers=found)
        return found[0]

    def wait(self, known: Mapping[str, int], timeout_s: float = math.inf) -> dict[str, ReaderState] | None:
        """Wait until a reader differs from the `raw` state known of it (0: unknown); None when cancelled or after timeout_s.

        The call sleeps in the service. Raises NoService when it went away.
        """
        binding = self._scard
        milliseconds = 0xFFFFFFFF if math.isinf(timeout_s) else max(0, math.ceil(timeout_s * 1000))
        result, states = binding.SCardGetStatusChange(self._handle, milliseconds, list(known.items()))
        if result in (binding.SCARD_E_TIMEOUT, binding.SCARD_E_CANCELLED):
            return None
        if result in (binding.SCARD_E_UNKNOWN_READER, binding.SCARD_E_NO_READERS_AVAILABLE):
            return {name: ReaderState(0, False, False, False, True, b"") for name in known}
        self._check(result, "waiting for a card failed")
        return {name: self._state(raw, atr) for name, raw, atr in states}

    def _state(self, raw: int, atr: list[int]) -> ReaderState:
        binding = self._scard
        return ReaderState(
            raw=raw & ~binding.SCARD_STATE_CHANGED,
            present=bool(raw & binding.SCARD_STATE_PRESENT),
            mute=bool(raw & binding.SCARD_STATE_MUTE),
            busy=bool(raw & binding.SCARD_STATE_EXCLUSIVE),
            gone=bool(raw & (binding.SCARD_STATE_UNKNOWN | binding.SCARD_STATE_UNAVAILABLE)),
            atr=bytes(atr),
        )

    def state(self, reader: str) -> ReaderState:
        """What lies in a reader now."""
        found = self.wait({reader: 0}, 0)
        assert found is not None, "an unknown state always differs"
        return found[reader]

    def connect(self, reader: str, *, patience_s: float = CONNECT_S) -> Link:
        """The card in a reader, for this program alone (no other one's command comes between ours). Raises CardLocked after patience_s,
        NoCard, MuteCard, ReaderUnplugged, NoPermission, NoService."""
        binding = self._scard
        deadline = time.monotonic() + patience_s
        protocols = binding.SCARD_PROTOCOL_T0 | binding.SCARD_PROTOCOL_T1
        while True:
            result, handle, protocol = binding.SCardConnect(self._handle, reader, binding.SCARD_SHARE_EXCLUSIVE, protocols)
            if result == binding.SCARD_S_SUCCESS:
                return Link(binding, handle, protocol, reader)
            if result in (binding.SCARD_E_NO_SMARTCARD, binding.SCARD_W_REMOVED_CARD):
                raise NoCard(f"no card is in the reader {reader}")
            if result == binding.SCARD_W_SECURITY_VIOLATION:
                self.readers()  # raises where the service ended; one that answers keeps this reader from us (polkit's access_card)
                raise failure(binding, result, f"the PC/SC service keeps the reader {reader} from us", NoPermission)
            error = failure(binding, result, f"the card in the reader {reader} cannot be reached")
            if not isinstance(error, CardLocked) or time.monotonic() >= deadline:
                raise error
            time.sleep(RETRY_S)

    def cancel(self) -> None:
        """End a wait of the context's own thread; nothing where none waits. From any thread."""
        with contextlib.suppress(Exception):
            self._scard.SCardCancel(self._handle)

    def close(self) -> None:
        """Give the context back. Its links end with it."""
        self._scard.SCardReleaseContext(self._handle)

    def _check(self, result: int, doing: str) -> None:
        if result != self._scard.SCARD_S_SUCCESS:
            raise failure(self._scard, result, doing)
