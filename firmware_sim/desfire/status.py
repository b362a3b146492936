"""Status bytes of DESFire, the second byte after 91."""

from __future__ import annotations

OK = 0x00
NO_CHANGES = 0x0C
OUT_OF_MEMORY = 0x0E
ILLEGAL_COMMAND = 0x1C
INTEGRITY = 0x1E
NO_SUCH_KEY = 0x40
LENGTH = 0x7E
PERMISSION_DENIED = 0x9D
PARAMETER = 0x9E
APPLICATION_NOT_FOUND = 0xA0
AUTHENTICATION = 0xAE
MORE = 0xAF
BOUNDARY = 0xBE
ABORTED = 0xCA
COUNT = 0xCE
DUPLICATE = 0xDE
FILE_NOT_FOUND = 0xF0


class Fault(Exception):
    """The card answers this status; a transaction under way is dropped."""

    def __init__(self, status: int) -> None:
        super().__init__(f"91{status:02X}")
        self.status = status


def need(held: bool, status: int) -> None:
    """Fail with the status unless the condition holds."""
    if not held:
        raise Fault(status)
