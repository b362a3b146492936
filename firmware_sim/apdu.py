"""Command and answer bytes of ISO/IEC 7816-4, and the refusal that becomes a status word."""

from __future__ import annotations

from dataclasses import dataclass

OK = 0x9000
FILE_INVALIDATED = 0x6283
TRIES_LEFT = 0x63C0  # low nibble: tries left
MEMORY_FAILURE = 0x6581
WRONG_LENGTH = 0x6700
LOGICAL_CHANNEL = 0x6881
STATE_INVALID = 0x6901
SECURITY_STATUS = 0x6982
BLOCKED = 0x6983
CONDITIONS = 0x6985
NO_CURRENT_FILE = 0x6986
MAC_MISSING = 0x6987
MAC_WRONG_SM = 0x6988
WRONG_FILE_TYPE = 0x6981
WRONG_DATA = 0x6A80
NOT_SUPPORTED = 0x6A81
FILE_NOT_FOUND = 0x6A82
RECORD_NOT_FOUND = 0x6A83
NO_SPACE = 0x6A84
WRONG_P1P2 = 0x6A86
KEY_NOT_FOUND = 0x6A88
WRONG_OFFSET = 0x6B00
WRONG_INS = 0x6D00
WRONG_CLA = 0x6E00


class Refused(Exception):
    """The card answers this status word; nothing that it keeps has changed unless the answer says so (a counted try)."""

    def __init__(self, status: int, data: bytes = b"") -> None:
        super().__init__(f"{status:04X}")
        self.status = status
        self.data = data

    def answer(self) -> bytes:
        """Answer bytes: data, then the two status bytes."""
        return self.data + self.status.to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Command:
    """A command APDU. `expected` is the most bytes the sender takes (256 or 65536 for Le = 0), None without an Le field."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    expected: int | None = None
    extended: bool = False

    @classmethod
    def parse(cls, raw: bytes) -> Command:
        """Read cases 1 to 4, short and extended (ISO/IEC 7816-4, 5.1). Raises `Refused` 6700 on any other length."""
        if len(raw) < 4:
            raise Refused(WRONG_LENGTH)
        head = raw[0], raw[1], raw[2], raw[3]
        body = raw[4:]
        if not body:
            return cls(*head)
        if len(body) == 1:
            return cls(*head, expected=body[0] or 256)
        if body[0] != 0:
            data, rest = body[1 : 1 + body[0]], body[1 + body[0] :]
            if len(data) != body[0] or len(rest) > 1:
                raise Refused(WRONG_LENGTH)
            return cls(*head, data=data, expected=(rest[0] or 256) if rest else None)
        if len(body) == 3:
            return cls(*head, expected=int.from_bytes(body[1:3], "big") or 65536, extended=True)
        length = int.from_bytes(body[1:3], "big")
        data, rest = body[3 : 3 + length], body[3 + length :]
        if length == 0 or len(data) != length or len(rest) not in (0, 2):
            raise Refused(WRONG_LENGTH)
        return cls(*head, data=data, expected=(int.from_bytes(rest, "big") or 65536) if rest else None, extended=True)

    def header(self) -> bytes:
        """CLA INS P1 P2."""
        return bytes((self.cla, self.ins, self.p1, self.p2))


def need(held: bool, status: int) -> None:
    """Refuse with the status word unless the condition holds."""
    if not held:
        raise Refused(status)
