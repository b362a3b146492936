"""The id of each request: the caller's own, or one that nobody else has. It is in the answer and in every line of the log about it."""

from __future__ import annotations

import itertools
import re
import secrets

HEADER = b"x-request-id"
KEPT = "cardcore.request_id"  # where an ASGI scope has it

_WELL_FORMED = re.compile(rb"[0-9A-Za-z._:-]{1,64}").fullmatch


class RequestIds:
    """Gives them for one process."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(5).encode()
        self._numbers = itertools.count(1)

    def of(self, sent: bytes) -> bytes:
        """What the caller sent as `X-Request-Id` if it is 1 to 64 letters, digits and `._:-`; else a new one."""
        if sent and _WELL_FORMED(sent) is not None:
            return sent
        return b"%b-%x" % (self._prefix, next(self._numbers))
