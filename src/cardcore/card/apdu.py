"""Command and answer APDUs in their short and extended forms, and what an answer says of a follow-up. ISO/IEC 7816-4:2013, 5.1.

Pure values: sending is the business of a link. Instruction bytes are not judged, since DESFire uses some that ISO reserves.
"""

from __future__ import annotations

from dataclasses import dataclass

from cardcore.card.errors import InvalidApdu

DATA_SHORT_MAX, EXPECTED_SHORT_MAX = 255, 256
DATA_MAX, EXPECTED_MAX = 65_535, 65_536


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `expected` is Ne: how many octets may come back at most; 0 for none, 256 for "all" in the short form.

    extended: use the extended form although the short one would do. Raises InvalidApdu for values outside their fields.
    """

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    expected: int = 0
    extended: bool = False

    def __post_init__(self) -> None:
        for octet in (self.cla, self.ins, self.p1, self.p2):
            if type(octet) is not int or not 0 <= octet <= 0xFF:
                raise InvalidApdu("CLA, INS, P1 and P2 are octets")
        if len(self.data) > DATA_MAX:
            raise InvalidApdu(f"a command carries at most {DATA_MAX} octets", octets=len(self.data))
        if type(self.expected) is not int or not 0 <= self.expected <= EXPECTED_MAX:
            raise InvalidApdu(f"an answer carries at most {EXPECTED_MAX} octets", expected=self.expected)
        if self.extended and not self.data and not self.expected:
            raise InvalidApdu("a command without data and answer has no extended form")

    @property
    def is_extended(self) -> bool:
        """Whether the extended form is used: because it was asked for or because a length needs it."""
        return self.extended or len(self.data) > DATA_SHORT_MAX or self.expected > EXPECTED_SHORT_MAX

    def encode(self) -> bytes:
        """The octets on the line."""
        head, data, expected = bytes((self.cla, self.ins, self.p1, self.p2)), self.data, self.expected
        if not data and not expected:
            return head
        if not self.is_extended:
            if data:
                head += bytes((len(data),)) + data
            # Le 00 stands for 256.
            return head + bytes((expected & 0xFF,)) if expected else head
        body = len(data).to_bytes(2, "big") + data if data else b""
        # The octet 00 before Lc, or before Le when there is no data; Le 00 00 stands for 65,536.
        return head + b"\x00" + body + ((expected & 0xFFFF).to_bytes(2, "big") if expected else b"")

    @staticmethod
    def decode(octets: bytes) -> Command:
        """The command that `encode` gives as these octets. Raises InvalidApdu when there is none."""
        if len(octets) < 4:
            raise InvalidApdu("a command has at least four octets", octets=len(octets))
        (cla, ins, p1, p2), body = octets[:4], bytes(octets[4:])
        if not body:
            return Command(cla, ins, p1, p2)
        if body[0] == 0 and len(body) > 1:
            data, expected = _decode_extended(body[1:])
            return Command(cla, ins, p1, p2, data, expected, extended=True)
        if len(body) == 1:
            return Command(cla, ins, p1, p2, expected=body[0] or EXPECTED_SHORT_MAX)
        data, rest = body[1 : 1 + body[0]], body[1 + body[0] :]
        if len(data) != body[0] or len(rest) > 1:
            raise InvalidApdu("Lc does not fit the length of the command", octets=len(octets))
        return Command(cla, ins, p1, p2, data, (rest[0] or EXPECTED_SHORT_MAX) if rest else 0)


def _decode_extended(body: bytes) -> tuple[bytes, int]:
    """Data and Ne of a body without its leading 00."""
    if len(body) < 2:
        raise InvalidApdu("an extended length has two octets")
    length = int.from_bytes(body[:2], "big")
    if len(body) == 2:
        return b"", length or EXPECTED_MAX
    data, rest = body[2 : 2 + length], body[2 + length :]
    if length == 0 or len(data) != length or len(rest) not in (0, 2):
        raise InvalidApdu("the extended Lc does not fit the length of the command", octets=5 + len(body))
    return data, (int.from_bytes(rest, "big") or EXPECTED_MAX) if rest else 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: data and the status word SW1 SW2."""

    data: bytes
    status: int

    @staticmethod
    def decode(octets: bytes) -> Answer:
        """Raises InvalidApdu for fewer than two octets (a torn card) or more than an answer may have."""
        if not 2 <= len(octets) <= EXPECTED_MAX + 2:
            raise InvalidApdu("an answer has a status word and at most 65,536 octets before it", octets=len(octets))
        return Answer(bytes(octets[:-2]), int.from_bytes(octets[-2:], "big"))

    def encode(self) -> bytes:
        """The octets on the line."""
        return self.data + self.status.to_bytes(2, "big")

    @property
    def remaining(self) -> int:
        """Octets that wait for GET RESPONSE after 61xx (00 stands for 256), else 0."""
        return (self.status & 0xFF or EXPECTED_SHORT_MAX) if self.status >> 8 == 0x61 else 0

    @property
    def right_length(self) -> int:
        """The length to repeat the command with after 6Cxx (00 stands for 256), else 0."""
        return (self.status & 0xFF or EXPECTED_SHORT_MAX) if self.status >> 8 == 0x6C else 0
