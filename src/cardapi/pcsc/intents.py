"""The off-line till's own memory: which purchases were begun and what became of them. Beside the batch file, durable, append only.

One JSON document a line. A line counts once `_write` has returned; a torn last line was never acted upon and is cut off. What is
written here decides whether a card is asked for its proof; what is paid stands in the batch file alone.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from cardapi.pcsc.errors import PcscError
from cardcore.card.desfire_value import ValueIntent
from cardcore.card.purse import Application
from cardcore.card.purse_debit import DebitIntent

DONE, UNDONE = "done", "undone"


class TillBusy(PcscError):
    """Another process writes this batch."""

    code = "batch_in_use"


class DamagedIntents(PcscError):
    """The list of begun purchases holds something that this program did not write."""

    code = "intents_damaged"
    advice = "keep the file, and have somebody compare it with the batch; pay into a new batch meanwhile"


@dataclass(frozen=True, slots=True)
class Begun:
    """A purchase that was begun: the intent, and what its record in the batch needs besides. suspect: the card's MAC2 was wrong."""

    intent: DebitIntent
    key_version: int
    algorithm: int
    suspect: bool = False

    @property
    def number(self) -> int:
        """The terminal transaction number, which the module gives once only."""
        return self.intent.number

    @property
    def at(self) -> bytes:
        """Date and time, 7 octets BCD."""
        return self.intent.at

    @property
    def card(self) -> str:
        """The medium."""
        card = self.intent.application
        return f"pboc:{card.issuer.hex()}{card.serial.hex()}"


@dataclass(frozen=True, slots=True)
class ValueBegun:
    """The same of a DESFire value file. key_version: of the transaction MAC key."""

    intent: ValueIntent
    number: int
    at: bytes
    key_version: int

    @property
    def card(self) -> str:
        """The medium."""
        return f"desfire:{self.intent.uid.hex()}"


class Intents:
    """The begun purchases of one batch. Holds the file alone; a with block or `close` lets go."""

    def __init__(self, path: Path) -> None:
        """Raises TillBusy, DamagedIntents, OSError."""
        self.path = path
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.open: dict[int, Begun | ValueBegun] = {}
            self._read()
        except BlockingIOError:
            os.close(self._handle)
            raise TillBusy(f"another process pays into this batch ({path})") from None
        except BaseException:
            os.close(self._handle)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def begin(self, begun: Begun | ValueBegun) -> None:
        """Durable when it returns; only then the card may be asked to pay."""
        self._write({"begun": _packed(begun)} if isinstance(begun, Begun) else {"begun_value": _packed_value(begun)})
        self.open[begun.number] = begun

    def suspect(self, number: int) -> None:
        """The card did not prove itself to the module: this purchase is not completed here."""
        begun = self.open[number]
        assert isinstance(begun, Begun), "only a purse proves itself to the module after it has paid"
        self._write({"suspect": number})
        self.open[number] = replace(begun, suspect=True)

    def end(self, number: int, outcome: str) -> None:
        """It is proven done or undone."""
        self._write({"ended": number, "outcome": outcome})
        del self.open[number]

    def of(self, card: str) -> list[Begun | ValueBegun]:
        """Open purchases of a card (a medium), oldest first."""
        return [begun for begun in self.open.values() if begun.card == card]

    def close(self) -> None:
        """Let the file go."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _write(self, document: dict[str, Any]) -> None:
        line = msgspec.json.encode(document) + b"\n"
        if os.write(self._handle, line) != len(line):
            raise OSError(f"{self.path}: a begun purchase was not written whole")
        os.fdatasync(self._handle)

    def _read(self) -> None:
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                self._take(msgspec.json.decode(line))
            except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
                raise DamagedIntents(f"{self.path}, line {number}, is not what this program writes", line=number) from error
        if whole < len(data):
            os.ftruncate(self._handle, whole)
        os.fsync(self._handle)

    def _take(self, document: dict[str, Any]) -> None:
        match document:
            case {"begun": packed}:
                begun = _unpacked(packed)
                self.open[begun.number] = begun
            case {"begun_value": packed}:
                value = _unpacked_value(packed)
                self.open[value.number] = value
            case {"suspect": int(number)}:
                suspect = self.open[number]
                if not isinstance(suspect, Begun):
                    raise ValueError("a value file is not suspect")
                self.open[number] = replace(suspect, suspect=True)
            case {"ended": int(number), "outcome": "done" | "undone"}:
                del self.open[number]
            case _:
                raise ValueError("an unknown line")


def _packed(begun: Begun) -> dict[str, Any]:
    intent, card = begun.intent, begun.intent.application
    return {
        "issuer": card.issuer.hex(), "kind": card.kind, "version": card.version, "serial": card.serial.hex(),
        "valid_from": card.valid_from.hex(), "valid_to": card.valid_to.hex(),
        "purse": intent.purse, "type": intent.kind, "amount_fen": intent.amount, "balance_fen": intent.balance,
        "counter": intent.counter, "terminal": intent.terminal.hex(), "number": intent.number, "at": intent.at.hex(),
        "key_version": begun.key_version, "algorithm": begun.algorithm,
    }  # fmt: skip


def _unpacked(packed: dict[str, Any]) -> Begun:
    octets = bytes.fromhex
    card = Application(
        octets(packed["issuer"]), packed["kind"], packed["version"], octets(packed["serial"]), octets(packed["valid_from"]),
        octets(packed["valid_to"]),
    )  # fmt: skip
    intent = DebitIntent(
        card, packed["purse"], packed["type"], packed["amount_fen"], packed["balance_fen"], packed["counter"],
        octets(packed["terminal"]), packed["number"], octets(packed["at"]),
    )  # fmt: skip
    return Begun(intent, packed["key_version"], packed["algorithm"])


def _packed_value(begun: ValueBegun) -> dict[str, Any]:
    intent = begun.intent
    return {
        "uid": intent.uid.hex(), "command": intent.command, "amount_fen": intent.amount, "value_fen": intent.value,
        "counter": intent.counter, "reader": intent.reader.hex(), "previous": intent.previous.hex(), "number": begun.number,
        "at": begun.at.hex(), "key_version": begun.key_version,
    }  # fmt: skip


def _unpacked_value(packed: dict[str, Any]) -> ValueBegun:
    octets = bytes.fromhex
    intent = ValueIntent(
        octets(packed["uid"]), packed["command"], packed["amount_fen"], packed["value_fen"], packed["counter"], octets(packed["reader"]),
        octets(packed["previous"]),
    )  # fmt: skip
    return ValueBegun(intent, packed["number"], octets(packed["at"]), packed["key_version"])
