"""The PBOC purse as a terminal sees it: opening, reading, PIN, and the INITIALIZE that starts every transaction.

Sources as in `cardcore.crypto.pboc`. Amounts and balances are fen. `Make` holds what cards of different makers do differently.
"""

from __future__ import annotations

from dataclasses import dataclass

from cardcore.card.apdu import Command
from cardcore.card.dialogue import Dialogue, ask, transmit
from cardcore.card.errors import UnexpectedAnswer
from cardcore.card.status import require
from cardcore.crypto import pboc

ED, EP = 0x01, 0x02
"""P2 of purse commands: electronic deposit (存折) and electronic purse (钱包)."""
APPLICATION_NAME = bytes.fromhex("A00000000386980701")
PUBLIC_DATA, LOG = 0x15, 0x18
"""Short file identifiers."""
PUBLIC_OCTETS = 30
RECORD_NOT_FOUND = 0x6A83
LOG_RECORDS_MAX = 10


@dataclass(frozen=True, slots=True)
class Make:
    """What public sources disagree on. levels: factors of diversification, outermost first, of "issuer" and "serial".

    proof_ahead, log_ahead: GET TRANSACTION PROOF and the log name the counter after the step and not the one it started from.
    compound_by_number: a cached record is named by its number and not by the identifier in its first octet.
    """

    profile: pboc.Profile = pboc.PBOC2_3DES
    name: bytes = APPLICATION_NAME
    levels: tuple[str, ...] = ("serial",)
    proof_ahead: bool = True
    log_ahead: bool = False
    compound_by_number: bool = False


@dataclass(frozen=True, slots=True)
class Application:
    """EF 0015: who issued the card and which it is. Dates are BCD, YYYYMMDD."""

    issuer: bytes
    kind: int
    version: int
    serial: bytes
    valid_from: bytes
    valid_to: bytes

    @staticmethod
    def decode(octets: bytes) -> Application:
        """30 octets; what follows the dates is the issuer's own. Raises UnexpectedAnswer."""
        if len(octets) != PUBLIC_OCTETS:
            raise UnexpectedAnswer(f"the public data of a purse has {PUBLIC_OCTETS} octets", came=len(octets))
        return Application(octets[:8], octets[8], octets[9], octets[10:20], octets[20:24], octets[24:28])

    def encode(self) -> bytes:
        """The 30 octets, with nothing of the issuer's own."""
        return self.issuer + bytes([self.kind, self.version]) + self.serial + self.valid_from + self.valid_to + bytes(2)

    def factors(self, make: Make) -> list[bytes]:
        """Diversification factors, outermost first: the rightmost 8 octets of the serial number, the issuer identifier."""
        known = {"issuer": self.issuer, "serial": self.serial[-8:]}
        return [known[level] for level in make.levels]


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of the transaction log, 23 octets; `at` is date and time in BCD."""

    counter: int
    overdraw: int
    amount: int
    kind: int
    terminal: bytes
    at: bytes

    @staticmethod
    def decode(octets: bytes) -> LogRecord:
        """Raises UnexpectedAnswer for another length."""
        if len(octets) != 23:
            raise UnexpectedAnswer("a log record has 23 octets", came=len(octets))
        number = int.from_bytes
        return LogRecord(number(octets[:2]), number(octets[2:5]), number(octets[5:9]), octets[9], octets[10:16], octets[16:23])


@dataclass(frozen=True, slots=True)
class Opened:
    """What INITIALIZE answered. `counter` is the one before the step; `mac1` is empty for debits with a PSAM."""

    balance: int
    counter: int
    overdraw: int
    key_version: int
    algorithm: int
    random: bytes
    mac1: bytes = b""


def open_application(make: Make) -> Dialogue[Application]:
    """Select the purse and read who it is. Raises CardRefused, UnexpectedAnswer.

    Many makes give EF 0015 in the answer to SELECT; it is read where they do not.
    """
    selected = yield from ask(Command(0x00, 0xA4, 0x04, 0x00, make.name, expected=256))
    told = _template(selected, b"\x6f", b"\xa5", b"\x9f\x0c")
    if len(told) == PUBLIC_OCTETS:
        return Application.decode(told)
    public = yield from ask(Command(0x00, 0xB0, 0x80 | PUBLIC_DATA, 0x00, expected=PUBLIC_OCTETS), octets=PUBLIC_OCTETS)
    return Application.decode(public)


def _template(octets: bytes, *path: bytes) -> bytes:
    """The value at the end of a path of BER tags, "" when it is not there. Lengths are short, as in every FCI of a purse."""
    for tag in path:
        at = 0
        while at < len(octets) and not octets.startswith(tag, at):
            wide = 2 if octets[at] & 0x1F == 0x1F else 1
            at += wide + 1 + (octets[at + wide] if at + wide < len(octets) else 0)
        length = at + len(tag)
        if length >= len(octets) or length + 1 + octets[length] > len(octets):
            return b""
        octets = octets[length + 1 : length + 1 + octets[length]]
    return octets


def balance(purse: int = EP) -> Dialogue[int]:
    """GET BALANCE, in fen; for ED it contains the overdraw limit."""
    data = yield from ask(Command(0x80, 0x5C, 0x00, purse, expected=4), octets=4)
    return int.from_bytes(data)


def verify_pin(pin: bytes, identifier: int = 0) -> Dialogue[None]:
    """VERIFY: PIN as packed BCD, 2 to 6 octets. Raises CardRefused; `tries_left` of its status says how many are left."""
    yield from ask(Command(0x00, 0x20, 0x00, identifier, pin))


def change_pin(old: bytes, new: bytes, identifier: int = 0) -> Dialogue[None]:
    """CHANGE PIN: old || FF || new."""
    yield from ask(Command(0x80, 0x5E, 0x01, identifier, old + b"\xff" + new))


def read_log() -> Dialogue[list[LogRecord]]:
    """The log, newest first; empty records are left out."""
    records = []
    for number in range(1, LOG_RECORDS_MAX + 1):
        answer = yield from transmit(Command(0x00, 0xB2, number, LOG << 3 | 4, expected=23))
        if answer.status == RECORD_NOT_FOUND:
            break
        require(answer.status)
        if any(answer.data):
            records.append(LogRecord.decode(answer.data))
    return records


def initialize_debit(p1: int, purse: int, key_index: int, amount: int, terminal: bytes) -> Dialogue[Opened]:
    """INITIALIZE FOR PURCHASE (01), CASH WITHDRAW (02) or CAPP PURCHASE (03)."""
    data = yield from ask(_initialize(p1, purse, key_index, amount, terminal, expected=15), octets=15)
    number = int.from_bytes
    return Opened(number(data[:4]), number(data[4:6]), number(data[6:9]), data[9], data[10], data[11:15])


def initialize_online(p1: int, purse: int, key_index: int, amount: int, terminal: bytes) -> Dialogue[Opened]:
    """INITIALIZE FOR LOAD (00) or UNLOAD (05)."""
    data = yield from ask(_initialize(p1, purse, key_index, amount, terminal, expected=16), octets=16)
    number = int.from_bytes
    return Opened(number(data[:4]), number(data[4:6]), 0, data[6], data[7], data[8:12], data[12:16])


def _initialize(p1: int, purse: int, key_index: int, amount: int, terminal: bytes, expected: int) -> Command:
    # `pboc` checks the fields: amount 4 octets, terminal 6.
    fields = pboc.initialize_input(0, amount, 0, terminal)
    return Command(0x80, 0x50, p1, purse, bytes([key_index]) + fields[4:8] + fields[9:15], expected)
