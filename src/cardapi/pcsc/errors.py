"""What can go wrong between a program and a card, each with a stable code and advice for the person at the counter.

PC/SC answers numbers (pcsc-lite, winscard.h); `check` turns them into these errors, once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cardcore.errors import CardcoreError

SOCKET = Path("/run/pcscd/pcscd.comm")
"""Where pcscd listens on Linux: a file that is there but may not be written tells "no permission" from "no service"."""


class PcscError(CardcoreError):
    """Root of the room's errors; only its leaves are raised."""

    advice = ""

    def __init__(self, detail: str = "", **facts: Any) -> None:
        said = detail or self.code.replace("_", " ")
        super().__init__(f"{said}; {self.advice}" if self.advice else said, **facts)


class NoPyscard(PcscError):
    """The Python binding of PC/SC is not installed."""

    code = "pcsc_not_installed"
    advice = "install it with: pip install 'cardcore[pcsc]' (Debian, Ubuntu: apt-get install libpcsclite-dev gcc first)"


class NoService(PcscError):
    """No PC/SC service answers."""

    code = "pcsc_no_service"
    advice = "start pcscd: apt-get install pcscd, then systemctl start pcscd.socket, or pcscd --foreground in another terminal"


class NoPermission(PcscError):
    """The PC/SC service is there and does not let this user in."""

    code = "pcsc_no_permission"
    advice = "pcscd lets in whoever polkit allows (org.debian.pcsc-lite.access_pcsc): log in at the machine itself, or add a polkit rule"


class NoReader(PcscError):
    """There is no reader, or none of that name."""

    code = "no_reader"
    advice = "plug one in, or see which there are with: cardcore reader list"


class SeveralReaders(PcscError):
    """More than one reader could be meant."""

    code = "several_readers"
    advice = "name one with --reader (a part of its name is enough)"


class NoCard(PcscError):
    """No card came within the time allowed."""

    code = "no_card"
    advice = "put the card on the reader"


class CardRemoved(PcscError):
    """The card left the reader before anything on it was changed."""

    code = "card_removed"
    advice = "nothing has changed; put the card back"


class CardLocked(PcscError):
    """Another program holds the card."""

    code = "card_in_use"
    advice = "end the other program, or wait for it"


class MuteCard(PcscError):
    """A card lies there and does not answer."""

    code = "mute_card"
    advice = "turn it round, clean its contacts, try another one"


class CardSilent(PcscError):
    """The card did not answer within the time allowed."""

    code = "card_silent"
    advice = "take the card off and put it back"


class ReaderUnplugged(PcscError):
    """The reader was unplugged while it was used."""

    code = "reader_unplugged"
    advice = "plug it in again"


class UnknownCard(PcscError):
    """A card of a kind this program does not know."""

    code = "unknown_card"
    advice = "cards with a PBOC purse or a DESFire value file are known"


class WrongCard(PcscError):
    """A known card that cannot be used for this."""

    code = "wrong_card"


class OutcomeUnknown(PcscError):
    """The card went away after the command that changes it was sent: it may be done or not (control T, O4).

    `facts` name the card. What was intended stays written until the card is on a reader again.
    """

    code = "card_outcome_unknown"
    advice = "do not give anything out and do not take the money again: put the same card back, it will be asked"


def _failures(scard: Any) -> dict[int, type[PcscError]]:
    """PC/SC result -> error. What is missing here is a failure of the reader's driver or of pcscd."""
    return {
        scard.SCARD_E_NO_SERVICE: NoService,
        scard.SCARD_E_SERVICE_STOPPED: NoService,
        scard.SCARD_F_COMM_ERROR: NoService,
        scard.SCARD_E_INVALID_HANDLE: NoService,
        # What the library says when the service hangs up; on a context that was let in, it ended (seen with pcsc-lite 1.9.9).
        scard.SCARD_W_SECURITY_VIOLATION: NoService,
        scard.SCARD_E_NO_ACCESS: NoPermission,
        scard.SCARD_E_NO_READERS_AVAILABLE: NoReader,
        scard.SCARD_E_UNKNOWN_READER: ReaderUnplugged,
        scard.SCARD_E_READER_UNAVAILABLE: ReaderUnplugged,
        scard.SCARD_E_NO_SMARTCARD: CardRemoved,
        scard.SCARD_W_REMOVED_CARD: CardRemoved,
        scard.SCARD_W_RESET_CARD: CardRemoved,
        scard.SCARD_E_NOT_TRANSACTED: CardRemoved,
        scard.SCARD_W_UNRESPONSIVE_CARD: MuteCard,
        scard.SCARD_W_UNPOWERED_CARD: MuteCard,
        scard.SCARD_W_UNSUPPORTED_CARD: MuteCard,
        scard.SCARD_E_PROTO_MISMATCH: MuteCard,
        scard.SCARD_E_SHARING_VIOLATION: CardLocked,
    }


class PcscFailure(PcscError):
    """PC/SC failed in a way that has no name here; `facts["result"]` is its number."""

    code = "pcsc_failure"
    advice = "look into pcscd's log (pcscd --foreground --info)"


def failure(scard: Any, result: int, doing: str, kind: type[PcscError] | None = None) -> PcscError:
    """The error for a PC/SC result other than success; `doing` says what was tried, `kind` what it is where the caller knows better."""
    kind = kind or _failures(scard).get(result, PcscFailure)
    if kind is NoService and _shut_out():
        kind = NoPermission
    return kind(f"{doing}: {scard.SCardGetErrorMessage(result).rstrip('.')}", result=f"{result & 0xFFFFFFFF:08X}")


def _shut_out() -> bool:
    """Whether the service's socket is there and not for this user. Asked in one step, since it comes and goes with the service."""
    try:
        os.close(os.open(SOCKET, os.O_WRONLY | os.O_NONBLOCK))
    except PermissionError:
        return True
    except OSError:  # a socket is not for opening (ENXIO), which is found out after the permission; or it is not there
        pass
    return False
