"""Terminal requests signed with one fixed-layout HMAC: who signed, when, over what, and only once (I, R4, R5).

    Authorization: Cardcore-HMAC terminal=<id>,version=<n>,time=<unix s>,nonce=<16..64 of A-Z a-z 0-9 _ ->,mac=<64 hex>
    mac = HMAC-SHA256(terminal key, "cardcore-hmac-1" LF METHOD LF path-with-query LF time LF nonce LF
                      Idempotency-Key-or-empty LF sha256hex(body))

No field can hold a line feed, so the layout is injective. An unknown terminal costs the same work and gets the same
answer as a wrong MAC. Times up to the start of the process are refused, so that a restart forgets no nonce that still
counts; a request signed *ahead* of our clock could be repeated after a restart within its window, and then meets its
client key: it has no second effect (O1). A clock that is set back does not take the window back below what was forgotten:
the window then stands still, and `server_time` of a refusal is a time inside it, until the clock is there again.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from hashlib import sha256

from cardapi.custody import Custody
from cardapi.http.nonces import NonceTable
from cardapi.http.problems import HttpProblem
from cardapi.http.signed import read
from cardapi.people.registry import Registry
from cardapi.people.scope import Caller, terminal_caller
from cardcore.mackey import MacKey

SCHEME = b"Cardcore-HMAC "
WINDOW_S = 300
NONCES_MAX = 1 << 24
"""Nonces remembered at once (16 bytes each, grown as needed): 25,000 requests a second for the whole window."""


def message(method: bytes, target: bytes, time: bytes, nonce: bytes, key: bytes, body: bytes) -> bytes:
    """What is signed, for clients and tests (`signed` has it for ourselves).

    `target` is the path as sent, with its query; `key` the Idempotency-Key or empty.
    """
    return b"cardcore-hmac-1\n%b\n%b\n%b\n%b\n%b\n%b" % (method, target, time, nonce, key, sha256(body).hexdigest().encode())


def sign(key: bytes, terminal: str, version: int, method: str, target: str, time: int, nonce: str, client_key: str, body: bytes) -> str:
    """The Authorization header a terminal sends: the reference for clients and tests."""
    mac = hmac.digest(key, message(method.encode(), target.encode(), b"%d" % time, nonce.encode(), client_key.encode(), body), "sha256")
    return f"Cardcore-HMAC terminal={terminal},version={version},time={time},nonce={nonce},mac={mac.hex()}"


class Signatures:
    """Checks signatures against the registry's terminals. `clock` gives microseconds since 1970."""

    def __init__(self, custody: Custody, registry: Registry, clock: Callable[[], int], nonces_max: int = NONCES_MAX) -> None:
        self._custody = custody
        self._registry = registry
        self._clock = clock
        self._nobody = MacKey(secrets.token_bytes(32))
        self._keys: dict[str, tuple[int, MacKey, Caller]] = {}  # of active terminals, one entry each
        self._nonces = NonceTable(nonces_max, WINDOW_S)
        # Seconds up to and including the one we started in are refused: an earlier process may have seen their nonces.
        self.ready_at = clock() // 1_000_000 + 1
        self._nonces.forget_before(self.ready_at)

    def nonces(self) -> int:
        """Nonces remembered now."""
        return self._nonces.count()

    def check(self, header: bytes, method: bytes, target: bytes, key: bytes, body: bytes) -> Caller:
        """The terminal that signed. Raises HttpProblem signature_malformed, signature_time, signature_invalid, nonce_reused, busy."""
        claim = read(header)
        if claim is None:
            raise HttpProblem("signature_malformed")
        floor = self._nonces.floor
        now = max(self._clock() // 1_000_000, floor)
        signed_at = claim.time
        if not max(now - WINDOW_S, floor) <= signed_at <= now + WINDOW_S:
            raise HttpProblem("signature_time", server_time=now)
        known = self._known(claim.terminal, claim.version)
        if not claim.holds(known[1] if known else self._nobody, method, target, key, body) or known is None:
            raise HttpProblem("signature_invalid")
        # Only genuine nonces are remembered: nobody else can fill the table.
        seen = self._nonces.add(hash((claim.terminal, claim.nonce)), signed_at, now)
        if seen < 0:
            raise HttpProblem("busy", "more signed requests than can be told apart; wait and try again")
        if seen:
            raise HttpProblem("nonce_reused")
        return known[2]

    def _known(self, name: str, version: int) -> tuple[int, MacKey, Caller] | None:
        """Key and caller of an active terminal under its present key version (R5: read from the registry each time)."""
        terminal = self._registry.terminal(name)
        if terminal is None or terminal.state != "active" or terminal.key_version != version:
            return None
        known = self._keys.get(name)
        if known is None or known[0] != version or known[2].unit != terminal.unit:
            key = MacKey(self._custody.terminal_key(name, version).reveal())
            known = self._keys[name] = (version, key, terminal_caller(name, terminal.unit))
        return known
